//! The request direction.

use super::body::Body;
use super::expectation::Expectation;
use super::head::{self, Framing, Request};
use super::head_cache::Heads;
use super::read_head::{ReadHead, read_head};
use super::side::State;
use super::unread::{Otherwise, Unread, Why};
use super::{Expected, Http1, Method, PENDING_MAX};
use crate::model::connection::StreamId;
use crate::protocol::message::{GivenUp, MessageEnd, Messages, RequestHead};
use crate::transport::segment::{Direction, Segment};

impl Http1 {
    /// Reads on in the head of a request; what is left of the input.
    pub(super) fn read_request_head<'a>(
        &mut self,
        input: &'a [u8],
        segment: &Segment<'_>,
        heads: &mut Heads,
        messages: &mut dyn Messages,
    ) -> &'a [u8] {
        let mut buffer = std::mem::take(&mut self.requests.head);
        let left = match read_head(&mut buffer, input, &mut heads.requests) {
            ReadHead::Whole { bytes, head, left } => {
                self.request_head(bytes, head, segment, messages);
                left
            }
            ReadHead::Unreadable { bytes, left } => {
                self.refuse_request(bytes, Why::Broken);
                left
            }
            ReadHead::Partial { is_due } => {
                if is_due && !head::may_become_request(&buffer) {
                    self.refuse_request(&buffer, Why::Broken);
                } else {
                    self.requests.head = buffer;
                }
                0
            }
            ReadHead::TooLong => {
                let bytes = if buffer.is_empty() { input } else { &buffer };
                self.refuse_request(bytes, Why::TooLong);
                0
            }
        };
        &input[input.len() - left..]
    }

    fn request_head(&mut self, bytes: &[u8], head: Request, segment: &Segment<'_>, messages: &mut dyn Messages) {
        if self.pending.len() >= PENDING_MAX {
            return self.give_up(GivenUp::Unreadable, messages);
        }
        let start = self.requests.start;
        let pipelined = self.last_head_in.replace(segment.start) == Some(segment.start);
        self.requests.guessed = false;
        self.forget_unread(messages);
        if !pipelined {
            self.forget_unseen_responses(messages);
        }
        let method = head.method(bytes);
        let stream = self.begin_exchange(Expected {
            stream: StreamId::default(),
            method: Method::named(method),
            upgrade: head.upgrade,
            is_grpc: head.grpc.is_some(),
            pipelined,
            maybe_unseen: false,
        });
        let mut tokens = self.successors.iter().filter_map(|successor| successor.token);
        if head.upgrade && tokens.any(|token| head.asks_for(token, bytes)) {
            self.asks_for_successor = Some((stream, bytes.into()));
        }
        let (path, query) = head::split_target(head.target(bytes));
        messages.request(
            stream,
            &RequestHead {
                protocol: head.protocol,
                method,
                path,
                query,
                bytes: bytes.len() as u64,
                arrived_ns: start.arrived,
                read_ns: start.returned,
                trace: head.trace(bytes),
                grpc: head.grpc,
            },
        );
        let (mut body, length) = match head.framing {
            Framing::Unsaid => (Body::of_length(0), None),
            _ if method == "CONNECT" => (Body::of_length(0), None),
            Framing::Length(length) => (Body::of_length(length), Some(length)),
            Framing::Chunked => (Body::chunked(), None),
            Framing::Undelimited => (Body::lost(), None),
        };
        if let Some(call) = head.grpc {
            body.count_messages(call.encoding);
        }
        if body.is_whole() {
            self.end_request(body.end(Some(segment.end_ns)), messages);
        } else if head.expects && !body.is_lost() {
            self.requests.state = State::Expecting(Expectation::new(body, length, segment.end_ns).into());
        } else {
            self.requests.state = State::Body(body);
        }
    }

    /// Numbers a request and waits for its response.
    pub(super) fn begin_exchange(&mut self, expected: Expected) -> StreamId {
        let StreamId(last) = self.last_request.unwrap_or_default();
        let stream = StreamId(last + 1);
        self.last_request = Some(stream);
        self.pending.push_back(Expected { stream, ..expected });
        stream
    }

    /// The last request is whole.
    pub(super) fn end_request(&mut self, end: MessageEnd, messages: &mut dyn Messages) {
        let was_lost = matches!(&self.requests.state, State::Body(body) if body.is_lost());
        self.requests.state = if was_lost { State::Lost } else { State::Head };
        if let Some(stream) = self.last_request {
            messages.end(stream, Direction::Request, &end);
        }
    }

    /// The final response begins: a request whose framing was lost has ended before.
    pub(super) fn request_ends_with_turn(&mut self, messages: &mut dyn Messages) {
        if let State::Body(body) = &self.requests.state
            && body.is_lost()
        {
            let end = body.end(self.requests.last_ns.filter(|_| !body.is_unseen()));
            self.end_request(end, messages);
        }
    }

    /// A head that is not whole is looked at once more.
    pub(super) fn check_partial_request(&mut self) {
        if !self.requests.head.is_empty() && !head::may_become_request(&self.requests.head) {
            let head = std::mem::take(&mut self.requests.head);
            self.refuse_request(&head, Why::Broken);
        }
    }

    /// These bytes are no request that could be read. The server may say so, or else.
    fn refuse_request(&mut self, bytes: &[u8], why: Why) {
        if self.requests.guessed || self.pending.iter().any(|expected| expected.upgrade) {
            self.requests.lose();
            return;
        }
        let unread = Unread::new(bytes, self.requests.start, why, Otherwise::GiveUp);
        self.unread = Some(unread.into());
        self.requests.close();
    }

    /// The rest of a head, and whatever follows it in a call, was not captured.
    pub(super) fn miss_request(&mut self) {
        let head = std::mem::take(&mut self.requests.head);
        let unread = Unread::new(&head, self.requests.start, Why::TooLong, Otherwise::Missing);
        self.unread = Some(unread.into());
    }
}
