//! HTTP/1.0 and HTTP/1.1: RFC 9112.
//!
//! Each direction is a `Side`: heads are parsed where they lie if a segment holds them whole, and once
//! only if they come again and again; bodies are counted. A body's length is kept through bytes that were not captured and, with a known length,
//! through bytes that no record told of. Where a head may have been among those, the side is out of
//! step and goes on at the next segment that begins with a message.

mod body;
mod chunked;
mod expectation;
mod gather;
mod head;
mod line;
mod memo;
mod requests;
mod responses;
mod unread;

use std::collections::VecDeque;

use super::message::{GivenUp, MessageEnd, Messages, Protocol, Unfinished, UnfinishedResponse};
use super::proxy;
use crate::transport::segment::{Direction, Segment};
use body::Body;
use expectation::Expectation;
use unread::Unread;

pub use memo::Heads;

/// Requests that may wait for their responses at a time; no client sends more ahead.
const PENDING_MAX: usize = 4096;

/// Reads one connection.
#[derive(Debug)]
pub struct Http1 {
    requests: Side,
    responses: Side,
    /// The requests that have no whole response yet.
    pending: VecDeque<Expected>,
    /// What came behind them and could not be read.
    unread: Option<Box<Unread>>,
    /// Whether any bytes have come from the client.
    begun: bool,
    /// Whether any request has.
    any_request: bool,
    /// Offset behind the last byte that was received.
    received: u64,
    /// Offset of the segment in which the last head of a request ended.
    last_head_in: Option<u64>,
    reading: Reading,
}

/// What of a connection is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    All,
    /// It was said why it is not read, but answers may still be.
    Told,
    Nothing,
}

/// One direction.
#[derive(Debug, Default)]
struct Side {
    state: State,
    /// The beginning of a head that is not whole, or of what cannot be told from one yet.
    head: Vec<u8>,
    /// Where the message that is being read began.
    start: Start,
    /// Whether the message that is being read was guessed to begin where it did.
    guessed: bool,
    /// When the last call returned that moved bytes, in nanoseconds.
    last_ns: Option<u64>,
}

#[derive(Debug, Default)]
enum State {
    /// At the beginning of a connection, where a proxy may say who is behind it.
    Opening,
    /// In what a proxy has added to that: bytes that are still to come.
    Proxied { left: u64 },
    /// Before or in the head of a message.
    #[default]
    Head,
    /// Before its content, which the client may leave out.
    Expecting(Box<Expectation>),
    /// In its content.
    Body(Body),
    /// Out of step.
    Lost,
    /// Not read any further.
    Over,
}

