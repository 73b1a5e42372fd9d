//! The kernel's ring buffer, read in place by the unprivileged side.
//!
//! The privileged helper creates the map and hands its file descriptor over; from then on records go
//! from the kernel to the parser with no copy and no process in between. The layout is that of
//! `kernel/bpf/ringbuf.c`: a page with the consumer's position, which we write; a page with the
//! producer's position and then the data, twice in a row, which we may only read. A record is a header
//! of eight bytes, the first four of them its length and two flags, and its bytes, padded to eight.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// How often the run loop drains the ring buffer while there are records: the kernel's programs do not wake it. At a
/// hundred thousand requests a second the ring buffer is full after some 150 ms.
pub const DRAIN_INTERVAL: Duration = Duration::from_millis(10);
/// The same while nothing happens, which is also how often the run loop looks at its deadlines.
pub const IDLE_INTERVAL: Duration = Duration::from_millis(30);

/// Set while the kernel still writes the record.
const BUSY: u32 = 1 << 31;
/// Set on a record that was given up.
const DISCARDED: u32 = 1 << 30;
const HEADER: u64 = 8;
/// The room of records that have been read is given back in steps of this many bytes.
const GIVE_BACK: u64 = 256 * 1024;

/// The reader's end.
#[derive(Debug)]
pub struct RingBuffer {
    map: OwnedFd,
    consumer: Mapping,
    producer: Mapping,
    size: u64,
    page: u64,
    /// Up to where records have been read.
    position: u64,
}

impl RingBuffer {
    /// Opens a ring buffer with `size` bytes of data.
    ///
    /// # Errors
    /// If the size is not that of the map, or the kernel refuses to map it.
    pub fn open(map: OwnedFd, size: u32) -> io::Result<Self> {
        if !size.is_power_of_two() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the size of a ring buffer is a power of two"));
        }
        let page = rustix::param::page_size();
        let consumer = Mapping::new(map.as_fd(), 0, page, ProtFlags::READ | ProtFlags::WRITE)?;
        let producer = Mapping::new(map.as_fd(), page as u64, page + 2 * size as usize, ProtFlags::READ)?;
        let position = consumer.word(0).load(Ordering::Acquire);
        Ok(Self { map, consumer, producer, size: size.into(), page: page as u64, position })
    }

    /// Shows every record that waits to `take`, in order; those that come meanwhile are left for the
    /// next time. Whether there were any.
    pub fn drain(&mut self, mut take: impl FnMut(&[u8])) -> bool {
        let start = self.position;
        let mut given_back = start;
        let produced = self.producer.word(0).load(Ordering::Acquire);
        while self.position < produced {
            let offset = self.page + (self.position & (self.size - 1));
            let header = self.producer.half_word(offset).load(Ordering::Acquire);
            if header & BUSY != 0 {
                break;
            }
            let length = u64::from(header & !(BUSY | DISCARDED));
            if length > self.size - HEADER {
                // Not what the kernel writes; what follows cannot be found.
                self.position = produced;
                break;
            }
            if header & DISCARDED == 0 {
                take(self.producer.bytes(offset + HEADER, length));
            }
            self.position += (HEADER + length).next_multiple_of(HEADER);
            if self.position - given_back >= GIVE_BACK {
                self.consumer.word(0).store(self.position, Ordering::Release);
                given_back = self.position;
            }
        }
        self.consumer.word(0).store(self.position, Ordering::Release);
        self.position > start
    }
}

impl AsFd for RingBuffer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.map.as_fd()
    }
}

/// Memory shared with the kernel.
#[derive(Debug)]
struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

impl Mapping {
    fn new(map: BorrowedFd<'_>, offset: u64, length: usize, protection: ProtFlags) -> io::Result<Self> {
        // SAFETY: a new mapping, at an address of the kernel's choice.
        let start = unsafe { mmap(std::ptr::null_mut(), length, protection, MapFlags::SHARED, map, offset) }?;
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { start, length })
    }

    /// The word at an offset that is a multiple of 8.
    fn word(&self, offset: u64) -> &AtomicU64 {
        self.check(offset, 8);
        // SAFETY: inside the mapping, aligned, and changed by the kernel with atomic operations only.
        unsafe { self.start.add(offset as usize).cast().as_ref() }
    }

    /// The half word at an offset that is a multiple of 8.
    fn half_word(&self, offset: u64) -> &AtomicU32 {
        self.check(offset, 4);
        // SAFETY: as in `word`.
        unsafe { self.start.add(offset as usize).cast().as_ref() }
    }

    /// Bytes that the kernel does not write to before the consumer's position has passed them, which
    /// takes `&mut RingBuffer`.
    fn bytes(&self, offset: u64, length: u64) -> &[u8] {
        self.check(offset, length);
        // SAFETY: inside the mapping, and see above.
        unsafe { std::slice::from_raw_parts(self.start.add(offset as usize).as_ptr(), length as usize) }
    }

    fn check(&self, offset: u64, length: u64) {
        assert!(offset.saturating_add(length) <= self.length as u64 && offset.is_multiple_of(8));
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and no reference into it outlives us.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.length) };
    }
}
