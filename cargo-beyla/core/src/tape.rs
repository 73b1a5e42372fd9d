//! Records as the kernel side makes them, for tests.

mod explain;

use std::collections::HashMap;

use cargo_beyla_events::{self as records, CAPTURE_CONTINUED, CAPTURE_MAX, CAPTURE_TURN, kind, tcp_state};
use zerocopy::{Immutable, IntoBytes};

use crate::event::decode::Event;
use crate::transport::segment::Direction;

use crate::exchange::route::RouteTable;
use crate::exchange::trace::{Trace, TraceSettings};
use crate::model::explanation::{Cause, Explanation, Parts, Place, Wait};
use crate::model::summary::{RouteSummary, Summary};
use crate::model::system_call::Architecture;

/// A recording in the making. Each operation takes 10 ns and each pause between two takes 10 ns.
#[derive(Debug, Default)]
pub(crate) struct Tape {
    pub(crate) bytes: Vec<u8>,
    /// The time of the last record, in nanoseconds.
    pub(crate) now: u64,
    /// The thread that does what follows.
    thread: u32,
    /// Whether the records of `--explain` are told, too.
    pub(crate) explained: bool,
    /// How long the next connection waits to be accepted, if not 10 ns.
    accept_ns: Option<u64>,
    /// When what is received next arrived, if not just before.
    arrived_ns: Option<u64>,
    /// Whether the next connection was open before.
    joins: bool,
    connections: HashMap<u64, Ends>,
}

#[derive(Debug)]
struct Ends {
    received: u32,
    sent: u32,
    /// What is left to capture without reserve, until the direction turns.
    budget: u32,
    last: Option<Direction>,
}

impl Tape {
    pub(crate) fn new() -> Self {
        Self { now: 1000, thread: 1, ..Self::default() }
    }

    /// A tape with connection 1 open.
    pub(crate) fn with_connection() -> Self {
        let mut tape = Self::new();
        tape.open(1);
        tape
    }

