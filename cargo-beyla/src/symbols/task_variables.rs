//! Where each thread of a program keeps the id of the task that it polls: tokio's `CONTEXT`, a variable of each thread,
//! has it in a field.

use std::borrow::Cow;
use std::collections::HashMap;

use addr2line::gimli::{
    self, AttributeValue, Dwarf, DwarfSections, EndianSlice, EntriesTreeNode, SectionId, Unit, UnitOffset,
};
use cargo_beyla_events::TASK_VARIABLES_MAX;
use memchr::memmem;
use object::elf::{PT_TLS, STT_TLS};
use object::read::elf::{ProgramHeader, Sym};
use object::{LittleEndian, Object, ObjectSection};

use super::image::{Elf, Image};
use crate::probe::executable::TaskIdPlace;

/// As both schemes of mangling write the path of the variable.
const CONTEXT: &[u8] = b"5tokio7runtime7context7CONTEXT";
/// What the standard library calls the variable itself, in 1.81 and later, and before.
const VALUE: [&[u8]; 2] = [b"__RUST_STD_INTERNAL_VAL", b"3VAL"];
/// Its field.
const FIELD: &[u8] = b"current_task_id";
/// The name of a unit of compilation of tokio's holds this.
const UNIT: &[u8] = b"/@/tokio.";

/// The field may lie that deep in structures.
const DEPTH_MAX: usize = 6;
/// Members that are looked at for one variable.
const MEMBERS_MAX: usize = 256;
/// A section of debug information may take that many bytes.
const SECTION_MAX: u64 = 4 << 30;
/// The variables of all libraries of a program take less, and so does an alignment.
const TLS_MAX: u64 = 1 << 30;

type Slice<'data> = EndianSlice<'data, gimli::LittleEndian>;

/// A variable of each thread.
struct Variable<'data> {
    symbol: &'data [u8],
    /// Where it begins, counted from the thread pointer.
    offset: i64,
    /// In bytes.
    size: u64,
}

/// Where the id is, one place a version of tokio. Empty if the program has no tokio, or no symbols.
pub fn find(image: &Image) -> Vec<TaskIdPlace> {
    let Some(elf) = image.elf() else { return Vec::new() };
    let variables = variables(&elf);
    if variables.is_empty() {
        return Vec::new();
    }
    let fields = fields(&elf, &variables).unwrap_or_default();
    let places = variables.iter().map(|variable| match fields.get(variable.symbol) {
        Some(field) => variable.offset.checked_add_unsigned(*field).map(TaskIdPlace::At),
        None => Some(TaskIdPlace::Within { begin: variable.offset, size: variable.size }),
    });
    places.flatten().collect()
}

fn variables<'data>(elf: &Elf<'data>) -> Vec<Variable<'data>> {
    let table = elf.elf_symbol_table();
    let path = memmem::Finder::new(CONTEXT);
    let is_variable = |symbol: &[u8]| {
        path.find(symbol).is_some_and(|at| VALUE.iter().any(|value| memmem::find(&symbol[at..], value).is_some()))
    };
    let found = table.iter().filter_map(|symbol| {
        if symbol.st_type() != STT_TLS {
            return None;
        }
        let name = symbol.name(LittleEndian, table.strings()).ok().filter(|name| is_variable(name))?;
        let offset = from_thread_pointer(elf, symbol.st_value(LittleEndian))?;
        Some(Variable { symbol: name, offset, size: symbol.st_size(LittleEndian) })
    });
    found.take(TASK_VARIABLES_MAX).collect()
}

/// Where a variable of the program's own is, counted from the thread pointer, as the linker reckons: on `x86_64` they end
/// there (variant II of the ELF specification of TLS), on aarch64 they begin 16 bytes behind it (variant I).
fn from_thread_pointer(elf: &Elf<'_>, value: u64) -> Option<i64> {
    let segment = elf.elf_program_headers().iter().find(|segment| segment.p_type(LittleEndian) == PT_TLS)?;
    let alignment = segment.p_align(LittleEndian).max(1);
    let (start, size) = (segment.p_vaddr(LittleEndian), segment.p_memsz(LittleEndian));
    if !alignment.is_power_of_two() || alignment > TLS_MAX || size > TLS_MAX || value >= size {
        return None;
    }
    // Of where the variables stand in the file, only how it is aligned matters.
    let within = start & (alignment - 1);
    let offset = if cfg!(target_arch = "aarch64") {
        const RESERVED: u64 = 16;
        (value + RESERVED + (within.wrapping_sub(RESERVED) & (alignment - 1))).cast_signed()
    } else {
        (within + value).cast_signed() - (within + size).next_multiple_of(alignment).cast_signed()
    };
    Some(offset)
}

