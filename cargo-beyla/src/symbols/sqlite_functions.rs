//! Where an image has the functions of SQLite's C interface by which statements are executed.

use std::ops::Range;

use object::ReadRef;

use super::image::{Elf, Image, file_offset};
use super::{cheap_place, functions, returns};
use crate::probe::library_probe::{LibraryPoint, LibraryProbe};

/// It executes whole scripts.
const EXEC: &str = "sqlite3_exec";

/// Looks them up in the table of symbols. An executable that is stripped has none, unless it is linked with the system's
/// library.
pub(super) fn find(image: &Image) -> Vec<LibraryProbe> {
    let Some(elf) = image.elf() else { return Vec::new() };
    let mut probes = Vec::new();
    let mut exec = None;
    for (_, range, symbol) in functions::each(&elf) {
        if symbol == EXEC.as_bytes() {
            exec = Some(range.clone());
        }
        if let Some(point) = point(symbol) {
            probes.extend(at_entry(&elf, &range, point));
        }
    }
    if let Some(exec) = exec {
        probes.extend(of_exec(&elf, image, &exec));
    }
    probes
}

fn at_entry(elf: &Elf<'_>, function: &Range<u64>, point: LibraryPoint) -> Option<LibraryProbe> {
    let offset = file_offset(elf, function.start)?;
    let code = elf.data().read_bytes_at(offset, function.end - function.start).unwrap_or_default();
    Some(LibraryProbe { point, offset: offset + cheap_place::find(code) })
}

/// Those of `sqlite3_exec`: nothing if it cannot be told where it returns.
fn of_exec(elf: &Elf<'_>, image: &Image, exec: &Range<u64>) -> Vec<LibraryProbe> {
    let returned =
        |address| Some(LibraryProbe { point: LibraryPoint::SqliteExecReturned, offset: file_offset(elf, address)? });
    let returns: Vec<LibraryProbe> = returns::of(image, exec).into_iter().filter_map(returned).collect();
    let entry = at_entry(elf, exec, LibraryPoint::SqliteExec).filter(|_| !returns.is_empty());
    entry.into_iter().chain(returns).collect()
}

/// Whether SQLite is a part of an image whose functions have no names: by two texts that every SQLite has and few others do.
pub(super) fn is_unseen(image: &Image) -> bool {
    let is_stripped = image.elf().is_some_and(|elf| elf.elf_symbol_table().is_empty());
    let has = |text: &[u8]| memchr::memmem::find(image.bytes(), text).is_some();
    is_stripped && has(b"SQLite format 3\0") && has(b"sqlite_master")
}

fn point(symbol: &[u8]) -> Option<LibraryPoint> {
    match symbol {
        b"sqlite3_prepare_v2" | b"sqlite3_prepare_v3" => Some(LibraryPoint::SqlitePrepare),
        b"sqlite3_step" => Some(LibraryPoint::SqliteStep),
        b"sqlite3_reset" | b"sqlite3_finalize" => Some(LibraryPoint::SqliteReset),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_functions_that_execute_statements_are_probed() {
        let found = |symbol: &str| point(symbol.as_bytes());
        assert_eq!(found("sqlite3_step"), Some(LibraryPoint::SqliteStep));
        assert_eq!(found("sqlite3_finalize"), Some(LibraryPoint::SqliteReset));
        assert_eq!([found("sqlite3_exec"), found("my_sqlite3_step"), found("sqlite3_stepped")], [None; 3]);
    }

    #[test]
    fn an_image_without_sqlite_has_none() {
        let own = Image::open(&std::env::current_exe().expect("our own path")).expect("our own executable");
        assert_eq!(find(&own), []);
        assert_eq!(find(&Image::of_bytes(vec![0; 100])), []);
        assert!(!is_unseen(&own));
    }
}
