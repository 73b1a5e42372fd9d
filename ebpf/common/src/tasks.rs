//! The task that a thread polls, as tokio itself notes it in a variable of each thread.

#[cfg(feature = "zerocopy")]
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::Header;

/// A flag of a [`Spawned`]: the new task is one of the pool of threads that may block.
pub const SPAWNED_BLOCKING: u16 = 1;

/// How many versions of tokio in one program are told apart.
pub const TASK_VARIABLES_MAX: usize = 2;

/// In the place of a variable's offset: there is none. At this one no process can read.
pub const NO_TASK_VARIABLE: i64 = 1 << 62;

/// The id of a task stands in these bits. Those above tell the versions of tokio apart that one program holds: each
/// numbers its tasks from 1 on.
pub const TASK_ID_BITS: u32 = 56;

/// How many words of a variable are looked at; a power of two.
pub const UNCERTAIN_WORDS_MAX: u32 = 16;

/// [`Uncertain::state`]
pub mod uncertain {
    /// It is still to be found out.
    pub const OPEN: u32 = 0;
    /// It was found.
    pub const FOUND: u32 = 1;
    /// No word can be it.
    pub const NOWHERE: u32 = 2;
}

/// A variable of each thread in which the place of the task's id is not known.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "zerocopy", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Uncertain {
    /// Where it begins, in bytes from the thread pointer on.
    pub begin: i64,
    /// How many words of eight bytes it has.
    pub words: u32,
    /// One of [`uncertain`].
    pub state: u32,
    /// With [`uncertain::FOUND`], where the id stands, as `begin`.
    pub offset: i64,
}

/// A task hands a new one to the runtime.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "zerocopy", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Spawned {
    /// `kind::SPAWNED`; `flags` is [`SPAWNED_BLOCKING`] or 0.
    pub header: Header,
    /// The id of the task that the thread polls, as in [`crate::Transfer::task`]; 0 if it polls none, or that is not
    /// known.
    pub parent: u64,
    /// The id of the new task.
    pub child: u64,
    /// The thread, as in [`crate::TaskChange`].
    pub thread: u32,
    /// The process, as in [`crate::TaskChange`].
    pub process: u32,
}
