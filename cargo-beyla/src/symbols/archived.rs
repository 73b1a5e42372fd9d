//! Functions of an executable without symbols, found by their bytes as its library files have them.
//!
//! Cargo leaves the library of each crate beside the executable that it has linked. C and assembly are not compiled again
//! for that, so the bytes of their functions are the same in both, but for those that the linker fills in.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use memchr::memmem;
use memmap2::Mmap;
use object::elf::{FileHeader64, R_X86_64_64, R_X86_64_GOTPCREL, R_X86_64_GOTPCRELX, R_X86_64_REX_GOTPCRELX};
use object::read::archive::ArchiveFile;
use object::read::elf::ElfFile;
use object::{
    LittleEndian, Object, ObjectSection, ObjectSymbol, Relocation, RelocationFlags, RelocationTarget, SymbolKind,
};

use super::image::{CodeSegment, Elf, code_segments};
use super::key_symbols::{KeyFunction, Placed, key_function};
use super::openssl_calls::{CIPHER_INIT, is_key_change};
use super::{calls, fips_modules};
use crate::probe::library_probe::{LibraryPoint, LibraryProbe};

/// The crates whose libraries hold functions that set up keys.
const CRATES: [&str; 5] = ["aws_lc_fips_sys", "aws_lc_sys", "boring_sys", "openssl_sys", "ring"];

/// The most library files that are looked into: of each crate, what several builds have left.
const FILES_MAX: usize = 64;

/// A function of fewer bytes that are known is not looked for: it could be taken for another.
const KNOWN_MIN: usize = 24;

/// Of `call` with an offset of 32 bits, which a relocation fills in.
const CALL: u8 = 0xE8;

type Member<'data> = ElfFile<'data, FileHeader64<LittleEndian>>;

/// A function as a library file has it.
struct Archived {
    kind: Kind,
    code: Vec<u8>,
    /// If it lies in a module that must not be probed: the bytes of that before its own beginning, and from there on.
    module: Option<(u64, u64)>,
    /// Which bytes the linker fills in or may change.
    linked: Vec<bool>,
}

enum Kind {
    /// It is probed itself.
    Function(KeyFunction),
    /// Calls in it are probed: where they are, in bytes from its beginning on.
    Caller(Vec<u64>),
}

/// The library files of an executable that cargo has built.
pub(super) fn library_files(executable: &Path) -> Vec<PathBuf> {
    let folder = executable.parent().unwrap_or(Path::new("."));
    // Examples and tests have a folder of their own beside that of the libraries.
    let folders = [folder.join("deps"), folder.to_owned(), folder.join("../deps")];
    let is_wanted = |name: &str| {
        let name = name.strip_prefix("lib").and_then(|name| name.strip_suffix(".rlib"));
        name.and_then(|name| name.rsplit_once('-')).is_some_and(|(name, _)| CRATES.contains(&name))
    };
    let files = folders.iter().filter_map(|folder| folder.read_dir().ok()).flatten().flatten();
    let wanted = files.filter(|file| file.file_name().to_str().is_some_and(is_wanted));
    wanted.map(|file| file.path()).take(FILES_MAX).collect()
}

/// The functions of an executable that one of these files holds as well, and the calls that are to be probed themselves.
pub(super) fn find(elf: &Elf<'_>, files: &[PathBuf]) -> (Vec<Placed>, Vec<LibraryProbe>) {
    let (mut functions_found, mut calls) = (Vec::new(), Vec::new());
    for file in files {
        let Ok(file) = File::open(file) else { continue };
        // SAFETY: cargo puts a new file in the place of a library rather than write into it.
        let Ok(map) = (unsafe { Mmap::map(&file) }) else { continue };
        for archived in archived(&map) {
            let Some(offset) = archived.find_in(elf) else { continue };
            match &archived.kind {
                Kind::Function(function) => {
                    let size = archived.code.len() as u64;
                    functions_found.push(Placed {
                        function: *function,
                        offset,
                        size,
                        module: archived.module_at(offset),
                    });
                }
                Kind::Caller(at) => {
                    calls
                        .extend(at.iter().map(|at| LibraryProbe { point: LibraryPoint::OpenSsl, offset: offset + at }));
                }
            }
        }
    }
    (functions_found, calls)
}

