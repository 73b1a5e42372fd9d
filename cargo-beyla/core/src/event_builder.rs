//! Builds the events of a run for tests, as the kernel side records them.

mod runtime;

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;

use cargo_beyla_events::{
    self as records, CAPTURE_CONTINUED, CAPTURE_MAX, CAPTURE_TURN, Header, MOVED_BY_CLIENT, tcp_state,
};

use crate::event::{Captured, Event, Listen, Lost, Moment, Open, Operation, frame_pieces};
use crate::model::connection::{Endpoint, Role};
use crate::transport::segment::{Direction, Io};

pub(crate) use runtime::{library, own, system};

/// The records of a run, one after the other. Each operation takes 10 ns, and 10 ns go by between two.
#[derive(Debug, Default)]
pub(crate) struct EventBuilder {
    pub(crate) bytes: Vec<u8>,
    /// The time of the last record, in nanoseconds.
    pub(crate) now: u64,
    /// The thread that does what follows.
    thread: u32,
    /// Whether the run is one with `--explain`.
    pub(crate) explained: bool,
    /// Whether it is one with `--explain=auto`.
    sees_polls: bool,
    /// How long the next connection waits to be accepted, if not 10 ns.
    accept_ns: Option<u64>,
    /// When what is received next arrived, if not just before.
    arrived_ns: Option<u64>,
    /// When the next call begins, if not 10 ns after the last record.
    begun_ns: Option<u64>,
    /// Whether the next connection was open before.
    joins: bool,
    /// The id of the task that does what follows.
    task: u64,
    connections: HashMap<u64, Ends>,
}

#[derive(Debug)]
struct Ends {
    role: Role,
    received: u32,
    sent: u32,
    /// What is left to capture without reserve, until the direction turns.
    budget: u32,
    last: Option<Direction>,
}

impl EventBuilder {
    pub(crate) fn new() -> Self {
        Self { now: 1000, thread: 1, ..Self::default() }
    }

    /// A run in which connection 1 is open.
    pub(crate) fn with_connection() -> Self {
        let mut events = Self::new();
        events.open(1);
        events
    }

    /// The client connects, and 10 ns later the server accepts.
    pub(crate) fn open(&mut self, connection: u64) -> &mut Self {
        let end = |port| Endpoint::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        self.open_with(connection, end(8080), end(50000))
    }

    /// The same, but the server accepts `wait_ns` later.
    pub(crate) fn open_after(&mut self, connection: u64, wait_ns: u64) -> &mut Self {
        self.accept_ns = Some(wait_ns);
        self.open(connection)
    }

    /// A connection that was open before anybody watched.
    pub(crate) fn join(&mut self, connection: u64) -> &mut Self {
        self.found_open().open(connection)
    }

    /// The next connection was open before anybody watched.
    pub(crate) fn found_open(&mut self) -> &mut Self {
        self.joins = true;
        self
    }

    pub(crate) fn open_unix(&mut self, connection: u64, path: &str) -> &mut Self {
        self.open_with(connection, Endpoint::Unix(path.to_owned()), Endpoint::Unix(String::new()))
    }

    fn open_with(&mut self, connection: u64, server: Endpoint, client: Endpoint) -> &mut Self {
        // So that sequence numbers wrap soon.
        let first = u32::MAX - 50;
        let ends = Ends { role: Role::Server, received: first, sent: first, budget: CAPTURE_TURN, last: None };
        self.connections.insert(connection, ends);
        let established_ns = self.now;
        self.now += self.accept_ns.take().unwrap_or(10);
        let before = std::mem::take(&mut self.joins);
        self.push(&Event::Open(Open {
            time_ns: self.now,
            connection,
            established_ns: (!before).then_some(established_ns),
            role: Role::Server,
            server,
            client,
            receive_sequence: first,
            send_sequence: first,
            thread: self.thread,
            task: self.task,
            before,
        }))
    }

    /// What follows happens in the async task with this id.
    pub(crate) fn in_task(&mut self, task: u64) -> &mut Self {
        self.task = task;
        self
    }

    /// The task at hand hands a new one to the runtime.
    pub(crate) fn spawns(&mut self, child: u64) -> &mut Self {
        let header = self.header(0);
        let (parent, thread) = (self.task, self.thread);
        self.push(&Event::Spawned(records::Spawned { header, parent, child, thread, process: 0 }))
    }

