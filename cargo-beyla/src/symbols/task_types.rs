//! The types of tasks, by their tables of functions.
//!
//! A task's table holds the address of the function that polls its type of future. In version 0 of the mangling the
//! function's symbol contains that type; in the legacy mangling it does not. Then the function's name in the debug
//! information does: full debug information has an entry for every function, tables of lines alone only for functions
//! that others are inlined into.

use std::collections::BTreeMap;

use addr2line::gimli::{self, AttributeValue, DW_AT_abstract_origin, DW_AT_low_pc, DW_AT_name, DW_TAG_subprogram};
use object::{Object, ObjectSection};

use super::image::Image;
use super::images::{Code, Images};
use super::names;
use super::symbolizer::Symbolizer;
use super::type_names;

/// The function of the table that polls. The compiler may have merged the others of several futures into one.
const POLL: &str = "tokio::runtime::task::raw::poll";

/// The type whose method does the polling, where the compiler keeps that a function of its own.
const HARNESS: &str = "tokio::runtime::task::harness::Harness<";

/// The most entries of debug information that are looked at to find a function.
const ENTRIES_MAX: usize = 1_000_000;

type Reader<'data> = gimli::EndianSlice<'data, gimli::RunTimeEndian>;

/// The types of the futures of tasks that can be named, by the addresses of their tables; `tables` gives the functions
/// of each.
pub fn find(tables: &[(u64, Vec<Code>)], images: &Images, symbolizer: &mut Symbolizer) -> BTreeMap<u64, String> {
    let mut found = BTreeMap::new();
    // For each image, the functions to be looked up in its debug information.
    let mut unnamed: BTreeMap<u32, Vec<(u64, u64)>> = BTreeMap::new();
    for (table, functions) in tables {
        for code in functions {
            let Some(image) = images.get(code.image) else { continue };
            let there = [Some(code.address), jump_target(image, code.address)];
            for address in there.into_iter().flatten() {
                match in_symbols(&symbolizer.functions(code.image, image).starting_at(image, address)) {
                    Told::Future(future) => _ = found.entry(*table).or_insert(future),
                    Told::Poll => unnamed.entry(code.image).or_default().push((*table, address)),
                    Told::Nothing => {}
                }
            }
        }
    }
    for (number, mut functions) in unnamed {
        functions.retain(|(table, _)| !found.contains_key(table));
        if let Some(image) = images.get(number).filter(|_| !functions.is_empty()) {
            // Without debug information that can be parsed, they have no names.
            let _ = in_debug_information(image, &functions, &mut found);
        }
    }
    found
}

/// What the symbols at an address say.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    /// The future.
    Future(String),
    /// It polls a future, but the symbol does not say which.
    Poll,
    /// It polls no future, or the compiler has merged the functions of several futures.
    Nothing,
}

fn in_symbols(symbols: &[&str]) -> Told {
    let mut told = symbols.iter().map(|symbol| in_symbol(symbol));
    match (told.next(), told.next()) {
        (Some(told), None) => told,
        (Some(Told::Future(first)), Some(second)) => {
            let same = |told: Told| told == Told::Future(first.clone());
            if same(second) && told.all(same) { Told::Future(first) } else { Told::Nothing }
        }
        _ => Told::Nothing,
    }
}

fn in_symbol(symbol: &str) -> Told {
    let plain = names::function(symbol);
    if plain != POLL && !(plain.starts_with(HARNESS) && plain.ends_with(">::poll")) {
        return Told::Nothing;
    }
    let demangled = format!("{:#}", rustc_demangle::demangle(symbol));
    future(&demangled).map_or(Told::Poll, Told::Future)
}

/// The future in the name of the function, which is generic over it and its scheduler.
fn future(function: &str) -> Option<String> {
    match type_names::generics(function)?.1[..] {
        [future, _scheduler] => Some(type_names::future(future)),
        _ => None,
    }
}

fn in_debug_information(
    image: &Image,
    functions: &[(u64, u64)],
    found: &mut BTreeMap<u64, String>,
) -> Result<(), gimli::Error> {
    let Some(elf) = image.elf() else { return Ok(()) };
    let section = |id: gimli::SectionId| {
        let section = elf.section_by_name(id.name());
        Ok::<_, gimli::Error>(section.and_then(|section| section.uncompressed_data().ok()).unwrap_or_default())
    };
    let sections = gimli::DwarfSections::load(section)?;
    let dwarf = sections.borrow(|bytes| Reader::new(bytes, gimli::RunTimeEndian::Little));
    let context = addr2line::Context::from_dwarf(dwarf)?;
    for (table, address) in functions {
        if !found.contains_key(table)
            && let Some(unit) = context.find_dwarf_and_unit(*address).skip_all_loads()
            && let Some(name) = subprogram(unit, *address)?
            && let Some(future) = future(&name)
        {
            found.insert(*table, future);
        }
    }
    Ok(())
}

