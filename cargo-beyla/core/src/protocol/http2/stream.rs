//! One stream: RFC 9113, section 5.1.

use super::windows::Window;
use crate::protocol::grpc::{Encoding, Ending, MessageCounter};
use crate::protocol::message::{MessageEnd, Unfinished, UnfinishedResponse};
use crate::transport::segment::Direction;

/// A stream that the client opened and that is not closed.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) request: Half,
    pub(super) response: Half,
    /// A response of success makes a tunnel of it.
    pub(super) is_connect: bool,
    /// Its response may have moved unseen, in part or as a whole.
    pub(super) is_doubtful: bool,
    /// What the client takes of the response.
    pub(super) window: Window,
}

/// One direction of a stream.
#[derive(Debug)]
pub(super) struct Half {
    /// Whether the head was seen.
    pub(super) has_head: bool,
    pub(super) is_ended: bool,
    /// Content so far, in bytes; `None` where some of it moved unseen.
    pub(super) body: Option<u64>,
    /// Of gRPC: what counts its messages.
    messages: Option<Box<MessageCounter>>,
    /// `grpc-status` in a head or in trailers.
    pub(super) status: Option<u32>,
}

impl Stream {
    /// The head of a request opens it.
    pub(super) fn opened(is_connect: bool, window: Window) -> Self {
        let request = Half { has_head: true, ..Half::default() };
        Self { request, response: Half::default(), is_connect, is_doubtful: false, window }
    }

    /// Its request came before the connection spoke HTTP/2: section 3.2 of RFC 7540.
    pub(super) fn upgraded() -> Self {
        let mut stream = Self::opened(false, Window::default());
        stream.request.is_ended = true;
        stream
    }

    pub(super) fn half(&mut self, direction: Direction) -> &mut Half {
        match direction {
            Direction::Request => &mut self.request,
            Direction::Response => &mut self.response,
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.request.is_ended && self.response.is_ended
    }

    pub(super) fn unfinished(&self) -> Unfinished {
        let response = if self.is_doubtful { UnfinishedResponse::Unseen } else { UnfinishedResponse::Bytes };
        Unfinished { request_body: self.request.body, response_body: self.response.body, response }
    }
}

impl Default for Half {
    fn default() -> Self {
        Self { has_head: false, is_ended: false, body: Some(0), messages: None, status: None }
    }
}

impl Half {
    /// Its content are messages of gRPC.
    pub(super) fn count_messages(&mut self, encoding: Encoding) {
        self.messages = Some(MessageCounter::new(encoding).into());
    }

    /// Its content are no messages of gRPC after all, as when a proxy answers.
    pub(super) fn count_no_messages(&mut self) {
        self.messages = None;
    }

    /// Content that was captured.
    pub(super) fn read(&mut self, content: &[u8]) {
        self.add(content.len() as u64);
        if let Some(messages) = &mut self.messages {
            messages.read(content);
        }
    }

    /// Content that was not.
    pub(super) fn skip(&mut self, length: u64) {
        self.add(length);
        if let Some(messages) = &mut self.messages {
            messages.skip(length);
        }
    }

    /// How much content there is is not known.
    pub(super) fn lose(&mut self) {
        self.body = None;
        if let Some(messages) = &mut self.messages {
            messages.lose();
        }
    }

    pub(super) fn end(&self, time_ns: Option<u64>) -> MessageEnd {
        let found = self.messages.as_ref().map(|messages| messages.ending()).unwrap_or_default();
        let grpc = Ending { status: self.status.or(found.status), ..found };
        MessageEnd { grpc, ..MessageEnd::new(self.body, time_ns) }
    }

    fn add(&mut self, length: u64) {
        self.body = self.body.map(|body| body.saturating_add(length));
    }
}
