//! Puts together the records of a call of which only parts are captured: where in the process's memory it stands, and
//! the pieces so far.

use cargo_beyla_events::{kind, Piece, Transfer, CAPTURED_PIECES, CAPTURE_MAX};

use super::scratch::{Cursor, Scratch};
use crate::kernel::memory::{user, vector, Shape};
use crate::kernel::output::{count_lost, Lost};
use crate::kernel::volatile::{get, least};

/// Copied at the most at a time.
const COPY_MAX: u32 = CAPTURE_MAX as u32 / 2 - 32;
/// A record that has more behind its transfer takes no further piece.
const ROOM: u32 = CAPTURE_MAX as u32 / 2;
/// A piece begins, and its bytes end, at a multiple of this, less one.
const ALIGNMENT_MASK: u32 = 7;
/// In the place of where a piece ends: there is none.
const NO_PIECE: u32 = u32::MAX;

/// A call is about to be walked.
#[inline(always)]
pub fn begin(scratch: &mut Scratch) {
    let length = get(&scratch.transfer.length);
    let memory = get(&scratch.memory);
    scratch.cursor = Cursor {
        address: memory.address,
        available: if memory.shape == Shape::Buffer { length } else { 0 },
        left: length,
        run: 0,
        position: 0,
        vector: 0,
        vectors: if memory.shape == Shape::Vectors { memory.count } else { 0 },
        out: 0,
        piece: 0,
        piece_end: NO_PIECE,
        stopped: 0,
    };
}

/// Whether there is nothing left to walk.
#[inline(always)]
pub fn is_over(scratch: &Scratch) -> bool {
    get(&scratch.cursor.left) == 0 || get(&scratch.cursor.stopped) != 0
}

/// Whether the rest of the call is not walked.
#[inline(always)]
pub fn is_stopped(scratch: &Scratch) -> bool {
    get(&scratch.cursor.stopped) != 0
}

/// Whether nothing is left to walk, and nothing to copy.
#[inline(always)]
pub fn is_copied(scratch: &Scratch) -> bool {
    is_over(scratch) && get(&scratch.cursor.run) == 0
}

/// Whether the record has no room for another piece.
#[inline(always)]
pub fn is_full(scratch: &Scratch) -> bool {
    get(&scratch.cursor.out) > ROOM
}

/// How many of the next `count` bytes are captured where nothing is followed.
#[inline(always)]
pub fn within_limit(scratch: &mut Scratch, count: u32) -> u32 {
    let allowed = get(&scratch.cursor.left).saturating_sub(get(&scratch.beyond_limit));
    least(&mut scratch.opaque, count, allowed)
}

/// Goes on with the next vector; `false` if there is none, or it could not be read.
#[inline(always)]
pub fn next_vector(scratch: &mut Scratch) -> bool {
    let index = get(&scratch.cursor.vector);
    if index >= get(&scratch.cursor.vectors) {
        return false;
    }
    let Some(vector) = vector(get(&scratch.memory.address), index) else { return false };
    let left = get(&scratch.cursor.left);
    scratch.cursor.vector = index + 1;
    scratch.cursor.address = vector.base;
    let length = if vector.length > u64::from(u32::MAX) { u32::MAX } else { vector.length as u32 };
    scratch.cursor.available = least(&mut scratch.opaque, length, left);
    true
}

/// Captures up to `count` of the next bytes; how many.
#[inline(always)]
pub fn take(scratch: &mut Scratch, count: u32) -> u32 {
    let available = get(&scratch.cursor.available);
    let count = least(&mut scratch.opaque, count, available);
    scratch.cursor.run += count;
    scratch.cursor.available = available - count;
    pass(scratch, count);
    count
}

/// Passes over the next `count` bytes, which are there.
#[inline(always)]
pub fn skip(scratch: &mut Scratch, count: u32) {
    let available = get(&scratch.cursor.available);
    scratch.cursor.available = available.saturating_sub(count);
    pass(scratch, count);
}

#[inline(always)]
fn pass(scratch: &mut Scratch, count: u32) {
    scratch.cursor.address += u64::from(count);
    scratch.cursor.left -= count;
    scratch.cursor.position += count;
}

