//! Where a protocol with frames begins: of HTTP/2 the first bytes of a connection or of an upgraded one, of TLS the
//! client's first message, of a chunked body the line behind the head of its message.

use aya_ebpf::bindings::BPF_ANY;

use super::chunks::{self, DIGITS};
use crate::capture::formats::{Format, CHUNKED, HTTP2, TLS};
use crate::capture::scratch::Scratch;
use crate::capture::walks::{Direction, Opening, Walks, WALKS};
use crate::connections::connection::{Connection, FOLLOWED, UNFOLLOWED};
use crate::connections::table;
use crate::kernel::fields::{setting, Sock};
use crate::kernel::output::{count_lost, Lost};
use crate::kernel::volatile::get;

/// What begins a connection of HTTP/2 (RFC 9113, section 3.4) is this long, in bytes.
const PREFACE_LENGTH: u32 = 24;
/// Its first bytes, which no other protocol begins with.
const PREFACE: u32 = u32::from_le_bytes(*b"PRI ");

/// Of a record of TLS (RFC 8446, section 5.1): a handshake message, the first byte of the version.
const HANDSHAKE: u64 = u16::from_le_bytes([22, 3]) as u64;
/// The size of its header, in bytes, which OpenSSL receives by itself.
const RECORD_HEADER: u32 = 5;
/// No end begins with a shorter message, in bytes (RFC 8446, sections 4.1.2 and 4.1.3).
const HELLO_MIN: u32 = 40;
/// The messages that the client and the server begin with (RFC 8446, section 4).
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
/// The most bytes of a record that is not encrypted (RFC 8446, section 5.1).
const RECORD_MAX: u32 = 16 * 1024;

/// A message whose first call moves less is a small one, or its head alone: a chunked body that follows begins with the
/// next call.
const CHUNKS_MIN: u32 = 1024;
/// The most bytes of a head behind which a chunked body is found in the same call.
const HEAD_MAX: u32 = 1024;
/// Those of them that are looked at in one round.
const HEAD_ROUND: u32 = 32;

/// Whether frames are followed from the beginning of a call on, whose first bytes are captured.
#[inline(always)]
pub fn begins(connection: &Connection, direction: Direction, scratch: &Scratch) -> bool {
    let first = scratch.first_bytes();
    let offset = offset(connection, direction, scratch);
    let framed = if direction == from_server(connection) {
        (is_settings(first) && offset == 0) || (is_handshake(first) && setting!(tls) != 0)
    } else {
        first as u32 == PREFACE || offset < 4 || (is_handshake(first) && setting!(tls) != 0)
    };
    (framed || may_be_chunked(scratch)) && frames_begin() != 0
}

/// The direction in which the server of a connection answers, be that the process or the other end.
#[inline(always)]
fn from_server(connection: &Connection) -> Direction {
    if connection.is_client() {
        Direction::Receive
    } else {
        Direction::Send
    }
}

/// How many bytes have moved in a direction before those of the call in the scratch.
#[inline(always)]
fn offset(connection: &Connection, direction: Direction, scratch: &Scratch) -> u32 {
    let begin = match direction {
        Direction::Receive => connection.receive_begin,
        Direction::Send => connection.send_begin,
    };
    scratch.begin_sequence().wrapping_sub(begin)
}

/// Looks at the first bytes of the call in the scratch: 1 if frames are followed from there on.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn frames_begin() -> u32 {
    Scratch::get().is_some_and(|scratch| begin(scratch).is_some()).into()
}

#[inline(always)]
fn begin(scratch: &mut Scratch) -> Option<()> {
    let sock = get(&scratch.sock);
    let connection = table::known(sock)?;
    let direction = scratch.direction();
    let offset = offset(connection, direction, scratch);
    let opening = if direction == from_server(connection) {
        hello(SERVER_HELLO, scratch).or_else(|| settings(connection, offset, scratch))
    } else {
        hello(CLIENT_HELLO, scratch).or_else(|| preface(connection, offset, scratch))
    };
    scratch.opening = opening.or_else(|| chunked(scratch))?;
    enter(sock, connection, direction, scratch)
}

