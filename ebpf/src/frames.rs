//! Follows the frames of a protocol through the calls on a connection: of each frame its header is captured, and of
//! its payload what the protocol's reader needs. All else is passed over by its length.
//!
//! Which protocol a connection speaks is decided here, by its first bytes: outside it would be known many calls late,
//! and who has missed one header does not find the next.

use aya_ebpf::{bindings::BPF_ANY, macros::map, maps::HashMap};
use cargo_beyla_events::{tcp_state, AF_UNIX, CAPTURE_TURN, OUT_OF_STEP};

use crate::connections::{self, Connection, Direction};
use crate::fields::Sock;
use crate::output::{count_lost, Lost};
use crate::payload::{get, least, user, Scratch};
use crate::pieces;

/// Connections whose frames are followed at a time. Of others the first bytes of each call are captured.
const MAX_WALKS: u32 = 8 * 1024;

/// Steps of one run of a walker, each of them a frame, or a part of one where it does not lie in one piece.
const STEPS: u32 = 24;

/// Captured without reserve at the most, beyond what is always captured, of what comes in one burst.
const BURST: u32 = 256 * 1024;
/// That much is granted anew every so many nanoseconds, as a power of two: 1 byte in 2^10 ns, about 1 MiB/s.
const GRANT_SHIFT: u64 = 10;
/// A frame that carries a message has less payload, in bytes. One of more belongs to a bulk transfer.
const MESSAGE_MAX: u32 = 4096;

/// No header is longer.
const HEADER_MASK: u32 = 15;

/// What begins a connection of HTTP/2 (RFC 9113, section 3.4) is this long, in bytes.
const PREFACE_LENGTH: u32 = 24;
/// Its first bytes, which no other protocol begins with.
const PREFACE: u32 = u32::from_le_bytes(*b"PRI ");
/// The type and the major version of a TLS record that begins a handshake (RFC 8446, section 5.1).
const HANDSHAKE: u32 = 0x0316;

/// The bytes of calls are captured as they come, without regard to frames.
const NONE: u32 = 0;
const HTTP2: u32 = 1;
const TLS: u32 = 2;

/// How a protocol lays out its frames, and what is captured of them. A length is a big-endian number.
#[repr(C)]
struct Format {
    /// Bytes of a header.
    header: u32,
    /// Offset of the length in it.
    length_at: u32,
    /// Bits above those of the length, of the four bytes from there on.
    length_shift: u32,
    /// How many bytes of the header the length counts too.
    length_includes: u32,
    /// Offset of the type in it.
    type_at: u32,
    /// How many bytes are captured of every payload.
    first: u32,
    /// The types, as bits, whose payloads are captured whole.
    whole: u64,
    /// The types, as bits, that carry messages: the other end answers them.
    messages: u64,
}

/// By the number of the protocol, less one.
static FORMATS: [Format; 2] = [
    // RFC 9113, section 4.1: the length (3 bytes), the type, flags, the stream. Whole is all but DATA (0), of which
    // 16 bytes hold the length of a padding and the head of a gRPC message.
    Format {
        header: 9,
        length_at: 0,
        length_shift: 8,
        length_includes: 0,
        type_at: 3,
        first: 16,
        whole: 0x3FE,
        messages: 0b11,
    },
    // RFC 8446, section 5.1: the type, the version, the length (2 bytes). Whole is all but application data (23).
    Format {
        header: 5,
        length_at: 3,
        length_shift: 16,
        length_includes: 0,
        type_at: 0,
        first: 16,
        whole: 0b111 << 20,
        messages: 1 << 23,
    },
];

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
struct Walk {
    /// [`NONE`], [`HTTP2`] or [`TLS`].
    protocol: u32,
    /// Bytes of the header at hand that were seen.
    seen: u32,
    /// Bytes of the payload at hand that are still to come; 0 in a header.
    payload: u32,
    /// Those of them that are to be captured.
    keep: u32,
    /// What may be captured beyond what always is.
    budget: u32,
    /// Sequence number of the next byte.
    next: u32,
    /// When `budget` was last granted something for the time that had passed.
    granted_ns: u64,
    /// The header at hand.
    header: [u8; 2 * (HEADER_MASK as usize + 1)],
}

