//! The records of a server under load.

use std::net::{Ipv4Addr, SocketAddr};

use cargo_beyla_core::event::{Captured, Event, Open, Operation};
use cargo_beyla_core::model::connection::{Endpoint, Role};
use cargo_beyla_events::{Header, Sending, State, TaskChange, Transfer, task, tcp_state};

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
            self.push(&Event::Explained(""));
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
        let end = Endpoint::Tcp(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8080)));
        self.push(&Event::Open(Open {
            time_ns: self.now_ns,
            connection,
            established_ns: Some(self.now_ns),
            role: Role::Server,
            server: end.clone(),
            client: end,
            receive_sequence: 0,
            send_sequence: 0,
            thread: 1,
            task: 0,
            before: false,
        }));
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
            header: self.header(connection, 0),
            arrival_ns: self.now_ns - 2_000,
            arrival_sequence: start,
            end_sequence: self.moved[at].0,
            length: data.len() as u32,
            thread: 1,
            ..Default::default()
        };
        let captured = Captured::first(data.as_bytes());
        self.push(&Event::Receive(Operation { transfer, captured }));
    }

    fn send(&mut self, connection: u64, at: usize) {
        let took = if self.shape.slowing { self.requests } else { self.random() % 100_000 };
        if self.shape.explain {
            self.task(task::WOKEN, at as u64, 0);
            self.task(task::RUNNING, at as u64, 0);
            let header = self.header(connection, took / 2);
            self.push(&Event::Sending(Sending { header, thread: 1, reserved: 0 }));
        }
        let second = self.now_ns / 1_000_000_000 % 60;
        let data = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: 12\r\ncontent-type: text/plain; charset=utf-8\r\n\
             date: Tue, 01 Jul 2025 10:00:{second:02} GMT\r\n\r\nHello world!"
        );
        let sent = &mut self.moved[at].1;
        *sent = sent.wrapping_add(data.len() as u32);
        let transfer = Transfer {
            header: self.header(connection, took),
            begin_ns: self.now_ns + took / 2,
            end_sequence: self.moved[at].1,
            received_sequence: self.moved[at].0,
            length: data.len() as u32,
            thread: 1,
            ..Default::default()
        };
        let captured = Captured::first(data.as_bytes());
        self.push(&Event::Send(Operation { transfer, captured }));
        self.task(task::IDLE, at as u64, took);
    }

    /// A change of the task of a connection, so long after the present moment.
    fn task(&mut self, change: u16, at: u64, later_ns: u64) {
        if !self.shape.explain {
            return;
        }
        let header = Header { flags: change, ..self.header(0, later_ns) };
        self.push(&Event::Task(TaskChange { header, task: 64 * (at + 1), vtable: 64, thread: 1, process: 0, id: 0 }));
    }

    fn close(&mut self, connection: u64, at: usize) {
        let (receive_sequence, send_sequence) = self.moved[at];
        let state = State {
            header: self.header(connection, 200_000),
            old: tcp_state::ESTABLISHED,
            new: tcp_state::CLOSE,
            // Each with the end of its stream.
            receive_sequence: receive_sequence + 1,
            send_sequence: send_sequence + 1,
            ..Default::default()
        };
        self.push(&Event::State(state));
    }

    /// Of what happens so long after the present moment.
    fn header(&self, connection: u64, later_ns: u64) -> Header {
        Header { time_ns: self.now_ns + later_ns, connection, ..Header::default() }
    }

    fn push(&mut self, event: &Event<'_>) {
        event.encode(&mut self.records);
    }

    /// xorshift64: the same in every run.
    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}
