//! What the kernel gives: the fields of its structures, a thread's registers, the process's memory, the ring buffers.

pub mod fields;
pub mod memory;
pub mod output;
pub mod registers;
pub mod volatile;
