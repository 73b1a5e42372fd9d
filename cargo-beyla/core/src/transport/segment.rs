//! What one call moved, as a part of a byte stream.

use crate::event::{Captured, Pieces};
use crate::model::connection::Role;
use crate::transport::arrivals::Arrivals;

/// Which way bytes move between the ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    Request,
    /// From the server to the client.
    Response,
}

/// What a call of the traced process does with the bytes that it moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Io {
    /// It takes them out of the receive queue.
    Receive,
    /// It sends them.
    Send,
}

impl Direction {
    /// Of the bytes that such a call moves at this end of a connection.
    pub fn of(role: Role, io: Io) -> Self {
        match (role, io) {
            (Role::Server, Io::Receive) | (Role::Client, Io::Send) => Self::Request,
            (Role::Server, Io::Send) | (Role::Client, Io::Receive) => Self::Response,
        }
    }
}

/// The bytes that one receive or send call moved, those already seen taken off.
///
/// What was captured of them are pieces, in the order of the stream. What lies between two pieces was moved and not
/// captured.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// Which way they moved.
    pub direction: Direction,
    /// Offset of the first of them in the stream of this direction.
    pub start: u64,
    /// Entry of the call, in nanoseconds; for a receive call its return.
    pub begin_ns: u64,
    /// Return of the call, in nanoseconds; for a send call, when a peer on this machine had the last of the bytes, if
    /// that was before.
    pub end_ns: u64,
    /// How many they are.
    pub(super) length: u64,
    /// What was captured of all that the call moved, and how much of that lies before `start`.
    pub(super) captured: Captured<'a>,
    pub(super) before: u64,
    /// The last eight bytes, if they are known.
    pub(super) tail: Option<[u8; 8]>,
    pub(super) arrival: Arrival<'a>,
}

/// When the bytes of a segment reached the receive queue of the traced process.
#[derive(Clone, Copy, Debug)]
pub(super) enum Arrival<'a> {
    /// The process sends them, or nobody knows.
    None,
    /// A receive call took them.
    Each(&'a Arrivals),
    /// They came in a record: when its first byte arrived, and its last, in nanoseconds, if known. The first byte of a
    /// message counts as come with the first of its record, and nothing of it is there before the last.
    Record { first_ns: Option<u64>, last_ns: Option<u64> },
}

impl Segment<'_> {
    /// The part of it that lies at or behind this offset.
    #[must_use]
    pub fn from(mut self, offset: u64) -> Self {
        let cut = offset.saturating_sub(self.start).min(self.length);
        self.start += cut;
        self.before += cut;
        self.length -= cut;
        self
    }

    /// How many bytes the call moved.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The offset behind the last of them.
    pub fn end(&self) -> u64 {
        self.start.saturating_add(self.length)
    }

    /// The pieces that were captured, each with its offset in the stream of this direction: ascending, without overlap,
    /// and none of them empty.
    pub fn pieces(&self) -> impl Iterator<Item = (u64, &[u8])> {
        SegmentPieces { segment: self, captured: self.captured.pieces(), at: self.start, tail: self.tail.as_ref() }
    }

    /// The bytes that the first piece holds, if that begins with the segment.
    pub fn beginning(&self) -> &[u8] {
        self.pieces().next().filter(|(offset, _)| *offset == self.start).map_or(&[], |(_, bytes)| bytes)
    }

    /// When the byte at this offset reached the receive queue of the traced process, in nanoseconds, if it is one that
    /// the process receives and that is known.
    pub fn arrived_at(&self, offset: u64) -> Option<u64> {
        match self.arrival {
            Arrival::None => None,
            Arrival::Each(arrivals) => arrivals.at(offset),
            Arrival::Record { first_ns, .. } => first_ns,
        }
    }

    /// When the last of its bytes reached the receive queue, in nanoseconds, if known.
    pub fn last_arrived(&self) -> Option<u64> {
        match self.arrival {
            Arrival::Record { last_ns, .. } => last_ns,
            Arrival::None | Arrival::Each(_) => self.arrived_at(self.end().saturating_sub(1)),
        }
    }
}

struct SegmentPieces<'s, 'a> {
    segment: &'s Segment<'a>,
    captured: Pieces<'a>,
    /// Offset behind the last byte that was handed out.
    at: u64,
    /// Until it is handed out.
    tail: Option<&'s [u8; 8]>,
}

impl<'s> Iterator for SegmentPieces<'s, '_> {
    type Item = (u64, &'s [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let Segment { start, length, before, .. } = *self.segment;
        let end = start + length;
        for (offset, bytes) in self.captured.by_ref() {
            // As the record counts; the bytes before were seen already.
            let offset = u64::from(offset);
            let seen = usize::try_from(before.saturating_sub(offset)).unwrap_or(usize::MAX);
            let Some(bytes) = bytes.get(seen..).filter(|bytes| !bytes.is_empty()) else { continue };
            let offset = start + (offset + seen as u64 - before);
            self.at = offset + bytes.len() as u64;
            return Some((offset, bytes));
        }
        let tail = self.tail.take()?;
        let unknown = usize::try_from(end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let bytes = &tail[tail.len().saturating_sub(unknown)..];
        (!bytes.is_empty()).then(|| (end - bytes.len() as u64, bytes))
    }
}
