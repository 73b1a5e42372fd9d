//! The record of a statement that SQLite executes within the process.

#[cfg(feature = "zerocopy")]
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::Header;

/// The bytes of a statement that are recorded at most, the zero behind it included.
pub const SQLITE_TEXT_MAX: usize = 4096;

/// A flag of a [`SqliteExecution`]: `code` is known.
pub const SQLITE_CODE_KNOWN: u16 = 1;

/// A flag of a [`SqliteExecution`]: its end was not seen. `time_ns` is the last moment at which it was under way.
pub const SQLITE_END_UNSEEN: u16 = 2;

/// A flag of a [`SqliteExecution`]: `sqlite3_exec` has executed it, and steps were not counted.
pub const SQLITE_NOT_STEPPED: u16 = 4;

/// SQLite has executed a statement, or `sqlite3_exec` a script. Followed by its text, as far as that could be read, and zeros.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "zerocopy", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct SqliteExecution {
    /// `kind::SQLITE`, with [`SQLITE_CODE_KNOWN`], [`SQLITE_END_UNSEEN`] and [`SQLITE_NOT_STEPPED`]. `time_ns` is the call
    /// of `sqlite3_reset` or `sqlite3_finalize` that ended it, or the return of `sqlite3_exec`.
    pub header: Header,
    /// The first call of `sqlite3_step`, or that of `sqlite3_exec`.
    pub begin_ns: u64,
    /// The id of the async task that the thread was polling then; 0 if it polled none, or that is not known.
    pub task: u64,
    /// The thread that made that call, as in [`crate::Transfer::thread`].
    pub thread: u32,
    /// The process, as in [`crate::Key::process`].
    pub process: u32,
    /// How often `sqlite3_step` was called.
    pub steps: u32,
    /// The result code of the last step or of `sqlite3_exec`, as in `<sqlite3.h>`.
    pub code: i32,
}