/// Copies what is captured, if it does not go on with the next byte; `false` if some of it is still to be copied, for
/// which the record may have no room: see [`make_room`].
#[inline(always)]
pub fn copy(scratch: &mut Scratch, skips: bool) -> bool {
    let run = get(&scratch.cursor.run);
    let goes_on = get(&scratch.cursor.available) != 0 && !skips && get(&scratch.cursor.stopped) == 0;
    if run == 0 || goes_on {
        return true;
    }
    let out = get(&scratch.cursor.out);
    if out > ROOM {
        return false;
    }
    let begin = get(&scratch.cursor.position) - run;
    let bytes = scratch.bytes.as_mut_ptr();
    if get(&scratch.cursor.piece_end) != begin {
        let piece = (out + ALIGNMENT_MASK) & !ALIGNMENT_MASK;
        // SAFETY: within the array, and a multiple of eight.
        unsafe { bytes.add(piece as usize).cast::<Piece>().write_volatile(Piece { offset: begin, length: 0 }) };
        scratch.cursor.piece = piece;
        scratch.cursor.piece_end = begin;
        scratch.cursor.out = piece + size_of::<Piece>() as u32;
    }
    let out = get(&scratch.cursor.out);
    if out > ROOM + 2 * size_of::<Piece>() as u32 {
        return false;
    }
    let count = least(&mut scratch.opaque, run, COPY_MAX);
    let count = if count > COPY_MAX { COPY_MAX } else { count };
    let end = out + count;
    let last_word = end & !ALIGNMENT_MASK;
    if last_word >= out {
        // SAFETY: within the array, and a multiple of eight. What follows the bytes up to there is zero.
        unsafe { bytes.add(last_word as usize).cast::<u64>().write_volatile(0) };
    }
    // SAFETY: `out` was just compared.
    let to = unsafe { bytes.add(out as usize) };
    if user(to, count, get(&scratch.cursor.address) - u64::from(run)) {
        let piece = get(&scratch.cursor.piece);
        if piece <= ROOM + ALIGNMENT_MASK {
            // SAFETY: within the array, and a multiple of eight.
            let piece = unsafe { &mut *bytes.add((piece & !ALIGNMENT_MASK) as usize).cast::<Piece>() };
            piece.length += count;
        }
        scratch.cursor.out = end;
        scratch.cursor.piece_end = begin + count;
    } else {
        // It is missing among the pieces.
        count_lost(Lost::Read);
    }
    scratch.cursor.run = run - count;
    run == count
}

/// Writes a record of the bytes up to `until`, as `position`, and begins another with the rest.
#[inline(always)]
fn submit(scratch: &mut Scratch, until: u32) {
    let length = get(&scratch.transfer.length);
    let end = get(&scratch.transfer.end_sequence);
    let rest = length - until;
    scratch.transfer.length = until;
    scratch.transfer.end_sequence = end.wrapping_sub(rest);
    scratch.transfer.header.flags |= CAPTURED_PIECES;
    let out = get(&scratch.cursor.out);
    scratch.write((out + ALIGNMENT_MASK) & !ALIGNMENT_MASK);
    scratch.transfer.length = rest;
    scratch.transfer.end_sequence = end;
    if get(&scratch.transfer.header.kind) == kind::RECEIVE {
        // The record before this one has told of that arrival.
        scratch.transfer.arrival_ns = 0;
    }
    scratch.cursor.position -= until;
    scratch.cursor.out = 0;
    scratch.cursor.piece_end = NO_PIECE;
}

/// Writes the record, if it has no room for what is captured and still to be copied, and begins another.
#[inline(always)]
pub fn make_room(scratch: &mut Scratch) {
    if is_full(scratch) {
        let until = get(&scratch.cursor.position) - get(&scratch.cursor.run);
        submit(scratch, until);
    }
}

/// Writes the record of the rest of the call.
#[inline(always)]
pub fn submit_last(scratch: &mut Scratch) {
    let length = get(&scratch.transfer.length);
    submit(scratch, length);
}

const _: () = assert!(ROOM + 2 * 8 + COPY_MAX + 8 <= CAPTURE_MAX as u32 && size_of::<Transfer>() % 8 == 0);
