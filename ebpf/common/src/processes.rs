//! The records of a run that traces several processes: those that one process starts, and what they start.

#[cfg(feature = "zerocopy")]
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::Header;

/// The most bytes of a program's path that are copied.
pub const PATH_MAX: usize = 256;

/// Whose a connection is: told before its [`crate::Open`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "zerocopy", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Owner {
    /// `kind::OWNER`.
    pub header: Header,
    /// The process that touched it first, by its number at the root of PID namespaces.
    pub process: u32,
    /// The same as the user's PID namespace numbers it; 0 if it is in another.
    pub pid: u32,
}

/// A process begins.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "zerocopy", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Forked {
    /// `kind::FORKED`.
    pub header: Header,
    /// Who started it, as in [`Owner`].
    pub parent: u32,
    /// The new process.
    pub child: u32,
}

/// A process executes a program. Followed by the path, as it was given and as far as it could be read.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "zerocopy", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Executed {
    /// `kind::EXECUTED`.
    pub header: Header,
    /// The process, as in [`Owner`].
    pub process: u32,
    /// The same as its parent's PID namespace numbers it; 0 if it is in another.
    pub pid: u32,
}

/// A process ends.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "zerocopy", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Exited {
    /// `kind::EXITED`.
    pub header: Header,
    /// The process, as in [`Owner`].
    pub process: u32,
    /// Zero.
    pub reserved: u32,
}