/// The call that moved the first byte of a message.
#[derive(Clone, Copy, Debug, Default)]
struct Start {
    /// Its offset.
    offset: u64,
    /// When that byte reached the receive queue, in nanoseconds.
    arrived: Option<u64>,
    /// Entry of the call, in nanoseconds.
    entered: u64,
    /// Return of the call, in nanoseconds.
    returned: u64,
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
struct Expected {
    method: Method,
    /// What follows the request may be of another protocol.
    upgrade: bool,
    /// It came in the same call as the request before it.
    pipelined: bool,
    /// Bytes that may have been its response moved unseen.
    maybe_unseen: bool,
}

impl Start {
    /// The byte at this offset of the request direction begins it.
    fn of(segment: &Segment<'_>, offset: u64) -> Self {
        Self { offset, arrived: segment.arrived_at(offset), entered: segment.begin_ns, returned: segment.end_ns }
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

impl Default for Http1 {
    /// Of a connection that is seen from its beginning.
    fn default() -> Self {
        Self::beginning_in(State::Opening)
    }
}

impl Http1 {
    /// Of a connection that was met in the midst: what comes first may be the rest of a request.
    pub fn joined() -> Self {
        Self::beginning_in(State::Lost)
    }

    fn beginning_in(state: State) -> Self {
        Self {
            requests: Side { state, ..Side::default() },
            responses: Side::default(),
            pending: VecDeque::new(),
            unread: None,
            begun: false,
            any_request: false,
            received: 0,
            last_head_in: None,
            reading: Reading::All,
        }
    }

    /// Whether bytes have come from the client and no request was found among them.
    pub fn is_without_requests(&self) -> bool {
        self.begun && !self.any_request
    }
}

impl Protocol for Http1 {
    type Shared = Heads;

    fn segment(&mut self, segment: &Segment<'_>, heads: &mut Heads, messages: &mut dyn Messages) {
        if !self.is_reading() {
            return;
        }
        match segment.direction {
            Direction::Request => {
                // It was met before its first byte.
                if !self.begun && matches!(self.requests.state, State::Lost) && proxy::begins(segment.data) {
                    self.requests.state = State::Opening;
                }
                self.begun = true;
                self.received = segment.start.saturating_add(segment.data.len() as u64).saturating_add(segment.skipped);
                self.response_ends_with_turn(segment.data, messages);
            }
            Direction::Response => self.response_ends_with_next(segment.data, messages),
        }
        self.side(segment.direction).begin_operation(segment);
        self.read(segment.data, segment.start, segment, heads, messages);
        // Where the last bytes are known, fewer are hidden.
        let tail = segment.tail.as_ref().map_or(&[][..], |tail| tail.as_slice());
        let known = tail.len().min(usize::try_from(segment.skipped).unwrap_or(usize::MAX));
        let hidden = segment.skipped - known as u64;
        self.hide(segment.direction, hidden, Some(segment.end_ns), messages);
        let offset = segment.start.saturating_add(segment.data.len() as u64).saturating_add(hidden);
        self.read(&tail[tail.len() - known..], offset, segment, heads, messages);
        self.end_operation(segment, messages);
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

    fn response_begun(&self) -> Option<u64> {
        (!self.responses.head.is_empty()).then_some(self.responses.start.entered)
    }

    fn is_reading(&self) -> bool {
        self.reading != Reading::Nothing
    }

    fn stop(&mut self, messages: &mut dyn Messages) -> Unfinished {
        self.settle_expectation(messages);
        self.check_partial_request(messages);
        self.forget_unread(messages);
        let size = |state: &State| match state {
            State::Body(body) => body.size(),
            State::Expecting(_) => Some(0),
            _ => None,
        };
        let response = match &self.responses.state {
            State::Body(body) if body.is_unseen() => UnfinishedResponse::Unseen,
            State::Body(body) if body.is_lost() => UnfinishedResponse::Unknown,
            State::Body(body) if body.is_until_close() => UnfinishedResponse::Close,
            State::Lost if self.pending.front().is_some_and(|front| front.maybe_unseen) => UnfinishedResponse::Unseen,
            _ => UnfinishedResponse::Bytes,
        };
        Unfinished { request_body: size(&self.requests.state), response_body: size(&self.responses.state), response }
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
                State::Opening => self.read_opening(input, offset, segment, messages),
                State::Proxied { left } => {
                    let taken = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
                    *left -= taken as u64;
                    if *left == 0 {
                        side.state = State::Head;
                    }
                    &input[taken..]
                }
                State::Expecting(_) => self.read_expected(input, offset, segment, messages),
                State::Body(body) => {
                    let rest = &input[body.read(input)..];
                    if body.is_whole() {
                        let body = body.size();
                        let time_ns = Some(segment.end_ns);
                        self.end(segment.direction, MessageEnd { body, time_ns }, messages);
                    }
                    rest
                }
                State::Head if side.head.is_empty() && matches!(input[0], b'\r' | b'\n') => &input[1..],
                State::Head => {
                    if side.head.is_empty() {
                        side.start = match segment.direction {
                            Direction::Request => Start::of(segment, offset),
                            Direction::Response => {
                                Start { offset, arrived: None, entered: segment.begin_ns, returned: segment.end_ns }
                            }
                        };
                    }
                    match segment.direction {
                        Direction::Request => self.read_request_head(input, segment, heads, messages),
                        Direction::Response => self.read_response_head(input, segment, heads, messages),
                    }
                }
            };
            offset = offset.saturating_add((input.len() - rest.len()) as u64);
            input = rest;
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
            State::Proxied { left } => {
                let taken = length.min(*left);
                *left -= taken;
                if *left == 0 {
                    side.state = State::Head;
                }
                length - taken
            }
            State::Body(body) => match body.hide(length, time_ns.is_none()) {
                body::Hidden::Within => return,
                body::Hidden::Ended { left } => {
                    let body = body.size();
                    self.end(direction, MessageEnd { body, time_ns }, messages);
                    left
                }
            },
            // Whatever the call moved, it did not begin with a message.
            State::Lost if time_ns.is_some() => return,
            State::Opening | State::Head | State::Expecting(_) | State::Lost => length,
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
                        messages.request_unread();
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
        if matches!(&side.state, State::Body(body) if body.ends_with_operation()) {
            let end = MessageEnd { body: None, time_ns: Some(segment.end_ns) };
            self.end(segment.direction, end, messages);
        }
    }

    fn give_up(&mut self, reason: GivenUp, messages: &mut dyn Messages) {
        while self.pending.pop_front().is_some() {
            messages.response_unseen();
        }
        self.requests.close();
        self.responses.close();
        self.forget_unread(messages);
        self.tell(reason, messages);
        self.reading = Reading::Nothing;
    }

    /// Says why the connection is not read, or not from here on; once.
    fn tell(&mut self, reason: GivenUp, messages: &mut dyn Messages) {
        if self.reading == Reading::All {
            self.reading = Reading::Told;
            messages.give_up(reason);
        }
    }
}

impl Side {
    /// A call moved bytes in this direction.
    fn begin_operation(&mut self, segment: &Segment<'_>) {
        let begins = match segment.direction {
            Direction::Request => head::begins_request,
            Direction::Response => head::begins_response,
        };
        match &mut self.state {
            State::Lost if begins(segment.data) => {
                self.state = State::Head;
                self.guessed = true;
            }
            State::Body(body) => body.operation(),
            _ => {}
        }
    }

    /// Is out of step from here on.
    fn lose(&mut self) {
        self.head = Vec::new();
        self.state = State::Lost;
    }

    /// Reads nothing from here on.
    fn close(&mut self) {
        self.head = Vec::new();
        self.state = State::Over;
    }
}
