//! What a protocol makes of a connection's byte streams.

use super::trace_context::TraceHeaders;
use crate::model::connection::Endpoint;
use crate::transport::segment::{Direction, Segment};

/// Reads the messages of one connection. Responses answer requests in the order of these.
pub trait Protocol {
    /// What the connections of a run have in common.
    type Shared;

    /// A call moved bytes.
    fn segment(&mut self, segment: &Segment<'_>, shared: &mut Self::Shared, messages: &mut dyn Messages);

    /// Bytes moved that no record told of.
    fn gap(&mut self, direction: Direction, length: u64, messages: &mut dyn Messages);

    /// Whether content of the last request has yet to come.
    fn awaits_content(&self) -> bool;

    /// How many bytes of the last request's content are still to come by the length that was announced:
    /// they are counted even if they move unseen, as splice(2) moves them.
    fn announced_content(&self) -> u64;

    /// Entry of the send call that carried the first byte of a response whose head is not whole yet, in
    /// nanoseconds.
    fn response_begun(&self) -> Option<u64>;

    /// Whether the connection is still read; if not, it has been given up or taken over.
    fn is_reading(&self) -> bool;

    /// Nothing follows any more. Says what is unfinished.
    fn stop(&mut self, messages: &mut dyn Messages) -> Unfinished;
}

/// Takes the messages of one connection as they are read.
pub trait Messages {
    /// A proxy says, before the first request, who sends what follows: not the other end of the socket.
    fn client(&mut self, client: Endpoint);

    /// A request's head is whole.
    fn request(&mut self, head: &RequestHead<'_>);

    /// The last request is whole.
    fn request_end(&mut self, end: MessageEnd);

    /// The head of the final response to the oldest unanswered request is whole.
    fn response(&mut self, head: &ResponseHead);

    /// That response is whole.
    fn response_end(&mut self, end: MessageEnd);

    /// A request, or several, began in or reached into bytes that were not captured: nothing else is told of them.
    fn request_unread(&mut self);

    /// The response to the oldest unanswered request has gone by unseen, in part or as a whole.
    fn response_unseen(&mut self);

    /// The connection is not read any further: once at most.
    fn give_up(&mut self, reason: GivenUp);
}

/// The head of a request.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    /// `http/1.0` or `http/1.1`.
    pub protocol: &'static str,
    /// As it was sent; `-` if it cannot be read.
    pub method: &'a str,
    /// The target's path without its query, or the whole target where it has no path; `-` if it cannot be read.
    pub path: &'a str,
    /// What followed the `?`.
    pub query: Option<&'a str>,
    /// Bytes of the head; of one that cannot be read, what has come of it, and perhaps of its content.
    pub bytes: u64,
    /// When its first byte reached the receive queue, in nanoseconds, if known.
    pub arrived_ns: Option<u64>,
    /// Return of the receive call that brought its first byte, in nanoseconds.
    pub read_ns: u64,
    /// The trace that it belongs to, if it says so.
    pub trace: Option<TraceHeaders<'a>>,
}

/// The head of a final response.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead {
    /// The status code.
    pub status: u16,
    /// Bytes of the head.
    pub bytes: u64,
    /// Entry of the send call that carried its first byte, in nanoseconds.
    pub begin_ns: u64,
}

/// The end of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageEnd {
    /// Bytes of its content; `None` where the framing was lost sight of.
    pub body: Option<u64>,
    /// Return of the call that moved its last byte, in nanoseconds; `None` if that was not seen.
    pub time_ns: Option<u64>,
}

/// Why a connection is not read any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivenUp {
    /// Another protocol has taken it over, by agreement.
    Upgraded,
    /// It speaks TLS.
    Tls,
    /// It speaks HTTP/2 from the start.
    Http2,
    /// It speaks something else, or HTTP/1 that cannot be read.
    Unreadable,
}

/// What is left of the messages of a connection that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// Content of the last request so far, if it is not whole; `None` where the framing was lost.
    pub request_body: Option<u64>,
    /// Content of the response that is being sent so far; `None` where the framing was lost.
    pub response_body: Option<u64>,
    /// What that response wants.
    pub response: UnfinishedResponse,
}

/// What a response wants that has not ended when its connection does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnfinishedResponse {
    /// Bytes that have not been sent.
    Bytes,
    /// Nothing but the close of the connection.
    Close,
    /// It cannot be told: its framing was lost sight of.
    Unknown,
    /// Bytes, some or all of which were sent unseen.
    Unseen,
}
