//! One stream: RFC 9113, section 5.1.

use super::windows::Window;
use crate::protocol::content::ContentCounter;
use crate::protocol::grpc::Call;
use crate::protocol::message::{Unfinished, UnfinishedResponse};
use crate::transport::segment::Direction;

/// A stream that the client opened and that is not closed.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) request: Half,
    pub(super) response: Half,
    /// A response of success makes a tunnel of it.
    pub(super) is_connect: bool,
    /// Its contents are messages of gRPC, unless the response says otherwise.
    pub(super) is_grpc: bool,
    /// Its response may have moved unseen, in part or as a whole.
    pub(super) is_doubtful: bool,
    /// What the client takes of the response.
    pub(super) window: Window,
}

/// One direction of a stream.
#[derive(Debug, Default)]
pub(super) struct Half {
    /// Whether the head was seen.
    pub(super) has_head: bool,
    pub(super) is_ended: bool,
    pub(super) content: ContentCounter,
}

impl Stream {
    /// The head of a request opens it.
    pub(super) fn opened(is_connect: bool, grpc: Option<Call>, window: Window) -> Self {
        let mut request = Half { has_head: true, ..Half::default() };
        let mut response = Half::default();
        if let Some(call) = grpc {
            request.content.count_messages(call.encoding);
            response.content.count_messages(call.encoding);
        }
        Self { request, response, is_connect, is_grpc: grpc.is_some(), is_doubtful: false, window }
    }

    /// Its request came before the connection spoke HTTP/2: section 3.2 of RFC 7540.
    pub(super) fn upgraded() -> Self {
        let mut stream = Self::opened(false, None, Window::default());
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
        let wanted = if self.is_doubtful { UnfinishedResponse::Unseen } else { UnfinishedResponse::Bytes };
        // Otherwise all of it may have moved unseen.
        let response = Some(&self.response).filter(|half| half.has_head || !self.is_doubtful);
        Unfinished::of(Some(&self.request.content), response.map(|half| &half.content), wanted)
    }
}
