//! Bytes of the process's own memory, copied beside a record.

use aya_ebpf::{
    helpers::{
        bpf_probe_read_user, generated::bpf_probe_read_kernel as probe_read_kernel,
        generated::bpf_probe_read_user as probe_read_user,
    },
    macros::map,
    maps::PerCpuArray,
};
use cargo_beyla_events::{Listen, Open, Transfer, CAPTURE_MAX};

use crate::output;

/// The most vectors of one call that are captured.
const MAX_CAPTURED_VECTORS: u32 = 16;
/// The most vectors of one call that are looked at for the last bytes: hyper's most.
const MAX_VECTORS: u32 = 64;
/// The most bytes captured from one vector of several.
const VECTOR_MAX: usize = 8 * 1024;
/// Of `struct user_msghdr`: the offset of `msg_iov`, which `msg_iovlen` follows.
const MESSAGE_VECTORS: u64 = 16;
/// `sizeof(struct mmsghdr)`
pub const BATCH_MESSAGE: u64 = 64;
/// Of `struct mmsghdr`: the offset of `msg_len`.
const BATCH_MESSAGE_LENGTH: u64 = 56;
/// `sizeof(((struct sockaddr_un *)0)->sun_path)`
const PATH_MAX: u32 = 108;

/// Where a record and the bytes that follow it are put together. Only programs that run in a process's
/// context use it, so none interrupts another.
#[repr(C)]
pub struct Scratch {
    pub transfer: Transfer,
    // A value of a per-CPU map may not be larger than 32 KiB.
    bytes: [u8; CAPTURE_MAX + VECTOR_MAX],
    pub progress: Progress,
}

/// How far [`copy`] has come.
#[repr(C)]
pub struct Progress {
    /// Bytes copied behind the transfer, from the first on.
    captured: u32,
    /// Bytes that are still to be copied.
    left: u32,
    /// Of a batch: the message and the vector at hand, and what was copied of the message before it.
    message: u32,
    vector: u32,
    message_moved: u32,
}

impl Progress {
    const NONE: Self = Self { captured: 0, left: 0, message: 0, vector: 0, message_moved: 0 };
}

#[repr(C)]
struct OpenWithPath {
    open: Open,
    path: [u8; PATH_MAX as usize],
}

#[repr(C)]
struct ListenWithPath {
    listen: Listen,
    path: [u8; PATH_MAX as usize],
}

#[map]
static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);

#[inline(always)]
pub fn scratch() -> Option<&'static mut Scratch> {
    // SAFETY: the pointer is to this CPU's own element, and nothing that uses it interrupts us.
    SCRATCH.get_ptr_mut(0).map(|scratch| unsafe { &mut *scratch })
}