/// By socket, of the connections whose frames are followed.
#[map]
static WALKS: HashMap<Sock, Walks> = HashMap::with_max_entries(MAX_WALKS, 0);

impl Walks {
    const NEW: Self = Self {
        directions: [Walk {
            protocol: NONE,
            seen: 0,
            payload: 0,
            keep: 0,
            budget: BURST,
            next: 0,
            granted_ns: 0,
            header: [0; 2 * (HEADER_MASK as usize + 1)],
        }; 2],
        message_direction: 0,
    };

    #[inline(always)]
    fn get(sock: Sock) -> Option<&'static mut Self> {
        // SAFETY: as of the table of connections. No two calls of the same direction run at once, or their bytes
        // would have no order.
        WALKS.get_ptr_mut(&sock).map(|walks| unsafe { &mut *walks })
    }

    #[inline(always)]
    fn direction(&mut self, direction: Direction) -> &mut Walk {
        // SAFETY: there are two.
        unsafe { self.directions.get_unchecked_mut(index(direction)) }
    }
}

/// How the walk of a direction begins: see [`Walk`].
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Opening {
    protocol: u32,
    payload: u32,
    seen: u32,
    sequence: u32,
}

impl Walk {
    #[inline(always)]
    fn open(&mut self, opening: &Opening) {
        self.protocol = get(&opening.protocol);
        self.payload = get(&opening.payload);
        self.keep = self.payload;
        self.seen = get(&opening.seen);
        self.next = get(&opening.sequence);
    }

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

/// What [`Connection::framed`] says of a direction.
pub const FOLLOWED: u8 = 1;
/// They were, until one's beginning was lost.
pub const OUT: u8 = 2;

/// [`FOLLOWED`], [`OUT`], or 0 where no frames are.
#[inline(always)]
pub fn state(connection: &Connection, direction: Direction) -> u8 {
    // SAFETY: there are two.
    get(unsafe { connection.framed.get_unchecked(index(direction)) })
}

/// Has a walker look at the call.
#[inline(always)]
pub fn hand_over(sock: Sock, direction: Direction, scratch: &mut Scratch) {
    scratch.sock = sock;
    scratch.set_direction(direction);
    scratch.is_begun = 0;
}

/// Looks at the first bytes that a call has moved, as they are captured: whether frames are followed from there on.
#[inline(always)]
pub fn begin(sock: Sock, connection: &mut Connection, direction: Direction, scratch: &mut Scratch) -> bool {
    match direction {
        Direction::Receive => begin_received(sock, connection, scratch),
        Direction::Send => begin_sent(sock, connection, scratch),
    }
    .is_some()
}

#[inline(always)]
fn begin_received(sock: Sock, connection: &mut Connection, scratch: &mut Scratch) -> Option<()> {
    let captured = scratch.captured();
    let first = scratch.first_bytes() as u32;
    let sequence = scratch.begin_sequence();
    let offset = sequence.wrapping_sub(connection.receive_begin);
    let is_beginning = offset < 4 && connection.open_before == 0 && offset == u32::from(connection.opening);
    let (protocol, payload, seen) = if captured >= 4 && first == PREFACE {
        // At the beginning, or after an upgrade.
        (HTTP2, PREFACE_LENGTH, 0)
    } else if is_beginning {
        // The beginning may come byte by byte.
        let count = if captured < 4 - offset { captured } else { 4 - offset };
        let known = |bytes: u32, count: u32| bytes & ((1u64 << (8 * count)) - 1) as u32;
        let is_handshake = |count: u32| known(first, count) == known(HANDSHAKE >> (8 * offset), count);
        if offset < 2 && count >= 2 - offset && is_handshake(2 - offset) {
            (TLS, 0, offset)
        } else if known(first, count) == known(PREFACE >> (8 * offset), count) || (count == 1 && is_handshake(1)) {
            connection.opening = (offset + count) as u8;
            if offset + count < 4 {
                return None;
            }
            (HTTP2, PREFACE_LENGTH - offset, 0)
        } else {
            return None;
        }
    } else {
        return None;
    };
    scratch.opening = Opening { protocol, payload, seen, sequence };
    let walks = enter(sock, connection, scratch)?;
    let received = &mut walks.directions[0];
    received.open(&scratch.opening);
    received.header[0] = HANDSHAKE as u8;
    connection.framed[0] = FOLLOWED;
    if connection.framed[1] == 0 {
        // What a server has sent before ended with a whole message: a switch of protocols.
        let sequence = if connection.family == AF_UNIX { connection.unix_sent } else { connection.sent_sequence };
        walks.directions[1].open(&Opening { protocol: get(&scratch.opening.protocol), payload: 0, seen: 0, sequence });
        connection.framed[1] = FOLLOWED;
    }
    Some(())
}

/// A server of HTTP/2 need not wait for the client: it may begin with its SETTINGS, on stream 0 and without flags.
#[inline(always)]
fn begin_sent(sock: Sock, connection: &mut Connection, scratch: &mut Scratch) -> Option<()> {
    const LENGTH: u64 = 0xFF << 16;
    const SETTINGS: u64 = 4 << 24;
    let sequence = scratch.begin_sequence();
    let is_first = sequence == connection.send_begin && connection.open_before == 0;
    if !is_first || scratch.captured() < 9 || scratch.first_bytes() & !LENGTH != SETTINGS {
        return None;
    }
    let sent = &mut enter(sock, connection, scratch)?.directions[1];
    sent.open(&Opening { protocol: HTTP2, payload: 0, seen: 0, sequence });
    connection.framed[1] = FOLLOWED;
    Some(())
}

/// Puts a connection in the table, if it is not there yet.
#[inline(always)]
fn enter(sock: Sock, connection: &Connection, scratch: &mut Scratch) -> Option<&'static mut Walks> {
    if connection.framed == [0; 2] {
        scratch.walks = Walks::NEW;
        if WALKS.insert(&sock, &scratch.walks, u64::from(BPF_ANY)).is_err() {
            count_lost(Lost::Step);
        }
    }
    Walks::get(sock)
}

