//! What a protocol makes of a connection's byte streams.

use super::content::ContentCounter;
use super::grpc;
use super::http1::head_cache::Heads;
use super::trace_context::TraceHeaders;
use crate::model::call::CallKind;
use crate::model::connection::{Endpoint, Party, StreamId};
use crate::transport::segment::{Direction, Segment};

/// Reads the messages of one connection. It knows neither which transport carried the bytes nor which end of the
/// connection the traced process is.
pub trait Protocol: std::fmt::Debug + Send {
    /// An operation moved bytes. Returns what the connection goes on in, once another protocol takes it over.
    fn segment(
        &mut self,
        segment: &Segment<'_>,
        shared: &mut Shared,
        messages: &mut dyn Messages,
    ) -> Option<Box<Upgrade>>;

    /// Bytes moved without a record.
    fn gap(&mut self, direction: Direction, length: u64, messages: &mut dyn Messages);

    /// Whether content of a request has yet to come.
    fn awaits_content(&self) -> bool;

    /// How many of the bytes that the client sends next are content by a length that was announced: they are counted
    /// even if they move unseen, as splice(2) moves them.
    fn announced_content(&self) -> u64;

    /// The response whose first byte was sent and whose head is not whole yet, and the entry of the send call that
    /// carried that byte, in nanoseconds.
    fn response_begun(&self) -> Option<(StreamId, u64)>;

    /// Whether responses come in the order of their requests, so that a client that asks for more has had the answer to
    /// what it asked for before.
    fn answers_in_order(&self) -> bool {
        true
    }

    /// Whether the connection is still read; if not, it has been given up or taken over.
    fn is_reading(&self) -> bool;

    /// Nothing follows any more.
    fn stop(&mut self, messages: &mut dyn Messages);

    /// What is missing of an exchange that was under way when [`Self::stop`] was called.
    fn unfinished(&self, stream: StreamId) -> Unfinished;
}

/// What the connections of a run have in common, a field for each protocol that has something.
#[derive(Debug, Default)]
pub struct Shared {
    pub(super) http1: Heads,
}

/// A connection goes on in another protocol, by agreement (RFC 9110, section 7.8), from a byte of the response direction
/// on; in the request direction from the next operation on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// The protocol that takes over, as its token in `Upgrade` fields.
    pub token: &'static str,
    /// The exchange whose request asked for it. That request is whole; its response comes in the new protocol.
    pub stream: StreamId,
    /// The head of that request.
    pub request: Box<[u8]>,
    /// Offset of the new protocol's first byte in the response direction.
    pub response_from: u64,
}

/// Takes the messages of one connection as they are read.
pub trait Messages {
    /// A proxy says, before the first request, who sends what follows: not the other end of the socket.
    fn client(&mut self, client: Endpoint);

    /// The head of a request is whole: an exchange begins.
    fn request(&mut self, stream: StreamId, head: &RequestHead<'_>);

    /// A command that is not one of HTTP is whole as far as it says what it asks for: an exchange begins. All of its bytes
    /// and all of its answer's count as content; there are no heads.
    fn command(&mut self, stream: StreamId, command: &Command<'_>);

    /// Something was sent whose answer nobody waits for, and that is no command. `time_ns` is the entry of the call that
    /// sent its first byte, in nanoseconds.
    fn aside(&mut self, _time_ns: u64) {}

    /// The connection's own handshake, such as the login to a database, is over; `time_ns` is the return of the call
    /// that moved its last byte, in nanoseconds. Until then the connection counts as being opened. Where a handshake has
    /// several steps, this is said after each.
    fn ready(&mut self, time_ns: u64);

    /// The head of the final response is whole; the first bytes of the answer to a command have come.
    fn response(&mut self, stream: StreamId, head: &ResponseHead);

    /// The request or the response is whole.
    fn end(&mut self, stream: StreamId, direction: Direction, end: &MessageEnd);

    /// A part of the request was received, and it is not whole yet. Only where exchanges are streams: elsewhere the last
    /// request is the one that is not whole.
    fn progress(&mut self, _stream: StreamId) {}

    /// The client's window for a response, or for all of them, is shut from now on or opens again: flow control by
    /// which the server may or may not send content.
    fn window(&mut self, _stream: Option<StreamId>, _is_shut: bool, _time_ns: u64) {}

    /// One end breaks the exchange off and leaves the connection open. Its response may be whole already: then only the
    /// rest of its request does not come.
    fn reset(&mut self, stream: StreamId, by: Party, time_ns: u64, unfinished: &Unfinished);

    /// The rest of the response has gone by unseen, in part or as a whole.
    fn unseen(&mut self, stream: StreamId);

    /// One request or several began in bytes that were not captured, or reached into them. No other message speaks of
    /// them.
    fn unread(&mut self);

    /// Something that belongs to no exchange, or that is counted beside it.
    fn note(&mut self, note: Note);

    /// The connection is not read any further: once at most.
    fn give_up(&mut self, reason: GivenUp);
}

/// The head of a request.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    /// `http/1.0`, `http/1.1` or `http/2`.
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
    /// When the process had to do with its first byte: of a request that it receives, the return of the call that
    /// brought the byte; of one that it sends, the entry of the call that carried it. In nanoseconds.
    pub read_ns: u64,
    /// The trace that it belongs to, if it says so.
    pub trace: Option<TraceHeaders<'a>>,
    /// What it says of the call, if its content are messages of gRPC.
    pub grpc: Option<grpc::Call>,
}

/// What a client asks for in a protocol that is not HTTP.
#[derive(Clone, Copy, Debug)]
pub struct Command<'a> {
    /// The protocol.
    pub kind: CallKind,
    /// What it asks for in a few words that many commands share.
    pub summary: &'a str,
    /// The command without its literals, keys and secrets; `None` if it is not known.
    pub text: Option<&'a str>,
    /// When its first byte reached the receive queue, in nanoseconds, if known.
    pub arrived_ns: Option<u64>,
    /// As [`RequestHead::read_ns`].
    pub read_ns: u64,
}

