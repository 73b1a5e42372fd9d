//! HTTP/1.0 and HTTP/1.1: RFC 9112.
//!
//! Each direction is a `Side`: heads are parsed where they lie if a piece holds them whole, and once only if they come
//! again and again; bodies are counted. A body's length is kept through bytes that were not captured, if these are
//! content by its length or by the size line of a chunk. With a known length it is kept as well through bytes that moved
//! without a record. Where a head may have been among those, the side is out of step and goes on at the next operation
//! that begins with a message.

mod body;
mod chunked;
mod expectation;
mod expecting;
mod head;
pub(super) mod head_cache;
mod head_end;
mod line;
mod read_head;
mod requests;
mod responses;
mod side;
mod unread;

use std::collections::VecDeque;

use super::candidate::Candidate;
use super::message::{GivenUp, MessageEnd, Messages, Protocol, Shared, Unfinished, UnfinishedResponse, Upgrade};
use crate::model::connection::StreamId;
use crate::transport::segment::{Direction, Segment};
use head_cache::Heads;
use side::{Side, State};
use unread::Unread;

pub(super) use head::{begins_request, may_begin_response};
pub(super) use line::request_likeness;

/// Requests that may wait for their responses at a time; no client sends more ahead.
const PENDING_MAX: usize = 4096;

/// Reads one connection.
#[derive(Debug)]
pub struct Http1 {
    requests: Side,
    responses: Side,
    /// The requests that have no whole response yet, in their order.
    pending: VecDeque<Expected>,
    /// What came behind them and could not be read.
    unread: Option<Box<Unread>>,
    /// The request that came last.
    last_request: Option<StreamId>,
    /// Whether any bytes have come from the client.
    begun: bool,
    /// Offset behind the last byte that was received.
    received: u64,
    /// Offset of the segment in which the last head of a request ended.
    last_head_in: Option<u64>,
    reading: Reading,
    /// The protocols that may take the connection over.
    successors: &'static [Candidate],
    /// The last request that asked for one of them, and its head.
    asks_for_successor: Option<(StreamId, Box<[u8]>)>,
    /// What takes the connection over within the operation at hand.
    upgrade: Option<Box<Upgrade>>,
}

/// What of a connection is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    All,
    /// It was said why it is not read, but answers may still be.
    Told,
    Nothing,
}

/// The methods that change what a response means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    /// `HEAD`: the response has no content, whatever it says.
    Head,
    /// `CONNECT`: a response of success opens a tunnel.
    Connect,
    Other,
}

/// What a request says of its response.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct Expected {
    stream: StreamId,
    method: Method,
    /// What follows the request may be of another protocol.
    upgrade: bool,
    /// It is a gRPC call.
    is_grpc: bool,
    /// It came in the same call as the request before it.
    pipelined: bool,
    /// Bytes that may have been its response moved unseen.
    maybe_unseen: bool,
}

/// The call that moved the first byte of a message.
#[derive(Clone, Copy, Debug, Default)]
struct Start {
    /// The byte's offset.
    offset: u64,
    /// When it reached the receive queue of the traced process, in nanoseconds, if it did and that is known.
    arrived: Option<u64>,
    /// Entry of the call, in nanoseconds; of a receive call, its return.
    entered: u64,
}

impl Start {
    /// The byte at this offset of the segment begins the message.
    fn of(segment: &Segment<'_>, offset: u64) -> Self {
        let arrived = segment.arrived_at(offset);
        Self { offset, arrived, entered: segment.begin_ns }
    }
}

impl Method {
    fn named(method: &str) -> Self {
        match method {
            "HEAD" => Self::Head,
            "CONNECT" => Self::Connect,
            _ => Self::Other,
        }
    }
}

