//! Where an image has the functions that set up keys for TLS.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

use object::ReadRef;

use super::image::{Elf, Image, file_offset};
use super::{archived, calls, cheap_place, fips_modules, functions, openssl_calls};
use crate::probe::key_probe::{KeyPoint, KeyProbe};

/// Of aws-lc and `BoringSSL`. The first calls the second one, unless the compiler has made that a part of it.
const AEAD: [(&[u8], bool); 2] = [(b"EVP_AEAD_CTX_init", true), (b"EVP_AEAD_CTX_init_with_direction", false)];

/// Of ring: each takes a key and its size in bits. Which one runs depends on the processor.
const ENCRYPT_KEY: [&[u8]; 5] = [
    b"aes_hw_set_encrypt_key",
    b"aes_hw_set_encrypt_key_base",
    b"aes_hw_set_encrypt_key_alt",
    b"vpaes_set_encrypt_key",
    b"aes_nohw_set_encrypt_key",
];

/// A function, as it stands in the file of an image.
pub(super) struct Placed {
    pub(super) function: KeyFunction,
    /// Where it begins, and its size, in bytes.
    pub(super) offset: u64,
    pub(super) size: u64,
    /// The module that it lies in and that must not be probed, as that stands in the file.
    pub(super) module: Option<Range<u64>>,
}

/// What a function is for the probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyFunction {
    pub(super) point: KeyPoint,
    /// Whether another one that is probed may be called by it.
    pub(super) is_outer: bool,
    /// Whether it is only there in a module that must not be probed.
    pub(super) is_fips: bool,
}

/// Looks them up in the tables of symbols, and if those of an executable are stripped, by their bytes in the library files
/// beside it.
pub fn find(image: &Image) -> Vec<KeyProbe> {
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
        KeyProbe { point: function.point, offset: offset + cheap_place::find(code) }
    });
    let found: BTreeSet<KeyProbe> = probes.chain(calls).chain(calls_into(&elf, &in_modules)).collect();
    found.into_iter().collect()
}

/// The calls of functions that cannot be probed themselves. Where it is not known how far their module goes, they are not
/// probed either, as they may lie within.
fn calls_into(elf: &Elf<'_>, functions: &[Placed]) -> Vec<KeyProbe> {
    let known = || functions.iter().filter_map(|function| Some((function, function.module.clone()?)));
    let modules: Vec<Range<u64>> = known().map(|(_, module)| module).collect();
    let of_point = |point: KeyPoint| {
        let of_it = known().filter(move |(function, _)| function.function.point == point);
        let offsets: Vec<u64> = of_it.map(|(function, _)| function.offset).collect();
        let calls = fips_modules::calls_from_outside(elf, &offsets, &modules);
        calls.into_iter().map(move |offset| KeyProbe { point, offset })
    };
    [KeyPoint::AwsLc, KeyPoint::BoringSsl].into_iter().flat_map(of_point).collect()
}

/// The same in a file; nothing where it cannot be read.
pub fn find_in_file(path: &Path) -> Vec<KeyProbe> {
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

/// What a function is for the probes, by its symbol; nothing, if it is none of these.
pub(super) fn key_function(symbol: &[u8]) -> Option<KeyFunction> {
    for (name, is_outer) in AEAD {
        let point = match symbol.strip_suffix(name) {
            Some(b"") => KeyPoint::BoringSsl,
            // As in aws_lc_0_47_0_ and aws_lc_fips_0_13_7_.
            Some(prefix) if prefix.starts_with(b"aws_lc_") => KeyPoint::AwsLc,
            _ => continue,
        };
        return Some(KeyFunction { point, is_outer, is_fips: symbol.starts_with(b"aws_lc_fips_") });
    }
    // As in ring_core_0_17_14__; before 0.17 it was GFp_.
    let is_ring = |prefix: &[u8]| prefix.starts_with(b"ring_core_") || prefix == b"GFp_";
    let prefix = ENCRYPT_KEY.iter().find_map(|name| symbol.strip_suffix(*name));
    prefix.filter(|prefix| is_ring(prefix)).map(|_| KeyFunction {
        point: KeyPoint::Ring,
        is_outer: false,
        is_fips: false,
    })
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::symbols::needed;

    #[test]
    fn functions_are_known_by_the_ends_of_their_names() {
        let found = |symbol: &str| key_function(symbol.as_bytes()).map(|found| (found.point, found.is_outer));
        for (symbol, expected) in [
            ("aws_lc_0_47_0_EVP_AEAD_CTX_init", Some((KeyPoint::AwsLc, true))),
            ("aws_lc_fips_0_13_7_EVP_AEAD_CTX_init_with_direction", Some((KeyPoint::AwsLc, false))),
            ("EVP_AEAD_CTX_init_with_direction", Some((KeyPoint::BoringSsl, false))),
            ("ring_core_0_17_14__aes_hw_set_encrypt_key_base", Some((KeyPoint::Ring, false))),
            ("ring_core_0_17_3_vpaes_set_encrypt_key", Some((KeyPoint::Ring, false))),
            ("GFp_aes_hw_set_encrypt_key", Some((KeyPoint::Ring, false))),
            // The generator of random numbers sets keys too.
            ("aws_lc_0_47_0_aes_hw_set_encrypt_key", None),
            ("my_EVP_AEAD_CTX_init", None),
            ("EVP_AEAD_CTX_init_", None),
        ] {
            assert_eq!(found(symbol), expected, "{symbol}");
        }
        let is_fips = |symbol: &[u8]| key_function(symbol).is_some_and(|found| found.is_fips);
        assert!(is_fips(b"aws_lc_fips_0_13_7_EVP_AEAD_CTX_init") && !is_fips(b"aws_lc_0_47_0_EVP_AEAD_CTX_init"));
    }

    #[test]
    fn those_of_this_executable_are_found() {
        // So that TLS is linked.
        drop(rustls::crypto::ring::default_provider());
        let found = find_in_file(&std::env::current_exe().expect("our own path"));
        assert!(!found.is_empty() && found.iter().all(|probe| probe.point == KeyPoint::Ring), "{found:?}");
        assert_eq!(find_in_file(Path::new("/dev/null")), []);
        assert_eq!(find_in_file(Path::new("/nonexistent")), []);
    }

    fn find_in_bytes(bytes: &[u8]) -> Vec<KeyProbe> {
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
