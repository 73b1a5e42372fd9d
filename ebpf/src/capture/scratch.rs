//! The scratch: where a record and the bytes that follow it are put together, and what is known of the call at hand
//! meanwhile.

use aya_ebpf::{helpers::generated::bpf_probe_read_kernel as probe_read_kernel, macros::map, maps::PerCpuArray};
use cargo_beyla_events::{Header, Transfer, CAPTURE_MAX};

use super::walks::{Direction, Opening, Walk, Walks};
use crate::kernel::fields::Sock;
use crate::kernel::memory::Memory;
use crate::kernel::output;
use crate::kernel::volatile::get;

/// The most bytes captured from one vector of several, but for the first.
pub const VECTOR_MAX: usize = 8 * 1024;

/// Above `sizeof(((struct sockaddr_un *)0)->sun_path)`, which is 108. A mask and not a maximum: the
/// verifier of Linux 6.1 forgets a comparison once the compiler keeps the value on the stack.
const PATH_MASK: u32 = 127;

/// Where a record and the bytes that follow it are put together. Only programs that run in a process's
/// context use it, so none interrupts another.
#[repr(C)]
pub struct Scratch {
    pub transfer: Transfer,
    // A value of a per-CPU map may not be larger than 32 KiB.
    pub bytes: [u8; CAPTURE_MAX + VECTOR_MAX],
    /// Which way the call at hand has moved bytes, and where they are: see [`get`].
    direction: Direction,
    pub memory: Memory,
    pub progress: Progress,
    /// The socket.
    pub sock: Sock,
    pub opening: Opening,
    pub cursor: Cursor,
    /// For [`opaque`](crate::kernel::volatile::opaque).
    pub opaque: u32,
    /// The size of a head that is looked for, in bytes.
    pub head_end: u32,
    /// Bytes that the call has moved: it may take several records.
    pub moved: u32,
    /// 1 if the call before it moved bytes in the same direction.
    pub continues: u32,
    /// How many of the call's last bytes are not captured where nothing is followed.
    pub beyond_limit: u32,
    /// A byte of the process's memory.
    pub byte: u8,
    /// Where an element of the table of walks is put together.
    pub walks: Walks,
}

#[map]
static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);

impl Scratch {
    #[inline(always)]
    pub fn get() -> Option<&'static mut Self> {
        // SAFETY: the pointer is to this CPU's own element, and nothing that uses it interrupts us.
        SCRATCH.get_ptr_mut(0).map(|scratch| unsafe { &mut *scratch })
    }

    /// Bytes that are captured, from the first on.
    #[inline(always)]
    pub fn captured(&self) -> u32 {
        get(&self.progress.captured)
    }

    /// The first eight bytes behind the transfer, the first of them the lowest.
    #[inline(always)]
    pub fn first_bytes(&self) -> u64 {
        // SAFETY: the array is longer and, in the structure, aligned.
        u64::from_le(unsafe { self.bytes.as_ptr().cast::<u64>().read_volatile() })
    }

    /// Sequence number of the first byte that the call has moved.
    #[inline(always)]
    pub fn begin_sequence(&self) -> u32 {
        get(&self.transfer.end_sequence).wrapping_sub(get(&self.transfer.length))
    }

    #[inline(always)]
    pub fn direction(&self) -> Direction {
        get(&self.direction)
    }

    #[inline(always)]
    pub fn set_direction(&mut self, direction: Direction) {
        self.direction = direction;
    }

    /// Writes the transfer and the bytes behind it, of which there are `captured`.
    #[inline(always)]
    pub fn write(&mut self, captured: u32) {
        let captured = if captured > CAPTURE_MAX as u32 { CAPTURE_MAX as u32 } else { captured };
        let size = size_of::<Transfer>() as u32 + captured;
        self.transfer.captured = captured;
        self.transfer.header.size = size;
        output::frequent((self as *const Self).cast(), u64::from(size));
    }
}

/// How far `payload_copy` has come.
#[repr(C)]
pub struct Progress {
    /// Bytes copied behind the transfer, from the first on.
    pub captured: u32,
    /// Bytes that are still to be copied.
    pub left: u32,
    /// Vectors, or messages of a batch.
    pub count: u32,
    /// Of a batch: the message and the vector at hand, and what was copied of the message before it.
    pub message: u32,
    pub vector: u32,
    pub message_moved: u32,
}

