//! The heads of packets, and the numbers in their payloads: section "Protocol Basics".

use crate::protocol::pipeline::Start;

/// The length of a payload and the packet's number.
pub(super) const HEAD: usize = 4;

/// What is sent in a packet as long as this goes on in the next one.
pub(super) const LENGTH_MAX: u32 = 0xff_ffff;

/// The head of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Bytes that follow the head.
    pub(super) length: u32,
    /// Counts the packets of a command and its answer from 0.
    pub(super) sequence: u8,
}

impl Head {
    pub(super) fn parse(bytes: [u8; HEAD]) -> Self {
        let [l0, l1, l2, sequence] = bytes;
        Self { length: u32::from_le_bytes([l0, l1, l2, 0]), sequence }
    }
}

/// A packet that is whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'a> {
    pub(super) head: Head,
    /// The first bytes of its payload.
    pub(super) payload: &'a [u8],
    pub(super) start: Start,
    /// Return of the call that moved its last byte, in nanoseconds, if that was seen.
    pub(super) end_ns: Option<u64>,
    /// Whether it goes on with what the packet before it has begun.
    pub(super) continues: bool,
}

impl Packet<'_> {
    /// With its head, in bytes.
    pub(super) fn size(&self) -> u64 {
        HEAD as u64 + u64::from(self.head.length)
    }

    /// Whether what it holds goes on in the next packet.
    pub(super) fn is_continued(&self) -> bool {
        self.head.length == LENGTH_MAX
    }

    /// The number of the packet behind it.
    pub(super) fn next_sequence(&self) -> u8 {
        self.head.sequence.wrapping_add(1)
    }
}

/// Reads on in a payload.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// A number whose first byte says how long it is.
    pub(super) fn number(&mut self) -> Option<u64> {
        match self.byte()? {
            byte @ ..=0xfa => Some(byte.into()),
            0xfc => self.u16().map(u64::from),
            0xfd => self.array().map(|[b0, b1, b2]| u32::from_le_bytes([b0, b1, b2, 0]).into()),
            0xfe => self.array().map(u64::from_le_bytes),
            _ => None,
        }
    }

    /// Passes over a text that ends with a NUL.
    pub(super) fn skip_text(&mut self) -> Option<()> {
        let end = memchr::memchr(0, self.0)?;
        self.take(end + 1).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_say_how_long_they_are() {
        for (bytes, number, left) in [
            (&[0xfa, 7][..], Some(0xfa), 1),
            (&[0xfc, 1, 2], Some(0x201), 0),
            (&[0xfd, 1, 2, 3], Some(0x3_0201), 0),
            (&[0xfe, 1, 0, 0, 0, 0, 0, 0, 0x80, 9], Some(0x8000_0000_0000_0001), 1),
            (&[0xfb], None, 0),
            (&[0xff], None, 0),
            (&[0xfc, 1], None, 1),
            (&[], None, 0),
        ] {
            let mut reader = Reader(bytes);
            assert_eq!((reader.number(), reader.0.len()), (number, left), "{bytes:x?}");
        }
    }
}
