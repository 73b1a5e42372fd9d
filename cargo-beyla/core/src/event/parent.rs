//! What the tool itself writes beside the kernel: of the run, and of stacks that it has unwound.

use cargo_beyla_events::Header;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::layout::{DecodeError, Layout, append, structures};

/// A header alone.
pub(super) const STOPPING: u16 = 103;
/// [`UnwoundRecord`]
pub(super) const UNWOUND_STACK: u16 = 104;
/// A header and a text in UTF-8.
pub(super) const EXPLAINED: u16 = 107;
/// A header and a text in UTF-8.
pub(super) const SPAWNS_UNSEEN: u16 = 110;
/// A header and a text in UTF-8.
pub(super) const AUTO_EXPLAINED: u16 = 111;
/// A header and a text in UTF-8.
pub(super) const CALLS_UNSEEN: u16 = 114;
/// [`PausedRecord`]
pub(super) const PAUSED: u16 = 120;

/// When something happened about which there is no more to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// That time.
    pub time_ns: u64,
}

impl Layout<'_> for Moment {
    fn read(record: &[u8]) -> Result<Self, DecodeError> {
        let Header { time_ns, .. } = Header::read(record)?;
        Ok(Self { time_ns })
    }

    fn write(&self, kind: u16, records: &mut Vec<u8>) {
        append(records, kind, Header { time_ns: self.time_ns, ..Header::default() }, &[]);
    }
}

/// A thread's stack, whose frames are known by the stack's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnwoundStack {
    /// When the thread was seen; if it went to sleep, when that was.
    pub time_ns: u64,
    /// Why it was looked at: one of [`cargo_beyla_events::stack`].
    pub occasion: u16,
    /// The thread, as in [`cargo_beyla_events::TaskChange`].
    pub thread: u32,
    /// Which stack it is: those with the same frames have the same number; 0 where no frames are known.
    pub stack: u32,
    /// Whether the thread is acquiring a lock.
    pub lock: bool,
    /// The task that it polled, as in [`cargo_beyla_events::OffCpu::task`].
    pub task: u64,
    /// The process, as in [`cargo_beyla_events::Vtable`].
    pub process: u32,
}

/// [`UnwoundStack`], as it stands in a record.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct UnwoundRecord {
    /// `flags` is [`UnwoundStack::occasion`].
    header: Header,
    thread: u32,
    stack: u32,
    /// 1 or 0.
    lock: u32,
    process: u32,
    task: u64,
}

structures!(UnwoundRecord, PausedRecord);

impl Layout<'_> for UnwoundStack {
    fn read(record: &[u8]) -> Result<Self, DecodeError> {
        let UnwoundRecord { header, thread, stack, lock, process, task } = UnwoundRecord::read(record)?;
        Ok(Self { time_ns: header.time_ns, occasion: header.flags, thread, stack, lock: lock == 1, task, process })
    }

    fn write(&self, kind: u16, records: &mut Vec<u8>) {
        let Self { time_ns, occasion, thread, stack, lock, task, process } = *self;
        let header = Header { flags: occasion, time_ns, ..Header::default() };
        append(records, kind, UnwoundRecord { header, thread, stack, lock: lock.into(), process, task }, &[]);
    }
}

/// Everything that is traced was stopped for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paused {
    /// From when on.
    pub from_ns: u64,
    /// Until when.
    pub to_ns: u64,
}

impl Paused {
    /// How much of it lies after a moment, in nanoseconds.
    pub fn after(&self, moment_ns: u64) -> u64 {
        self.to_ns.saturating_sub(self.from_ns.max(moment_ns))
    }
}

/// [`Paused`], as it stands in a record.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct PausedRecord {
    /// `time_ns` is the end of the pause.
    header: Header,
    from_ns: u64,
}

impl Layout<'_> for Paused {
    fn read(record: &[u8]) -> Result<Self, DecodeError> {
        let PausedRecord { header, from_ns } = PausedRecord::read(record)?;
        Ok(Self { from_ns, to_ns: header.time_ns })
    }

    fn write(&self, kind: u16, records: &mut Vec<u8>) {
        let header = Header { time_ns: self.to_ns, ..Header::default() };
        append(records, kind, PausedRecord { header, from_ns: self.from_ns }, &[]);
    }
}
