//! The kernel's records, and those that this tool writes beside them, as events and back.
//!
//! [`Event`] is what a record says, and `table.rs` has one line for each kind of record: by that line the kind is decoded
//! and encoded. How the bytes of a kind are laid out stands beside what they mean: in `kernel.rs` and `captured.rs` what
//! the kernel side writes, in `helper.rs` what the probe helper adds, in `parent.rs`, `names.rs` and `tests.rs` what the
//! tool adds itself.

mod captured;
mod endpoint;
mod helper;
mod kernel;
mod layout;
mod names;
mod parent;
mod table;
mod test_run;

pub(crate) use endpoint::unix_name;

pub use captured::{Captured, Pieces, frame_pieces};
pub use helper::Lost;
pub use kernel::{CopiedStack, Executed, Listen, Open, Operation};
pub use layout::{DecodeError, RECORD_MAX};
pub use names::{StackFrames, TaskType};
pub use parent::{Moment, Paused, UnwoundStack};
pub use table::Event;
pub use test_run::{TestEnded, TestStarted};

#[cfg(test)]
mod tests;
