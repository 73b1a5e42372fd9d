//! Connections of hand-made frames: what is found on them, and when.

mod calls;
mod connection;
mod endings;
mod losses;
mod splits;

use std::fmt::Write;

use cargo_beyla_events::Transfer;

use super::fixtures::*;
use super::side::KEPT_MAX;
use super::*;
use crate::event::{Captured, frame_pieces};
use crate::model::connection::{Endpoint, Party, Role};
use crate::protocol::message::{GivenUp, MessageEnd, Note, RequestHead, ResponseHead, UnfinishedResponse};
use crate::transport::connection::Connection as Streams;
use crate::transport::segment::Io;

pub(super) const REQUEST: Direction = Direction::Request;
pub(super) const RESPONSE: Direction = Direction::Response;

/// A head that is whole, with content behind it.
const HEAD: u8 = END_HEADERS;
/// A head that is all of its message.
const ONLY: u8 = END_HEADERS | END_STREAM;

fn get(flags: u8, stream: u32, path: &str) -> Vec<u8> {
    headers(flags, stream, &[(":method", "GET"), (":path", path), (":scheme", "http"), (":authority", "a")])
}

fn post(stream: u32, path: &str) -> Vec<u8> {
    headers(HEAD, stream, &[(":method", "POST"), (":path", path)])
}

fn status(flags: u8, stream: u32, status: &str) -> Vec<u8> {
    headers(flags, stream, &[(":status", status)])
}

/// What is found on a connection, a line each, and the moments apart.
#[derive(Debug, Default)]
struct Found {
    lines: Vec<String>,
    /// Arrival and read of each request's head, entry of each response's.
    begins: Vec<(u64, Option<u64>, u64)>,
    /// Of each end of a message.
    ends: Vec<(u64, Direction, Option<u64>)>,
}

impl Messages for Found {
    fn client(&mut self, client: Endpoint) {
        self.lines.push(format!("client {client}"));
    }

    fn request(&mut self, stream: StreamId, head: &RequestHead<'_>) {
        let query = head.query.map(|query| format!("?{query}")).unwrap_or_default();
        let grpc = head.grpc.map(|call| format!(" {call:?}")).unwrap_or_default();
        let trace = if head.trace.is_some() { " traced" } else { "" };
        let RequestHead { method, path, bytes, .. } = head;
        self.lines.push(format!("{}: {method} {path}{query}, {bytes} bytes{grpc}{trace}", stream.0));
        self.begins.push((stream.0, head.arrived_ns, head.read_ns));
    }

    fn response(&mut self, stream: StreamId, head: &ResponseHead) {
        self.lines.push(format!("{}: {:?}, {} bytes", stream.0, head.status, head.bytes));
        self.begins.push((stream.0, None, head.begin_ns));
    }

    fn end(&mut self, stream: StreamId, direction: Direction, end: &MessageEnd) {
        let mut line = format!("{}: {direction:?} ends, {:?}", stream.0, end.body);
        if let Some(messages) = end.grpc.messages {
            write!(line, ", {messages} messages").expect("a string");
        }
        if let Some(status) = end.grpc.status {
            write!(line, ", grpc-status {status}").expect("a string");
        }
        self.lines.push(line);
        self.ends.push((stream.0, direction, end.time_ns));
    }

    fn reset(&mut self, stream: StreamId, by: Party, _: u64, unfinished: &Unfinished) {
        let Unfinished { request_body, response_body, .. } = unfinished;
        let mut line = format!("{}: reset by {by:?}, {request_body:?} {response_body:?}", stream.0);
        let counts = (unfinished.request_grpc.messages, unfinished.response_grpc.messages);
        if let (Some(request), Some(response)) = counts {
            write!(line, ", {request} and {response} messages").expect("a string");
        }
        self.lines.push(line);
    }

    fn unseen(&mut self, stream: StreamId) {
        self.lines.push(format!("{}: unseen", stream.0));
    }

    fn unread(&mut self) {
        self.lines.push("unread".into());
    }

    fn give_up(&mut self, reason: GivenUp) {
        self.lines.push(format!("given up: {reason:?}"));
    }

    fn note(&mut self, note: Note) {
        self.lines.push(format!("{note:?}"));
    }
}

/// A connection, and the calls that move its bytes. Time is counted in calls: each takes from `10 * n` to `10 * n + 5`.
struct Wire {
    streams: Streams,
    ends: [u32; 2],
    calls: u64,
    http2: Http2,
    found: Found,
}

impl Wire {
    fn new(http2: Http2) -> Self {
        Self { streams: Streams::new(Role::Server, 0, 0), ends: [0; 2], calls: 0, http2, found: Found::default() }
    }

    /// Both prefaces are through.
    fn begun() -> Self {
        let mut wire = Self::new(Http2::default());
        wire.call(REQUEST, &[PREFACE, &frame(4, 0, 0, b"\0\x01\0\0\x10\0")].concat());
        wire.call(RESPONSE, &[frame(4, 0, 0, b""), frame(4, 1, 0, b"")].concat());
        wire
    }

    /// A call moves these bytes, and all of them are captured.
    fn call(&mut self, direction: Direction, bytes: &[u8]) {
        self.call_with_holes(direction, bytes, &[(0, bytes.len())]);
    }

    /// A call moves these bytes, and of them these ranges are captured.
    fn call_with_holes(&mut self, direction: Direction, bytes: &[u8], captured: &[(usize, usize)]) {
        self.calls += 1;
        let end = &mut self.ends[usize::from(direction == RESPONSE)];
        *end += bytes.len() as u32;
        let mut transfer = Transfer {
            end_sequence: *end,
            length: bytes.len() as u32,
            begin_ns: 10 * self.calls,
            ..Default::default()
        };
        transfer.header.time_ns = 10 * self.calls + 5;
        let pieces = frame_pieces(captured.iter().map(|&(from, to)| (from as u32, &bytes[from..to])));
        let captured = Captured::in_pieces(&pieces, transfer.length).expect("pieces");
        let moved = self.streams.moved(io(direction), &transfer, captured).expect("bytes");
        self.http2.operation(&moved.segment, &mut self.found);
    }

    /// Bytes move unseen.
    fn gap(&mut self, direction: Direction, bytes: &[u8]) {
        let end = &mut self.ends[usize::from(direction == RESPONSE)];
        *end += bytes.len() as u32;
        let length = self.streams.missing_until(io(direction), *end);
        self.http2.gap(direction, length, &mut self.found);
    }

    fn lines(&mut self) -> Vec<String> {
        std::mem::take(&mut self.found.lines)
    }
}

/// What a server does in this direction.
fn io(direction: Direction) -> Io {
    match direction {
        Direction::Request => Io::Receive,
        Direction::Response => Io::Send,
    }
}
