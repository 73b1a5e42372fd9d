//! The kernel's records, and those that this tool writes beside them, as events and back.
//!
//! An [`Event`] is what a record says. `table.rs` has one line for each kind of record, by which the kind is decoded and
//! encoded. The layout of a kind stands beside its meaning: `kernel.rs`, `captured.rs`, `key.rs` and `sqlite.rs` have what the
//! kernel side writes, `helper.rs` what the probe helper writes, and `parent.rs`, `names.rs` and `test_run.rs` what the tool writes
//! itself.

mod captured;
mod endpoint;
mod helper;
mod kernel;
mod key;
mod layout;
mod names;
mod parent;
mod sqlite;
mod table;
mod test_run;

pub(crate) use captured::frame_piece;
pub(crate) use endpoint::unix_name;

pub use captured::{Captured, Pieces, frame_pieces};
pub use helper::Lost;
pub use kernel::{CopiedStack, Executed, Listen, Open, Operation};
pub use key::Key;
pub use layout::{DecodeError, RECORD_MAX};
pub use names::{StackFrames, TaskType};
pub use parent::{Moment, Paused, UnwoundStack};
pub use sqlite::SqliteExecution;
pub use table::Event;
pub use test_run::{TestEnded, TestStarted};

#[cfg(test)]
mod tests;
