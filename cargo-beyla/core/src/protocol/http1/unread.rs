//! Requests that cannot be read, and that the server answers all the same: half a head (408), one that is broken or of
//! another protocol (400, 505), or too long (414, 431). With its answer such a request counts as any other.

use super::line::Said;
use super::side::State;
use super::{Expected, Http1, Method, Start, head};
use crate::model::connection::StreamId;
use crate::model::request::UNREAD;
use crate::protocol::message::{GivenUp, MessageEnd, Messages, RequestHead, ResponseHead};

/// A request that has turned out to be unreadable and has no answer yet.
#[derive(Debug)]
pub(super) struct Unread {
    /// Its first line, as far as it has come.
    line: Vec<u8>,
    start: Start,
    why: Why,
    otherwise: Otherwise,
}

/// Why a request cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Nobody can read it.
    Broken,
    /// Its head is longer than what is looked at: the server may read it.
    TooLong,
}

/// What is said of a request if it gets no answer that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Otherwise {
    /// The connection is given up.
    GiveUp,
    /// A request is missing.
    Missing,
}

impl Unread {
    pub(super) fn new(bytes: &[u8], start: Start, why: Why, otherwise: Otherwise) -> Self {
        // Empty lines may stand before it.
        let begin = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(bytes.len());
        let end = memchr::memchr(b'\n', &bytes[begin..]).map_or(bytes.len(), |end| begin + end + 1);
        Self { line: bytes[begin..end].to_vec(), start, why, otherwise }
    }
}

impl Http1 {
    /// Whether a response may be the answer to a request that is not read.
    pub(super) fn may_answer_unread(&self) -> bool {
        let is_partial = matches!(self.requests.state, State::Head | State::Expecting(_));
        self.unread.is_some() || (is_partial && !self.requests.head.is_empty())
    }

    /// The head of a final response to a request that is not read: that request begins now, and has ended with what is
    /// returned.
    pub(super) fn answer_unread(
        &mut self,
        response: &ResponseHead,
        protocol: &'static str,
        messages: &mut dyn Messages,
    ) -> Option<MessageEnd> {
        self.settle_expectation(messages);
        // A head that is broken may not have been looked at since.
        self.check_partial_request();
        let half = std::mem::take(&mut self.requests.head);
        let (unread, body) = match self.unread.take() {
            Some(unread) => (*unread, None),
            None if half.is_empty() => return None,
            None => (Unread::new(&half, self.requests.start, Why::Broken, Otherwise::Missing), Some(0)),
        };
        let received_ns = match unread.why {
            // No application was at work: the server has received, and waited for more perhaps, until it answered.
            Why::Broken => Some(response.begin_ns),
            Why::TooLong => self.requests.last_ns,
        };
        self.requests.lose();
        let said = Said::of(&unread.line);
        let (path, query) = said.target.map_or((UNREAD, None), head::split_target);
        let stream = self.begin_exchange(Expected {
            stream: StreamId::default(),
            method: Method::named(said.method.unwrap_or_default()),
            upgrade: false,
            is_grpc: false,
            pipelined: false,
            maybe_unseen: false,
        });
        messages.request(
            stream,
            &RequestHead {
                protocol: said.protocol.unwrap_or(protocol),
                method: said.method.unwrap_or(UNREAD),
                path,
                query,
                bytes: self.received.saturating_sub(unread.start.offset),
                arrived_ns: unread.start.arrived,
                read_ns: unread.start.returned,
                trace: None,
                grpc: None,
            },
        );
        Some(MessageEnd::new(body, received_ns))
    }

    /// Whether the connection is to be given up unless the answer can be read.
    pub(super) fn may_give_up(&self) -> bool {
        self.unread.as_ref().is_some_and(|unread| unread.otherwise != Otherwise::Missing)
    }

    /// There is no answer to it, or none that can be read.
    pub(super) fn forget_unread(&mut self, messages: &mut dyn Messages) {
        match self.unread.take().map(|unread| unread.otherwise) {
            Some(Otherwise::GiveUp) => self.tell(GivenUp::Unreadable, messages),
            Some(Otherwise::Missing) => messages.unread(),
            None => {}
        }
    }
}