/// The functions that a library file holds.
fn archived(library: &[u8]) -> Vec<Archived> {
    let Ok(archive) = ArchiveFile::parse(library) else { return Vec::new() };
    let members = archive.members().flatten().filter_map(|member| member.data(library).ok());
    members.filter_map(|member| Member::parse(member).ok()).flat_map(|member| of_member(&member)).collect()
}

fn of_member(member: &Member<'_>) -> Vec<Archived> {
    // The labels of a module stand in the section of its functions.
    let labels = member.symbols().filter(ObjectSymbol::is_definition);
    let modules =
        fips_modules::between_labels(labels.filter_map(|label| Some((label.name_bytes().ok()?, label.address()))));
    let symbols = member.symbols().filter(|symbol| symbol.is_definition() && symbol.kind() == SymbolKind::Text);
    symbols
        .filter_map(|symbol| {
            let name = symbol.name_bytes().ok()?;
            let function = key_function(name);
            if function.is_none() && !is_key_change(name) {
                return None;
            }
            let section = member.section_by_index(symbol.section_index()?).ok()?;
            let begin = symbol.address();
            let range = begin..begin.checked_add(symbol.size())?;
            let code = section.data_range(range.start, symbol.size()).ok()??.to_vec();
            let mut linked = vec![false; code.len()];
            let mut calls = Vec::new();
            for (at, relocation) in section.relocations().filter(|(at, _)| range.contains(at)) {
                let at = (at - begin) as usize;
                mark(&mut linked, filled_in(at, &relocation));
                if let Some(call) = call_of(&code, at).filter(|_| is_cipher_init(member, &relocation)) {
                    calls.push(call);
                }
            }
            let module = modules.iter().find(|module| module.contains(&begin));
            let module = module.map(|module| (begin - module.start, module.end - begin));
            Some(Archived { kind: function.map_or(Kind::Caller(calls), Kind::Function), code, module, linked })
        })
        .collect()
}

/// Where a call begins whose target a relocation at an offset fills in.
fn call_of(code: &[u8], at: usize) -> Option<u64> {
    if cfg!(target_arch = "aarch64") {
        return Some(at as u64);
    }
    let begin = at.checked_sub(1)?;
    (code.get(begin) == Some(&CALL) && !calls::is_without_key(&code[..begin])).then_some(begin as u64)
}

fn is_cipher_init(member: &Member<'_>, relocation: &Relocation) -> bool {
    let RelocationTarget::Symbol(symbol) = relocation.target() else { return false };
    member.symbol_by_index(symbol).is_ok_and(|symbol| symbol.name() == Ok(CIPHER_INIT))
}

/// The bytes that the linker fills in, or may change, for a relocation: of an instruction that reads a word for the sake
/// of an address, it may make one that computes the address.
fn filled_in(at: usize, relocation: &Relocation) -> Range<usize> {
    if cfg!(target_arch = "aarch64") {
        // Every instruction has four bytes.
        return at & !3..(at & !3) + 4;
    }
    match relocation.flags() {
        RelocationFlags::Elf { r_type: R_X86_64_64 } => at..at + 8,
        RelocationFlags::Elf { r_type: R_X86_64_GOTPCREL | R_X86_64_GOTPCRELX | R_X86_64_REX_GOTPCRELX } => {
            at.saturating_sub(3)..at + 4
        }
        _ => at..at + 4,
    }
}

fn mark(linked: &mut [bool], range: Range<usize>) {
    let end = range.end.min(linked.len());
    if let Some(marked) = linked.get_mut(range.start..end) {
        marked.fill(true);
    }
}

