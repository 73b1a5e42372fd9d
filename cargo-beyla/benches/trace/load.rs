//! The records of a server under load.

use cargo_beyla_events::{
    AF_INET, Endpoint, Header, Open, Sending, State, TaskChange, Transfer, kind, task, tcp_state,
};
use zerocopy::{Immutable, IntoBytes};

/// Connections that are open at a time; each is asked once a round.
const CONNECTIONS: u64 = 64;

/// Between two requests, in nanoseconds.
const PAUSE: u64 = 9_000;

/// What requests are like.
#[derive(Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is a question of its own")]
pub(crate) struct Shape {
    /// How many different paths are asked for.
    pub(crate) paths: u64,
    /// Whether connections serve more than one request.
    pub(crate) keep_alive: bool,
    /// Whether each request takes longer than those before.
    pub(crate) slowing: bool,
    /// Whether each request carries a header field that no other has.
    pub(crate) trace_ids: bool,
    /// Whether the run is one with `--explain`: a task a connection, polled twice a request.
    pub(crate) explain: bool,
}

impl Default for Shape {
    fn default() -> Self {
        Self { paths: 1, keep_alive: true, slowing: false, trace_ids: false, explain: false }
    }
}

/// A load that goes on for as long as it is asked to.
pub(crate) struct Load {
    shape: Shape,
    records: Vec<u8>,
    now_ns: u64,
    requests: u64,
    random: u64,
    /// How far each connection has received and sent.
    moved: Vec<(u32, u32)>,
}

impl Load {
    pub(crate) fn new(shape: Shape) -> Self {
        let moved = vec![(0, 0); CONNECTIONS as usize];
        Self { shape, records: Vec::new(), now_ns: 1_000_000_000, requests: 0, random: 1, moved }
    }

    pub(crate) fn requests(&self) -> u64 {
        self.requests
    }

    pub(crate) fn now_ns(&self) -> u64 {
        self.now_ns
    }

    /// The records that come next, of some 250 requests.
    pub(crate) fn next_batch(&mut self) -> &[u8] {
        self.records.clear();
        if self.shape.explain && self.requests == 0 {
            let header = self.header::<Header>(kind::EXPLAINED, 0, b"");
            self.push(&header, b"");
        }
        for _ in 0..4 {
            self.add_round();
        }
        &self.records
    }

    /// One request on each connection.
    fn add_round(&mut self) {
        let new = !self.shape.keep_alive || self.requests == 0;
        // A connection's number is never used again.
        let first = if self.shape.keep_alive { 1 } else { self.requests + 1 };
        for at in 0..CONNECTIONS {
            self.task(task::WOKEN, at, 0);
            self.task(task::RUNNING, at, 0);
            if new {
                self.open(first + at, at as usize);
            }
            self.receive(first + at, at as usize);
            self.task(task::IDLE, at, 0);
        }
        for at in 0..CONNECTIONS {
            self.send(first + at, at as usize);
            if !self.shape.keep_alive {
                self.close(first + at, at as usize);
            }
        }
    }

    fn open(&mut self, connection: u64, at: usize) {
        self.moved[at] = (0, 0);
        let end = Endpoint { family: AF_INET, port: 8080, ..Default::default() };
        let header = self.header::<Open>(kind::OPEN, connection, b"");
        let established_ns = self.now_ns;
        self.push(&Open { header, established_ns, local: end, remote: end, ..Default::default() }, b"");
    }

    fn receive(&mut self, connection: u64, at: usize) {
        let trace_id = if self.shape.trace_ids {
            format!("traceparent: 00-{:032x}-00f067aa0ba902b7-01\r\n", self.random())
        } else {
            String::new()
        };
        let path = match self.shape.paths {
            1 => "/hello".to_owned(),
            paths => format!("/hello/world/{:x}?n=1", 0x1234_5678 + self.requests % paths),
        };
        let data = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: load/1.0\r\n{trace_id}\r\n");
        self.requests += 1;
        self.now_ns += PAUSE;
        let received = &mut self.moved[at].0;
        let start = *received;
        *received = start.wrapping_add(data.len() as u32);
        let transfer = Transfer {
            header: self.header::<Transfer>(kind::RECEIVE, connection, data.as_bytes()),
            arrival_ns: self.now_ns - 2_000,
            arrival_sequence: start,
            end_sequence: self.moved[at].0,
            length: data.len() as u32,
            captured: data.len() as u32,
            thread: 1,
            ..Default::default()
        };
        self.push(&transfer, data.as_bytes());
    }

    fn send(&mut self, connection: u64, at: usize) {
        let took = if self.shape.slowing { self.requests } else { self.random() % 100_000 };
        if self.shape.explain {
            self.task(task::WOKEN, at as u64, 0);
            self.task(task::RUNNING, at as u64, 0);
            let mut header = self.header::<Sending>(kind::SENDING, connection, b"");
            header.time_ns += took / 2;
            self.push(&Sending { header, thread: 1, reserved: 0 }, b"");
        }
        let second = self.now_ns / 1_000_000_000 % 60;
        let data = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: 12\r\ncontent-type: text/plain; charset=utf-8\r\n\
             date: Tue, 01 Jul 2025 10:00:{second:02} GMT\r\n\r\nHello world!"
        );
        let sent = &mut self.moved[at].1;
        *sent = sent.wrapping_add(data.len() as u32);
        let transfer = Transfer {
            header: Header {
                time_ns: self.now_ns + took,
                ..self.header::<Transfer>(kind::SEND, connection, data.as_bytes())
            },
            begin_ns: self.now_ns + took / 2,
            end_sequence: self.moved[at].1,
            received_sequence: self.moved[at].0,
            length: data.len() as u32,
            captured: data.len() as u32,
            thread: 1,
            ..Default::default()
        };
        self.push(&transfer, data.as_bytes());
        self.task(task::IDLE, at as u64, took);
    }

    /// A change of the task of a connection, so long after the present moment.
    fn task(&mut self, change: u16, at: u64, later_ns: u64) {
        if !self.shape.explain {
            return;
        }
        let mut header = self.header::<TaskChange>(kind::TASK, 0, b"");
        (header.flags, header.time_ns) = (change, header.time_ns + later_ns);
        self.push(&TaskChange { header, task: 64 * (at + 1), vtable: 64, thread: 1, process: 0 }, b"");
    }

    fn close(&mut self, connection: u64, at: usize) {
        let (receive_sequence, send_sequence) = self.moved[at];
        let state = State {
            header: Header { time_ns: self.now_ns + 200_000, ..self.header::<State>(kind::STATE, connection, b"") },
            old: tcp_state::ESTABLISHED,
            new: tcp_state::CLOSE,
            // Each with the end of its stream.
            receive_sequence: receive_sequence + 1,
            send_sequence: send_sequence + 1,
            ..Default::default()
        };
        self.push(&state, b"");
    }

    fn header<T>(&self, kind: u16, connection: u64, trailing: &[u8]) -> Header {
        let size = (size_of::<T>() + trailing.len()) as u32;
        Header { kind, flags: 0, size, time_ns: self.now_ns, connection }
    }

    fn push(&mut self, record: &(impl IntoBytes + Immutable), trailing: &[u8]) {
        self.records.extend_from_slice(record.as_bytes());
        self.records.extend_from_slice(trailing);
    }

    /// xorshift64: the same in every run.
    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}
