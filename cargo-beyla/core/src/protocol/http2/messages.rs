//! Stands in for `protocol::message` until that names streams.

use crate::model::request::Endpoint;
use crate::protocol::grpc;
pub use crate::protocol::message::{GivenUp, UNREAD, Unfinished, UnfinishedResponse};
use crate::protocol::trace_context::TraceHeaders;
use crate::transport::segment::Direction;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Party {
    Client,
    Server,
}

pub trait Messages {
    fn client(&mut self, client: Endpoint);
    fn request(&mut self, stream: StreamId, head: &RequestHead<'_>);
    fn response(&mut self, stream: StreamId, head: &ResponseHead);
    fn end(&mut self, stream: StreamId, direction: Direction, end: &MessageEnd);
    fn reset(&mut self, stream: StreamId, by: Party, time_ns: u64, unfinished: &Unfinished);
    fn unseen(&mut self, stream: StreamId);
    fn unread(&mut self);
    fn give_up(&mut self, reason: GivenUp);
    fn note(&mut self, note: Note);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// The server pushed a response that nobody asked for.
    Pushed,
    /// Fields of a head are unknown, since what they refer to was not seen.
    PartialHead,
    /// An exchange became a tunnel, by agreement, and the connection goes on.
    Tunnel,
}

#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    pub protocol: &'static str,
    pub method: &'a str,
    pub path: &'a str,
    pub query: Option<&'a str>,
    pub bytes: u64,
    pub arrived_ns: Option<u64>,
    pub read_ns: u64,
    pub trace: Option<TraceHeaders<'a>>,
    pub grpc: Option<grpc::Call>,
}

#[derive(Clone, Copy, Debug)]
pub struct ResponseHead {
    pub status: Option<u16>,
    pub bytes: u64,
    pub begin_ns: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageEnd {
    pub body: Option<u64>,
    pub time_ns: Option<u64>,
    pub grpc: grpc::Ending,
}
