//! Bytes of the process's own memory, copied beside a record.

use aya_ebpf::{
    helpers::{
        bpf_probe_read_user, generated::bpf_probe_read_kernel as probe_read_kernel,
        generated::bpf_probe_read_user as probe_read_user,
    },
    macros::map,
    maps::PerCpuArray,
};
use cargo_beyla_events::{Header, Transfer, CAPTURE_MAX};

use crate::connections::Direction;
use crate::fields::Sock;
use crate::frames::Walks;
use crate::openings::Opening;
use crate::output;
use crate::pieces::Cursor;

/// The most vectors of one call that are captured.
const MAX_CAPTURED_VECTORS: u32 = 16;
/// The most vectors of one recvmmsg or sendmmsg that are captured, in two steps where they are several.
const MAX_BATCH_VECTORS: u32 = 8;
/// The most vectors of one call that are looked at for the last bytes: hyper's most.
const MAX_VECTORS: u32 = 64;
/// The most bytes captured from one vector of several, but for the first.
const VECTOR_MAX: usize = 8 * 1024;
/// Of `struct user_msghdr`: the offset of `msg_iov`, which `msg_iovlen` follows.
const MESSAGE_VECTORS: u64 = 16;
/// `sizeof(struct mmsghdr)`
pub const BATCH_MESSAGE: u64 = 64;
/// Of `struct mmsghdr`: the offset of `msg_len`.
const BATCH_MESSAGE_LENGTH: u64 = 56;
/// Bytes of [`Transfer::tail`].
const TAIL: u64 = 8;
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
    progress: Progress,
    /// The socket.
    pub sock: Sock,
    pub opening: Opening,
    pub cursor: Cursor,
    /// For [`opaque`].
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
    /// Where an element of that table is put together.
    pub walks: Walks,
}

impl Scratch {
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

/// How far [`payload_copy`] has come.
#[repr(C)]
pub struct Progress {
    /// Bytes copied behind the transfer, from the first on.
    captured: u32,
    /// Bytes that are still to be copied.
    left: u32,
    /// Vectors, or messages of a batch.
    count: u32,
    /// Of a batch: the message and the vector at hand, and what was copied of the message before it.
    message: u32,
    vector: u32,
    message_moved: u32,
}

impl Progress {
    const NONE: Self = Self { captured: 0, left: 0, count: 0, message: 0, vector: 0, message_moved: 0 };
}

#[map]
static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);

#[inline(always)]
pub fn scratch() -> Option<&'static mut Scratch> {
    // SAFETY: the pointer is to this CPU's own element, and nothing that uses it interrupts us.
    SCRATCH.get_ptr_mut(0).map(|scratch| unsafe { &mut *scratch })
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

/// Where a system call's bytes are in the process's memory. (No enum with contents of its own: the
/// compiler leaves the unused ones unset, and the verifier refuses to see them moved about.)
#[derive(Clone, Copy)]
pub struct Memory {
    pub shape: Shape,
    pub address: u64,
    pub count: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Shape {
    Buffer,
    Vectors,
    Batch,
    Elsewhere,
}

impl Memory {
    #[inline(always)]
    pub fn buffer(address: u64) -> Self {
        Self { shape: Shape::Buffer, address, count: 0 }
    }

    /// An array of `struct iovec`.
    #[inline(always)]
    pub fn vectors(address: u64, count: u32) -> Self {
        Self { shape: Shape::Vectors, address, count }
    }

    /// The vectors of a `struct msghdr`.
    #[inline(always)]
    pub fn message(address: u64) -> Self {
        // SAFETY: the helper checks the address.
        match unsafe { bpf_probe_read_user((address + MESSAGE_VECTORS) as *const [u64; 2]) } {
            Ok([vectors, count]) => Self::vectors(vectors, count as u32),
            Err(_) => Self::elsewhere(),
        }
    }

    /// The vectors of the first `count` of an array of `struct mmsghdr`.
    #[inline(always)]
    pub fn batch(address: u64, count: u32) -> Self {
        Self { shape: Shape::Batch, address, count }
    }

