//! Follows the chunks of a body of HTTP/1 (RFC 9112, section 7.1): their size lines are captured, wherever in a body of
//! any size they stand.
//!
//! Whether a body is chunked is only known outside, where heads are read. Here a line is taken for a size line if it
//! stands where one may stand and reads like one: see [`super::openings`]. If it is none, a few bytes too many are
//! captured, and nothing is lost.

use cargo_beyla_events::CAPTURE_MAX;

use crate::capture::formats::NONE;
use crate::capture::pieces;
use crate::capture::scratch::{at_hand, Scratch};
use crate::capture::walks::Walk;
use crate::kernel::memory::user;
use crate::kernel::volatile::{get, opaque};

/// What is next, as [`Walk::seen`] tells it: the two bytes behind the data of a chunk.
const CARRIAGE_RETURN: u32 = 0;
const LINE_FEED: u32 = 1;
/// The rest of a size line, behind its digits.
const REST_OF_LINE: u32 = 2;
/// The first digit; from here on, one more for each digit that was seen.
pub const DIGITS: u32 = 3;
/// The most digits of a size line: of 32 bits.
const MAX_DIGITS: u32 = 8;

/// Bytes of a size line that are read in one step.
const STEP: u32 = 4;

/// Reads on in a size line of the call in the scratch; 0 if it is not whole yet, or no data follow it.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn frames_size_line() -> u32 {
    let Some((walk, scratch)) = at_hand() else { return 0 };
    for _ in 0..STEP {
        if get(&scratch.cursor.available) == 0 || get(&walk.protocol) == NONE || get(&walk.payload) != 0 {
            break;
        }
        read_byte(walk, scratch);
    }
    (get(&walk.protocol) != NONE && get(&walk.payload) != 0).into()
}

#[inline(always)]
fn read_byte(walk: &mut Walk, scratch: &mut Scratch) {
    if !user(&raw mut scratch.byte, 1, get(&scratch.cursor.address)) {
        leave(walk, scratch);
        return;
    }
    pieces::take(scratch, 1);
    let digit = digit(get(&scratch.byte));
    let digit = opaque(&mut scratch.opaque, digit);
    let byte = get(&scratch.byte);
    let seen = get(&walk.seen);
    let has_digits = seen > DIGITS;
    if seen >= DIGITS && seen < DIGITS + MAX_DIGITS && digit < 16 {
        walk.size = get(&walk.size) << 4 | digit;
        walk.seen = seen + 1;
    } else if (has_digits || seen == REST_OF_LINE) && byte == b'\n' {
        begins(walk, scratch);
    } else if seen == REST_OF_LINE || (has_digits && matches!(byte, b'\r' | b';' | b' ' | b'\t')) {
        walk.seen = REST_OF_LINE;
    } else if seen == CARRIAGE_RETURN && byte == b'\r' {
        walk.seen = LINE_FEED;
    } else if seen == LINE_FEED && byte == b'\n' {
        walk.seen = DIGITS;
        walk.size = 0;
    } else {
        leave(walk, scratch);
    }
}

/// The data of a chunk begin, if it is not the last one.
#[inline(always)]
fn begins(walk: &mut Walk, scratch: &mut Scratch) {
    if get(&walk.size) == 0 {
        // What follows is the end of the message, and may be the head of the next one.
        scratch.beyond_limit = get(&scratch.cursor.left).saturating_sub(CAPTURE_MAX as u32);
        leave(walk, scratch);
        return;
    }
    walk.payload = get(&walk.size);
    walk.keep = pieces::within_limit(scratch, walk.payload);
    walk.seen = CARRIAGE_RETURN;
}

/// The value of a digit of base 16; 16 of what is none.
#[inline(always)]
pub fn digit(byte: u8) -> u32 {
    match byte {
        b'0'..=b'9' => (byte - b'0').into(),
        b'a'..=b'f' => (byte - b'a' + 10).into(),
        b'A'..=b'F' => (byte - b'A' + 10).into(),
        _ => 16,
    }
}

/// The body has ended, or is not what it was taken for. The rest of the call is captured as far as it would be if
/// nothing were followed.
#[inline(always)]
pub fn leave(walk: &mut Walk, scratch: &mut Scratch) {
    walk.protocol = NONE;
    walk.payload = get(&scratch.cursor.left);
    walk.keep = pieces::within_limit(scratch, walk.payload);
}
