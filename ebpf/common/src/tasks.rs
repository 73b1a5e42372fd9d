//! The task that a thread polls, as tokio itself notes it in a variable of each thread.

#[cfg(feature = "zerocopy")]
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::Header;

/// A flag of a [`Spawned`]: the new task is one of the pool of threads that may block.
pub const SPAWNED_BLOCKING: u16 = 1;

/// How many versions of tokio in one program are told apart.
pub const TASK_VARIABLES_MAX: usize = 4;

/// The id of a task stands in these bits. Those above tell the versions of tokio apart that one program holds: each
/// numbers its tasks from 1 on.
pub const TASK_ID_BITS: u32 = 56;

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