impl Archived {
    /// Where its module stands in an executable's file, if it stands there at `offset` itself.
    fn module_at(&self, offset: u64) -> Option<Range<u64>> {
        let (before, behind) = self.module?;
        Some(offset.checked_sub(before)?..offset.checked_add(behind)?)
    }

    /// Where it stands in an executable's file, if that has it once.
    fn find_in(&self, elf: &Elf<'_>) -> Option<u64> {
        let places = code_segments(elf).flat_map(|CodeSegment { offset, code, .. }| {
            self.places(code).into_iter().map(move |at| offset + at as u64)
        });
        let places: Vec<u64> = places.collect();
        if let [place] = places[..] { Some(place) } else { None }
    }

    /// Where it stands in machine code.
    fn places(&self, code: &[u8]) -> Vec<usize> {
        let known = self.linked.iter().filter(|linked| !**linked).count();
        let Some(run) = self.longest_known().filter(|_| known >= KNOWN_MIN) else { return Vec::new() };
        let begins = memmem::find_iter(code, &self.code[run.clone()]).filter_map(|at| at.checked_sub(run.start));
        begins.filter(|begin| code.get(*begin..begin + self.code.len()).is_some_and(|code| self.is(code))).collect()
    }

    fn is(&self, code: &[u8]) -> bool {
        let bytes = self.code.iter().zip(code).zip(&self.linked);
        bytes.into_iter().all(|((own, found), linked)| *linked || own == found)
    }

    /// The longest run of bytes that the linker leaves as they are.
    fn longest_known(&self) -> Option<Range<usize>> {
        let mut longest: Option<Range<usize>> = None;
        let mut begin = 0;
        for (index, linked) in self.linked.iter().chain([&true]).enumerate() {
            if *linked {
                if index - begin > longest.as_ref().map_or(0, ExactSizeIterator::len) {
                    longest = Some(begin..index);
                }
                begin = index + 1;
            }
        }
        longest
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::symbols::functions;
    use crate::symbols::image::{Image, file_offset};

    /// This executable is not stripped, so its symbols tell where its functions are.
    #[test]
    fn bytes_find_what_symbols_find() {
        // So that TLS is linked.
        drop(rustls::crypto::ring::default_provider());
        let image = Image::open(&std::env::current_exe().expect("our own path")).expect("our own executable");
        let elf = image.elf().expect("an executable");
        let named = functions::each(&elf).filter(|(_, _, symbol)| key_function(symbol).is_some());
        let named: BTreeSet<_> = named.filter_map(|(_, range, _)| file_offset(&elf, range.start)).collect();
        let files = library_files(image.path());
        let (found, calls) = find(&elf, &files);
        let found: BTreeSet<_> = found.iter().map(|placed| placed.offset).collect();
        assert!(named.len() >= 3, "{named:?}");
        assert_eq!((found, calls), (named, Vec::new()), "{files:?}");
    }

    #[test]
    fn a_function_is_found_but_for_what_is_linked() {
        let mut archived = Archived {
            kind: Kind::Caller(Vec::new()),
            code: (0..40).collect(),
            module: Some((100, 200)),
            linked: (0..40).map(|index| (10..14).contains(&index)).collect(),
        };
        let mut code = vec![0xCC; 7];
        code.extend(0..40);
        code[7 + 10..7 + 14].fill(0xEE);
        assert_eq!(archived.places(&code), [7]);
        assert_eq!((archived.module_at(1000), archived.module_at(99)), (Some(900..1200), None));
        assert_eq!(archived.places(&code[..46]), Vec::<usize>::new(), "it is not whole");
        code[7 + 9] = 0xEE;
        assert_eq!(archived.places(&code), Vec::<usize>::new(), "it is another");
        code[7 + 9] = 9;
        archived.linked.fill(true);
        assert_eq!(archived.places(&code), Vec::<usize>::new(), "nothing of it is known");
    }

    #[test]
    fn what_is_no_library_holds_none() {
        for bytes in [&b""[..], b"!<arch>\n", b"!<arch>\nx", &[0; 200]] {
            assert!(archived(bytes).is_empty());
        }
    }
}