/// A call has moved bytes in a direction whose frames are followed.
#[inline(always)]
fn moved(walk: &mut Walk, scratch: &mut Scratch) {
    let (begin, end) = (scratch.begin_sequence(), get(&scratch.transfer.end_sequence));
    let time_ns = get(&scratch.transfer.header.time_ns);
    pieces::begin(scratch);
    let granted = time_ns.wrapping_sub(walk.granted_ns) >> GRANT_SHIFT;
    let budget = u64::from(walk.budget).saturating_add(granted);
    walk.budget = if budget > u64::from(BURST) { BURST } else { budget as u32 };
    walk.granted_ns = time_ns;
    let unseen = match begin.wrapping_sub(walk.next) {
        // The end of the stream takes up a number, which a call may have come to with the last bytes.
        1 if scratch.sock.state() != Some(tcp_state::ESTABLISHED) => 0,
        unseen => unseen,
    };
    walk.next = end;
    if unseen != 0 && !walk.pass(unseen) {
        lose(scratch);
    }
}

/// Walks the call that was handed over, or goes on with it; `false` if that is still not all.
#[inline(always)]
pub fn walk(scratch: &mut Scratch) -> bool {
    let Some(walks) = Walks::get(get(&scratch.sock)) else {
        count_lost(Lost::Record);
        return true;
    };
    if get(&scratch.is_begun) == 0 {
        scratch.is_begun = 1;
        scratch.transfer.tail = [0; 8];
        moved(walks.direction(scratch.direction()), scratch);
    }
    for _ in 0..STEPS {
        if !step(walks, scratch) {
            break;
        }
    }
    if pieces::is_copied(scratch) {
        end(scratch);
        return true;
    }
    pieces::make_room(scratch);
    false
}