/// Where a system call's bytes are in the process's memory. (No enum with contents of its own: the
/// compiler leaves the unused ones unset, and the verifier refuses to see them moved about.)
#[derive(Clone, Copy)]
pub struct Memory {
    shape: Shape,
    address: u64,
    count: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
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
struct Vector {
    base: u64,
    length: u64,
}

/// Copies up to `limit` of the `length` bytes that a call has moved behind the transfer, and the last
/// ones into its tail if that leaves some out.
///
/// The state of the loops lies in memory and not in registers: the verifier takes every value that it
/// reads there for unknown, so that all paths through one turn of a loop end in the same state, and it
/// need not follow each of them through all the others.
#[inline(always)]
pub fn copy(scratch: &mut Scratch, memory: Memory, length: u32, limit: u32) {
    scratch.progress = Progress { left: if length < limit { length } else { limit }, ..Progress::NONE };
    match memory.shape {
        Shape::Buffer => {
            let count = get(&scratch.progress.left);
            let count = if count > CAPTURE_MAX as u32 { CAPTURE_MAX as u32 } else { count };
            if user(scratch.bytes.as_mut_ptr(), count, memory.address) {
                scratch.progress.captured = count;
            }
            if get(&scratch.progress.captured) < length {
                tail(scratch, memory.address, length);
            }
        }
        Shape::Vectors => {
            for index in 0..MAX_CAPTURED_VECTORS {
                if index >= memory.count || !copy_vector(scratch, memory.address, index, u32::MAX) {
                    break;
                }
            }
            if get(&scratch.progress.captured) < length && vectors_length(memory) == u64::from(length) {
                if let Some(last) = vector(memory.address, memory.count.wrapping_sub(1)) {
                    tail(scratch, last.base, last.length as u32);
                }
            }
        }
        Shape::Batch => {
            for _ in 0..MAX_CAPTURED_VECTORS {
                let message = get(&scratch.progress.message);
                if message >= memory.count {
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
}

/// Bytes that recvmmsg or sendmmsg moved of one message, by its `struct mmsghdr`.
#[inline(always)]
pub fn batch_message_length(message: u64) -> u32 {
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_user((message + BATCH_MESSAGE_LENGTH) as *const u32) }.unwrap_or(0)
}

/// Bytes that a call was given in vectors; 0 if they are too many to look at.
#[inline(always)]
pub fn vectors_length(memory: Memory) -> u64 {
    if memory.shape != Shape::Vectors || memory.count > MAX_VECTORS {
        return 0;
    }
    let mut total = 0;
    for index in 0..MAX_VECTORS {
        if index >= memory.count {
            break;
        }
        total += vector(memory.address, index).map_or(0, |vector| vector.length);
    }
    total
}

#[inline(always)]
fn vector(vectors: u64, index: u32) -> Option<Vector> {
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
    let take = if take > VECTOR_MAX as u32 { VECTOR_MAX as u32 } else { take };
    let captured = get(&scratch.progress.captured);
    if captured >= CAPTURE_MAX as u32 {
        return false;
    }
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

/// A value that the verifier shall know nothing of.
#[inline(always)]
fn get(value: &u32) -> u32 {
    // SAFETY: a reference is valid for reads.
    unsafe { core::ptr::read_volatile(value) }
}

/// The last bytes of a stretch of the process's memory, right-aligned.
#[inline(always)]
fn tail(scratch: &mut Scratch, address: u64, length: u32) {
    let size = scratch.transfer.tail.len() as u32;
    let count = if length < size { length } else { size };
    let from = address + u64::from(length - count);
    let to = (size - count) as usize & 7;
    let count = size - to as u32;
    // SAFETY: `to` is below the array's length.
    let to = unsafe { scratch.transfer.tail.as_mut_ptr().add(to) };
    // Unread, it stays zero.
    let _ = user(to, count, from);
}

#[inline(always)]
fn user(to: *mut u8, count: u32, from: u64) -> bool {
    // SAFETY: the verifier proves that `count` bytes fit; the helper checks the address read from.
    unsafe { probe_read_user(to.cast(), count, from as *const _) == 0 }
}

/// Writes the transfer and the bytes behind it.
#[inline(always)]
pub fn submit(scratch: &mut Scratch) {
    let captured = get(&scratch.progress.captured);
    let captured = if captured > CAPTURE_MAX as u32 { CAPTURE_MAX as u32 } else { captured };
    let size = size_of::<Transfer>() as u32 + captured;
    scratch.transfer.captured = captured;
    scratch.transfer.header.size = size;
    output::frequent((scratch as *const Scratch).cast(), u64::from(size));
}

/// Writes the opening of a connection with the path of the server's socket.
#[inline(always)]
pub fn record_with_path(open: &Open, (address, length): (u64, u32)) {
    let length = if length > PATH_MAX { PATH_MAX } else { length };
    let mut record = OpenWithPath { open: *open, path: [0; PATH_MAX as usize] };
    // SAFETY: `length` is at most the array's; the helper checks the address read from.
    unsafe { probe_read_kernel(record.path.as_mut_ptr().cast(), length, address as *const _) };
    let size = size_of::<Open>() as u32 + length;
    record.open.header.size = size;
    output::frequent((&raw const record).cast(), u64::from(size));
}

/// Writes the beginning of listening with the path of the socket.
#[inline(always)]
pub fn listen_with_path(listen: &Listen, (address, length): (u64, u32)) {
    let length = if length > PATH_MAX { PATH_MAX } else { length };
    let mut record = ListenWithPath { listen: *listen, path: [0; PATH_MAX as usize] };
    // SAFETY: `length` is at most the array's; the helper checks the address read from.
    unsafe { probe_read_kernel(record.path.as_mut_ptr().cast(), length, address as *const _) };
    let size = size_of::<Listen>() as u32 + length;
    record.listen.header.size = size;
    output::milestone((&raw const record).cast(), u64::from(size));
}
