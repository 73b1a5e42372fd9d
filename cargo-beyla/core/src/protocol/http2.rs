//! HTTP/2: RFC 9113.
//!
//! Each direction is a `Side`: it finds the frames by their lengths, so that of DATA no more than the first bytes need
//! to be captured, and decodes header blocks. Every moment is that of a frame's own bytes: a request begins where its
//! HEADERS frame does, even if others came in the same call.
//!
//! Bytes that no record told of may have held anything. If they were content, by the length of the frame that they lie
//! in, they are counted; else the direction is out of step. It goes on at the next call that begins with frames, with
//! a table of which nothing is known: fields that refer to it are unknown until they come again.
//!
//! Settings are not followed. The one that changes how bytes are read, `SETTINGS_HEADER_TABLE_SIZE`, is announced by
//! the encoder itself (see `hpack`).

mod blocks;
mod fields;
pub mod frame;
mod hpack;
mod messages;
mod side;
mod stream;

use hashbrown::HashMap;

use crate::transport::segment::{Direction, Segment};
use fields::Fields;
use frame::{HEADER, Header, Kind, PREFACE};
use messages::{GivenUp, Messages, Note, Party, StreamId, Unfinished, UnfinishedResponse};
use side::{Block, BlockOf, Content, KEPT_MAX, Payload, Side, Start, State};
use stream::Stream;

/// The streams that may be open at a time; servers allow a few hundred. Requests beyond are counted and not read.
const STREAMS_MAX: usize = 4096;

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
    /// What is added to a stream's number to tell it from the exchanges before an upgrade.
    exchanges_before: u64,
    fields: Fields,
    any_request: bool,
    is_reading: bool,
}

impl Default for Http2 {
    /// Of a connection that is seen from its beginning.
    fn default() -> Self {
        Self::new(Side::new(State::Preface { matched: 0 }), Side::new(State::FRAME))
    }
}

impl Http2 {
    /// Of a connection that was met in the midst.
    pub fn joined() -> Self {
        Self::new(Side::joined(), Side::joined())
    }

    /// Of a connection that spoke HTTP/1 before (RFC 7540, section 3.2): the exchange with this number asked for it, and
    /// its response comes on stream 1.
    pub fn upgraded(exchange: StreamId) -> Self {
        let mut connection = Self::default();
        connection.streams.insert(1, Stream::upgraded());
        connection.last_opened = 1;
        connection.exchanges_before = exchange.0.saturating_sub(1);
        connection.any_request = true;
        connection
    }

    fn new(requests: Side, responses: Side) -> Self {
        Self {
            requests,
            responses,
            streams: HashMap::new(),
            last_opened: 0,
            last_taken: u32::MAX,
            exchanges_before: 0,
            fields: Fields::default(),
            any_request: false,
            is_reading: true,
        }
    }

    /// A call moved bytes.
    pub fn segment(&mut self, segment: &Segment<'_>, messages: &mut dyn Messages) {
        let end = segment.start.saturating_add(segment.data.len() as u64).saturating_add(segment.skipped);
        self.operation(segment, std::iter::once((segment.start, segment.data)), end, messages);
    }

    /// A call moved bytes up to the offset `end`, and these pieces of them were captured, each with its offset.
    fn operation<'a>(
        &mut self,
        segment: &Segment<'_>,
        pieces: impl Iterator<Item = (u64, &'a [u8])>,
        end: u64,
        messages: &mut dyn Messages,
    ) {
        let direction = segment.direction;
        let mut at = segment.start;
        for (offset, bytes) in pieces {
            if offset == segment.start {
                self.step_in(direction, bytes);
            }
            self.hide(direction, offset.saturating_sub(at), Some(segment), messages);
            self.read(bytes, offset, segment, messages);
            at = offset.saturating_add(bytes.len() as u64);
        }
        self.hide(direction, end.saturating_sub(at), Some(segment), messages);
    }

    /// Bytes moved that no record told of.
    pub fn gap(&mut self, direction: Direction, length: u64, messages: &mut dyn Messages) {
        self.hide(direction, length, None, messages);
    }

    /// How many of the bytes that the client sends next are content, by the length of the frame at hand.
    pub fn announced_content(&self) -> u64 {
        match &self.requests.state {
            State::Payload(payload) if payload.header.kind == Kind::Data => payload.left.into(),
            _ => 0,
        }
    }

