//! Records of TLS: RFC 8446, section 5, and for TLS 1.2 RFC 5246, section 6.2.

use crate::transport::segment::Segment;

/// Bytes of the header of a record.
pub(super) const HEADER: usize = 5;

/// The longest content of a record, with what sealing may add to it (RFC 5246, section 6.2.3; TLS 1.3 allows less).
const LENGTH_MAX: usize = (1 << 14) + 2048;

/// What records hold.
pub(super) mod content {
    pub(in super::super) const CHANGE_CIPHER_SPEC: u8 = 20;
    pub(in super::super) const ALERT: u8 = 21;
    pub(in super::super) const HANDSHAKE: u8 = 22;
    pub(in super::super) const APPLICATION_DATA: u8 = 23;
}

/// The header of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) bytes: [u8; HEADER],
}

impl Header {
    /// `None` if no record begins so.
    pub(super) fn parse(bytes: [u8; HEADER]) -> Option<Self> {
        let header = Self { bytes };
        let is_known = matches!(header.content(), content::CHANGE_CIPHER_SPEC..=content::APPLICATION_DATA);
        (is_known && bytes[1] == 3 && bytes[2] <= 4 && header.length() <= LENGTH_MAX).then_some(header)
    }

    /// What it holds; in TLS 1.3, application data stands for everything that is sealed.
    pub(super) fn content(self) -> u8 {
        self.bytes[0]
    }

    /// Bytes behind the header.
    pub(super) fn length(self) -> usize {
        usize::from(u16::from_be_bytes([self.bytes[3], self.bytes[4]]))
    }
}

/// What was captured of the bytes behind a header.
#[derive(Debug, Default)]
pub(super) struct Payload {
    /// The parts that are known, one behind the other.
    pub(super) bytes: Vec<u8>,
    /// Where each of them is: its offset in the record, and its length. Ascending, and no two of them touch.
    pub(super) parts: Vec<(usize, usize)>,
}

impl Payload {
    fn clear(&mut self) {
        self.bytes.clear();
        self.parts.clear();
    }

    fn add(&mut self, offset: usize, bytes: &[u8]) {
        match self.parts.last_mut() {
            Some((start, length)) if *start + *length == offset => *length += bytes.len(),
            _ => self.parts.push((offset, bytes.len())),
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The bytes that are known from the first on.
    pub(super) fn beginning(&self) -> &[u8] {
        match self.parts.first() {
            Some((0, length)) => &self.bytes[..*length],
            _ => &[],
        }
    }

    /// Whether all `length` bytes are known.
    pub(super) fn is_whole(&self, length: usize) -> bool {
        self.bytes.len() == length
    }
}

/// Which calls moved a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
// The unit is a part of each name.
#[allow(clippy::struct_field_names)]
pub(super) struct Times {
    /// Of the call that moved its first byte, as [`Segment::begin_ns`].
    pub(super) begin_ns: u64,
    /// Of the call that moved its last byte, as [`Segment::end_ns`].
    pub(super) end_ns: u64,
    /// When its first and its last byte reached the receive queue, if known.
    pub(super) arrived_ns: Option<u64>,
    pub(super) last_arrived_ns: Option<u64>,
}

/// A record that has moved as a whole.
#[derive(Debug)]
pub(super) struct Record {
    /// Offset of its first byte.
    pub(super) at: u64,
    pub(super) header: Header,
    pub(super) payload: Payload,
    pub(super) times: Times,
}

impl Record {
    pub(super) fn is_whole(&self) -> bool {
        self.payload.is_whole(self.header.length())
    }
}

/// How far the record at hand has come.
#[derive(Debug)]
pub(super) struct Partial {
    at: u64,
    head: [u8; HEADER],
    head_length: usize,
    header: Option<Header>,
    /// Bytes behind the header that have moved.
    moved: usize,
    payload: Payload,
    times: Times,
}

/// Bytes that belong to no record.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OutOfStep;

impl Partial {
    /// A record that begins at this offset. `payload` is room for it.
    pub(super) fn at(at: u64, mut payload: Payload) -> Self {
        payload.clear();
        Self { at, head: [0; HEADER], head_length: 0, header: None, moved: 0, payload, times: Times::default() }
    }

    pub(super) fn offset(&self) -> u64 {
        self.at
    }

    /// Whether nothing has come of it.
    pub(super) fn is_new(&self) -> bool {
        self.head_length == 0
    }

    /// Takes from these bytes, which begin at `offset`, what belongs to it; returns how many that are.
    pub(super) fn feed(&mut self, offset: u64, bytes: &[u8], segment: &Segment<'_>) -> Result<usize, OutOfStep> {
        if self.is_new() && !bytes.is_empty() {
            self.times.begin_ns = segment.begin_ns;
            self.times.arrived_ns = segment.arrived_at(offset);
        }
        let mut taken = 0;
        if self.header.is_none() {
            taken = bytes.len().min(HEADER - self.head_length);
            self.head[self.head_length..][..taken].copy_from_slice(&bytes[..taken]);
            self.head_length += taken;
            if self.head_length < HEADER {
                return Ok(taken);
            }
            self.header = Some(Header::parse(self.head).ok_or(OutOfStep)?);
        }
        let bytes = &bytes[taken..];
        let length = bytes.len().min(self.left());
        if length > 0 {
            self.payload.add(self.moved, &bytes[..length]);
            self.moved += length;
        }
        self.touch(segment, offset + (taken + length) as u64);
        Ok(taken + length)
    }

    /// Takes from `length` bytes that are not known what belongs to it; returns how many that are. `segment` has moved
    /// them, if that was seen.
    pub(super) fn skip(&mut self, offset: u64, length: u64, segment: Option<&Segment<'_>>) -> Result<u64, OutOfStep> {
        if self.header.is_none() {
            return if length == 0 { Ok(0) } else { Err(OutOfStep) };
        }
        let skipped = length.min(self.left() as u64);
        self.moved += skipped as usize;
        if let Some(segment) = segment {
            self.touch(segment, offset + skipped);
        }
        Ok(skipped)
    }

    /// A call moved bytes of it up to `end`.
    fn touch(&mut self, segment: &Segment<'_>, end: u64) {
        self.times.end_ns = segment.end_ns;
        self.times.last_arrived_ns = end.checked_sub(1).and_then(|last| segment.arrived_at(last));
    }

    /// Bytes that are still to come, once its header is known.
    fn left(&self) -> usize {
        self.header.map_or(0, |header| header.length() - self.moved)
    }

    /// The record, if all of it has moved; a new one takes its place.
    pub(super) fn take_if_moved(&mut self, room: &mut Payload) -> Option<Record> {
        let header = self.header.filter(|header| self.moved == header.length())?;
        let next = self.at + (HEADER + self.moved) as u64;
        let done = std::mem::replace(self, Self::at(next, std::mem::take(room)));
        Some(Record { at: done.at, header, payload: done.payload, times: done.times })
    }

    /// Gives the room back that it needs no more.
    pub(super) fn into_room(self) -> Payload {
        self.payload
    }

    /// Lends its room out as long as nothing has come of it.
    pub(super) fn swap_room(&mut self, room: &mut Payload) {
        std::mem::swap(&mut self.payload, room);
        self.payload.clear();
    }
}

/// Whether these bytes are none, or as a record begins.
pub(super) fn may_begin_record(bytes: &[u8]) -> bool {
    bytes.first_chunk().map_or(bytes.is_empty(), |head| Header::parse(*head).is_some())
}