/// What an end of TLS begins with. That may be the beginning of the connection, or come later: clients of PostgreSQL, MySQL
/// and others first ask for TLS in plain text. The server's hello is needed if the client's came in pieces too small to
/// recognise.
#[inline(always)]
fn hello(message: u8, scratch: &Scratch) -> Option<Opening> {
    let captured = scratch.captured();
    let bytes = scratch.first_bytes();
    if setting!(tls) == 0 || captured < RECORD_HEADER || !is_handshake(bytes) {
        return None;
    }
    let byte = |index: u32| (bytes >> (8 * index)) as u8;
    let length = u32::from(byte(3)) << 8 | u32::from(byte(4));
    let begins = if captured < 8 {
        captured == RECORD_HEADER || byte(5) == message
    } else {
        // A client's message is at least as long as what of it is in the record; others may follow a server's.
        let is_long = u32::from(byte(7)) >= length.wrapping_sub(4) >> 8;
        byte(5) == message && byte(6) == 0 && (is_long || message == SERVER_HELLO)
    };
    let opening = Opening { protocol: TLS, payload: 0, seen: 0, sequence: scratch.begin_sequence() };
    (begins && byte(2) <= 4 && (HELLO_MIN..=RECORD_MAX).contains(&length)).then_some(opening)
}

/// Whether bytes, the first of them the lowest, begin a record of TLS with a message of a handshake.
#[inline(always)]
fn is_handshake(first: u64) -> bool {
    first & 0xFFFF == HANDSHAKE
}

/// What a client of HTTP/2 begins with.
#[inline(always)]
fn preface(connection: &mut Connection, offset: u32, scratch: &Scratch) -> Option<Opening> {
    let captured = scratch.captured();
    let first = scratch.first_bytes() as u32;
    let sequence = scratch.begin_sequence();
    if captured >= 4 && first == PREFACE {
        // At the beginning, or after an upgrade.
        return Some(Opening { protocol: HTTP2, payload: PREFACE_LENGTH, seen: 0, sequence });
    }
    if offset >= 4 || connection.open_before != 0 || offset != u32::from(connection.opening) {
        return None;
    }
    // The beginning may come byte by byte.
    let count = if captured < 4 - offset { captured } else { 4 - offset };
    let known = |bytes: u32| bytes & ((1u64 << (8 * count)) - 1) as u32;
    if known(first) != known(PREFACE >> (8 * offset)) {
        return None;
    }
    connection.opening = (offset + count) as u8;
    (offset + count == 4).then_some(Opening { protocol: HTTP2, payload: PREFACE_LENGTH - offset, seen: 0, sequence })
}

/// A server of HTTP/2 need not wait for the client: it may begin with its SETTINGS.
#[inline(always)]
fn settings(connection: &Connection, offset: u32, scratch: &Scratch) -> Option<Opening> {
    let begins = offset == 0 && connection.open_before == 0;
    let settings = begins && scratch.captured() >= 9 && is_settings(scratch.first_bytes());
    settings.then_some(Opening { protocol: HTTP2, payload: 0, seen: 0, sequence: scratch.begin_sequence() })
}

/// Whether bytes, the first of them the lowest, begin SETTINGS of less than 256 bytes, without flags and on stream 0.
#[inline(always)]
fn is_settings(first: u64) -> bool {
    const LENGTH: u64 = 0xFF << 16;
    const SETTINGS: u64 = 4 << 24;
    first & !LENGTH == SETTINGS
}

/// Whether a chunked body may begin in the call and go on behind it.
#[inline(always)]
fn may_be_chunked(scratch: &Scratch) -> bool {
    let length = get(&scratch.transfer.length);
    get(&scratch.continues) != 0 || length >= CHUNKS_MIN || scratch.captured() < length
}

/// Whether a call begins with the size line of a chunk, or with a head and then that.
#[inline(always)]
fn chunked(scratch: &mut Scratch) -> Option<Opening> {
    if !may_be_chunked(scratch) {
        return None;
    }
    let sequence = scratch.begin_sequence();
    let opening = |payload| Some(Opening { protocol: CHUNKED, payload, seen: DIGITS, sequence });
    if is_size_line(scratch, 0) {
        return opening(0);
    }
    let end = head_end(scratch)?;
    is_size_line(scratch, end).then(|| opening(end)).flatten()
}

