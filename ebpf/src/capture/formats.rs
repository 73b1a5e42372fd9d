//! How protocols lay out their frames, and what is captured of them.

use crate::kernel::volatile::get;

/// The bytes of calls are captured as they come, without regard to frames.
pub const NONE: u32 = 0;
/// The chunks of a body of HTTP/1: see [`crate::frames::chunks`].
pub const CHUNKED: u32 = 1;
/// RFC 9113. From here on a protocol has a [`Format`].
pub const HTTP2: u32 = 2;
/// RFC 8446, section 5.1.
pub const TLS: u32 = 3;

/// No header is longer. (A power of two, less one.)
pub const HEADER_MAX: u32 = 15;

/// A protocol whose frames begin with a header of fixed size, in which stand the length of the payload and a type of
/// one byte.
#[repr(C)]
pub struct Format {
    /// Bytes of a header.
    pub header: u32,
    /// Offset of the length in it, of which four bytes are read.
    pub length_at: u32,
    /// 1 if the length is a little-endian number, 0 if it is a big-endian one.
    pub little_endian: u32,
    /// How many bits of the four bytes lie behind those of the length, and are no part of it.
    pub length_shift: u32,
    /// How many bytes of the header the length counts too.
    pub length_includes: u32,
    /// No frame is longer.
    pub length_max: u32,
    /// Offset of the type in it.
    pub type_at: u32,
    /// How many bytes are captured of every payload.
    pub first: u32,
    /// Payloads of at most this many bytes are captured whole.
    pub short: u32,
    /// Captured without reserve at the most, beyond what is always captured, of what comes in one burst, in bytes.
    pub burst: u32,
    /// One byte more is granted every so many nanoseconds, as a power of two.
    pub grant_shift: u32,
    /// A frame that carries a message has less payload, in bytes. One of more belongs to a bulk transfer.
    pub message_max: u32,
    /// The types whose payloads are captured whole, as bits. The highest bit stands for all types from 127 on.
    pub whole: [u64; 2],
    /// The types that carry messages, as bits: the other end answers them.
    pub messages: [u64; 2],
}

/// By the number of the protocol, from [`HTTP2`] on.
static FORMATS: [Format; 2] = [
    // RFC 9113, section 4.1: the length (3 bytes), the type, flags, the stream. Whole is all but DATA (0), of which
    // 16 bytes hold the length of a padding and the head of a gRPC message. DATA and HEADERS (1) carry messages.
    Format {
        header: 9,
        length_at: 0,
        little_endian: 0,
        length_shift: 8,
        length_includes: 0,
        length_max: 0xFF_FFFF,
        type_at: 3,
        first: 16,
        short: 0,
        // Ten streams of a thousand messages of 100 bytes, and then about 4 MiB/s.
        burst: 1024 * 1024,
        grant_shift: 8,
        message_max: 4096,
        whole: [0x3FE, 0],
        messages: [0b11, 0],
    },
    // The type, the version (2 bytes), the length (2 bytes), behind which the array of the header goes on. Whole is all
    // but application data (23), which are opaque here: any byte of them may belong to a header of the protocol within.
    // Of what is too much the beginning may still hold the head of a message, and has the nonce of TLS 1.2.
    Format {
        header: 5,
        length_at: 3,
        little_endian: 0,
        length_shift: 16,
        length_includes: 0,
        // TLS 1.2 allows more beyond 2^14 than TLS 1.3 does (RFC 5246, section 6.2.3).
        length_max: 16 * 1024 + 2048,
        type_at: 0,
        first: 1024,
        short: 4096,
        burst: 4 * 1024 * 1024,
        grant_shift: 4,
        // The head of a message may stand in one record with the beginning of a body.
        message_max: u32::MAX,
        whole: [1 << 20 | 1 << 21 | 1 << 22 | 1 << 24, 0],
        messages: [1 << 23, 0],
    },
];

impl Format {
    /// That of a protocol which has one.
    #[inline(always)]
    pub fn of(protocol: u32) -> Option<&'static Self> {
        FORMATS.get(protocol.wrapping_sub(HTTP2) as usize)
    }

    /// What may be captured of a burst, and the shift of what is granted anew: see [`Format::burst`].
    #[inline(always)]
    pub fn grants(protocol: u32) -> (u32, u32) {
        Self::of(protocol).map_or((0, 0), |format| (get(&format.burst), get(&format.grant_shift) & 63))
    }

    /// The length that a header tells, whose four bytes at [`Format::length_at`] these are.
    #[inline(always)]
    pub fn length(&self, bytes: [u8; 4]) -> u32 {
        if self.little_endian != 0 {
            u32::from_le_bytes(bytes) & u32::MAX >> (self.length_shift & 31)
        } else {
            u32::from_be_bytes(bytes) >> (self.length_shift & 31)
        }
    }

    /// Whether a type is in a set of types.
    #[inline(always)]
    pub fn is_in(types: &[u64; 2], kind: u8) -> bool {
        let kind = if kind > 127 { 127 } else { kind };
        types[usize::from(kind >> 6 & 1)] >> (kind & 63) & 1 != 0
    }
}
