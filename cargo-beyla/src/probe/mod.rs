//! The privileged side: load, attach, hand the ring buffer out; and the way to it.

mod any_path;
pub mod channel;
pub mod client;
pub mod executable;
pub mod greeting;
pub mod helper;
pub mod installed;
pub mod kernel_layout;
pub mod library_probe;
mod library_probes;
pub mod privilege;
pub mod programs;
pub mod request;
pub mod requirements;
pub mod ring_buffer;
mod runtime_probes;
pub mod starting;
pub mod task_probe;

/// What helper and parent must have in common to understand each other.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