/// Offset behind the head that the captured bytes begin with.
#[inline(always)]
fn head_end(scratch: &mut Scratch) -> Option<u32> {
    scratch.head_end = 0;
    for _ in 0..HEAD_MAX / HEAD_ROUND {
        let found = frames_find_head_end() != 0;
        let end = get(&scratch.head_end);
        if found || end >= scratch.captured() {
            return (found && end < scratch.captured()).then_some(end);
        }
    }
    None
}

/// Looks at some bytes for the end of a head (RFC 9112, section 2.1): 1 if it is there.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn frames_find_head_end() -> u32 {
    const END: u32 = u32::from_be_bytes(*b"\r\n\r\n");
    let Some(scratch) = Scratch::get() else { return 1 };
    let begin = get(&scratch.head_end) & (HEAD_MAX - 1);
    // An end at an odd offset is met one byte later.
    for offset in (0..HEAD_ROUND).step_by(2) {
        let offset = begin + offset;
        // SAFETY: the array is longer.
        let bytes = u32::from_be(unsafe { scratch.bytes.as_ptr().add(offset as usize).cast::<u32>().read_unaligned() });
        if bytes == END {
            scratch.head_end = offset + 4;
            return 1;
        }
        if bytes >> 8 == END & 0xFF_FFFF {
            scratch.head_end = offset + 3;
            return 1;
        }
    }
    scratch.head_end = begin + HEAD_ROUND;
    0
}

/// Whether the captured bytes from there on read as a size line: digits of base 16, and what may follow them.
#[inline(always)]
fn is_size_line(scratch: &Scratch, offset: u32) -> bool {
    if offset > HEAD_MAX {
        return false;
    }
    // SAFETY: the array is longer.
    let bytes = u64::from_le(unsafe { scratch.bytes.as_ptr().add(offset as usize).cast::<u64>().read_unaligned() });
    let mut digits = 0;
    for index in 0..8 {
        let byte = (bytes >> (8 * index)) as u8;
        if chunks::digit(byte) == 16 {
            return digits != 0 && matches!(byte, b'\r' | b';' | b' ' | b'\t');
        }
        digits += 1;
    }
    false
}

/// Puts a connection in the table, if it is not there yet, and begins the walk of a direction.
#[inline(always)]
fn enter(sock: Sock, connection: &mut Connection, direction: Direction, scratch: &mut Scratch) -> Option<()> {
    if connection.walked == 0 {
        connection.walked = 1;
        scratch.walks = Walks::NEW;
        let inserted = WALKS.insert(&sock, &scratch.walks, u64::from(BPF_ANY)).is_ok();
        // Without it a chunked body is captured as any other, and its size is not known.
        if !inserted && get(&scratch.opening.protocol) != CHUNKED {
            count_lost(Lost::Step);
        }
    }
    let walks = Walks::get(sock)?;
    let opening = get(&scratch.opening);
    open(walks, connection, direction, &opening);
    let answers = from_server(connection);
    // A server that speaks TLS has answered a whole message. One of HTTP/2 may speak first.
    let other = if opening.protocol == TLS { direction.other() } else { answers };
    if opening.protocol != CHUNKED && connection.framing(other) == UNFOLLOWED {
        // What the other end has sent before ended with a whole message: a switch of protocols, if it is the server.
        let sequence = match (connection.is_unix(), other) {
            (true, Direction::Receive) => connection.unix_received,
            (true, Direction::Send) => connection.unix_sent,
            (false, Direction::Receive) => connection.received_sequence,
            (false, Direction::Send) => connection.sent_sequence,
        };
        open(walks, connection, other, &Opening { protocol: opening.protocol, payload: 0, seen: 0, sequence });
    }
    Some(())
}

#[inline(always)]
fn open(walks: &mut Walks, connection: &mut Connection, direction: Direction, opening: &Opening) {
    let walk = walks.direction(direction);
    walk.protocol = opening.protocol;
    walk.payload = opening.payload;
    walk.keep = opening.payload;
    walk.seen = opening.seen;
    walk.size = 0;
    walk.budget = Format::grants(opening.protocol).0;
    walk.next = opening.sequence;
    connection.set_framing(direction, FOLLOWED);
}