    /// Pages of the kernel (sendfile, splice), or not told (io_uring).
    #[inline(always)]
    pub fn elsewhere() -> Self {
        Self { shape: Shape::Elsewhere, address: 0, count: 0 }
    }
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Vector {
    pub base: u64,
    pub length: u64,
}

/// Copies the bytes that the call in the scratch has moved behind its transfer, up to its limit, and the last ones into
/// its tail if that leaves some out.
///
/// The verifier looks at a function that is global once for each program, and not once for each way that leads to it.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn payload_copy() -> u32 {
    let Some(scratch) = scratch() else { return 0 };
    let memory = get(&scratch.memory);
    let length = get(&scratch.transfer.length);
    scratch.progress = Progress { left: length - get(&scratch.beyond_limit), count: memory.count, ..Progress::NONE };
    match memory.shape {
        Shape::Buffer => {
            let count = get(&scratch.progress.left);
            let count = if count > CAPTURE_MAX as u32 { CAPTURE_MAX as u32 } else { count };
            if user(scratch.bytes.as_mut_ptr(), count, memory.address) {
                scratch.progress.captured = count;
            }
        }
        Shape::Vectors => {
            for index in 0..MAX_CAPTURED_VECTORS {
                if index >= get(&scratch.progress.count) || !copy_vector(scratch, memory.address, index, u32::MAX) {
                    break;
                }
            }
        }
        Shape::Batch => {
            for _ in 0..MAX_BATCH_VECTORS {
                let message = get(&scratch.progress.message);
                if message >= get(&scratch.progress.count) {
                    break;
                }
                let at = memory.address + u64::from(message) * BATCH_MESSAGE;
                // SAFETY: the helper checks the address.
                let Ok([vectors, count]) = (unsafe { bpf_probe_read_user((at + MESSAGE_VECTORS) as *const [u64; 2]) })
                else {
                    break;
                };
                let index = get(&scratch.progress.vector);
                let room = batch_message_length(at).saturating_sub(get(&scratch.progress.message_moved));
                if u64::from(index) >= count || room == 0 {
                    scratch.progress.message = message + 1;
                    scratch.progress.vector = 0;
                    scratch.progress.message_moved = 0;
                    continue;
                }
                scratch.progress.vector = index + 1;
                if !copy_vector(scratch, vectors, index, room) {
                    break;
                }
            }
        }
        Shape::Elsewhere => {}
    }
    if get(&scratch.progress.captured) < length {
        payload_tail();
    }
    0
}

/// Copies the last bytes that the call in the scratch has moved into the tail of its transfer.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn payload_tail() -> u32 {
    let Some(scratch) = scratch() else { return 0 };
    let memory = get(&scratch.memory);
    let length = get(&scratch.moved);
    match memory.shape {
        Shape::Buffer => tail(scratch, memory.address, length.into()),
        Shape::Vectors => {
            if vectors_length(scratch, memory, MAX_VECTORS) == u64::from(length) {
                vectors_tail(scratch, memory.address);
            }
        }
        Shape::Batch | Shape::Elsewhere => {}
    }
    0
}

/// Bytes that recvmmsg or sendmmsg moved of one message, by its `struct mmsghdr`.
#[inline(always)]
pub fn batch_message_length(message: u64) -> u32 {
    let mut length = 0u32;
    let from = (message + BATCH_MESSAGE_LENGTH) as *const _;
    // SAFETY: `length` is as large as is said; the helper checks the address, and leaves zero where it cannot read.
    unsafe { probe_read_user((&raw mut length).cast(), size_of::<u32>() as u32, from) };
    length
}

/// Bytes that a call was given in vectors; 0 if they are more than `max`.
#[inline(always)]
fn vectors_length(scratch: &Scratch, memory: Memory, max: u32) -> u64 {
    if get(&scratch.progress.count) > max {
        return 0;
    }
    let mut total = 0;
    for index in 0..max {
        if index >= get(&scratch.progress.count) {
            break;
        }
        total += vector(memory.address, index).map_or(0, |vector| vector.length);
    }
    total
}

/// Whether the process gave the call more bytes than it moved.
#[inline(always)]
pub fn is_partial() -> bool {
    let Some(scratch) = scratch() else { return false };
    let (memory, moved) = (get(&scratch.memory), get(&scratch.moved));
    memory.shape == Shape::Vectors && vectors_length(scratch, memory, MAX_BATCH_VECTORS) > u64::from(moved)
}

#[inline(always)]
pub fn vector(vectors: u64, index: u32) -> Option<Vector> {
    let at = (vectors + u64::from(index) * size_of::<Vector>() as u64) as *const Vector;
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_user(at) }.ok()
}

