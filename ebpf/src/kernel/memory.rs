//! The process's own memory: copies of it, and where in it the bytes of a system call are.

use aya_ebpf::helpers::{bpf_probe_read_user, generated::bpf_probe_read_user as probe_read_user};

/// Of `struct user_msghdr`: the offset of `msg_iov`, which `msg_iovlen` follows.
pub const MESSAGE_VECTORS: u64 = 16;
/// `sizeof(struct mmsghdr)`
pub const BATCH_MESSAGE: u64 = 64;
/// Of `struct mmsghdr`: the offset of `msg_len`.
const BATCH_MESSAGE_LENGTH: u64 = 56;

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

#[inline(always)]
pub fn vector(vectors: u64, index: u32) -> Option<Vector> {
    let at = (vectors + u64::from(index) * size_of::<Vector>() as u64) as *const Vector;
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_user(at) }.ok()
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

/// Copies `count` bytes of the process's memory; `false` if they cannot be read.
#[inline(always)]
pub fn user(to: *mut u8, count: u32, from: u64) -> bool {
    // SAFETY: the verifier proves that `count` bytes fit; the helper checks the address read from.
    unsafe { probe_read_user(to.cast(), count, from as *const _) == 0 }
}
