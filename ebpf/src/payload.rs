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

/// The most vectors of one call that are looked at.
const MAX_VECTORS: u32 = 32;
/// The most bytes captured from one vector of several.
const VECTOR_MAX: usize = 8 * 1024;
/// `sizeof(((struct sockaddr_un *)0)->sun_path)`
const PATH_MAX: u32 = 108;

/// Where a record and the bytes that follow it are put together. Only programs that run in a process's
/// context use it, so none interrupts another.
#[repr(C)]
pub struct Scratch {
    pub transfer: Transfer,
    // A value of a per-CPU map may not be larger than 32 KiB.
    bytes: [u8; CAPTURE_MAX + VECTOR_MAX],
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

/// Where a system call's bytes are in the process's memory.
#[derive(Clone, Copy)]
pub enum Memory {
    Buffer { address: u64 },
    /// An array of `struct iovec`.
    Vectors { address: u64, count: u32 },
    /// Pages of the kernel (sendfile, splice), or not told (io_uring).
    Elsewhere,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Vector {
    base: u64,
    length: u64,
}

/// What [`copy`] has done.
#[derive(Clone, Copy)]
pub struct Copied {
    /// Bytes copied behind the transfer, from the first on.
    pub captured: u32,
    /// Whether the process gave more bytes than the call moved.
    pub partial: bool,
}

/// Copies up to `limit` of the `length` bytes that a call has moved behind the transfer, and the last
/// ones into its tail if that leaves some out.
#[inline(always)]
pub fn copy(scratch: &mut Scratch, memory: Memory, length: u32, limit: u32) -> Copied {
    let mut copied = Copied { captured: 0, partial: false };
    match memory {
        Memory::Buffer { address } => {
            let count = if length < limit { length } else { limit };
            let count = if count > CAPTURE_MAX as u32 { CAPTURE_MAX as u32 } else { count };
            if user(scratch.bytes.as_mut_ptr(), count, address) {
                copied.captured = count;
            }
            if copied.captured < length {
                tail(scratch, address, length);
            }
        }
        Memory::Vectors { address, count } => {
            let mut left = length;
            let mut contiguous = true;
            for index in 0..MAX_VECTORS {
                if index >= count {
                    break;
                }
                let at = (address + u64::from(index) * size_of::<Vector>() as u64) as *const Vector;
                // SAFETY: the helper checks the address.
                let Ok(vector) = (unsafe { bpf_probe_read_user(at) }) else { break };
                let moved = if vector.length < u64::from(left) { vector.length as u32 } else { left };
                if vector.length > u64::from(moved) {
                    copied.partial = true;
                }
                if moved == 0 {
                    continue;
                }
                let room = limit - if copied.captured < limit { copied.captured } else { limit };
                let take = if moved < room { moved } else { room };
                let take = if take > VECTOR_MAX as u32 { VECTOR_MAX as u32 } else { take };
                let offset = copied.captured as usize;
                if contiguous && offset < CAPTURE_MAX {
                    // SAFETY: `offset` was just compared with the size of the array.
                    let to = unsafe { scratch.bytes.as_mut_ptr().add(offset) };
                    if user(to, take, vector.base) {
                        copied.captured += take;
                    } else {
                        contiguous = false;
                    }
                }
                contiguous &= take == moved;
                left -= moved;
                if left == 0 && copied.captured < length {
                    tail(scratch, vector.base, moved);
                }
            }
        }
        Memory::Elsewhere => {}
    }
    copied
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
pub fn submit(scratch: &mut Scratch, captured: u32) {
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
    output::urgent((&raw const record).cast(), u64::from(size));
}
