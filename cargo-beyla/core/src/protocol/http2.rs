//! HTTP/2: RFC 9113.
//!
//! Each direction is a `Side`: it finds the frames by their lengths, so that of DATA no more than the first bytes need
//! to be captured, and decodes header blocks. Every moment is that of a frame's own bytes: a request begins where its
//! HEADERS frame does, even if others came in the same call.
//!
//! Bytes that moved without a record may have held anything. If they were content, by the length of the frame that they lie
//! in, they are counted; else the direction is out of step. It goes on at the next call that begins with frames, with
//! an unknown table: fields that refer to it are unknown until they come again.
//!
//! Of the settings only the initial window of streams is followed (see `windows`). The one that changes how bytes are
//! read, `SETTINGS_HEADER_TABLE_SIZE`, is announced by the encoder itself (see `hpack`).

mod blocks;
mod fields;
#[cfg(test)]
pub(crate) mod fixtures;
mod frame;
mod frames;
mod hpack;
mod side;
mod stream;
mod streams;
mod windows;

use hashbrown::HashMap;

use super::candidate::{Beginning, Candidate, Likeness, likeness};
use super::message::{Messages, Protocol, Shared, Unfinished, Upgrade};
use crate::model::connection::StreamId;
use crate::transport::segment::{Direction, Segment};
use fields::Fields;
use frame::{Kind, PREFACE};
use side::{Side, State};
use stream::Stream;
use windows::Windows;

/// The streams that may be open at a time; servers allow a few hundred. Requests beyond are counted and not read.
const STREAMS_MAX: usize = 4096;

/// HTTP/2 with prior knowledge (RFC 9113, section 3.3), or after an upgrade from HTTP/1 (RFC 7540, section 3.2).
pub const CANDIDATE: Candidate = Candidate {
    begins: |direction, bytes| match direction {
        Direction::Request => likeness(bytes, PREFACE),
        // A server that knows that its clients speak HTTP/2 need not wait for the preface.
        Direction::Response if frame::is_settings(bytes) => Likeness::Whole,
        Direction::Response => Likeness::None,
    },
    resumes: |direction, bytes| frame::begins(bytes) || (direction == Direction::Request && bytes.starts_with(PREFACE)),
    token: Some("h2c"),
    open: |beginning| {
        Box::new(match beginning {
            Beginning::First(held) => Http2::after(held.len()),
            Beginning::Midst => Http2::joined(),
            Beginning::Upgraded(_) => Http2::upgraded(),
        })
    },
};

/// Reads one connection.
#[derive(Debug)]
pub struct Http2 {
    requests: Side,
    responses: Side,
    streams: HashMap<u32, Stream>,
    /// The last stream that the client opened.
    last_opened: u32,
    /// The server takes no streams behind this one.
    last_taken: u32,
    /// What the client takes of all responses.
    windows: Windows,
    /// Whether there may be streams whose responses may have moved unseen.
    any_doubtful: bool,
    fields: Fields,
    is_reading: bool,
}

impl Default for Http2 {
    /// Of a connection that is seen from its beginning.
    fn default() -> Self {
        Self::after(0)
    }
}

impl Http2 {
    /// Of a connection that is seen from its beginning, from behind these bytes of the client's preface on.
    fn after(matched: usize) -> Self {
        Self::new(Side::new(State::Preface { matched: matched.min(PREFACE.len()) }), Side::new(State::FRAME))
    }

    /// Of a connection that was met in the midst.
    pub fn joined() -> Self {
        let mut connection = Self::new(Side::joined(), Side::joined());
        connection.windows.lose();
        connection
    }

    /// Of a connection that spoke HTTP/1 before (RFC 7540, section 3.2): the response to what asked for it comes on
    /// stream 1.
    pub fn upgraded() -> Self {
        let mut connection = Self::default();
        connection.streams.insert(1, Stream::upgraded());
        connection.last_opened = 1;
        connection
    }

    fn new(requests: Side, responses: Side) -> Self {
        Self {
            requests,
            responses,
            streams: HashMap::new(),
            last_opened: 0,
            last_taken: u32::MAX,
            windows: Windows::default(),
            any_doubtful: false,
            fields: Fields::default(),
            is_reading: true,
        }
    }

    /// A call moved bytes.
    fn operation(&mut self, segment: &Segment<'_>, messages: &mut dyn Messages) {
        let direction = segment.direction;
        let mut at = segment.start;
        for (offset, bytes) in segment.pieces() {
            if offset == segment.start {
                self.step_in(direction, bytes);
            }
            self.hide(direction, offset.saturating_sub(at), Some(segment), messages);
            self.read(bytes, offset, segment, messages);
            at = offset.saturating_add(bytes.len() as u64);
        }
        self.hide(direction, segment.end().saturating_sub(at), Some(segment), messages);
    }

    fn side(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::Request => &mut self.requests,
            Direction::Response => &mut self.responses,
        }
    }
}

impl Protocol for Http2 {
    fn segment(&mut self, segment: &Segment<'_>, _: &mut Shared, messages: &mut dyn Messages) -> Option<Box<Upgrade>> {
        self.operation(segment, messages);
        None
    }

    fn gap(&mut self, direction: Direction, length: u64, messages: &mut dyn Messages) {
        self.hide(direction, length, None, messages);
    }

    /// Which of the bytes that move unseen are content, only frames tell that may be among them.
    fn awaits_content(&self) -> bool {
        false
    }

    fn announced_content(&self) -> u64 {
        match &self.requests.state {
            State::Payload(payload) if payload.header.kind == Kind::Data => payload.left.into(),
            _ => 0,
        }
    }

    fn response_begun(&self) -> Option<(StreamId, u64)> {
        let (stream, start) = match (&self.responses.block, &self.responses.state) {
            (Some(block), _) if !block.of.is_promise => (block.of.stream, block.of.start),
            (None, State::Payload(payload)) if payload.header.kind == Kind::Headers => {
                (payload.header.stream, payload.start)
            }
            _ => return None,
        };
        let waits = self.streams.get(&stream).is_some_and(|stream| !stream.response.has_head);
        waits.then(|| (exchange(stream), start.entered))
    }

    fn answers_in_order(&self) -> bool {
        false
    }

    fn is_reading(&self) -> bool {
        self.is_reading
    }

    fn stop(&mut self, _: &mut dyn Messages) {}

    fn unfinished(&self, stream: StreamId) -> Unfinished {
        let open = u32::try_from(stream.0).ok().and_then(|number| self.streams.get(&number));
        open.map_or(Unfinished::UNKNOWN, Stream::unfinished)
    }
}

/// What a stream is to the exchanges of its connection.
fn exchange(stream: u32) -> StreamId {
    StreamId(stream.into())
}

#[cfg(test)]
mod tests;
