//! How protocols lay out their frames, and what is captured of them.

/// The bytes of calls are captured as they come, without regard to frames.
pub const NONE: u32 = 0;
/// The chunks of a body of HTTP/1: see [`crate::chunks`].
pub const CHUNKED: u32 = 1;
/// RFC 9113. From here on a protocol has a [`Format`].
pub const HTTP2: u32 = 2;

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
    /// Offset of the type in it.
    pub type_at: u32,
    /// How many bytes are captured of every payload.
    pub first: u32,
    /// Zero.
    pub reserved: u32,
    /// The types whose payloads are captured whole, as bits. The highest bit stands for all types from 127 on.
    pub whole: [u64; 2],
    /// The types that carry messages, as bits: the other end answers them.
    pub messages: [u64; 2],
}

/// By the number of the protocol, from [`HTTP2`] on.
static FORMATS: [Format; 1] = [
    // RFC 9113, section 4.1: the length (3 bytes), the type, flags, the stream. Whole is all but DATA (0), of which
    // 16 bytes hold the length of a padding and the head of a gRPC message. DATA and HEADERS (1) carry messages.
    Format {
        header: 9,
        length_at: 0,
        little_endian: 0,
        length_shift: 8,
        length_includes: 0,
        type_at: 3,
        first: 16,
        reserved: 0,
        whole: [0x3FE, 0],
        messages: [0b11, 0],
    },
];

impl Format {
    /// That of a protocol which has one.
    #[inline(always)]
    pub fn of(protocol: u32) -> Option<&'static Self> {
        FORMATS.get(protocol.wrapping_sub(HTTP2) as usize)
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
