//! Where an image has the functions of SQLite's C interface by which statements are executed, and where it calls
//! `sqlite3_exec`.

use object::ReadRef;

use super::image::{CodeSegment, Elf, Image, code_segments, file_offset};
use super::imports::{SLOTS_MAX, slots};
use super::{calls, cheap_place, functions};
use crate::probe::library_probe::{LibraryPoint, LibraryProbe};

/// It executes whole scripts, and calls no function of the interface when it is done.
const EXEC: &str = "sqlite3_exec";

/// Looks them up in the table of symbols. An executable that is stripped has none, unless it is linked with the system's
/// library.
pub(super) fn find(image: &Image) -> Vec<LibraryProbe> {
    let Some(elf) = image.elf() else { return Vec::new() };
    let mut probes = Vec::new();
    let mut exec = None;
    for (_, range, symbol) in functions::each(&elf) {
        if symbol == EXEC.as_bytes() {
            exec = Some(range.start);
        }
        let Some(point) = point(symbol) else { continue };
        let Some(offset) = file_offset(&elf, range.start) else { continue };
        let code = elf.data().read_bytes_at(offset, range.end - range.start).unwrap_or_default();
        probes.push(LibraryProbe { point, offset: offset + cheap_place::find(code) });
    }
    for (call, after) in calls_of_exec(&elf, exec) {
        let places = [(LibraryPoint::SqliteExec, call), (LibraryPoint::SqliteExecReturned, after)];
        let placed = places.into_iter().filter_map(|(point, address)| Some((point, file_offset(&elf, address)?)));
        probes.extend(placed.map(|(point, offset)| LibraryProbe { point, offset }));
    }
    probes
}

fn point(symbol: &[u8]) -> Option<LibraryPoint> {
    match symbol {
        b"sqlite3_prepare_v2" | b"sqlite3_prepare_v3" => Some(LibraryPoint::SqlitePrepare),
        b"sqlite3_step" => Some(LibraryPoint::SqliteStep),
        b"sqlite3_reset" | b"sqlite3_finalize" => Some(LibraryPoint::SqliteReset),
        _ => None,
    }
}

/// The calls of `sqlite3_exec`, which the image has at an address or imports, and the addresses to which they return.
fn calls_of_exec(elf: &Elf<'_>, at: Option<u64>) -> Vec<(u64, u64)> {
    let slots = slots(elf, EXEC);
    if at.is_none() && slots.is_empty() {
        return Vec::new();
    }
    let segments: Vec<CodeSegment<'_>> = code_segments(elf).collect();
    let stubs = segments.iter().flat_map(|segment| calls::stubs(segment.code, segment.address, &slots));
    let functions: Vec<u64> = at.into_iter().chain(stubs.take(SLOTS_MAX)).collect();
    let calls = |segment: &CodeSegment<'_>| calls::with_returns(segment.code, segment.address, &functions, &slots);
    segments.iter().flat_map(calls).collect()
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
    }
}
