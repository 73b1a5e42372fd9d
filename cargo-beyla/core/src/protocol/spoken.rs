//! Connections that tests speak on, and what is told of them.

use std::net::{Ipv4Addr, SocketAddr};

use cargo_beyla_events::Transfer;
use proptest::collection::vec;
use proptest::prelude::*;

use super::detect::Detector;
use super::message::{Command, GivenUp, MessageEnd, Messages, Note, RequestHead, ResponseHead, Shared, Unfinished};
use crate::event::{Captured, frame_pieces};
use crate::model::connection::{Endpoint, Party, Role, StreamId};
use crate::transport::connection::Connection;
use crate::transport::segment::{Direction, Io};

/// What is told, a line each, and the moments apart.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) lines: Vec<String>,
    /// The exchange, what it is the moment of, and the moment.
    pub(super) times: Vec<(u64, &'static str, Option<u64>)>,
}

impl Messages for Told {
    fn client(&mut self, client: Endpoint) {
        self.lines.push(format!("client {client}"));
    }

    fn request(&mut self, stream: StreamId, head: &RequestHead<'_>) {
        self.lines.push(format!("{}: {} {}", stream.0, head.method, head.path));
        self.times.push((stream.0, "begun", Some(head.read_ns)));
    }

    fn command(&mut self, stream: StreamId, command: &Command<'_>) {
        let Command { kind, summary, text, arrived_ns, read_ns } = command;
        let text = text.map(|text| format!(" | {text}")).unwrap_or_default();
        self.lines.push(format!("{}: {} {summary}{text}", stream.0, kind.label()));
        self.times.push((stream.0, "begun", Some(*read_ns)));
        if arrived_ns.is_some() {
            self.times.push((stream.0, "arrived", *arrived_ns));
        }
    }

    fn ready(&mut self, time_ns: u64) {
        self.lines.push("ready".into());
        self.times.push((0, "ready", Some(time_ns)));
    }

    fn response(&mut self, stream: StreamId, head: &ResponseHead) {
        let status = head.status.map(|status| format!(" {status}")).unwrap_or_default();
        self.lines.push(format!("{}: answer{status}", stream.0));
        self.times.push((stream.0, "answered", head.arrived_ns));
        self.times.push((stream.0, "read", Some(head.begin_ns)));
    }

    fn end(&mut self, stream: StreamId, direction: Direction, end: &MessageEnd) {
        let what = if direction == Direction::Request { "sent" } else { "ended" };
        let bytes = end.body.map_or("?".into(), |bytes| bytes.to_string());
        let rows = end.command.rows.map(|rows| format!(", {rows} rows")).unwrap_or_default();
        let error = end.command.error.map(|error| format!(", error {}", error.as_str())).unwrap_or_default();
        self.lines.push(format!("{}: {what}, {bytes} bytes{rows}{error}", stream.0));
        self.times.push((stream.0, what, end.time_ns));
    }

    fn reset(&mut self, stream: StreamId, by: Party, _: u64, _: &Unfinished) {
        self.lines.push(format!("{}: reset by {by:?}", stream.0));
    }

    fn unseen(&mut self, stream: StreamId) {
        self.lines.push(format!("{}: unseen", stream.0));
    }

    fn unread(&mut self) {
        self.lines.push("unread".into());
    }

    fn note(&mut self, note: Note) {
        self.lines.push(format!("{note:?}"));
    }

    fn give_up(&mut self, reason: GivenUp) {
        self.lines.push(format!("given up: {reason:?}"));
    }
}

/// A connection. Time is counted in calls: call n takes from `10 * n` to `10 * n + 5`, and what it receives arrived at
/// `10 * n - 1`.
#[derive(Debug)]
pub(super) struct Spoken {
    role: Role,
    connection: Connection,
    pub(super) detector: Detector,
    shared: Shared,
    ends: [u32; 2],
    calls: u64,
    pub(super) told: Told,
}

