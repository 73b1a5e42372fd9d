//! The heads of messages: section "Message Formats".

use crate::protocol::candidate::Likeness;
use crate::protocol::statement::STATEMENT_MAX;
use crate::transport::segment::Direction;

/// The type of a message and its length.
pub(super) const HEAD: usize = 5;

/// The length of a packet at the beginning of a connection, and what it is.
pub(super) const STARTUP_HEAD: usize = 8;

/// The longest startup packet that servers take: `MAX_STARTUP_PACKET_LENGTH` in `src/include/libpq/pqcomm.h`.
const STARTUP_MAX: u32 = 10_000;

/// The longest message: `MaxAllocSize` in `src/include/utils/memutils.h`.
const MESSAGE_MAX: u32 = 0x3fff_ffff;

/// No message by which a direction is found again is longer: bytes of a text are never the length of one.
const LENGTH_PLAUSIBLE: u32 = 1 << 20;

/// Names are kept up to this length, in bytes.
pub(super) const NAME_MAX: usize = 128;

/// The head of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: u8,
    /// Bytes that follow the head.
    pub(super) length: u32,
}

/// What the first packet of a connection asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Startup {
    /// To go on in TLS, or with the encryption of GSSAPI. The server answers with one byte.
    Encryption,
    /// To cancel what another connection does. There is no answer.
    Cancel,
    /// To log in.
    Login,
}

impl Head {
    /// `None` if no message of this direction has such a head.
    pub(super) fn parse(direction: Direction, bytes: [u8; HEAD]) -> Option<Self> {
        let [kind, length @ ..] = bytes;
        let length = u32::from_be_bytes(length).checked_sub(4).filter(|length| *length <= MESSAGE_MAX)?;
        let range = match (direction, kind) {
            (Direction::Request, b'S' | b'H' | b'X' | b'c')
            | (Direction::Response, b'1' | b'2' | b'3' | b'n' | b'I' | b's' | b'c') => 0..=0,
            (Direction::Response, b'Z') => 1..=1,
            (Direction::Response, b'K') => 8..=260,
            (Direction::Request, b'd' | b'p') | (Direction::Response, b'd') => 0..=MESSAGE_MAX,
            (Direction::Request, b'Q' | b'f') | (Direction::Response, b'E' | b'N') => 1..=MESSAGE_MAX,
            (Direction::Request, b'C' | b'D') | (Direction::Response, b'T' | b't' | b'S' | b'C' | b'D') => {
                2..=MESSAGE_MAX
            }
            (Direction::Response, b'G' | b'H' | b'W') => 3..=MESSAGE_MAX,
            (Direction::Request, b'P') | (Direction::Response, b'R' | b'V') => 4..=MESSAGE_MAX,
            (Direction::Request, b'E') => 5..=MESSAGE_MAX,
            (Direction::Response, b'A') => 6..=MESSAGE_MAX,
            (Direction::Request, b'B') | (Direction::Response, b'v') => 8..=MESSAGE_MAX,
            (Direction::Request, b'F') => 10..=MESSAGE_MAX,
            _ => return None,
        };
        range.contains(&length).then_some(Self { kind, length })
    }

    /// How many bytes of its payload are looked at. What may hold a secret is not.
    pub(super) fn kept(self, direction: Direction) -> usize {
        let most = match (direction, self.kind) {
            (Direction::Request, b'Q') => STATEMENT_MAX,
            (Direction::Request, b'P') => NAME_MAX + STATEMENT_MAX,
            (Direction::Request, b'B') => 2 * NAME_MAX,
            (Direction::Request, b'C' | b'D' | b'E') => NAME_MAX,
            // The severity stands before the code, in the server's language perhaps.
            (Direction::Response, b'E') => 256,
            (Direction::Response, b'C') => 64,
            _ => 0,
        };
        most.min(self.length as usize)
    }
}

impl Startup {
    /// The length of the packet, and what it asks for. `None` if it is none of version 3.
    pub(super) fn parse(bytes: [u8; STARTUP_HEAD]) -> Option<(u32, Self)> {
        let [l0, l1, l2, l3, c0, c1, c2, c3] = bytes;
        let (length, code) = (u32::from_be_bytes([l0, l1, l2, l3]), u32::from_be_bytes([c0, c1, c2, c3]));
        let startup = match (code >> 16, code & 0xffff) {
            (1234, 5679 | 5680) if length == 8 => Self::Encryption,
            (1234, 5678) if length >= 16 => Self::Cancel,
            (3, _) if length > 8 => Self::Login,
            _ => return None,
        };
        (length <= STARTUP_MAX).then_some((length, startup))
    }
}

/// How much bytes are like the first packet of a connection.
pub(super) fn startup_likeness(bytes: &[u8]) -> Likeness {
    match bytes.first_chunk::<STARTUP_HEAD>() {
        Some(head) if Startup::parse(*head).is_some() => Likeness::Whole,
        None if bytes.iter().zip([0, 0]).all(|(byte, zero)| *byte == zero) => Likeness::Partial,
        _ => Likeness::None,
    }
}

/// Whether messages begin here: these bytes, the first that a call moved, are a chain of messages as far as they go.
pub(super) fn begins(direction: Direction, bytes: &[u8]) -> bool {
    let mut rest = bytes;
    let mut any = false;
    while let Some((head, payload)) = rest.split_first_chunk::<HEAD>() {
        let head = Head::parse(direction, *head).filter(|head| head.length <= LENGTH_PLAUSIBLE);
        let Some(head) = head else { return false };
        any = true;
        rest = payload.get(head.length as usize..).unwrap_or_default();
    }
    any
}

/// Whether a call whose last bytes are these ends with `ReadyForQuery`.
pub(super) fn ends_ready(bytes: &[u8]) -> bool {
    matches!(bytes, [.., b'Z', 0, 0, 0, 5, b'I' | b'T' | b'E'])
}

/// The text up to its NUL, and what stands behind; of a text that is cut, all there is.
pub(super) fn text(bytes: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(0, bytes) {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (bytes, &[]),
    }
}

/// The text up to its NUL, if that is there, and what stands behind.
pub(super) fn whole_text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    memchr::memchr(0, bytes).map(|end| (&bytes[..end], &bytes[end + 1..]))
}
