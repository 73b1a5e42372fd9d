//! The privileged side: load, attach, hand the ring buffer out; and the way to it.

pub mod channel;
pub mod client;
pub mod executable;
mod explain;
pub mod helper;
pub mod kernel_layout;
pub mod privilege;
pub mod programs;
pub mod ring_buffer;
pub mod task_probe;