    /// The response whose first byte was sent and whose head is not whole yet, and the entry of the send call that
    /// carried that byte, in nanoseconds.
    pub fn response_begun(&self) -> Option<(StreamId, u64)> {
        let (stream, start) = match (&self.responses.block, &self.responses.state) {
            (Some(block), _) if !block.of.is_promise => (block.of.stream, block.of.start),
            (None, State::Payload(payload)) if payload.header.kind == Kind::Headers => {
                (payload.header.stream, payload.start)
            }
            _ => return None,
        };
        let waits = self.streams.get(&stream).is_some_and(|stream| !stream.response.has_head);
        waits.then(|| (self.exchange(stream), start.entered))
    }

    /// Whether the connection is still read.
    pub fn is_reading(&self) -> bool {
        self.is_reading
    }

    /// Whether no request was found on it.
    pub fn is_without_requests(&self) -> bool {
        !self.any_request
    }

    /// What is missing of an exchange that has not ended, now that nothing follows.
    pub fn unfinished(&self, stream: StreamId) -> Unfinished {
        let number = stream.0.saturating_sub(self.exchanges_before);
        let open = u32::try_from(number).ok().and_then(|number| self.streams.get(&number));
        let none = Unfinished { request_body: None, response_body: None, response: UnfinishedResponse::Unknown };
        open.map_or(none, Stream::unfinished)
    }

    fn exchange(&self, stream: u32) -> StreamId {
        StreamId(self.exchanges_before.saturating_add(stream.into()))
    }

