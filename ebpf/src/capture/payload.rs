//! Bytes of the process's own memory, copied beside a record.

use aya_ebpf::helpers::bpf_probe_read_user;
use cargo_beyla_events::CAPTURE_MAX;

use super::scratch::{Progress, Scratch, VECTOR_MAX};
use crate::kernel::memory::{batch_message_length, user, vector, Memory, Shape, BATCH_MESSAGE, MESSAGE_VECTORS};
use crate::kernel::volatile::get;

/// The most vectors of one call that are captured.
const MAX_CAPTURED_VECTORS: u32 = 16;
/// The most vectors of one recvmmsg or sendmmsg that are captured, in two steps where they are several.
const MAX_BATCH_VECTORS: u32 = 8;
/// The most vectors of one call that are looked at for the last bytes: hyper's most.
const MAX_VECTORS: u32 = 64;

/// Bytes of the tail of a [`Transfer`](cargo_beyla_events::Transfer).
const TAIL: u64 = 8;

/// Copies the bytes that the call in the scratch has moved behind its transfer, up to its limit, and the last ones into
/// its tail if that leaves some out. It is global, so that the verifier looks at it by itself: see [`crate`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn payload_copy() -> u32 {
    let Some(scratch) = Scratch::get() else { return 0 };
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
    let Some(scratch) = Scratch::get() else { return 0 };
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
    let Some(scratch) = Scratch::get() else { return false };
    let (memory, moved) = (get(&scratch.memory), get(&scratch.moved));
    memory.shape == Shape::Vectors && vectors_length(scratch, memory, MAX_BATCH_VECTORS) > u64::from(moved)
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

/// Writes the record of a call whose first bytes are captured.
#[inline(always)]
pub fn submit(scratch: &mut Scratch) {
    scratch.write(scratch.captured());
}
