//! The request direction where a client waits before it sends its content, and may leave it out.

use super::body::Body;
use super::expectation::{Expectation, Follows};
use super::head_end::HEAD_MAX;
use super::line::Said;
use super::side::State;
use super::{Http1, Start};
use crate::protocol::message::{MessageEnd, Messages};
use crate::transport::segment::Segment;

impl Http1 {
    /// Reads where content should stand that the client may have left out; what is left of the input.
    pub(super) fn read_expected<'a>(
        &mut self,
        input: &'a [u8],
        offset: u64,
        segment: &Segment<'_>,
        messages: &mut dyn Messages,
    ) -> &'a [u8] {
        let side = &mut self.requests;
        let State::Expecting(expectation) = &mut side.state else { return input };
        let before = side.head.len();
        if before == 0 {
            side.start = Start::of(segment, offset);
        } else {
            side.head.extend_from_slice(&input[..input.len().min((HEAD_MAX + 1).saturating_sub(before))]);
        }
        let bytes = if before == 0 { input } else { &side.head };
        let follows = expectation.follows(bytes, side.start.arrived);
        if follows == Follows::Open {
            if before == 0 {
                side.head = input.to_vec();
            }
            expectation.hold(before, input.len(), offset, segment);
            return &[];
        }
        side.head.truncate(before);
        self.expect_no_more(follows, messages);
        input
    }

    /// Whatever has been held back is content.
    pub(super) fn expect_content(&mut self, messages: &mut dyn Messages) {
        self.expect_no_more(Follows::Content, messages);
    }

    /// Nothing more comes that could tell.
    pub(super) fn settle_expectation(&mut self, messages: &mut dyn Messages) {
        if let State::Expecting(expectation) = &self.requests.state
            && !self.requests.head.is_empty()
        {
            let (head, arrived) = (&self.requests.head, self.requests.start.arrived);
            let is_open = expectation.follows(head, arrived) == Follows::Open;
            let is_whole = expectation.length == Some(head.len() as u64);
            let is_request = is_open && !is_whole && Said::of(head).is_of_known_method();
            self.expect_no_more(if is_request { Follows::Request } else { Follows::Content }, messages);
        }
    }

    fn expect_no_more(&mut self, follows: Follows, messages: &mut dyn Messages) {
        let side = &mut self.requests;
        let State::Expecting(expectation) = &mut side.state else { return };
        let Expectation { body, whole_ns, behind, head_ns, .. } = &mut **expectation;
        let held = std::mem::take(&mut side.head);
        let mut read = 0;
        let end = if follows == Follows::Request {
            MessageEnd::new(Some(0), Some(*head_ns))
        } else {
            read = body.read(&held);
            if !body.is_whole() {
                let body = std::mem::replace(body, Body::of_length(0));
                side.state = State::Body(body);
                return;
            }
            side.start = behind.take().unwrap_or(side.start);
            body.end(*whole_ns)
        };
        let rest = held[read..].iter().position(|byte| !matches!(byte, b'\r' | b'\n'));
        side.head = rest.map(|rest| held[read + rest..].to_vec()).unwrap_or_default();
        self.end_request(end, messages);
    }

    /// An interim response with this status.
    pub(super) fn interim(&mut self, status: u16) {
        if let State::Expecting(expectation) = &mut self.requests.state {
            expectation.continued |= status == 100;
        }
    }

    /// The final answer to the last request begins.
    pub(super) fn expectation_answered(&mut self, begin_ns: u64) {
        if let State::Expecting(expectation) = &mut self.requests.state {
            expectation.answered_ns.get_or_insert(begin_ns);
        }
    }
}
