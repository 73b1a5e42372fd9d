//! What one call moved, as a piece of a byte stream.

use crate::transport::arrivals::Arrivals;

/// Which way bytes move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client: what the server receives.
    Request,
    /// To the client: what the server sends.
    Response,
}

/// The bytes that one receive or send call moved, those already seen taken off.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// Which way they moved.
    pub direction: Direction,
    /// Offset of the first of them in the stream of this direction.
    pub start: u64,
    /// The first of them, as captured.
    pub data: &'a [u8],
    /// How many follow that were moved and not captured.
    pub skipped: u64,
    /// The last eight of them, where some were skipped and these are known.
    pub tail: Option<[u8; 8]>,
    /// Entry of the call, in nanoseconds; for a receive call its return.
    pub begin_ns: u64,
    /// Return of the call, in nanoseconds; for a send call, when a client on this machine had the last of the bytes, if
    /// that was before.
    pub end_ns: u64,
    pub(super) arrivals: &'a Arrivals,
}

impl Segment<'_> {
    /// The part of it that lies at or behind this offset.
    #[must_use]
    pub fn from(mut self, offset: u64) -> Self {
        let cut = offset.saturating_sub(self.start);
        let data = usize::try_from(cut).map_or(self.data.len(), |cut| cut.min(self.data.len()));
        self.data = &self.data[data..];
        self.skipped = self.skipped.saturating_sub(cut - data as u64);
        self.start = self.start.max(offset);
        self
    }

    /// Bytes that it moved.
    pub fn length(&self) -> u64 {
        self.skipped.saturating_add(self.data.len() as u64)
    }

    /// The offset behind the last of its bytes.
    pub fn end(&self) -> u64 {
        self.start.saturating_add(self.length())
    }

    /// When the byte at this offset of the request direction reached the receive queue, in
    /// nanoseconds, if known.
    pub fn arrived_at(&self, offset: u64) -> Option<u64> {
        self.arrivals.at(offset)
    }

    /// When the last of its bytes reached the receive queue, in nanoseconds, if known.
    pub fn last_arrived(&self) -> Option<u64> {
        self.arrived_at(self.end().saturating_sub(1))
    }
}
