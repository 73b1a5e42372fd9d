//! What the probe helper writes beside the kernel.

use cargo_beyla_events::Header;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::layout::{DecodeError, Layout, append, structures};

/// [`LostRecord`]
pub(super) const LOST: u16 = 100;
/// A header and a text in UTF-8: in its first line the way of capture and the size of the ring buffer, in the others what
/// `--explain` cannot see.
pub(super) const READY: u16 = 101;
/// A header and a message in UTF-8.
pub(super) const FAILED: u16 = 102;
/// A header alone.
pub(super) const WINDOW_OPENED: u16 = 112;
/// A header alone.
pub(super) const WINDOW_CLOSED: u16 = 113;

/// What could not be recorded so far in this run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Records for which the ring buffer had no room.
    pub records: u64,
    /// Connections for which the table of connections had no room.
    pub connections: u64,
    /// How often the kernel skipped one of our programs because it was already running on that CPU.
    pub skipped: u64,
    /// Reads of the kernel's or the process's memory that failed. What they would have told is missing.
    pub failed_reads: u64,
    /// Directions of connections in which frames were followed until the beginning of one was lost: see
    /// [`cargo_beyla_events::OUT_OF_STEP`].
    pub out_of_step: u64,
}

/// [`Lost`], as it stands in a record.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct LostRecord {
    header: Header,
    records: u64,
    connections: u64,
    skipped: u64,
    failed_reads: u64,
    out_of_step: u64,
}

/// [`LostRecord`], as versions wrote it that did not count failed reads.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct ShortLostRecord {
    header: Header,
    records: u64,
    connections: u64,
    skipped: u64,
}

structures!(LostRecord, ShortLostRecord);

impl Layout<'_> for Lost {
    fn read(record: &[u8]) -> Result<Self, DecodeError> {
        if let Ok(ShortLostRecord { records, connections, skipped, .. }) = ShortLostRecord::read(record) {
            return Ok(Self { records, connections, skipped, ..Self::default() });
        }
        let LostRecord { records, connections, skipped, failed_reads, out_of_step, .. } = LostRecord::read(record)?;
        Ok(Self { records, connections, skipped, failed_reads, out_of_step })
    }

    fn write(&self, kind: u16, records: &mut Vec<u8>) {
        let Self { records: lost, connections, skipped, failed_reads, out_of_step } = *self;
        let header = Header::default();
        let record = LostRecord { header, records: lost, connections, skipped, failed_reads, out_of_step };
        append(records, kind, record, &[]);
    }
}