/// The call is walked, as far as it goes.
#[inline(always)]
fn end(scratch: &mut Scratch) {
    if pieces::is_stopped(scratch) {
        scratch.transfer.header.flags |= OUT_OF_STEP;
        count_lost(Lost::Step);
        if let Some(connection) = connections::get(get(&scratch.sock)) {
            // SAFETY: there are two.
            unsafe { *connection.framed.get_unchecked_mut(index(scratch.direction())) = OUT };
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
        if walk.pass(left) {
            pieces::skip(scratch, left);
        } else {
            lose(scratch);
        }
        return true;
    }
    if get(&scratch.cursor.available) == 0 {
        // An empty vector.
        return true;
    }
    if get(&walk.payload) == 0 && !header(walk, scratch, &mut walks.message_direction, direction) {
        return true;
    }
    let keep = get(&walk.keep);
    if keep != 0 {
        let taken = pieces::take(scratch, keep);
        walk.keep = keep - taken;
        walk.payload = get(&walk.payload) - taken;
    } else if get(&scratch.cursor.run) == 0 {
        let payload = get(&walk.payload);
        let available = get(&scratch.cursor.available);
        let passed = least(&mut scratch.least, payload, available);
        walk.payload = payload - passed;
        pieces::skip(scratch, passed);
    }
    true
}

/// Reads on in a header; `false` if it is not whole yet, or nothing follows it.
#[inline(always)]
fn header(walk: &mut Walk, scratch: &mut Scratch, message_direction: &mut u64, direction: Direction) -> bool {
    // SAFETY: the index is 0 or 1.
    let format = unsafe { FORMATS.get_unchecked((get(&walk.protocol).wrapping_sub(1) & 1) as usize) };
    let seen = get(&walk.seen) & HEADER_MASK;
    let missing = get(&format.header).wrapping_sub(seen);
    let available = get(&scratch.cursor.available);
    let count = least(&mut scratch.least, missing, available) & HEADER_MASK;
    // SAFETY: the array is twice as long as either.
    let to = unsafe { walk.header.as_mut_ptr().add(seen as usize) };
    if !user(to, count, get(&scratch.cursor.address)) {
        lose(scratch);
        return false;
    }
    pieces::take(scratch, count);
    if count != missing {
        walk.seen = seen + count;
        return false;
    }
    walk.seen = 0;
    let at = |offset: u32| walk.header.as_ptr().wrapping_add((offset & HEADER_MASK) as usize);
    // SAFETY: within the array, and see above.
    let (length, kind) = unsafe {
        let length = at(get(&format.length_at)).cast::<[u8; 4]>().read_volatile();
        (u32::from_be_bytes(length), at(get(&format.type_at)).read_volatile())
    };
    let includes = get(&format.length_includes);
    let length = length >> (get(&format.length_shift) & 31);
    if length < includes {
        lose(scratch);
        return false;
    }
    walk.payload = length - includes;
    let length = get(&walk.payload);
    let kind = least(&mut scratch.least, kind.into(), 63);
    let is_in = |types: u64| types >> kind & 1 != 0;
    if is_in(get(&format.messages)) && length < MESSAGE_MAX && *message_direction != direction as u64 {
        *message_direction = direction as u64;
        if walk.budget < CAPTURE_TURN {
            walk.budget = CAPTURE_TURN;
        }
    }
    walk.keep = if is_in(get(&format.whole)) {
        length
    } else {
        let first = get(&format.first);
        let first = least(&mut scratch.least, length, first);
        let budget = get(&walk.budget);
        let beyond = least(&mut scratch.least, length - first, budget);
        walk.budget = budget - beyond;
        first + beyond
    };
    length != 0
}

/// Nothing is known any more of where frames begin.
#[inline(always)]
fn lose(scratch: &mut Scratch) {
    scratch.cursor.stop();
}

/// The call has more frames than may be walked.
#[inline(always)]
pub fn give_up(scratch: &mut Scratch) {
    lose(scratch);
    end(scratch);
}
