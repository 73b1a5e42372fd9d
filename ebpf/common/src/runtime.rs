//! The records that open what a request waited for: async tasks, the scheduler, stacks.

#[cfg(feature = "zerocopy")]
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::Header;

/// The most bytes of a thread's stack that are copied.
pub const STACK_MAX: usize = 16 * 1024;

/// The words of a task's table of functions that are copied.
pub const VTABLE_WORDS: usize = 12;

/// [`OffCpu::system_call`] where the thread was in no system call: it was preempted, or waited for a page.
pub const NO_SYSTEM_CALL: i32 = -1;

/// [`OffCpu::system_call`] where the kernel does not say.
pub const UNKNOWN_SYSTEM_CALL: i32 = -2;

/// How much of the async runtime is recorded: [`crate::Settings::explain`].
pub mod explain {
    /// Only the tasks that spawn others.
    pub const NEVER: u32 = 0;
    /// Each poll of each task, as long as the probes on the runtime's functions are there; threads are busy if these say
    /// so.
    pub const ALWAYS: u32 = 1;
    /// What threads do while they poll a task by the runtime's own variable, and each poll while the probes on its functions
    /// are there.
    pub const AUTO: u32 = 2;
}

/// What happens to a task: [`Header::flags`] of a [`TaskChange`].
pub mod task {
    /// The thread begins to poll it.
    pub const RUNNING: u16 = 1;
    /// The thread has polled it, and it is not complete.
    pub const IDLE: u16 = 2;
    /// The thread has polled it for the last time.
    pub const TERMINAL: u16 = 3;
    /// The thread wakes it.
    pub const WOKEN: u16 = 4;
    /// The thread hands a new task to the runtime.
    pub const SPAWNED: u16 = 5;
    /// The thread hands a new task to the pool of threads that may block.
    pub const SPAWNED_BLOCKING: u16 = 6;
    /// It gives way: the thread that polls it wakes it later, when nothing else is left to do.
    pub const DEFERRED: u16 = 7;
    /// The thread signals the receiver of a channel: [`super::TaskChange::task`] is the address of the `AtomicWaker`
    /// that the channel has for it, and not a task.
    pub const SIGNALLED: u16 = 8;
}

/// How a [`Stack`] came to be copied: its [`Header::flags`].
pub mod stack {
    /// The thread leaves the CPU, to sleep.
    pub const SLEEP: u16 = 1;
    /// A timer's tick met the thread on a CPU, in a poll that has lasted long.
    pub const SAMPLE: u16 = 2;
}

/// Something happens to a task of the async runtime.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "zerocopy", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct TaskChange {
    /// `kind::TASK`; `flags` is one of [`task`].
    pub header: Header,
    /// The task: the address of its header in the process's memory, which is used again once it has ended. Where
    /// several processes are traced, a number that no other living task has.
    pub task: u64,
    /// [`task::RUNNING`]: its table of functions, as in [`Vtable`], which stands for the type of its future; else 0.
    pub vtable: u64,
    /// The thread, as its process numbers it at the root of PID namespaces.
    pub thread: u32,
    /// The process, as in [`Vtable`]; 0 where only one is traced.
    pub process: u32,
    /// With [`explain::AUTO`], of [`task::RUNNING`] and of a task that is spawned: its id, as in [`crate::Spawned::child`];
    /// else 0.
    pub id: u64,
}

/// A task's table of functions, recorded the first time that it is seen.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "zerocopy", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Vtable {
    /// `kind::VTABLE`.
    pub header: Header,
    /// Its address; where several processes are traced, a number that stands for it as with [`TaskChange::task`].
    pub vtable: u64,
    /// What stands there, as far as it could be read.
    pub words: [u64; VTABLE_WORDS],
    /// The process, by its number at the root of PID namespaces.
    pub process: u32,
    /// Zero.
    pub reserved: u32,
}

/// A thread that polls a task, or has received a request, was off the CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "zerocopy", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct OffCpu {
    /// `kind::OFF_CPU`; `time_ns` is when it is on a CPU again.
    pub header: Header,
    /// When it left the CPU.
    pub begin_ns: u64,
    /// When it could have gone on; `begin_ns` if it was preempted, 0 where that was not seen.
    pub woken_ns: u64,
    /// The thread, as in [`TaskChange`].
    pub thread: u32,
    /// The number of the system call that it slept in, [`NO_SYSTEM_CALL`] or [`UNKNOWN_SYSTEM_CALL`].
    pub system_call: i32,
    /// With [`explain::AUTO`], the id of the task that it polled, as in [`crate::Transfer::task`]; 0 if it polled none.
    pub task: u64,
    /// The process, as in [`Vtable`].
    pub process: u32,
    /// Zero.
    pub reserved: u32,
}

/// With [`explain::AUTO`]: a timer's tick met a thread on a CPU that polls a task, or handles a request without one.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "zerocopy", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Sample {
    /// `kind::SAMPLE`
    pub header: Header,
    /// As [`OffCpu::task`].
    pub task: u64,
    /// The thread, as in [`TaskChange`].
    pub thread: u32,
    /// The process, as in [`Vtable`].
    pub process: u32,
}

/// A thread's registers, followed by what its stack holds from the stack pointer on.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "zerocopy", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Stack {
    /// `kind::STACK`; `flags` is one of [`stack`]. If the thread sleeps, `time_ns` is [`OffCpu::begin_ns`].
    pub header: Header,
    /// The instruction pointer.
    pub instruction: u64,
    /// The stack pointer.
    pub stack_pointer: u64,
    /// The frame pointer.
    pub frame_pointer: u64,
    /// The link register, where the architecture has one.
    pub link: u64,
    /// The thread, as in [`TaskChange`].
    pub thread: u32,
    /// The process, as in [`Vtable`].
    pub process: u32,
    /// As [`OffCpu::task`].
    pub task: u64,
}

/// The process is about to send on a connection: entry of the call.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "zerocopy", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Sending {
    /// `kind::SENDING`, or `kind::SEND_BLOCKED` for a call that returns because the send buffer is full.
    pub header: Header,
    /// The thread, as in [`TaskChange`].
    pub thread: u32,
    /// Zero.
    pub reserved: u32,
}