    /// The process begins to open a connection to 127.0.0.1:9000.
    pub(crate) fn connects(&mut self, connection: u64) -> &mut Self {
        let end = |port| Endpoint::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        self.connects_to(connection, end(9000), end(0))
    }

    pub(crate) fn connects_to(&mut self, connection: u64, server: Endpoint, client: Endpoint) -> &mut Self {
        let first = u32::MAX - 50;
        let ends = Ends { role: Role::Client, received: first, sent: first, budget: CAPTURE_TURN, last: None };
        self.connections.insert(connection, ends);
        self.now += 10;
        let before = std::mem::take(&mut self.joins);
        let sequence = if before { first } else { 0 };
        self.push(&Event::Open(Open {
            time_ns: self.now,
            connection,
            established_ns: None,
            role: Role::Client,
            server,
            client,
            receive_sequence: sequence,
            send_sequence: sequence,
            thread: self.thread,
            task: self.task,
            before,
        }))
    }

    /// A connection that the process opens is there.
    pub(crate) fn established(&mut self, connection: u64) -> &mut Self {
        self.state(connection, tcp_state::ESTABLISHED, 0)
    }

    /// Connect fails with this error; with 0, the process gives it up.
    pub(crate) fn connect_fails(&mut self, connection: u64, error: u8) -> &mut Self {
        self.state(connection, tcp_state::CLOSE, error)
    }

    /// The process opens a connection, which takes 10 ns.
    pub(crate) fn connect(&mut self, connection: u64) -> &mut Self {
        self.connects(connection).established(connection)
    }