/// A server on this port of this machine.
pub(super) fn server(port: u16) -> Endpoint {
    Endpoint::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

impl Spoken {
    /// The traced process has opened a connection to this port.
    pub(super) fn to(port: u16) -> Self {
        Self::on(Detector::client(&server(port), false))
    }

    /// The same, met in its midst.
    pub(super) fn joined_to(port: u16) -> Self {
        Self::on(Detector::client(&server(port), true))
    }

    fn on(detector: Detector) -> Self {
        let (role, connection) = (Role::Client, Connection::new(Role::Client, 0, 0));
        Self { role, connection, detector, shared: Shared::default(), ends: [0; 2], calls: 0, told: Told::default() }
    }

    /// A call moves these bytes, and all of them are captured.
    pub(super) fn call(&mut self, direction: Direction, bytes: &[u8]) {
        self.call_with_holes(direction, bytes, &[(0, bytes.len())], false);
    }

    /// A call moves these bytes, and of them these ranges are captured; with `has_tail` the last eight as well.
    pub(super) fn call_with_holes(
        &mut self,
        direction: Direction,
        bytes: &[u8],
        captured: &[(usize, usize)],
        has_tail: bool,
    ) {
        self.calls += 1;
        let io = self.io(direction);
        let end = &mut self.ends[usize::from(io == Io::Send)];
        let start = *end;
        *end = end.wrapping_add(bytes.len() as u32);
        let (end_sequence, length) = (*end, bytes.len() as u32);
        let mut transfer = Transfer { end_sequence, length, begin_ns: 10 * self.calls, ..Default::default() };
        transfer.header.time_ns = 10 * self.calls + 5;
        if io == Io::Receive {
            (transfer.arrival_ns, transfer.arrival_sequence) = (10 * self.calls - 1, start);
        }
        if has_tail && let Some(tail) = bytes.last_chunk::<8>() {
            transfer.tail = *tail;
        }
        let pieces = captured.iter().filter(|(from, to)| from < to);
        let pieces = frame_pieces(pieces.map(|&(from, to)| (from as u32, &bytes[from..to])));
        let captured = Captured::in_pieces(&pieces, length).expect("pieces");
        if let Some(moved) = self.connection.moved(io, &transfer, captured) {
            self.detector.segment(&moved.segment, &mut self.shared, &mut self.told);
        }
    }

    /// Bytes move unseen.
    pub(super) fn gap(&mut self, direction: Direction, length: u32) {
        let io = self.io(direction);
        let end = &mut self.ends[usize::from(io == Io::Send)];
        *end = end.wrapping_add(length);
        let missing = self.connection.missing_until(io, *end);
        self.detector.gap(direction, missing, &mut self.told);
    }

    pub(super) fn client(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.call(Direction::Request, bytes.as_ref());
        self
    }

    pub(super) fn server(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.call(Direction::Response, bytes.as_ref());
        self
    }

    /// The connection ends.
    pub(super) fn stop(&mut self) -> &mut Self {
        self.detector.stop(&mut self.told);
        self
    }

    #[track_caller]
    pub(super) fn tells(&mut self, expected: &[impl AsRef<str>]) -> &mut Self {
        let expected: Vec<&str> = expected.iter().map(AsRef::as_ref).collect();
        assert_eq!(std::mem::take(&mut self.told.lines), expected);
        self
    }

    /// It tells nothing.
    #[track_caller]
    pub(super) fn is_silent(&mut self) -> &mut Self {
        self.tells(&[""; 0])
    }

    /// What each exchange so far asks for, and how it ended.
    pub(super) fn outcomes(&self) -> Vec<String> {
        let asked = self.told.lines.iter().filter_map(|line| {
            let (stream, asked) = line.split_once(": ")?;
            let kinds = ["postgresql ", "mysql ", "redis ", "mongodb "];
            let asked = kinds.iter().find_map(|kind| asked.strip_prefix(kind))?;
            Some((stream, asked.split(" | ").next().unwrap_or_default()))
        });
        let ended = |stream: &str| {
            let begin = format!("{stream}: ended, ");
            let line = self.told.lines.iter().find(|line| line.starts_with(&begin));
            line.map_or(" open", |line| line[begin.len()..].split_once(" bytes").map_or("", |(_, end)| end))
        };
        asked.map(|(stream, asked)| format!("{asked}{}", ended(stream))).collect()
    }

    /// The moments of an exchange so far: begun, sent, answered, read, ended.
    #[track_caller]
    pub(super) fn moments(&self, stream: u64) -> [Option<u64>; 5] {
        ["begun", "sent", "answered", "read", "ended"].map(|what| {
            self.told.times.iter().find(|(of, name, _)| (*of, *name) == (stream, what)).and_then(|(.., time)| *time)
        })
    }

    fn io(&self, direction: Direction) -> Io {
        if Direction::of(self.role, Io::Send) == direction { Io::Send } else { Io::Receive }
    }
}

/// Moves the turns of a connection in calls of these lengths, until `limit` bytes have moved.
pub(super) fn in_calls(mut spoken: Spoken, turns: &[(Direction, Vec<u8>)], lengths: &[usize], limit: usize) -> Spoken {
    let mut lengths = lengths.iter().cycle();
    let mut left = limit;
    for (direction, bytes) in turns {
        let mut from = 0;
        while from < bytes.len() && left > 0 {
            let length = lengths.next().copied().unwrap_or(usize::MAX).min(bytes.len() - from).min(left);
            spoken.call(*direction, &bytes[from..from + length]);
            from += length;
            left -= length;
        }
    }
    spoken
}

/// Any call: whether the client makes it, its bytes, what is captured of them, and whether it goes on with others.
type AnyCall = (bool, Vec<u8>, usize, bool);

/// Calls that move any bytes, and hide any of them.
pub(super) fn any_calls() -> impl Strategy<Value = Vec<AnyCall>> {
    vec((any::<bool>(), vec(any::<u8>(), 1..60), 0usize..60, any::<bool>()), 0..30)
}

/// Mixes calls that move any bytes with the true turns of a connection. Nothing must panic.
pub(super) fn speak_any(mut spoken: Spoken, turns: &[(Direction, Vec<u8>)], calls: Vec<AnyCall>) {
    let mut turns = turns.iter();
    for (by_client, bytes, hidden, goes_on) in calls {
        let direction = if by_client { Direction::Request } else { Direction::Response };
        match hidden {
            0..10 => spoken.gap(direction, bytes.len() as u32),
            10..30 => {
                if let Some((direction, bytes)) = turns.next() {
                    spoken.call_with_holes(*direction, bytes, &[(0, bytes.len().min(hidden))], goes_on);
                }
            }
            _ => spoken.call_with_holes(direction, &bytes, &[(hidden.min(bytes.len()), bytes.len())], goes_on),
        }
    }
    spoken.stop();
}

/// The turns of a connection as they were recorded: a line each, with `>` or `<` before its bytes, of which those that
/// are no printable ASCII are escaped.
pub(super) fn recorded(text: &str) -> Vec<(Direction, Vec<u8>)> {
    let turn = |line: &str| {
        let (mark, rest) = line.split_once(' ').expect("a mark and bytes");
        let direction = if mark == ">" { Direction::Request } else { Direction::Response };
        let mut bytes = Vec::new();
        let mut rest = rest.bytes();
        while let Some(byte) = rest.next() {
            bytes.push(match byte {
                b'\\' => match rest.next().expect("an escape") {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b'x' => {
                        let digits = [rest.next().expect("a digit"), rest.next().expect("a digit")];
                        u8::from_str_radix(str::from_utf8(&digits).expect("digits"), 16).expect("digits")
                    }
                    other => other,
                },
                byte => byte,
            });
        }
        (direction, bytes)
    };
    text.lines().map(turn).collect()
}