    /// The client connects, and 10 ns later the server accepts.
    pub(crate) fn open(&mut self, connection: u64) -> &mut Self {
        let end = |port| records::Endpoint {
            family: records::AF_INET,
            port,
            address: [127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            reserved: 0,
        };
        self.open_with(connection, end(8080), end(50000), b"")
    }

    /// The same, but the server accepts so many nanoseconds later.
    pub(crate) fn open_after(&mut self, connection: u64, wait_ns: u64) -> &mut Self {
        self.accept_ns = Some(wait_ns);
        self.open(connection)
    }

    /// A connection that was open before anybody watched.
    pub(crate) fn join(&mut self, connection: u64) -> &mut Self {
        self.joins = true;
        self.open(connection)
    }

    pub(crate) fn open_unix(&mut self, connection: u64, path: &[u8]) -> &mut Self {
        let end = records::Endpoint { family: records::AF_UNIX, ..Default::default() };
        self.open_with(connection, end, end, path)
    }

    fn open_with(
        &mut self,
        connection: u64,
        local: records::Endpoint,
        remote: records::Endpoint,
        path: &[u8],
    ) -> &mut Self {
        // So that sequence numbers wrap soon.
        let first = u32::MAX - 50;
        let ends = Ends { received: first, sent: first, budget: CAPTURE_TURN, last: None };
        self.connections.insert(connection, ends);
        let established_ns = self.now;
        self.now += self.accept_ns.take().unwrap_or(10);
        let mut header = self.header::<records::Open>(kind::OPEN, connection, path);
        let joins = std::mem::take(&mut self.joins);
        if joins {
            header.flags = records::OPEN_BEFORE;
        }
        let record = records::Open {
            header,
            established_ns: if joins { 0 } else { established_ns },
            local,
            remote,
            receive_sequence: first,
            send_sequence: first,
        };
        self.push(&record, path)
    }

    pub(crate) fn listen(&mut self, port: u16) -> &mut Self {
        let record = records::Listen {
            header: self.header::<records::Listen>(kind::LISTEN, 0, b""),
            local: records::Endpoint { family: records::AF_INET, port, ..Default::default() },
        };
        self.push(&record, b"")
    }

    /// Bytes arrive after 10 ns and are read after 10 more.
    pub(crate) fn receive(&mut self, connection: u64, data: impl AsRef<[u8]>) -> &mut Self {
        self.transfer(Direction::Request, connection, data.as_ref(), usize::MAX)
    }

    /// Bytes are read that arrived at `arrival_ns`.
    pub(crate) fn receive_late(&mut self, connection: u64, data: &str, arrival_ns: u64) -> &mut Self {
        self.arrived_ns = Some(arrival_ns);
        self.receive(connection, data)
    }

    /// Bytes are sent by a call that begins after 10 ns and takes 10 more.
    pub(crate) fn send(&mut self, connection: u64, data: impl AsRef<[u8]>) -> &mut Self {
        self.transfer(Direction::Response, connection, data.as_ref(), usize::MAX)
    }

    /// Moves bytes, of which at most `most` are captured.
    pub(crate) fn transfer(&mut self, direction: Direction, connection: u64, data: &[u8], most: usize) -> &mut Self {
        let ends = self.connections.get_mut(&connection).expect("an open connection");
        if ends.last.replace(direction) != Some(direction) {
            ends.budget = CAPTURE_TURN;
        }
        let allowed = (ends.budget.max(CAPTURE_CONTINUED) as usize).min(CAPTURE_MAX).min(most);
        let captured = data.len().min(allowed);
        ends.budget = ends.budget.saturating_sub(captured as u32);
        let begun = self.now + 10;
        self.now += 20;
        let position = match direction {
            Direction::Request => &mut ends.received,
            Direction::Response => &mut ends.sent,
        };
        let start = *position;
        *position = start.wrapping_add(data.len() as u32);
        let end_sequence = *position;
        let received_sequence = ends.received;
        let (kind, begin_ns, arrival_ns) = match direction {
            Direction::Request => (kind::RECEIVE, 0, self.arrived_ns.take().unwrap_or(begun)),
            Direction::Response => (kind::SEND, begun, 0),
        };
        let tail = match data.last_chunk() {
            Some(tail) if captured < data.len() => *tail,
            _ => [0; 8],
        };
        if self.explained && direction == Direction::Response {
            self.send_call(kind::SENDING, connection, begun);
        }
        let record = records::Transfer {
            header: self.header::<records::Transfer>(kind, connection, &data[..captured]),
            begin_ns,
            arrival_ns,
            arrival_sequence: start,
            end_sequence,
            received_sequence,
            length: data.len() as u32,
            captured: captured as u32,
            thread: self.thread,
            tail,
        };
        self.push(&record, &data[..captured])
    }

    /// Bytes reach a queue that holds so many unread ones.
    pub(crate) fn arrive_behind(&mut self, connection: u64, unread: u32) -> &mut Self {
        self.now += 10;
        let record = records::Arrival {
            header: self.header::<records::Arrival>(kind::ARRIVAL, connection, b""),
            sequence: self.connections[&connection].received.wrapping_add(unread),
            reserved: 0,
        };
        self.push(&record, b"")
    }

    /// Bytes move and no record tells of them.
    pub(crate) fn unseen(&mut self, direction: Direction, connection: u64, length: u32) -> &mut Self {
        let ends = self.connections.get_mut(&connection).expect("an open connection");
        let position = match direction {
            Direction::Request => &mut ends.received,
            Direction::Response => &mut ends.sent,
        };
        *position = position.wrapping_add(length);
        self.now += 20;
        self
    }

    /// A receive call meets the end of the stream.
    pub(crate) fn end_of_stream(&mut self, connection: u64) -> &mut Self {
        self.receive(connection, b"")
    }

    /// The client closes first.
    pub(crate) fn client_closes(&mut self, connection: u64) -> &mut Self {
        self.state(connection, tcp_state::CLOSE_WAIT, 0)
    }

    /// The server closes first.
    pub(crate) fn server_closes(&mut self, connection: u64) -> &mut Self {
        self.state(connection, tcp_state::FIN_WAIT1, 0)
    }

    /// Nothing is left of the connection.
    pub(crate) fn over(&mut self, connection: u64) -> &mut Self {
        self.state(connection, tcp_state::CLOSE, 0)
    }

    /// The client resets the connection.
    pub(crate) fn reset(&mut self, connection: u64) -> &mut Self {
        self.state(connection, tcp_state::CLOSE, 1)
    }

    fn state(&mut self, connection: u64, new: u8, error: u8) -> &mut Self {
        self.now += 10;
        let ends = &self.connections[&connection];
        let record = records::State {
            header: self.header::<records::State>(kind::STATE, connection, b""),
            old: tcp_state::ESTABLISHED,
            new,
            error,
            receive_sequence: ends.received,
            send_sequence: ends.sent,
            ..Default::default()
        };
        self.push(&record, b"")
    }

    pub(crate) fn lost(&mut self, records: u64) -> &mut Self {
        let record = records::Lost {
            header: self.header::<records::Lost>(kind::LOST, 0, b""),
            records,
            connections: 2,
            skipped: 3,
            failed_reads: 4,
            out_of_step: 6,
        };
        self.push(&record, b"")
    }

    pub(crate) fn io_uring(&mut self) -> &mut Self {
        let header = self.header::<records::Header>(kind::IO_URING, 0, b"");
        self.push(&header, b"")
    }

    fn header<T>(&self, kind: u16, connection: u64, trailing: &[u8]) -> records::Header {
        records::Header {
            kind,
            flags: 0,
            size: (size_of::<T>() + trailing.len()) as u32,
            time_ns: self.now,
            connection,
        }
    }

    fn push(&mut self, record: &(impl IntoBytes + Immutable), trailing: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(record.as_bytes());
        self.bytes.extend_from_slice(trailing);
        self
    }

    /// What a trace makes of it, ended 10 ns after the last record.
    pub(crate) fn summary(&self) -> Summary {
        self.summary_keeping(usize::MAX)
    }

    /// The same, recorded on a machine of this architecture.
    pub(crate) fn summary_on(&self, architecture: Architecture) -> Summary {
        let routes = RouteTable::new(&[]).expect("no patterns");
        let settings = TraceSettings { architecture, ..TraceSettings::new(routes, usize::MAX) };
        summary_with(&self.bytes, self.now + 10, settings).0
    }

    pub(crate) fn summary_keeping(&self, max_requests: usize) -> Summary {
        let (summary, rest) = summary_of(&self.bytes, self.now + 10, max_requests);
        assert!(rest.is_empty());
        summary
    }
}

/// What a trace makes of bytes, up to the first that are no record; and these.
pub(crate) fn summary_of(bytes: &[u8], now_ns: u64, max_requests: usize) -> (Summary, &[u8]) {
    let routes = RouteTable::new(&[]).expect("no patterns");
    summary_with(bytes, now_ns, TraceSettings::new(routes, max_requests))
}

fn summary_with(mut bytes: &[u8], now_ns: u64, settings: TraceSettings) -> (Summary, &[u8]) {
    let mut trace = Trace::new(settings);
    while let Ok(Some((event, size))) = Event::decode(bytes) {
        trace.record(&event);
        bytes = &bytes[size..];
    }
    let summary = trace.finish(now_ns);
    for request in &summary.requests {
        assert_sound(request);
    }
    let totals = summary.totals;
    assert_eq!(totals.requests, summary.requests.len() as u64 + totals.requests_not_kept);
    for (total, of_route) in [
        (totals.requests, (|route| route.count) as fn(&RouteSummary) -> u64),
        (totals.errors, |route| route.errors),
        (totals.incomplete, |route| route.incomplete),
    ] {
        assert_eq!(total, summary.routes.iter().map(of_route).sum::<u64>());
    }
    (summary, bytes)
}

/// What is told of the parts lies within them.
fn assert_within(parts: &Parts, places: &[Place], waits: &[Wait], depth: usize) {
    let (running, off): (Vec<&Place>, Vec<&Place>) = places.iter().partition(|place| place.cause == Cause::Running);
    assert!(running.iter().map(|place| place.ns).sum::<u64>() <= parts.running, "{places:?} {parts:?}");
    assert!(off.iter().map(|place| place.ns).sum::<u64>() <= parts.blocked, "{places:?} {parts:?}");
    assert!(waits.iter().map(|wait| wait.ns).sum::<u64>() <= parts.waiting, "{waits:?} {parts:?}");
    assert!(places.len() <= 8 && waits.len() <= 8 && (depth < 4 || waits.is_empty()));
    for wait in waits {
        assert!(wait.parts.sum() <= wait.ns, "{wait:?}");
        assert_within(&wait.parts, &wait.places, &wait.waits, depth + 1);
    }
}

/// Phases sum to the total and boundaries never decrease.
pub(crate) fn assert_sound(request: &crate::model::request::Request) {
    let boundaries = &request.boundaries;
    assert_eq!(boundaries.phases().sum(), boundaries.total(), "{request:?}");
    let in_order =
        [boundaries.arrived, Some(boundaries.read), boundaries.received, boundaries.responded, Some(boundaries.ended)];
    assert!(in_order.iter().flatten().is_sorted(), "{request:?}");
    assert!([boundaries.connected, boundaries.accepted].iter().flatten().is_sorted(), "{request:?}");
    assert!(boundaries.accepted.is_none_or(|accepted| accepted <= boundaries.read), "{request:?}");
    if let Some(explanation) = &request.explanation {
        let Explanation { parts, places, waits, .. } = &**explanation;
        assert_eq!(Some(parts.sum()), boundaries.phases().handle, "{request:?}");
        assert_within(parts, places, waits, 0);
    }
}