    pub(crate) fn listen(&mut self, port: u16) -> &mut Self {
        let local = Endpoint::Tcp(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)));
        let time_ns = self.now;
        self.push(&Event::Listen(Listen { time_ns, local, process: 0, ipv6_only: false, before: false }))
    }

    /// Bytes arrive after 10 ns and are read after 10 more.
    pub(crate) fn receive(&mut self, connection: u64, data: impl AsRef<[u8]>) -> &mut Self {
        self.transfer(self.direction(connection, Io::Receive), connection, data.as_ref(), usize::MAX)
    }

    /// Bytes are read that arrived at `arrival_ns`.
    pub(crate) fn receive_late(&mut self, connection: u64, data: &str, arrival_ns: u64) -> &mut Self {
        self.arrived_ns = Some(arrival_ns);
        self.receive(connection, data)
    }

    /// The client connects, its bytes arrive `idle_ns` later, and `unread_ns` after that a receive call returns them,
    /// which is the first that is seen of the server.
    pub(crate) fn open_by_receive(&mut self, connection: u64, data: &str, idle_ns: u64, unread_ns: u64) -> &mut Self {
        let arrived_ns = self.now + idle_ns;
        self.open_after(connection, idle_ns + unread_ns);
        self.now -= 20;
        self.receive_late(connection, data, arrived_ns)
    }

    /// Bytes are sent by a call that begins after 10 ns and takes 10 more.
    pub(crate) fn send(&mut self, connection: u64, data: impl AsRef<[u8]>) -> &mut Self {
        self.transfer(self.direction(connection, Io::Send), connection, data.as_ref(), usize::MAX)
    }

    /// Bytes are sent by a call that began at `begun_ns`.
    pub(crate) fn send_begun_at(&mut self, connection: u64, data: impl AsRef<[u8]>, begun_ns: u64) -> &mut Self {
        self.begun_ns = Some(begun_ns);
        self.send(connection, data)
    }

    fn direction(&self, connection: u64, io: Io) -> Direction {
        Direction::of(self.connections.get(&connection).map_or(Role::Server, |ends| ends.role), io)
    }

    /// Moves bytes, and captures at most `most` of them.
    pub(crate) fn transfer(&mut self, direction: Direction, connection: u64, data: &[u8], most: usize) -> &mut Self {
        let ends = self.connections.get_mut(&connection).expect("an open connection");
        if ends.last.replace(direction) != Some(direction) {
            ends.budget = CAPTURE_TURN;
        }
        let allowed = (ends.budget.max(CAPTURE_CONTINUED) as usize).min(CAPTURE_MAX).min(most);
        let captured = data.len().min(allowed);
        ends.budget = ends.budget.saturating_sub(captured as u32);
        self.operation(direction, connection, data, Captured::first(&data[..captured]))
    }

    /// Moves bytes; only these pieces of them are captured.
    pub(crate) fn transfer_in_pieces(
        &mut self,
        direction: Direction,
        connection: u64,
        data: &[u8],
        pieces: &[Range<usize>],
    ) -> &mut Self {
        let framed = frame_pieces(pieces.iter().map(|piece| (piece.start as u32, &data[piece.clone()])));
        let captured = Captured::in_pieces(&framed, data.len() as u32).expect("pieces in order");
        self.operation(direction, connection, data, captured)
    }

    fn operation(&mut self, direction: Direction, connection: u64, data: &[u8], captured: Captured<'_>) -> &mut Self {
        let ends = self.connections.get_mut(&connection).expect("an open connection");
        let begun = self.begun_ns.take().unwrap_or(self.now + 10);
        self.now += 20;
        let io = if Direction::of(ends.role, Io::Receive) == direction { Io::Receive } else { Io::Send };
        let is_client = ends.role == Role::Client;
        let position = match io {
            Io::Receive => &mut ends.received,
            Io::Send => &mut ends.sent,
        };
        let start = *position;
        *position = start.wrapping_add(data.len() as u32);
        let end_sequence = *position;
        let received_sequence = ends.received;
        let (begin_ns, arrival_ns) = match io {
            Io::Receive => (0, self.arrived_ns.take().unwrap_or(begun)),
            Io::Send => (begun, 0),
        };
        let tail = match data.last_chunk() {
            Some(tail) if captured.pieces().map(|(_, bytes)| bytes.len()).sum::<usize>() < data.len() => *tail,
            _ => [0; 8],
        };
        if self.explained && io == Io::Send {
            self.sending_at(connection, begun);
        }
        let flags = if is_client { MOVED_BY_CLIENT } else { 0 };
        let transfer = records::Transfer {
            header: Header { flags, ..self.header(connection) },
            begin_ns,
            arrival_ns,
            arrival_sequence: start,
            end_sequence,
            received_sequence,
            length: data.len() as u32,
            captured: 0,
            thread: self.thread,
            tail,
            task: self.task,
        };
        let operation = Operation { transfer, captured };
        self.push(&match io {
            Io::Receive => Event::Receive(operation),
            Io::Send => Event::Send(operation),
        })
    }

    /// Bytes reach a queue that holds `unread` bytes.
    pub(crate) fn arrive_behind(&mut self, connection: u64, unread: u32) -> &mut Self {
        self.now += 10;
        let sequence = self.connections[&connection].received.wrapping_add(unread);
        self.push(&Event::Arrival(records::Arrival { header: self.header(connection), sequence, reserved: 0 }))
    }

    /// Bytes move, and the record of it is lost.
    pub(crate) fn unseen(&mut self, direction: Direction, connection: u64, length: u32) -> &mut Self {
        let ends = self.connections.get_mut(&connection).expect("an open connection");
        let position =
            if Direction::of(ends.role, Io::Receive) == direction { &mut ends.received } else { &mut ends.sent };
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
        let state = records::State {
            header: self.header(connection),
            old: if new == tcp_state::ESTABLISHED { tcp_state::CLOSE } else { tcp_state::ESTABLISHED },
            new,
            error,
            receive_sequence: ends.received,
            send_sequence: ends.sent,
            local_port: if new == tcp_state::ESTABLISHED { 40_000 + connection as u16 } else { 0 },
            ..Default::default()
        };
        self.push(&Event::State(state))
    }

    pub(crate) fn lost(&mut self, records: u64) -> &mut Self {
        self.push(&Event::Lost(Lost { records, connections: 2, skipped: 3, failed_reads: 4, out_of_step: 6 }))
    }

    pub(crate) fn io_uring(&mut self) -> &mut Self {
        self.push(&Event::IoUring(Moment { time_ns: self.now }))
    }

    fn header(&self, connection: u64) -> Header {
        Header { time_ns: self.now, connection, ..Header::default() }
    }

    pub(crate) fn push(&mut self, event: &Event<'_>) -> &mut Self {
        event.encode(&mut self.bytes);
        self
    }
}
