//! Follows the frames of a protocol through the calls on a connection: of each frame its header is captured, and of
//! its payload what the protocol's reader needs. All else is passed over by its length.
//!
//! Which protocol a connection speaks is decided here, by its first bytes: outside it would be known many calls late,
//! and who has missed one header does not find the next.

use cargo_beyla_events::{tcp_state, CAPTURE_TURN, OUT_OF_STEP};

use super::chunks;
use crate::capture::formats::{Format, CHUNKED, HEADER_MAX, NONE};
use crate::capture::scratch::{at_hand, Scratch};
use crate::capture::walks::{Direction, Walk, Walks};
use crate::capture::{payload, pieces};
use crate::connections::connection::{FOLLOWED, OUT, UNFOLLOWED};
use crate::connections::table;
use crate::kernel::memory::user;
use crate::kernel::output::{count_lost, is_reader_behind, Lost};
use crate::kernel::volatile::{get, least};

/// The most steps within one call, in rounds: each is a frame, or a part of one where it does not lie in one piece. A
/// call of a server moves 64 KiB at the most, as a rule.
const ROUNDS: u32 = 256;
const STEPS: u32 = 32;

/// Writes the records of the call in the scratch.
///
/// Like those that follow it is global, so that the verifier looks at it by itself: see [`crate`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn frames_walk() -> u32 {
    let Some((walk, scratch)) = at_hand() else {
        count_lost(Lost::Record);
        return 0;
    };
    moved(walk, scratch);
    let mut rounds = 0;
    while frames_round() != 0 {
        rounds += 1;
        if rounds == ROUNDS {
            // More frames than may be walked.
            lose(walk, scratch);
            break;
        }
    }
    end(walk, scratch);
    0
}

/// Some steps of a walk; 0 after the last.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn frames_round() -> u32 {
    for _ in 0..STEPS {
        if frames_step() == 0 {
            return 0;
        }
    }
    1
}

/// One step of a walk; 0 after the last.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn frames_step() -> u32 {
    let Some(scratch) = Scratch::get() else { return 0 };
    let Some(walks) = Walks::get(get(&scratch.sock)) else {
        scratch.cursor.stop();
        return 0;
    };
    if step(walks, scratch) {
        return 1;
    }
    if pieces::is_copied(scratch) {
        return 0;
    }
    pieces::make_room(scratch);
    1
}

/// A call has moved bytes in a direction whose frames are followed.
#[inline(always)]
fn moved(walk: &mut Walk, scratch: &mut Scratch) {
    let (begin, end) = (scratch.begin_sequence(), get(&scratch.transfer.end_sequence));
    let time_ns = get(&scratch.transfer.header.time_ns);
    scratch.transfer.tail = [0; 8];
    pieces::begin(scratch);
    let (burst, grant_shift) = Format::grants(get(&walk.protocol));
    let granted = time_ns.wrapping_sub(walk.granted_ns) >> grant_shift;
    let budget = u64::from(walk.budget).saturating_add(granted);
    let budget = if budget > u64::from(burst) { burst } else { budget as u32 };
    // Many connections that move much would lose records.
    walk.budget = if is_reader_behind() { 0 } else { budget };
    walk.granted_ns = time_ns;
    let unseen = match begin.wrapping_sub(walk.next) {
        // The end of the stream takes up a number, which a call may have come to with the last bytes.
        1 if scratch.sock.state() != Some(tcp_state::ESTABLISHED) => 0,
        unseen => unseen,
    };
    walk.next = end;
    if unseen != 0 && !walk.pass(unseen) {
        lose(walk, scratch);
    } else if get(&walk.protocol) == CHUNKED {
        walk.keep = pieces::within_limit(scratch, walk.payload);
    }
}

/// The call is walked, as far as it goes.
#[inline(always)]
fn end(walk: &Walk, scratch: &mut Scratch) {
    let state = if pieces::is_stopped(scratch) {
        scratch.transfer.header.flags |= OUT_OF_STEP;
        count_lost(Lost::Step);
        OUT
    } else if get(&walk.protocol) == NONE {
        payload::payload_tail();
        UNFOLLOWED
    } else {
        FOLLOWED
    };
    if state != FOLLOWED {
        if let Some(connection) = table::known(get(&scratch.sock)) {
            connection.set_framing(scratch.direction(), state);
        }
    }
    pieces::submit_last(scratch);
}

