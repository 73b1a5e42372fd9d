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

/// A test begins. Followed by text: its binary, a line feed, and its name.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "zerocopy", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct TestStarted {
    /// `kind::TEST_STARTED`, written by the parent.
    pub header: Header,
    /// Counts from 0 in the order in which tests began.
    pub test: u32,
    /// Its process, as in [`Executed::pid`].
    pub pid: u32,
    /// Which repetition of the run it belongs to, from 0.
    pub round: u32,
    /// Zero.
    pub reserved: u32,
}

/// How a test ended: [`TestEnded::result`].
pub mod test_result {
    /// It passed.
    pub const PASSED: u32 = 1;
    /// It failed, with an exit code.
    pub const FAILED: u32 = 2;
    /// It was killed by a signal.
    pub const KILLED: u32 = 3;
    /// It took too long, and was stopped.
    pub const TIMED_OUT: u32 = 4;
}

/// A test ended.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "zerocopy", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct TestEnded {
    /// `kind::TEST_ENDED`, written by the parent.
    pub header: Header,
    /// As in [`TestStarted`].
    pub test: u32,
    /// One of [`test_result`].
    pub result: u32,
    /// The exit code, or the number of the signal.
    pub code: i32,
    /// Zero.
    pub reserved: u32,
}