/// Where the field is in each of the variables, as the debug information says.
fn fields<'data>(elf: &Elf<'data>, variables: &[Variable<'data>]) -> gimli::Result<HashMap<&'data [u8], u64>> {
    let sections: DwarfSections<Cow<'data, [u8]>> = DwarfSections::load(|id| gimli::Result::Ok(section(elf, id)))?;
    let dwarf: Dwarf<Slice<'_>> = sections.borrow(|bytes| EndianSlice::new(bytes, gimli::LittleEndian));
    let mut found = HashMap::new();
    let mut units = dwarf.units();
    while let Some(header) = units.next()? {
        if found.len() == variables.len() {
            break;
        }
        // One that is broken says nothing of the others.
        let Ok(unit) = dwarf.unit(header) else { continue };
        if unit.name.is_some_and(|name| memmem::find(name.slice(), UNIT).is_some()) {
            // What was found before an error counts.
            let _ = in_unit(&dwarf, &unit, variables, &mut found);
        }
    }
    Ok(found)
}

fn section<'data>(elf: &Elf<'data>, id: SectionId) -> Cow<'data, [u8]> {
    let Some(section) = elf.section_by_name(id.name()) else { return Cow::Borrowed(&[]) };
    let data = section.compressed_data().ok().filter(|data| data.uncompressed_size <= SECTION_MAX);
    data.and_then(|data| data.decompress().ok()).unwrap_or_default()
}

fn in_unit<'data>(
    dwarf: &Dwarf<Slice<'_>>,
    unit: &Unit<Slice<'_>>,
    variables: &[Variable<'data>],
    found: &mut HashMap<&'data [u8], u64>,
) -> gimli::Result<()> {
    let mut entries = unit.entries();
    while let Some(entry) = entries.next_dfs()? {
        if entry.tag() != gimli::DW_TAG_variable {
            continue;
        }
        let Some(name) = entry.attr_value(gimli::DW_AT_linkage_name) else { continue };
        let Ok(name) = dwarf.attr_string(unit, name) else { continue };
        let Some(variable) = variables.iter().find(|variable| variable.symbol == name.slice()) else { continue };
        if let Some(AttributeValue::UnitRef(r#type)) = entry.attr_value(gimli::DW_AT_type) {
            let mut search = Search { dwarf, unit, members: MEMBERS_MAX };
            if let Some(offset) = search.in_type(r#type, DEPTH_MAX)? {
                found.insert(variable.symbol, offset);
            }
        }
    }
    Ok(())
}

/// The search for the field in a variable's type.
struct Search<'a, 'data> {
    dwarf: &'a Dwarf<Slice<'data>>,
    unit: &'a Unit<Slice<'data>>,
    /// How many more members are looked at.
    members: usize,
}

impl Search<'_, '_> {
    fn in_type(&mut self, r#type: UnitOffset, depth: usize) -> gimli::Result<Option<u64>> {
        let (dwarf, unit) = (self.dwarf, self.unit);
        let mut tree = unit.entries_tree(Some(r#type))?;
        let mut children = tree.root()?.children();
        while let Some(child) = children.next()? {
            let Some(Member { is_field, offset, r#type }) = Member::read(dwarf, unit, &child) else { continue };
            if is_field {
                return Ok(Some(offset));
            }
            self.members = self.members.saturating_sub(1);
            if depth == 0 || self.members == 0 {
                return Ok(None);
            }
            if let Some(within) = self.in_type(r#type, depth - 1)? {
                return Ok(offset.checked_add(within));
            }
        }
        Ok(None)
    }
}

/// A member of a structure.
struct Member {
    is_field: bool,
    offset: u64,
    r#type: UnitOffset,
}

impl Member {
    fn read(
        dwarf: &Dwarf<Slice<'_>>,
        unit: &Unit<Slice<'_>>,
        node: &EntriesTreeNode<'_, '_, Slice<'_>>,
    ) -> Option<Self> {
        let entry = node.entry();
        if entry.tag() != gimli::DW_TAG_member {
            return None;
        }
        let name = dwarf.attr_string(unit, entry.attr_value(gimli::DW_AT_name)?).ok()?;
        let offset = entry.attr_value(gimli::DW_AT_data_member_location)?.udata_value()?;
        let AttributeValue::UnitRef(r#type) = entry.attr_value(gimli::DW_AT_type)? else { return None };
        Some(Self { is_field: name.slice() == FIELD, offset, r#type })
    }
}