    fn side(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::Request => &mut self.requests,
            Direction::Response => &mut self.responses,
        }
    }

    /// A call begins with these bytes: a direction that is out of step goes on, if they begin frames.
    fn step_in(&mut self, direction: Direction, bytes: &[u8]) {
        let side = self.side(direction);
        if !matches!(side.state, State::Lost) {
            return;
        }
        if direction == Direction::Request && bytes.starts_with(PREFACE) {
            side.state = State::Preface { matched: 0 };
        } else if frame::begins(bytes) {
            side.state = State::FRAME;
        }
    }

    /// Reads bytes that are known; `offset` is that of the first of them.
    fn read(&mut self, mut input: &[u8], mut offset: u64, segment: &Segment<'_>, messages: &mut dyn Messages) {
        let direction = segment.direction;
        while !input.is_empty() && self.is_reading {
            let side = self.side(direction);
            let read = match &mut side.state {
                State::Lost => return,
                State::Preface { matched } => {
                    let wanted = &PREFACE[*matched..];
                    let length = wanted.len().min(input.len());
                    if wanted[..length] != input[..length] {
                        self.is_reading = false;
                        messages.give_up(GivenUp::Unreadable);
                        return;
                    }
                    *matched += length;
                    if *matched == PREFACE.len() {
                        side.state = State::FRAME;
                    }
                    length
                }
                State::Header { bytes, length, start } => {
                    if *length == 0 {
                        *start = Start::of(segment, offset);
                    }
                    let read = (HEADER - *length).min(input.len());
                    bytes[*length..*length + read].copy_from_slice(&input[..read]);
                    *length += read;
                    if *length == HEADER {
                        let (header, start) = (Header::parse(bytes), *start);
                        self.begin_frame(direction, header, start, Some(segment), messages);
                    }
                    read
                }
                State::Payload(payload) => {
                    let length = input.len().min(payload.left as usize);
                    self.read_payload(&input[..length], segment, messages);
                    length
                }
            };
            offset = offset.saturating_add(read as u64);
            input = &input[read..];
        }
    }

    /// Bytes moved that cannot be read: in a call, or unseen.
    fn hide(
        &mut self,
        direction: Direction,
        mut length: u64,
        segment: Option<&Segment<'_>>,
        messages: &mut dyn Messages,
    ) {
        while length > 0 && self.is_reading {
            let side = self.side(direction);
            let State::Payload(payload) = &mut side.state else {
                return self.lose(direction, segment.is_some(), messages);
            };
            let hidden = length.min(payload.left.into()) as u32;
            length -= u64::from(hidden);
            payload.left -= hidden;
            payload.is_cut = true;
            let (is_over, stream) = (payload.left == 0, payload.header.stream);
            if payload.header.kind == Kind::Data {
                let skipped = payload.content.skip(hidden);
                if let Some(stream) = self.streams.get_mut(&stream) {
                    match skipped {
                        Some(skipped) => stream.half(direction).skip(skipped.into()),
                        None => stream.half(direction).lose(),
                    }
                }
            }
            if is_over {
                let kept = std::mem::take(&mut self.side(direction).kept);
                self.end_frame(direction, &kept, segment, messages);
                self.keep_buffer(direction, kept);
            }
        }
    }

    /// The first bytes of a frame are known.
    fn begin_frame(
        &mut self,
        direction: Direction,
        header: Header,
        start: Start,
        segment: Option<&Segment<'_>>,
        messages: &mut dyn Messages,
    ) {
        if !header.is_valid() {
            return self.lose(direction, true, messages);
        }
        // Section 6.10: nothing comes between the frames of a header block.
        let side = self.side(direction);
        let goes_on = side
            .block
            .as_ref()
            .is_some_and(|block| header.kind == Kind::Continuation && header.stream == block.of.stream);
        if !goes_on && side.lose_block() && direction == Direction::Request {
            messages.unread();
        }
        let content = if header.is_padded() { Content::PaddingNext } else { Content::Left(header.length) };
        let payload = Payload { header, start, left: header.length, is_cut: false, content };
        self.side(direction).state = State::Payload(payload);
        if header.length == 0 {
            self.end_frame(direction, &[], segment, messages);
        }
    }

    /// Reads bytes of the payload at hand, and no more.
    fn read_payload(&mut self, bytes: &[u8], segment: &Segment<'_>, messages: &mut dyn Messages) {
        let direction = segment.direction;
        let side = match direction {
            Direction::Request => &mut self.requests,
            Direction::Response => &mut self.responses,
        };
        let State::Payload(payload) = &mut side.state else {
            return;
        };
        payload.left -= bytes.len() as u32;
        let is_over = payload.left == 0;
        match payload.header.kind {
            Kind::Data => {
                let content = payload.content.read(bytes, payload.header.length);
                if let Some(stream) = self.streams.get_mut(&payload.header.stream) {
                    stream.half(direction).read(content);
                }
                if is_over {
                    self.end_frame(direction, &[], Some(segment), messages);
                }
            }
            Kind::Headers | Kind::PushPromise | Kind::Continuation | Kind::RstStream | Kind::GoAway => {
                if is_over && side.kept.is_empty() && !payload.is_cut {
                    // It came as a whole: it is read where it lies.
                    return self.end_frame(direction, bytes, Some(segment), messages);
                }
                if !payload.is_cut {
                    let room = KEPT_MAX.saturating_sub(side.kept.len());
                    side.kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
                    payload.is_cut = bytes.len() > room;
                }
                if is_over {
                    let kept = std::mem::take(&mut side.kept);
                    self.end_frame(direction, &kept, Some(segment), messages);
                    self.keep_buffer(direction, kept);
                }
            }
            Kind::Priority | Kind::Settings | Kind::Ping | Kind::WindowUpdate | Kind::Other => {
                if is_over {
                    self.end_frame(direction, &[], Some(segment), messages);
                }
            }
        }
    }

    /// A frame is whole; `bytes` are those of its payload that were kept. Without a segment its last bytes moved unseen.
    fn end_frame(
        &mut self,
        direction: Direction,
        bytes: &[u8],
        segment: Option<&Segment<'_>>,
        messages: &mut dyn Messages,
    ) {
        let side = self.side(direction);
        let State::Payload(Payload { header, start, .. }) = std::mem::replace(&mut side.state, State::FRAME) else {
            return;
        };
        let size = HEADER as u64 + u64::from(header.length);
        let time_ns = segment.map(|segment| segment.end_ns);
        match header.kind {
            Kind::Data => {
                if header.ends_stream() {
                    self.end_half(direction, header.stream, time_ns, messages);
                }
            }
            Kind::Headers | Kind::PushPromise => {
                let of = BlockOf {
                    stream: header.stream,
                    start,
                    size,
                    ends_stream: header.ends_stream(),
                    is_promise: header.kind == Kind::PushPromise,
                };
                let fragment = header.fragment(bytes);
                let (bytes, is_whole) = fragment.map_or((&[][..], false), |found| (found.bytes, found.is_whole));
                if header.ends_headers() {
                    self.block(direction, of, bytes, is_whole, time_ns, messages);
                } else {
                    let mut block = Block { of, bytes: Vec::new(), is_whole: true };
                    block.add(bytes, is_whole);
                    side.block = Some(block);
                }
            }
            Kind::Continuation => {
                // Without a beginning it belongs to a block that went by before.
                let Some(mut block) = side.block.take() else { return side.hpack.lose() };
                block.of.size += size;
                block.add(bytes, bytes.len() == header.length as usize);
                if header.ends_headers() {
                    self.block(direction, block.of, &block.bytes, block.is_whole, time_ns, messages);
                } else {
                    side.block = Some(block);
                }
            }
            Kind::RstStream => {
                let time_ns = segment.map_or(start.returned, |segment| segment.begin_ns);
                self.reset(direction, header.stream, time_ns, messages);
            }
            Kind::GoAway => {
                if let (Direction::Response, Some(last)) = (direction, bytes.first_chunk()) {
                    let time_ns = segment.map_or(start.returned, |segment| segment.begin_ns);
                    self.go_away(u32::from_be_bytes(*last) & (u32::MAX >> 1), time_ns, messages);
                }
            }
            Kind::Priority | Kind::Settings | Kind::Ping | Kind::WindowUpdate | Kind::Other => {}
        }
    }

    /// One direction of a stream is whole.
    fn end_half(&mut self, direction: Direction, number: u32, time_ns: Option<u64>, messages: &mut dyn Messages) {
        let exchange = self.exchange(number);
        let Some(stream) = self.streams.get_mut(&number) else { return };
        let half = stream.half(direction);
        if half.is_ended {
            return;
        }
        half.is_ended = true;
        if direction == Direction::Response {
            stream.is_doubtful = false;
            if !stream.response.has_head {
                // It was among what was not captured.
                self.streams.remove(&number);
                messages.unseen(exchange);
                return;
            }
            let request = &mut stream.request;
            if !request.is_ended && request.body.is_none() {
                // Its end may have been as well, and hardly comes behind the response.
                request.is_ended = true;
                messages.end(exchange, Direction::Request, &request.end(None));
            }
        }
        messages.end(exchange, direction, &stream.half(direction).end(time_ns));
        if stream.is_closed() {
            self.streams.remove(&number);
        }
    }

    /// RST_STREAM: section 6.4. The response may be whole already; then the rest of the request does not come.
    fn reset(&mut self, direction: Direction, number: u32, time_ns: u64, messages: &mut dyn Messages) {
        if let Some(stream) = self.streams.remove(&number) {
            messages.reset(self.exchange(number), &stream.reset(sender(direction), time_ns));
        }
    }

    /// GOAWAY of the server: section 6.8. Nothing happens on the streams behind the last that it takes.
    fn go_away(&mut self, last: u32, time_ns: u64, messages: &mut dyn Messages) {
        self.last_taken = self.last_taken.min(last);
        let mut refused: Vec<_> = self.streams.keys().copied().filter(|&stream| stream > last).collect();
        refused.sort_unstable();
        for stream in refused {
            self.reset(Direction::Response, stream, time_ns, messages);
        }
    }

    /// Where the next frame of a direction begins is not known; `in_call` if that is because bytes that a call moved
    /// were not captured or are no frames.
    fn lose(&mut self, direction: Direction, in_call: bool, messages: &mut dyn Messages) {
        let side = self.side(direction);
        if matches!(side.state, State::Lost) {
            return;
        }
        side.lose();
        for stream in self.streams.values_mut() {
            let half = stream.half(direction);
            if !half.is_ended {
                if half.has_head {
                    half.lose();
                }
                stream.is_doubtful |= direction == Direction::Response;
            }
        }
        if direction == Direction::Request && in_call {
            messages.unread();
        }
    }

    fn keep_buffer(&mut self, direction: Direction, mut buffer: Vec<u8>) {
        buffer.clear();
        self.side(direction).kept = buffer;
    }
}

/// Who sends in a direction.
fn sender(direction: Direction) -> Party {
    match direction {
        Direction::Request => Party::Client,
        Direction::Response => Party::Server,
    }
}

/// What was captured of the bytes that a call moved, with the offsets in the direction's stream.
fn pieces<'a>(segment: &Segment<'a>) -> impl Iterator<Item = (u64, &'a [u8])> {
    std::iter::once((segment.start, segment.data))
}

#[cfg(test)]
mod tests;