impl Http1 {
    /// Of a connection that is seen from its beginning, which may go on in one of these protocols.
    pub fn new(successors: &'static [Candidate]) -> Self {
        Self {
            requests: Side::default(),
            responses: Side::default(),
            pending: VecDeque::new(),
            unread: None,
            last_request: None,
            begun: false,
            received: 0,
            last_head_in: None,
            reading: Reading::All,
            successors,
            asks_for_successor: None,
            upgrade: None,
        }
    }

    /// Of a connection that was met in the midst: what comes first may be the rest of a request.
    pub fn joined(successors: &'static [Candidate]) -> Self {
        let mut joined = Self::new(successors);
        joined.requests.state = State::Lost;
        // The server may be in the midst of a response.
        joined.begun = true;
        joined
    }
}

impl Protocol for Http1 {
    fn segment(
        &mut self,
        segment: &Segment<'_>,
        shared: &mut Shared,
        messages: &mut dyn Messages,
    ) -> Option<Box<Upgrade>> {
        if !self.is_reading() {
            return None;
        }
        let heads = &mut shared.http1;
        match segment.direction {
            Direction::Request => {
                self.begun = true;
                self.received = segment.end();
                self.response_ends_with_turn(segment.beginning(), messages);
            }
            Direction::Response => self.response_ends_with_next(segment.beginning(), messages),
        }
        self.side(segment.direction).begin_operation(segment);
        let mut offset = segment.start;
        for (start, bytes) in segment.pieces() {
            self.hide(segment.direction, start - offset, Some(segment.end_ns), messages);
            self.read(bytes, start, segment, heads, messages);
            offset = start + bytes.len() as u64;
        }
        self.hide(segment.direction, segment.end() - offset, Some(segment.end_ns), messages);
        self.end_operation(segment, messages);
        self.upgrade.take()
    }

    fn gap(&mut self, direction: Direction, length: u64, messages: &mut dyn Messages) {
        if self.is_reading() {
            self.begun |= direction == Direction::Request && length > 0;
            self.hide(direction, length, None, messages);
        }
    }

    fn awaits_content(&self) -> bool {
        match &self.requests.state {
            State::Body(_) => true,
            State::Expecting(expectation) => !expectation.is_answered(),
            _ => false,
        }
    }

    fn announced_content(&self) -> u64 {
        match &self.requests.state {
            State::Body(body) => body.announced(),
            State::Expecting(expectation) => expectation.announced(),
            _ => 0,
        }
    }

    fn response_begun(&self) -> Option<(StreamId, u64)> {
        let front = self.pending.front().filter(|_| !self.responses.head.is_empty())?;
        Some((front.stream, self.responses.start.entered))
    }

    fn is_reading(&self) -> bool {
        self.reading != Reading::Nothing
    }

    fn stop(&mut self, messages: &mut dyn Messages) {
        self.settle_expectation(messages);
        self.check_partial_request();
        self.forget_unread(messages);
    }

    fn unfinished(&self, stream: StreamId) -> Unfinished {
        let request = self.requests.content().filter(|_| self.last_request == Some(stream));
        let Some(front) = self.pending.front().filter(|front| front.stream == stream) else {
            return Unfinished::of(request, None, UnfinishedResponse::Bytes);
        };
        let response = match &self.responses.state {
            State::Body(body) if body.is_unseen() => UnfinishedResponse::Unseen,
            State::Body(body) if body.is_lost() => UnfinishedResponse::Unknown,
            State::Body(body) if body.is_until_close() => UnfinishedResponse::Close,
            State::Lost if front.maybe_unseen => UnfinishedResponse::Unseen,
            _ => UnfinishedResponse::Bytes,
        };
        Unfinished::of(request, self.responses.content(), response)
    }
}

