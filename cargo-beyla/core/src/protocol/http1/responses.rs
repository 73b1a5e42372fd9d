//! The response direction.

use super::body::Body;
use super::head::{self, Framing, Response};
use super::head_cache::Heads;
use super::read_head::{ReadHead, read_head};
use super::side::State;
use super::{Expected, Http1, Method, Reading};
use crate::protocol::message::{GivenUp, MessageEnd, Messages, ResponseHead, Upgrade};
use crate::transport::segment::{Direction, Segment};

impl Http1 {
    /// Reads on in the head of a response; what is left of the input.
    pub(super) fn read_response_head<'a>(
        &mut self,
        input: &'a [u8],
        segment: &Segment<'_>,
        heads: &mut Heads,
        messages: &mut dyn Messages,
    ) -> &'a [u8] {
        if self.pending.is_empty() && self.responses.head.is_empty() {
            let is_response = head::may_begin_response(input);
            if !is_response && (self.may_give_up() || !self.begun) {
                self.give_up(GivenUp::Unreadable, messages);
                return &[];
            }
            if !is_response || !self.may_answer_unread() {
                // A response to no request, as a server sends that has waited for one too long.
                self.responses.lose();
                return &[];
            }
        }
        let mut buffer = std::mem::take(&mut self.responses.head);
        let left = match read_head(&mut buffer, input, &mut heads.responses) {
            ReadHead::Whole { bytes, head, left } => {
                self.response_head(bytes, head, segment, messages);
                left
            }
            ReadHead::Unreadable { left, .. } => {
                self.refuse_response(messages);
                left
            }
            ReadHead::Partial { is_due } => {
                if is_due && !head::may_become_response(&buffer) {
                    self.refuse_response(messages);
                } else {
                    self.responses.head = buffer;
                }
                0
            }
            ReadHead::TooLong => {
                self.refuse_response(messages);
                0
            }
        };
        &input[input.len() - left..]
    }

    fn response_head(&mut self, bytes: &[u8], head: Response, segment: &Segment<'_>, messages: &mut dyn Messages) {
        self.responses.guessed = false;
        let interim = (100..200).contains(&head.status) && head.status != 101;
        if interim {
            self.interim(head.status);
            return;
        }
        if head.status == 101 && self.hand_over(bytes, head, messages) {
            return;
        }
        let begin_ns = self.responses.start.entered;
        let response = ResponseHead { status: Some(head.status), bytes: bytes.len() as u64, begin_ns };
        let request_end = if self.pending.is_empty() {
            let protocol = if bytes.starts_with(b"HTTP/1.0") { "http/1.0" } else { "http/1.1" };
            self.answer_unread(&response, protocol, messages)
        } else {
            if self.pending.len() == 1 {
                self.request_ends_with_turn(messages);
                self.expectation_answered(begin_ns);
            }
            None
        };
        let Some(&expected) = self.pending.front() else {
            self.responses.lose();
            return;
        };
        messages.response(expected.stream, &response);
        if let Some(end) = request_end {
            messages.end(expected.stream, Direction::Request, &end);
        }
        let upgraded = head.status == 101 || (expected.method == Method::Connect && (200..300).contains(&head.status));
        let mut body = match head.framing {
            _ if upgraded || expected.method == Method::Head || matches!(head.status, 204 | 304) => Body::of_length(0),
            Framing::Length(length) => Body::of_length(length),
            Framing::Chunked => Body::chunked(),
            Framing::Unsaid | Framing::Undelimited => Body::until_close(),
        };
        if let Some(encoding) = head.grpc.filter(|_| expected.is_grpc) {
            body.count_messages(encoding);
            body.note_status(head.grpc_status);
        }
        if body.is_whole() {
            self.end_response(body.end(Some(segment.end_ns)), messages);
        } else {
            self.responses.state = State::Body(body);
        }
        if upgraded {
            self.give_up(GivenUp::Upgraded, messages);
        }
    }

    /// The response that is being read is whole.
    pub(super) fn end_response(&mut self, end: MessageEnd, messages: &mut dyn Messages) {
        let was_lost = matches!(&self.responses.state, State::Body(body) if body.is_lost());
        self.responses.state = if was_lost { State::Lost } else { State::Head };
        if let Some(Expected { stream, .. }) = self.pending.pop_front() {
            messages.end(stream, Direction::Response, &end);
        }
    }

    /// The server switches protocols. Whether the connection goes on in one that is read: what was asked for is then
    /// answered there.
    fn hand_over(&mut self, bytes: &[u8], head: Response, messages: &mut dyn Messages) -> bool {
        let mut tokens = self.successors.iter().filter_map(|successor| successor.token);
        let Some(token) = tokens.find(|token| head.switches_to(token, bytes)) else { return false };
        let Some(Expected { stream, .. }) = self.pending.front() else { return false };
        let Some((_, request)) = self.asks_for_successor.take_if(|(asks, _)| asks == stream) else { return false };
        self.upgrade = Some(Upgrade { token, stream: *stream, request, response_from: 0 }.into());
        self.pending.pop_front();
        self.close(messages);
        self.reading = Reading::Nothing;
        true
    }

    /// Bytes come from the client: a response whose framing was lost has ended before, if these begin
    /// the next request.
    pub(super) fn response_ends_with_turn(&mut self, data: &[u8], messages: &mut dyn Messages) {
        let begins = match self.requests.state {
            State::Head => self.requests.head.is_empty(),
            State::Lost | State::Expecting(_) => head::begins_request(data),
            State::Body(_) | State::Over => false,
        };
        if begins && self.pending.len() == 1 {
            self.end_lost_response(messages);
        }
    }

    /// A segment of the response direction begins: so does a response, if it looks like it and is due.
    pub(super) fn response_ends_with_next(&mut self, data: &[u8], messages: &mut dyn Messages) {
        if self.pending.len() > 1 && head::begins_response(data) {
            self.end_lost_response(messages);
        }
    }

    fn end_lost_response(&mut self, messages: &mut dyn Messages) {
        if let State::Body(body) = &self.responses.state
            && body.is_lost()
        {
            let end = body.end(self.responses.last_ns.filter(|_| !body.is_unseen()));
            self.end_response(end, messages);
        }
    }

    /// Bytes moved where a response should begin, or in its head, and cannot be read.
    pub(super) fn lose_responses(&mut self, unseen: bool, messages: &mut dyn Messages) {
        let in_head = !self.responses.head.is_empty();
        self.responses.lose();
        // Of the requests that wait, the last may not have been answered yet: bytes that moved unseen may
        // have been responses to those before it, or to some that were not seen themselves.
        let spare = unseen && !in_head && self.pending.back().is_some_and(|last| !last.pipelined);
        let unseen = self.pending.len() - usize::from(spare);
        for Expected { stream, .. } in self.pending.drain(..unseen) {
            messages.unseen(stream);
        }
        if let Some(last) = self.pending.front_mut() {
            last.maybe_unseen = true;
        }
    }

    /// The next request has come: those whose responses may have gone by unseen have had them.
    pub(super) fn forget_unseen_responses(&mut self, messages: &mut dyn Messages) {
        if !matches!(self.responses.state, State::Lost) {
            return;
        }
        while let Some(Expected { stream, .. }) = self.pending.pop_front_if(|front| front.maybe_unseen) {
            messages.unseen(stream);
        }
    }

    /// These bytes are no response.
    fn refuse_response(&mut self, messages: &mut dyn Messages) {
        if self.responses.guessed {
            self.responses.lose();
        } else {
            self.give_up(GivenUp::Unreadable, messages);
        }
    }
}
