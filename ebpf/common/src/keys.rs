//! The record of a key that the process sets up for TLS.

#[cfg(feature = "zerocopy")]
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::Header;

/// The most bytes of an AES key (FIPS 197, section 5).
pub const KEY_MAX: usize = 32;

/// Whose function set up a [`Key`]: [`Key::library`].
pub mod library {
    /// aws-lc, as rustls uses it by aws-lc-rs, and s2n-tls.
    pub const AWS_LC: u8 = 1;
    /// ring, as rustls uses it.
    pub const RING: u8 = 2;
    /// OpenSSL.
    pub const OPENSSL: u8 = 3;
    /// BoringSSL, as the crate `boring` has it.
    pub const BORINGSSL: u8 = 4;
}

/// The process sets up a key of AES. It may be for one direction of a TLS connection, or for something else.
///
/// (It has no `Debug`, which would show the key.)
#[repr(C)]
#[derive(Clone, Copy, Default)]
#[cfg_attr(feature = "zerocopy", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Key {
    /// `kind::KEY`.
    pub header: Header,
    /// The process, as in [`crate::Owner`]; 0 of the one that starts the others.
    pub process: u32,
    /// The thread, as in [`crate::TaskChange`].
    pub thread: u32,
    /// One of [`library`].
    pub library: u8,
    /// Bytes of the key: 16 or 32; 0 if the function does not say.
    pub length: u8,
    /// Zero.
    pub reserved: [u8; 6],
    /// The key, and zeros; where `length` is 0, as many bytes as could be read.
    pub bytes: [u8; KEY_MAX],
}