/// How a command ended, as the answer says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommandEnding {
    /// The code of the error, such as a SQLSTATE; of an answer that is no error, nothing.
    pub error: Option<ErrorCode>,
    /// The rows that the answer holds or that the command has changed, if it says so.
    pub rows: Option<u64>,
}

/// A short code in ASCII, such as `23505`, `WRONGTYPE` or `1146 (42S02)`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ErrorCode {
    length: u8,
    bytes: [u8; Self::MAX],
}

impl ErrorCode {
    const MAX: usize = 15;

    /// The longest beginning that consists of ASCII letters and digits, cut if it is too long.
    pub fn new(text: &[u8]) -> Self {
        let mut code = Self { length: 0, bytes: [0; Self::MAX] };
        for byte in text.iter().take(Self::MAX).take_while(|byte| byte.is_ascii_alphanumeric()) {
            code.bytes[usize::from(code.length)] = *byte;
            code.length += 1;
        }
        code
    }

    /// A number with the state that a standard has for it, if there is one, as in `1146 (42S02)`.
    pub fn numbered(number: u16, state: Option<&[u8; 5]>) -> Self {
        let mut text = number.to_string().into_bytes();
        if let Some(state) = state.filter(|state| state.iter().all(u8::is_ascii_alphanumeric)) {
            text.extend([&b" ("[..], state, b")"].concat());
        }
        let mut code = Self { length: 0, bytes: [0; Self::MAX] };
        for (place, byte) in code.bytes.iter_mut().zip(text) {
            *place = byte;
            code.length += 1;
        }
        code
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.bytes[..usize::from(self.length)]).unwrap_or_default()
    }
}

impl std::fmt::Debug for ErrorCode {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_str().fmt(formatter)
    }
}

/// The head of a final response, or the beginning of an answer.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead {
    /// The status code; `None` if it refers to what was not seen.
    pub status: Option<u16>,
    /// Bytes of the head.
    pub bytes: u64,
    /// When its first byte reached the receive queue, in nanoseconds, if the process receives it and that is known.
    pub arrived_ns: Option<u64>,
    /// When the process had to do with its first byte: of a response that it sends, the entry of the call that carried
    /// the byte; of one that it receives, the return of the call that brought it. In nanoseconds.
    pub begin_ns: u64,
}

/// The end of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageEnd {
    /// Bytes of its content; `None` where the framing was lost sight of.
    pub body: Option<u64>,
    /// Return of the call that moved its last byte, in nanoseconds; `None` if that was not seen.
    pub time_ns: Option<u64>,
    /// What its content and its trailers say of a gRPC call.
    pub grpc: grpc::Ending,
    /// What the answer to a command says of it.
    pub command: CommandEnding,
}

impl MessageEnd {
    /// The end of a message with this content, which the call moved that returned at `time_ns`.
    pub(super) fn of(content: &ContentCounter, time_ns: Option<u64>) -> Self {
        Self { grpc: content.grpc(), ..Self::new(content.length(), time_ns) }
    }

    /// The end of a message that is none of gRPC.
    pub fn new(body: Option<u64>, time_ns: Option<u64>) -> Self {
        Self { body, time_ns, grpc: grpc::Ending::default(), command: CommandEnding::default() }
    }
}

/// What is counted, but is no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// The server sends a response that nobody asked for.
    Pushed,
    /// Fields of a head are not known: they refer to what was not seen.
    PartialHead,
    /// An exchange has become a tunnel, by agreement, and others go on beside it.
    Tunnel,
}

/// Why a connection is not read any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivenUp {
    /// Another protocol has taken it over, by agreement.
    Upgraded,
    /// It speaks TLS.
    Tls,
    /// It speaks something else, or HTTP/1 that cannot be read.
    Unreadable,
}

/// What is missing of an exchange whose connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// Content of the request so far, if it is not whole; `None` where the framing was lost.
    pub request_body: Option<u64>,
    /// What its messages say of a gRPC call so far.
    pub request_grpc: grpc::Ending,
    /// Content of the response so far, if it has begun; `None` where the framing was lost.
    pub response_body: Option<u64>,
    /// What its messages say of a gRPC call so far.
    pub response_grpc: grpc::Ending,
    /// What the response wants.
    pub response: UnfinishedResponse,
}

impl Unfinished {
    /// Of an exchange that the protocol knows nothing of.
    pub const UNKNOWN: Self = Self {
        request_body: None,
        request_grpc: grpc::Ending::UNKNOWN,
        response_body: None,
        response_grpc: grpc::Ending::UNKNOWN,
        response: UnfinishedResponse::Bytes,
    };

    /// Of an exchange of which so much content has come, as far as that is known.
    pub(super) fn of(
        request: Option<&ContentCounter>,
        response: Option<&ContentCounter>,
        wanted: UnfinishedResponse,
    ) -> Self {
        Self {
            request_body: request.and_then(ContentCounter::length),
            request_grpc: request.map_or(grpc::Ending::UNKNOWN, ContentCounter::grpc),
            response_body: response.and_then(ContentCounter::length),
            response_grpc: response.map_or(grpc::Ending::UNKNOWN, ContentCounter::grpc),
            response: wanted,
        }
    }
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
    /// Bytes; some or all of them were sent unseen.
    Unseen,
}
