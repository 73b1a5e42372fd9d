//! The events of a run in a file, so that it can be reported again.
//!
//! The file consists of a line that says what it is, a line of JSON ([`RunInfo`]), the records of the events, and one
//! more record, which says how the run ended. A file without it was cut short; what it holds is still good.

mod read;
mod write;

use cargo_beyla_events::Header;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::run_info::{Exit, RunInfo};

pub use read::{Ending, Recording};
pub use write::Recorder;

/// The first line.
const MAGIC: &[u8] = b"cargo-beyla recording 3\n";
/// That of recordings whose records of `--explain` are laid out in another way.
const OLD_MAGIC: &[u8] = b"cargo-beyla recording 2\n";

/// `Header::kind` of [`End`], beyond those that the probes use.
const END: u16 = 200;

/// The last record of a recording; its time is the end of the run.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct End {
    header: Header,
    /// What `value` is: [`End::UNKNOWN`], [`End::CODE`] or [`End::SIGNAL`].
    how: u32,
    /// The exit code, or the number of the signal.
    value: i32,
}

impl End {
    const UNKNOWN: u32 = 0;
    const CODE: u32 = 1;
    const SIGNAL: u32 = 2;

    fn new(time_ns: u64, exit: Option<Exit>) -> Self {
        let (how, value) = match exit {
            None => (Self::UNKNOWN, 0),
            Some(Exit::Code(code)) => (Self::CODE, code),
            Some(Exit::Signal(signal)) => (Self::SIGNAL, signal),
        };
        let size = size_of::<Self>() as u32;
        let header = Header { kind: END, flags: 0, size, time_ns, connection: 0 };
        Self { header, how, value }
    }

    fn exit(&self) -> Option<Exit> {
        match self.how {
            Self::CODE => Some(Exit::Code(self.value)),
            Self::SIGNAL => Some(Exit::Signal(self.value)),
            _ => None,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
