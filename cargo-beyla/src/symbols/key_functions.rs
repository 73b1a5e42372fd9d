//! Where an image has the functions that set up keys for TLS.

use std::collections::BTreeSet;
use std::ops::Range;
#[cfg(test)]
use std::path::Path;

use object::ReadRef;

use super::image::{Elf, Image, file_offset};
use super::key_symbols::{Placed, key_function};
use super::{archived, calls, cheap_place, fips_modules, functions, openssl_calls};
use crate::probe::library_probe::{LibraryPoint, LibraryProbe};

/// Looks them up in the tables of symbols, and if those of an executable are stripped, by their bytes in the library files
/// beside it.
pub fn find(image: &Image) -> Vec<LibraryProbe> {
    let Some(elf) = image.elf() else { return Vec::new() };
    let mut functions: Vec<Placed> = by_symbols(&elf).collect();
    let mut calls = openssl_calls::find(&elf);
    if functions.is_empty() && calls.is_empty() && elf.elf_symbol_table().is_empty() {
        (functions, calls) = archived::find(&elf, &archived::library_files(image.path()));
    }
    let (in_modules, functions): (Vec<Placed>, Vec<Placed>) =
        functions.into_iter().partition(|function| function.function.is_fips || function.module.is_some());
    // Library files of several builds may hold the same function, inside of a module and without one.
    let functions: Vec<Placed> = functions.into_iter().filter(|function| !function.is_within(&in_modules)).collect();
    let innermost = functions.iter().filter(|function| !function.calls_another(&elf, &functions));
    let probes = innermost.map(|Placed { function, offset, size, .. }| {
        let code = elf.data().read_bytes_at(*offset, *size).unwrap_or_default();
        LibraryProbe { point: function.point, offset: offset + cheap_place::find(code) }
    });
    let found: BTreeSet<LibraryProbe> = probes.chain(calls).chain(calls_into(&elf, &in_modules)).collect();
    found.into_iter().collect()
}

/// The calls of functions that cannot be probed themselves. Where it is not known how far their module goes, they are not
/// probed either, as they may lie within.
fn calls_into(elf: &Elf<'_>, functions: &[Placed]) -> Vec<LibraryProbe> {
    let known = || functions.iter().filter_map(|function| Some((function, function.module.clone()?)));
    let modules: Vec<Range<u64>> = known().map(|(_, module)| module).collect();
    let of_point = |point: LibraryPoint| {
        let of_it = known().filter(move |(function, _)| function.function.point == point);
        let offsets: Vec<u64> = of_it.map(|(function, _)| function.offset).collect();
        let calls = fips_modules::calls_from_outside(elf, &offsets, &modules);
        calls.into_iter().map(move |offset| LibraryProbe { point, offset })
    };
    [LibraryPoint::AwsLc, LibraryPoint::BoringSsl].into_iter().flat_map(of_point).collect()
}

/// The same in a file; nothing where it cannot be read.
#[cfg(test)]
fn find_in_file(path: &Path) -> Vec<LibraryProbe> {
    Image::open(path).map(|image| find(&image)).unwrap_or_default()
}

fn by_symbols(elf: &Elf<'_>) -> impl Iterator<Item = Placed> {
    let modules = fips_modules::of(elf);
    functions::each(elf).filter_map(move |(_, range, symbol)| {
        let function = key_function(symbol)?;
        let offset = file_offset(elf, range.start)?;
        let module = modules.iter().find(|module| module.contains(&offset)).cloned();
        Some(Placed { function, offset, size: range.end - range.start, module })
    })
}

impl Placed {
    /// Whether it is one of these or lies in their modules.
    fn is_within(&self, others: &[Self]) -> bool {
        let holds = |other: &Self| other.module.as_ref().is_some_and(|module| module.contains(&self.offset));
        others.iter().any(|other| other.offset == self.offset || holds(other))
    }

    /// Whether it leads to another one, which tells of the key as well.
    fn calls_another(&self, elf: &Elf<'_>, all: &[Self]) -> bool {
        let Ok(code) = elf.data().read_bytes_at(self.offset, self.size) else { return false };
        let inner = all.iter().filter(|other| other.function.point == self.function.point && !other.function.is_outer);
        self.function.is_outer && inner.into_iter().any(|inner| calls::leads_to(code, self.offset, inner.offset))
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::symbols::needed;

    #[test]
    fn those_of_this_executable_are_found() {
        // So that TLS is linked.
        drop(rustls::crypto::ring::default_provider());
        let found = find_in_file(&std::env::current_exe().expect("our own path"));
        assert!(!found.is_empty() && found.iter().all(|probe| probe.point == LibraryPoint::Ring), "{found:?}");
        assert_eq!(find_in_file(Path::new("/dev/null")), []);
        assert_eq!(find_in_file(Path::new("/nonexistent")), []);
    }

    fn find_in_bytes(bytes: &[u8]) -> Vec<LibraryProbe> {
        find(&Image::of_bytes(bytes.to_vec()))
    }

    #[test]
    fn a_broken_executable_does_no_harm() {
        let whole = std::fs::read(std::env::current_exe().expect("our own path")).expect("our own executable");
        for length in [whole.len() - 1, whole.len() / 2, 4096, 64, 63, 16, 1, 0] {
            assert_eq!(find_in_bytes(&whole[..length]), []);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// An installed libssl, whose headers and tables say something else in places.
        #[test]
        fn any_content_is_looked_through(changes in vec((0_usize..0x1000, any::<u8>()), 1..20), cut in 0_usize..0x1000) {
            let libraries = needed::libraries(Path::new("/usr/bin/curl"));
            let libssl = libraries.iter().find(|path| path.ends_with("libssl.so.3")).expect("curl is linked with it");
            let mut bytes = std::fs::read(libssl).expect("it is there");
            bytes.truncate(bytes.len() - cut);
            for (at, byte) in changes {
                bytes[at] = byte;
            }
            // No more than there is room for.
            prop_assert!(find_in_bytes(&bytes).len() < bytes.len());
        }
    }
}