/// One step; `false` after the last, or if the record has no room for it.
#[inline(always)]
fn step(walks: &mut Walks, scratch: &mut Scratch) -> bool {
    let direction = scratch.direction();
    // SAFETY: there are two.
    let walk = unsafe { walks.directions.get_unchecked_mut(direction.index()) };
    let skips = get(&walk.payload) != 0 && get(&walk.keep) == 0;
    if !pieces::copy(scratch, skips) {
        return !pieces::is_full(scratch);
    }
    if pieces::is_over(scratch) {
        return false;
    }
    if get(&scratch.cursor.available) == 0 && !pieces::next_vector(scratch) {
        // The rest is not in the process's memory, or not where it was.
        let left = get(&scratch.cursor.left);
        if !walk.pass(left) {
            lose(walk, scratch);
            walk.pass(left);
        }
        pieces::skip(scratch, left);
        return true;
    }
    if get(&scratch.cursor.available) == 0 {
        // An empty vector.
        return true;
    }
    if get(&walk.payload) == 0 {
        let is_whole = if get(&walk.protocol) == CHUNKED {
            chunks::frames_size_line() != 0
        } else {
            header(walk, scratch, &mut walks.message_direction, direction)
        };
        if !is_whole {
            return true;
        }
    }
    let keep = get(&walk.keep);
    if keep != 0 {
        let taken = pieces::take(scratch, keep);
        walk.keep = keep - taken;
        walk.payload = get(&walk.payload) - taken;
    } else if get(&scratch.cursor.run) == 0 {
        let payload = get(&walk.payload);
        let available = get(&scratch.cursor.available);
        let passed = least(&mut scratch.opaque, payload, available);
        walk.payload = payload - passed;
        pieces::skip(scratch, passed);
    }
    true
}

/// Reads on in a header; `false` if it is not whole yet, or nothing follows it.
#[inline(always)]
fn header(walk: &mut Walk, scratch: &mut Scratch, message_direction: &mut u64, direction: Direction) -> bool {
    let Some(format) = Format::of(get(&walk.protocol)) else {
        lose(walk, scratch);
        return false;
    };
    let seen = get(&walk.seen) & HEADER_MAX;
    let missing = get(&format.header).wrapping_sub(seen);
    let available = get(&scratch.cursor.available);
    let count = least(&mut scratch.opaque, missing, available) & HEADER_MAX;
    // SAFETY: the array is twice as long as either.
    let to = unsafe { walk.header.as_mut_ptr().add(seen as usize) };
    if !user(to, count, get(&scratch.cursor.address)) {
        lose(walk, scratch);
        return false;
    }
    pieces::take(scratch, count);
    if count != missing {
        walk.seen = seen + count;
        return false;
    }
    walk.seen = 0;
    let at = |offset: u32| walk.header.as_ptr().wrapping_add((offset & HEADER_MAX) as usize);
    // SAFETY: within the array, and see above.
    let (length, kind) = unsafe {
        let length = at(get(&format.length_at)).cast::<[u8; 4]>().read_volatile();
        (format.length(length), at(get(&format.type_at)).read_volatile())
    };
    let includes = get(&format.length_includes);
    if length < includes || length > get(&format.length_max) {
        lose(walk, scratch);
        return false;
    }
    walk.payload = length - includes;
    let length = get(&walk.payload);
    if Format::is_in(&format.messages, kind)
        && length < get(&format.message_max)
        && *message_direction != direction as u64
    {
        *message_direction = direction as u64;
        if walk.budget < CAPTURE_TURN {
            walk.budget = CAPTURE_TURN;
        }
    }
    walk.keep = if Format::is_in(&format.whole, kind) || length <= get(&format.short) {
        length
    } else {
        let first = get(&format.first);
        let first = least(&mut scratch.opaque, length, first);
        let budget = get(&walk.budget);
        let beyond = least(&mut scratch.opaque, length - first, budget);
        walk.budget = budget - beyond;
        first + beyond
    };
    length != 0
}

/// Nothing is known any more of where frames begin.
#[inline(always)]
fn lose(walk: &mut Walk, scratch: &mut Scratch) {
    if get(&walk.protocol) == CHUNKED {
        chunks::leave(walk, scratch);
    } else {
        scratch.cursor.stop();
    }
}
