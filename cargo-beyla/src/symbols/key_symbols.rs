//! Which functions set up keys for TLS, by their symbols.

use std::ops::Range;

use crate::probe::library_probe::LibraryPoint;

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
    pub(super) point: LibraryPoint,
    /// Whether another one that is probed may be called by it.
    pub(super) is_outer: bool,
    /// Whether it is only there in a module that must not be probed.
    pub(super) is_fips: bool,
}

/// What a function is for the probes, by its symbol; nothing, if it is none of these.
pub(super) fn key_function(symbol: &[u8]) -> Option<KeyFunction> {
    for (name, is_outer) in AEAD {
        let point = match symbol.strip_suffix(name) {
            Some(b"") => LibraryPoint::BoringSsl,
            // As in aws_lc_0_47_0_ and aws_lc_fips_0_13_7_.
            Some(prefix) if prefix.starts_with(b"aws_lc_") => LibraryPoint::AwsLc,
            _ => continue,
        };
        return Some(KeyFunction { point, is_outer, is_fips: symbol.starts_with(b"aws_lc_fips_") });
    }
    // As in ring_core_0_17_14__; before 0.17 it was GFp_.
    let is_ring = |prefix: &[u8]| prefix.starts_with(b"ring_core_") || prefix == b"GFp_";
    let prefix = ENCRYPT_KEY.iter().find_map(|name| symbol.strip_suffix(*name));
    prefix.filter(|prefix| is_ring(prefix)).map(|_| KeyFunction {
        point: LibraryPoint::Ring,
        is_outer: false,
        is_fips: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_known_by_the_ends_of_their_names() {
        let found = |symbol: &str| key_function(symbol.as_bytes()).map(|found| (found.point, found.is_outer));
        for (symbol, expected) in [
            ("aws_lc_0_47_0_EVP_AEAD_CTX_init", Some((LibraryPoint::AwsLc, true))),
            ("aws_lc_fips_0_13_7_EVP_AEAD_CTX_init_with_direction", Some((LibraryPoint::AwsLc, false))),
            ("EVP_AEAD_CTX_init_with_direction", Some((LibraryPoint::BoringSsl, false))),
            ("ring_core_0_17_14__aes_hw_set_encrypt_key_base", Some((LibraryPoint::Ring, false))),
            ("ring_core_0_17_3_vpaes_set_encrypt_key", Some((LibraryPoint::Ring, false))),
            ("GFp_aes_hw_set_encrypt_key", Some((LibraryPoint::Ring, false))),
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
}
