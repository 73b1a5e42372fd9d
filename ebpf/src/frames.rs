//! Follows the frames of a protocol through the calls on a connection: of each frame its header is captured, and of
//! its payload what the protocol's reader needs. All else is passed over by its length.
//!
//! Which protocol a connection speaks is decided here, by its first bytes: outside it would be known many calls late,
//! and who has missed one header does not find the next.

use aya_ebpf::{macros::map, maps::HashMap};
use cargo_beyla_events::{tcp_state, CAPTURE_TURN, OUT_OF_STEP};

use crate::chunks;
use crate::connections::{self, Connection, Direction};
use crate::fields::Sock;
use crate::formats::{Format, CHUNKED, HEADER_MAX, NONE};
use crate::output::{count_lost, is_reader_behind, Lost};
use crate::payload::{self, get, least, user, Scratch};
use crate::pieces;

/// Connections whose frames are followed at a time. Of others the first bytes of each call are captured.
const MAX_WALKS: u32 = 8 * 1024;

/// The most steps within one call, in rounds: each is a frame, or a part of one where it does not lie in one piece. A
/// call of a server moves 64 KiB at the most, as a rule.
const ROUNDS: u32 = 256;
const STEPS: u32 = 32;

/// How far both directions of a connection were walked.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Walks {
    /// Received, sent.
    directions: [Walk; 2],
    /// The direction of the latest frame that carried a message; 0 before the first.
    message_direction: u64,
}

/// How far one direction of a connection was walked.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Walk {
    /// [`NONE`], [`CHUNKED`] or one that has a [`Format`].
    pub protocol: u32,
    /// Bytes of the header at hand that were seen; in a size line, see [`chunks`].
    pub seen: u32,
    /// Bytes of the payload at hand that are still to come; 0 in a header.
    pub payload: u32,
    /// Those of them that are to be captured.
    pub keep: u32,
    /// What may be captured beyond what always is.
    pub budget: u32,
    /// Sequence number of the next byte.
    pub next: u32,
    /// When `budget` was last granted something for the time that had passed.
    granted_ns: u64,
    /// The digits of the size line at hand.
    pub size: u32,
    /// Zero.
    reserved: u32,
    /// The header at hand.
    header: [u8; 2 * (HEADER_MAX as usize + 1)],
}

/// By socket, of the connections whose frames are followed.
#[map]
pub static WALKS: HashMap<Sock, Walks> = HashMap::with_max_entries(MAX_WALKS, 0);

impl Walks {
    pub const NEW: Self = Self {
        directions: [Walk {
            protocol: NONE,
            seen: 0,
            payload: 0,
            keep: 0,
            budget: 0,
            next: 0,
            granted_ns: 0,
            size: 0,
            reserved: 0,
            header: [0; 2 * (HEADER_MAX as usize + 1)],
        }; 2],
        message_direction: 0,
    };

    #[inline(always)]
    pub fn get(sock: Sock) -> Option<&'static mut Self> {
        // SAFETY: as of the table of connections. No two calls of the same direction run at once, or their bytes
        // would have no order.
        WALKS.get_ptr_mut(&sock).map(|walks| unsafe { &mut *walks })
    }

    #[inline(always)]
    pub fn direction(&mut self, direction: Direction) -> &mut Walk {
        // SAFETY: there are two.
        unsafe { self.directions.get_unchecked_mut(index(direction)) }
    }
}

impl Walk {
    /// Bytes move that are not looked at; `false` if a header may be among them.
    #[inline(always)]
    fn pass(&mut self, count: u32) -> bool {
        let payload = get(&self.payload);
        if count > payload {
            return false;
        }
        self.payload = payload - count;
        self.keep = get(&self.keep).saturating_sub(count);
        true
    }
}

/// The place of a direction among two.
#[inline(always)]
fn index(direction: Direction) -> usize {
    // Read as a number of which the compiler knows nothing, so that it leaves the bound in for the verifier.
    (get(&(direction as u32)) >> 1 & 1) as usize
}

/// The socket is gone.
#[inline(always)]
pub fn forget(sock: Sock) {
    let _ = WALKS.remove(&sock);
}

/// What [`Connection::framed`] says of a direction: its frames are not followed.
pub const UNFOLLOWED: u8 = 0;
/// They are.
pub const FOLLOWED: u8 = 1;
/// They were, until one's beginning was lost.
pub const OUT: u8 = 2;

/// [`UNFOLLOWED`], [`FOLLOWED`] or [`OUT`].
#[inline(always)]
pub fn state(connection: &Connection, direction: Direction) -> u8 {
    // SAFETY: there are two.
    get(unsafe { connection.framed.get_unchecked(index(direction)) })
}

/// Changes the state of a direction.
#[inline(always)]
pub fn set_state(connection: &mut Connection, direction: Direction, state: u8) {
    // SAFETY: there are two.
    unsafe { *connection.framed.get_unchecked_mut(index(direction)) = state };
}

/// The call in the scratch, and how far its direction was walked.
#[inline(always)]
pub fn at_hand() -> Option<(&'static mut Walk, &'static mut Scratch)> {
    let scratch = payload::scratch()?;
    let walks = Walks::get(get(&scratch.sock))?;
    Some((walks.direction(scratch.direction()), scratch))
}

/// Writes the records of the call in the scratch.
///
/// Like those that follow it is global, so that the verifier looks at it by itself: see [`payload::payload_copy`].
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
    let Some(scratch) = payload::scratch() else { return 0 };
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
        if let Some(connection) = connections::known(get(&scratch.sock)) {
            set_state(connection, scratch.direction(), state);
        }
    }
    pieces::submit_last(scratch);
}

/// One step; `false` after the last, or if the record has no room for it.
#[inline(always)]
fn step(walks: &mut Walks, scratch: &mut Scratch) -> bool {
    let direction = scratch.direction();
    // SAFETY: there are two.
    let walk = unsafe { walks.directions.get_unchecked_mut(index(direction)) };
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