impl Http1 {
    fn side(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::Request => &mut self.requests,
            Direction::Response => &mut self.responses,
        }
    }

    /// Reads bytes that are known; `offset` is that of the first of them.
    fn read(
        &mut self,
        mut input: &[u8],
        mut offset: u64,
        segment: &Segment<'_>,
        heads: &mut Heads,
        messages: &mut dyn Messages,
    ) {
        while !input.is_empty() && self.is_reading() {
            let side = self.side(segment.direction);
            let rest = match &mut side.state {
                State::Lost | State::Over => return,
                State::Expecting(_) => self.read_expected(input, offset, segment, messages),
                State::Body(body) => {
                    let rest = &input[body.read(input)..];
                    if body.is_whole() {
                        let end = body.end(Some(segment.end_ns));
                        self.end(segment.direction, end, messages);
                    }
                    rest
                }
                State::Head if side.head.is_empty() && matches!(input[0], b'\r' | b'\n') => &input[1..],
                State::Head => {
                    if side.head.is_empty() {
                        side.start = Start::of(segment, offset);
                    }
                    match segment.direction {
                        Direction::Request => self.read_request_head(input, segment, heads, messages),
                        Direction::Response => self.read_response_head(input, segment, heads, messages),
                    }
                }
            };
            offset = offset.saturating_add((input.len() - rest.len()) as u64);
            input = rest;
            if let Some(upgrade) = &mut self.upgrade {
                upgrade.response_from = offset;
            }
        }
    }

    /// Bytes moved that cannot be read: in a call that returned at `time_ns`, or unseen.
    fn hide(&mut self, direction: Direction, length: u64, time_ns: Option<u64>, messages: &mut dyn Messages) {
        if length == 0 || !self.is_reading() {
            return;
        }
        if direction == Direction::Request {
            self.expect_content(messages);
        }
        let side = self.side(direction);
        let in_head = !side.head.is_empty();
        let left = match &mut side.state {
            State::Body(body) => match body.hide(length, time_ns.is_none()) {
                body::Hidden::Within => return,
                body::Hidden::Ended { left } => {
                    let end = body.end(time_ns);
                    self.end(direction, end, messages);
                    left
                }
            },
            // Whatever the call moved, it did not begin with a message.
            State::Lost if time_ns.is_some() => return,
            State::Head | State::Expecting(_) | State::Lost => length,
            State::Over => return,
        };
        if left > 0 {
            match direction {
                // What moved unseen is counted as such.
                Direction::Request if time_ns.is_none() => self.requests.lose(),
                Direction::Request => {
                    if in_head {
                        self.miss_request();
                    } else {
                        messages.unread();
                    }
                    self.requests.lose();
                }
                Direction::Response => self.lose_responses(time_ns.is_none(), messages),
            }
        }
    }

    fn end(&mut self, direction: Direction, end: MessageEnd, messages: &mut dyn Messages) {
        match direction {
            Direction::Request => self.end_request(end, messages),
            Direction::Response => self.end_response(end, messages),
        }
    }

    /// The call's bytes are through.
    fn end_operation(&mut self, segment: &Segment<'_>, messages: &mut dyn Messages) {
        let side = self.side(segment.direction);
        side.last_ns = Some(segment.end_ns);
        if let State::Body(body) = &side.state
            && body.ends_with_operation()
        {
            let end = body.end(Some(segment.end_ns));
            self.end(segment.direction, end, messages);
        }
    }

    fn give_up(&mut self, reason: GivenUp, messages: &mut dyn Messages) {
        self.close(messages);
        self.tell(reason, messages);
        self.reading = Reading::Nothing;
    }

    /// Reads nothing from here on.
    fn close(&mut self, messages: &mut dyn Messages) {
        while let Some(Expected { stream, .. }) = self.pending.pop_front() {
            messages.unseen(stream);
        }
        self.requests.close();
        self.responses.close();
        self.forget_unread(messages);
    }

    /// Says why the connection is not read, or not from here on; once.
    fn tell(&mut self, reason: GivenUp, messages: &mut dyn Messages) {
        if self.reading == Reading::All {
            self.reading = Reading::Told;
            messages.give_up(reason);
        }
    }
}
