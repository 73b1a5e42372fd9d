//! The privileged side: load, attach, read the ring buffer, hand bytes out; and the way to it.

pub mod client;
pub mod helper;
pub mod kernel_layout;
pub mod privilege;
pub mod programs;
pub mod records;