/// The name of the function that begins at an address, with its generic arguments.
fn subprogram(unit: gimli::UnitRef<'_, Reader<'_>>, address: u64) -> Result<Option<String>, gimli::Error> {
    let mut entries = unit.entries();
    for _ in 0..ENTRIES_MAX {
        let Some(entry) = entries.next_dfs()? else { break };
        if entry.tag() != DW_TAG_subprogram {
            continue;
        }
        let Some(begins) = entry.attr_value(DW_AT_low_pc) else { continue };
        if unit.attr_address(begins)? != Some(address) {
            continue;
        }
        let name = match (entry.attr_value(DW_AT_name), entry.attr_value(DW_AT_abstract_origin)) {
            (None, Some(AttributeValue::UnitRef(origin))) => unit.entry(origin)?.attr_value(DW_AT_name),
            (name, _) => name,
        };
        let Some(name) = name else { return Ok(None) };
        return Ok(Some(unit.attr_string(name)?.to_string_lossy().into_owned()));
    }
    Ok(None)
}

/// The target of a function that consists of a jump: a function that only calls another becomes one.
fn jump_target(image: &Image, address: u64) -> Option<u64> {
    let jump = if cfg!(target_arch = "aarch64") { jump_of_aarch64 } else { jump_of_x86_64 };
    Some(address.wrapping_add_signed(jump(image.code(address, JUMP_MAX)?)?))
}

/// The bytes of the longest of the jumps that are known.
const JUMP_MAX: u64 = 5;

/// The distance of `jmp rel32`, which counts from the end of the instruction.
fn jump_of_x86_64(code: &[u8]) -> Option<i64> {
    let (&0xe9, distance) = code.split_first()? else { return None };
    Some(i64::from(i32::from_le_bytes(*distance.first_chunk()?)) + 5)
}

/// The distance of `b imm26`, which counts in instructions of four bytes.
fn jump_of_aarch64(code: &[u8]) -> Option<i64> {
    let instruction = u32::from_le_bytes(*code.first_chunk()?);
    let instructions = (instruction << 6).cast_signed() >> 6;
    (instruction >> 26 == 0b00_0101).then_some(i64::from(instructions) * 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEGACY: &str = "_ZN5tokio7runtime4task3raw4poll17h9d4bf129a6a34b0eE";
    const V0: &str = "_RINvNtNtNtCs16WmkZ6HHoA_5tokio7runtime4task3raw4pollNCNCINvCsaW871FBrSZY_4axum5serveNtNtB8_3net3tcpE0s1_0INtNtCslNYArtu3iFV_5alloc4sync3ArcNtB6_6HandleEECsefjqhWF6aTm_11latency_lab";

    #[test]
    fn a_symbol_tells_the_future_or_that_there_is_one() {
        assert_eq!(in_symbols(&[LEGACY]), Told::Poll);
        assert_eq!(in_symbols(&[V0]), Told::Future("axum::serve".to_owned()));
        assert_eq!(in_symbols(&[V0, V0]), Told::Future("axum::serve".to_owned()));
        assert_eq!(in_symbols(&["main"]), Told::Nothing);
        assert_eq!(in_symbols(&[]), Told::Nothing);
        // One function for two futures names neither.
        assert_eq!(in_symbols(&[LEGACY, LEGACY]), Told::Nothing);
    }

    #[test]
    fn a_future_is_the_first_of_two_arguments() {
        assert_eq!(future("poll<a::b::{async_fn_env#0}, c::D>").as_deref(), Some("a::b"));
        assert_eq!(future("schedule<c::D>"), None);
        assert_eq!(future("poll"), None);
    }

    #[test]
    fn jumps_lead_where_the_manuals_say() {
        assert_eq!(jump_of_x86_64(&[0xe9, 0xfb, 0xff, 0xff, 0xff]), Some(0));
        assert_eq!(jump_of_x86_64(&[0xe9, 0x0b, 0, 0, 0]), Some(16));
        assert_eq!(jump_of_x86_64(&[0xe8, 0x0b, 0, 0, 0]), None, "a call");
        assert_eq!(jump_of_x86_64(&[0xe9, 0x0b]), None);
        assert_eq!(jump_of_aarch64(&0x1400_0004_u32.to_le_bytes()), Some(16));
        assert_eq!(jump_of_aarch64(&0x17ff_ffff_u32.to_le_bytes()), Some(-4));
        assert_eq!(jump_of_aarch64(&0x9400_0004_u32.to_le_bytes()), None, "a call");
        assert_eq!(jump_of_aarch64(&[]), None);
    }
}