impl Progress {
    pub const NONE: Self = Self { captured: 0, left: 0, count: 0, message: 0, vector: 0, message_moved: 0 };
}

/// Where in a call the walk stands.
#[repr(C)]
pub struct Cursor {
    /// The next byte in the process's memory.
    pub address: u64,
    /// How many lie there one behind the other.
    pub available: u32,
    /// Bytes of the call that are still to be walked; those that are available are among them.
    pub left: u32,
    /// Bytes right before `address` that are captured and still to be copied.
    pub run: u32,
    /// Bytes of the call between the beginning of the record and `address`.
    pub position: u32,
    /// The next vector, and how many there are.
    pub vector: u32,
    pub vectors: u32,
    /// Bytes behind the transfer.
    pub out: u32,
    /// Where the latest piece begins among these.
    pub piece: u32,
    /// Where it ends, as `position`.
    pub piece_end: u32,
    /// 1 if the rest is not walked.
    pub stopped: u32,
}

impl Cursor {
    /// Walks no further in this call.
    #[inline(always)]
    pub fn stop(&mut self) {
        self.stopped = 1;
    }
}

/// The direction of the call at hand, as it is noted in the scratch: see [`get`].
#[derive(Clone, Copy)]
pub struct NotedDirection(*const Direction);

impl NotedDirection {
    #[inline(always)]
    pub fn new(direction: Direction) -> Option<Self> {
        let scratch = SCRATCH.get_ptr_mut(0)?;
        // SAFETY: the pointer is to this CPU's own element, and nothing that uses it interrupts us.
        unsafe {
            (*scratch).direction = direction;
            Some(Self(&raw const (*scratch).direction))
        }
    }

    #[inline(always)]
    pub fn get(self) -> Direction {
        // SAFETY: see `new`; elements of an array are never freed.
        unsafe { self.0.read_volatile() }
    }
}

/// The call in the scratch, and how far its direction was walked.
#[inline(always)]
pub fn at_hand() -> Option<(&'static mut Walk, &'static mut Scratch)> {
    let scratch = Scratch::get()?;
    let walks = Walks::get(get(&scratch.sock))?;
    Some((walks.direction(scratch.direction()), scratch))
}

/// Whether the last bytes that were moved on this CPU were moved by this thread, since a moment. May be called while a
/// record is put together: then the answer may be wrong.
#[inline(always)]
pub fn has_moved_bytes(thread: u32, since_ns: u64) -> bool {
    let Some(scratch) = SCRATCH.get_ptr(0) else { return false };
    // SAFETY: the pointer is to this CPU's own element, which is never freed; both fields may hold any number.
    unsafe {
        (&raw const (*scratch).transfer.thread).read_volatile() == thread
            && (&raw const (*scratch).transfer.header.time_ns).read_volatile() > since_ns
    }
}

/// The beginning of the scratch, where a record is put together that a path may follow. (On the stack the
/// verifier would keep account of each of its bytes, and of every way in which they can differ.)
#[inline(always)]
pub fn place<T: Copy>(record: T) -> Option<&'static mut T> {
    let place: *mut T = (Scratch::get()? as *mut Scratch).cast();
    // SAFETY: the scratch is larger than any record, and aligned for all; and see `Scratch::get`.
    unsafe {
        place.write(record);
        Some(&mut *place)
    }
}

/// Puts the path of a Unix socket behind a record that [`place`] has placed; the size of both.
#[inline(always)]
pub fn append_path<T>(record: &mut T, (address, length): (u64, u32)) -> u64 {
    let record: *mut T = record;
    let length = length & PATH_MASK;
    let size = size_of::<T>() as u32 + length;
    // SAFETY: the scratch is larger than any record with any path, and every record begins with a
    // header; the helper checks the address read from.
    unsafe {
        (*record.cast::<Header>()).size = size;
        probe_read_kernel(record.add(1).cast(), length, address as *const _);
    }
    u64::from(size)
}