/// Copies from one of the vectors at `vectors`, of which `room` bytes were moved at the most; `false` if
/// that is the last.
#[inline(always)]
fn copy_vector(scratch: &mut Scratch, vectors: u64, index: u32, room: u32) -> bool {
    let Some(vector) = vector(vectors, index) else { return false };
    let left = get(&scratch.progress.left);
    let moved = if vector.length < u64::from(room) { vector.length as u32 } else { room };
    let take = if moved < left { moved } else { left };
    let captured = get(&scratch.progress.captured);
    if captured >= CAPTURE_MAX as u32 {
        return false;
    }
    let most = if captured == 0 { CAPTURE_MAX as u32 } else { VECTOR_MAX as u32 };
    let take = if take > most { most } else { take };
    // SAFETY: the offset was just compared with the size of the array.
    let to = unsafe { scratch.bytes.as_mut_ptr().add(captured as usize) };
    if !user(to, take, vector.base) {
        return false;
    }
    scratch.progress.captured = captured + take;
    scratch.progress.left = left - take;
    scratch.progress.message_moved += take;
    // What is captured has no holes.
    take == moved
}

/// A value that the verifier shall know nothing of: it takes whatever it reads in memory for unknown, so that
/// the paths that led to different values end in one state there, and it need not follow each of them through
/// all that comes after.
#[inline(always)]
pub fn get<T: Copy>(value: &T) -> T {
    // SAFETY: a reference is valid for reads.
    unsafe { core::ptr::read_volatile(value) }
}

/// A number of which the verifier knows nothing: see [`get`].
#[inline(always)]
pub fn opaque(place: &mut u32, value: u32) -> u32 {
    // SAFETY: a reference is valid for writes.
    unsafe { core::ptr::write_volatile(place, value) };
    get(place)
}

/// The lesser of two numbers, without the verifier knowing which it is.
#[inline(always)]
pub fn least(place: &mut u32, one: u32, other: u32) -> u32 {
    opaque(place, if one < other { one } else { other })
}

/// The last bytes of a stretch of the process's memory that is long enough.
#[inline(always)]
fn tail(scratch: &mut Scratch, address: u64, length: u64) {
    if length >= TAIL {
        // Unread, it stays zero.
        let _ = user(scratch.transfer.tail.as_mut_ptr(), TAIL as u32, address + length - TAIL);
    }
}

/// The last bytes of a call's vectors, which may lie in two of them: the end of a chunked message is
/// often a vector of its own.
#[inline(always)]
fn vectors_tail(scratch: &mut Scratch, vectors: u64) {
    let Some(last) = vector(vectors, get(&scratch.progress.count).wrapping_sub(1)) else { return };
    if last.length >= TAIL {
        tail(scratch, last.base, last.length);
        return;
    }
    let Some(before) = vector(vectors, get(&scratch.progress.count).wrapping_sub(2)) else { return };
    let in_last = last.length & (TAIL - 1);
    let in_before = TAIL - in_last;
    if get(&scratch.progress.count) < 2 || before.length < in_before {
        return;
    }
    let to = scratch.transfer.tail.as_mut_ptr();
    // SAFETY: the two parts make up the array.
    let rest = unsafe { to.add(in_before as usize & (TAIL as usize - 1)) };
    let _ =
        user(to, in_before as u32, before.base + before.length - in_before) && user(rest, in_last as u32, last.base);
}

#[inline(always)]
pub fn user(to: *mut u8, count: u32, from: u64) -> bool {
    // SAFETY: the verifier proves that `count` bytes fit; the helper checks the address read from.
    unsafe { probe_read_user(to.cast(), count, from as *const _) == 0 }
}

/// Writes the record of a call whose first bytes are captured.
#[inline(always)]
pub fn submit(scratch: &mut Scratch) {
    scratch.write(scratch.captured());
}

/// The beginning of the scratch, where a record is put together that a path may follow. (On the stack the
/// verifier would keep account of each of its bytes, and of every way in which they can differ.)
#[inline(always)]
pub fn place<T: Copy>(record: T) -> Option<&'static mut T> {
    let place: *mut T = (scratch()? as *mut Scratch).cast();
    // SAFETY: the scratch is larger than any record, and aligned for all; and see `scratch`.
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
