//! The ring buffer, and the count of what it had no room for.

use aya_ebpf::{
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    helpers::{bpf_ktime_get_ns, bpf_ringbuf_output},
    macros::map,
    maps::{ring_buf::RingBufEntry, PerCpuArray, RingBuf},
};
use cargo_beyla_events::Header;

/// Its size, in bytes.
const RING_BUFFER_SIZE: u32 = 8 * 1024 * 1024;

#[map]
static RECORDS: RingBuf = RingBuf::with_byte_size(RING_BUFFER_SIZE, 0);

/// What the helper must know too: that the process executes its program, that it listens, and the first connection that
/// it opens.
#[map]
static MILESTONES: RingBuf = RingBuf::with_byte_size(64 * 1024, 0);

/// By [`Lost`].
#[map]
static LOST: PerCpuArray<u64> = PerCpuArray::with_max_entries(4, 0);

/// What was lost: an index of [`LOST`].
#[derive(Clone, Copy)]
pub enum Lost {
    /// A record.
    Record = 0,
    /// A connection for which the table had no room.
    Connection = 1,
    /// What a failed read of the kernel's or the process's memory would have told.
    Read = 2,
    /// Where the next frame of one direction of a connection begins.
    Step = 3,
}

/// How often a probe on a function of the process has trapped; and how often the reader lagged behind then.
#[map]
static TRAPS: PerCpuArray<u64> = PerCpuArray::with_max_entries(2, 0);

#[inline(always)]
pub fn count_trap() {
    add_to_traps(0);
    if is_reader_behind() {
        add_to_traps(1);
    }
}

#[inline(always)]
fn add_to_traps(index: u32) {
    if let Some(count) = TRAPS.get_ptr_mut(index) {
        // SAFETY: the pointer is to this CPU's own element, which the verifier knows to be valid.
        unsafe { *count += 1 };
    }
}

#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: the helper has no precondition.
    unsafe { bpf_ktime_get_ns() }
}

#[inline(always)]
pub fn count_lost(what: Lost) {
    if let Some(count) = LOST.get_ptr_mut(what as u32) {
        // SAFETY: the pointer is to this CPU's own element, which the verifier knows to be valid.
        unsafe { *count += 1 };
    }
}

/// Writes a record that is rare: the reader is woken at once.
#[inline(always)]
pub fn record<T>(record: &T) {
    write(&RECORDS, (record as *const T).cast(), size_of::<T>() as u64, u64::from(BPF_RB_FORCE_WAKEUP));
}

/// Writes a record of the process's life, for the helper as well.
#[inline(always)]
pub fn milestone(record: *const u8, size: u64) {
    write(&RECORDS, record, size, u64::from(BPF_RB_FORCE_WAKEUP));
    write(&MILESTONES, record, size, u64::from(BPF_RB_FORCE_WAKEUP));
}

/// Writes a record for the helper alone.
#[inline(always)]
pub fn for_helper(record: *const u8, size: u64) {
    write(&MILESTONES, record, size, u64::from(BPF_RB_FORCE_WAKEUP));
}

/// Writes a record that consists of its header alone.
#[inline(always)]
pub fn header(kind: u16) {
    record(&of_now(kind));
}

/// A record that consists of its header alone.
#[inline(always)]
pub fn of_now(kind: u16) -> Header {
    Header { kind, flags: 0, size: size_of::<Header>() as u32, time_ns: now(), connection: 0 }
}

/// The header of a record that has nothing behind it.
#[inline(always)]
pub fn header_of<T>(kind: u16, connection: u64) -> Header {
    Header { kind, flags: 0, size: size_of::<T>() as u32, time_ns: now(), connection }
}

/// Writes a record that may come often: the reader is left asleep. It looks by itself every few
/// milliseconds, which costs the traced process less than to wake it, or to see whether to.
#[inline(always)]
pub fn frequent(record: *const u8, size: u64) {
    write(&RECORDS, record, size, u64::from(BPF_RB_NO_WAKEUP));
}

/// Room for a record that may come often and is too large for the stack, or to be put together while others of its kind
/// may interrupt us. It is complete by [`submit`].
#[inline(always)]
pub fn reserve<T: 'static>() -> Option<RingBufEntry<T>> {
    let entry = RECORDS.reserve(0);
    if entry.is_none() {
        count_lost(Lost::Record);
    }
    entry
}

/// Hands over what was put together in [`reserve`]d room, and leaves the reader asleep, as [`frequent`] does.
#[inline(always)]
pub fn submit<T>(entry: RingBufEntry<T>) {
    entry.submit(u64::from(BPF_RB_NO_WAKEUP));
}

/// Gives up [`reserve`]d room.
#[inline(always)]
pub fn discard<T>(entry: RingBufEntry<T>) {
    entry.discard(u64::from(BPF_RB_NO_WAKEUP));
}

/// Whether the reader lags so far behind that nothing should be written that can be done without.
///
/// Linux 5.8.
#[inline(always)]
pub fn is_reader_behind() -> bool {
    RECORDS.query(u64::from(BPF_RB_AVAIL_DATA)) > u64::from(RING_BUFFER_SIZE / 4)
}

#[inline(always)]
fn write(ring: &'static RingBuf, record: *const u8, size: u64, flags: u64) {
    // SAFETY: the verifier proves that `size` bytes are there.
    let status = unsafe {
        bpf_ringbuf_output((ring as *const RingBuf).cast_mut().cast(), record.cast_mut().cast(), size, flags)
    };
    if status != 0 {
        count_lost(Lost::Record);
    }
}
