//! The connections that are followed.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};

use cargo_beyla_events::{Arrival, MOVED_BY_CLIENT, State};
use hashbrown::HashMap;

use crate::event::{Key, Open, Operation};
use crate::exchange::carried::Readers;
use crate::exchange::client::ClientConnection;
use crate::exchange::connection::Connection;
use crate::exchange::run_state::RunState;
use crate::model::connection::{ConnectionInfo, Endpoint, Owner, Role};
use crate::runtime::attribution::Operator;
use crate::transport::connection::Connection as Streams;
use crate::transport::segment::Io;

/// The connections that are followed at a time; more than a process may have open by default.
pub(crate) const CONNECTIONS_MAX: usize = 256 * 1024;

/// Connections that are over and remembered for what is still to come of them: a call that was under
/// way when a reset came, requests that had arrived before it.
const CLOSED_MAX: usize = 256;

/// How long after a reset a process may still read what had arrived before, in nanoseconds.
const BROKEN_NS: u64 = 200_000_000;

/// The threads that are remembered.
const THREADS_MAX: usize = 64 * 1024;

/// All of them, by the numbers that records have for them.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    followed: HashMap<u64, Connection>,
    /// Those that the process opened.
    opened: HashMap<u64, ClientConnection>,
    readers: Readers,
    /// The connection over TLS on which a thread did something last.
    last_of_thread: HashMap<u32, u64>,
    /// Those that are over, the oldest first.
    closed: VecDeque<u64>,
    /// The connections of the process's own that broke, and when, in nanoseconds; the oldest first.
    broken: VecDeque<(u64, u64)>,
}

/// What is known of a connection when it is first seen; it has been counted.
fn info(open: &Open, owner: Option<Owner>, state: &RunState) -> ConnectionInfo {
    ConnectionInfo {
        id: state.connections + state.client_connections,
        server: open.server.clone(),
        client: open.client.clone(),
        proxy: None,
        owner,
        tls: None,
    }
}

impl Connections {
    pub(crate) fn get_mut(&mut self, connection: u64) -> Option<&mut Connection> {
        self.followed.get_mut(&connection)
    }

    /// Bytes reached the receive queue of a connection.
    pub(crate) fn arrived(&mut self, arrival: &Arrival) {
        let (id, sequence, time_ns) = (arrival.header.connection, arrival.sequence, arrival.header.time_ns);
        if let Some(connection) = self.followed.get_mut(&id) {
            connection.arrived(sequence, time_ns);
        } else if let Some(connection) = self.opened.get_mut(&id) {
            connection.arrived(sequence, time_ns);
        }
    }

    /// The process accepted a connection or begins to open one, which belongs to this process and test if to any.
    pub(crate) fn open(&mut self, open: &Open, owner: Option<Owner>, state: &mut RunState) {
        let streams = Streams::new(open.role, open.receive_sequence, open.send_sequence);
        if open.role == Role::Client {
            return self.follow_client(open, streams, owner, state);
        }
        self.follow(open, streams, Some((open.established_ns, open.time_ns)), owner, state);
    }

    /// A receive or send call returned.
    pub(crate) fn moved(&mut self, io: Io, operation: &Operation<'_>, state: &mut RunState) {
        let transfer = &operation.transfer;
        let id = transfer.header.connection;
        self.give_up_broken(id, transfer.header.time_ns, state);
        if let Some(connection) = self.followed.get_mut(&id) {
            connection.moved(io, operation, &mut self.readers, state);
            if connection.is_tls() {
                self.acted(transfer.thread, id);
            }
            return;
        }
        if let Some(connection) = self.opened.get_mut(&id) {
            connection.moved(io, operation, &mut self.readers, state);
            if connection.is_tls() {
                self.acted(transfer.thread, id);
            }
            return;
        }
        if transfer.length == 0 || self.is_full() {
            return;
        }
        let is_client = transfer.header.flags & MOVED_BY_CLIENT != 0;
        // The record that opened it was lost, and with it the addresses of its ends, and who did.
        let unknown = Endpoint::Tcp(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)));
        let open = Open {
            time_ns: transfer.header.time_ns,
            connection: id,
            established_ns: None,
            role: if is_client { Role::Client } else { Role::Server },
            server: unknown.clone(),
            client: unknown,
            receive_sequence: 0,
            send_sequence: 0,
            thread: 0,
            task: 0,
            before: is_client,
        };
        let streams = Streams::unknown(open.role);
        if is_client {
            self.follow_client(&open, streams, None, state);
        } else {
            self.follow(&open, streams, None, None, state);
        }
        if let Some(connection) = self.followed.get_mut(&id) {
            connection.moved(io, operation, &mut self.readers, state);
        } else if let Some(connection) = self.opened.get_mut(&id) {
            connection.moved(io, operation, &mut self.readers, state);
        }
    }

    /// A process has set up a key; the process is 0 in a run that traces one.
    pub(crate) fn key_came(&mut self, process: u32, key: &Key, state: &mut RunState) {
        self.readers.keys.add(process, key);
        // Most often it is for what the thread has just received.
        let Some(id) = self.last_of_thread.get(&key.thread) else { return };
        if let Some(connection) = self.followed.get_mut(id) {
            connection.key_came(key.thread, &mut self.readers, state);
        } else if let Some(connection) = self.opened.get_mut(id) {
            connection.key_came(key.thread, &mut self.readers, state);
        }
    }

    /// A process is over.
    pub(crate) fn process_ended(&mut self, process: u32) {
        self.readers.keys.process_ended(process);
    }

    /// A thread did something on a connection over TLS.
    fn acted(&mut self, thread: u32, connection: u64) {
        if self.last_of_thread.len() < THREADS_MAX || self.last_of_thread.contains_key(&thread) {
            self.last_of_thread.insert(thread, connection);
        }
    }

    /// A connection that the process opens is established, or one end of a connection closed.
    pub(crate) fn closing(&mut self, change: &State, stopping_ns: u64, state: &mut RunState) {
        let id = change.header.connection;
        let now_ns = change.header.time_ns;
        self.give_up_broken(id, now_ns, state);
        // The kernel programs find a connection by the address of its socket, which the kernel reuses. If they miss that the
        // socket was destroyed, they report the next socket there as the same connection.
        if self.closed.contains(&id) {
            return;
        }
        let is_over = if let Some(connection) = self.followed.get_mut(&id) {
            connection.closing(change, stopping_ns, &mut self.readers, state)
        } else if let Some(connection) = self.opened.get_mut(&id) {
            let is_over = connection.changed(change, stopping_ns, &mut self.readers, state);
            if connection.is_broken() {
                self.broken.push_back((id, now_ns));
            }
            is_over
        } else {
            false
        };
        if !is_over {
            return;
        }
        self.closed.push_back(id);
        if self.closed.len() > CLOSED_MAX
            && let Some(oldest) = self.closed.pop_front()
        {
            if let Some(connection) = self.followed.remove(&oldest) {
                connection.finish(now_ns, &mut self.readers, state);
            } else if let Some(connection) = self.opened.remove(&oldest) {
                connection.finish(now_ns, &mut self.readers, state);
            }
        }
    }

    /// Gives up the calls on connections that broke more than [`BROKEN_NS`] ago. `current` is spared: something happens on it
    /// now.
    fn give_up_broken(&mut self, current: u64, now_ns: u64, state: &mut RunState) {
        while let Some((id, broken_ns)) = self.broken.front().copied()
            && broken_ns.saturating_add(BROKEN_NS) < now_ns
            && id != current
        {
            self.broken.pop_front();
            if let Some(connection) = self.opened.get_mut(&id) {
                connection.give_up_broken(now_ns, &mut self.readers, state);
            }
        }
    }

    /// Ends what is under way at `now_ns`: it stays open.
    pub(crate) fn finish(&mut self, now_ns: u64, state: &mut RunState) {
        // Calls first, as they belong to requests.
        let mut opened: Vec<_> = self.opened.drain().collect();
        opened.sort_unstable_by_key(|(id, _)| *id);
        for (_, connection) in opened {
            connection.finish(now_ns, &mut self.readers, state);
        }
        state.judge_all();
        let mut connections: Vec<_> = self.followed.drain().collect();
        connections.sort_unstable_by_key(|(id, _)| *id);
        for (_, connection) in connections {
            connection.finish(now_ns, &mut self.readers, state);
        }
    }

    fn is_full(&self) -> bool {
        self.followed.len() + self.opened.len() >= CONNECTIONS_MAX
    }

    fn follow_client(&mut self, open: &Open, streams: Streams, owner: Option<Owner>, state: &mut RunState) {
        if self.opened.contains_key(&open.connection) {
            return;
        }
        state.client_connections += 1;
        if self.is_full() {
            state.unseen.untracked_connections += 1;
            return;
        }
        let info = info(open, owner, state);
        let process = owner.map_or(0, |owner| owner.pid);
        let opener = Operator { process, thread: open.thread, task: open.task };
        let users = state.attribution.opens(opener, open.time_ns);
        let connecting_ns = (!open.before).then_some(open.time_ns);
        let mut connection = ClientConnection::new(streams, info, users, connecting_ns, open.before);
        if let Some(established_ns) = open.established_ns {
            connection.established(established_ns);
        }
        self.opened.insert(open.connection, connection);
    }

    /// `opened` is when it was established and touched first, if that was seen.
    fn follow(
        &mut self,
        open: &Open,
        streams: Streams,
        opened: Option<(Option<u64>, u64)>,
        owner: Option<Owner>,
        state: &mut RunState,
    ) {
        if self.followed.contains_key(&open.connection) {
            return;
        }
        state.connections += 1;
        if self.is_full() {
            state.unseen.untracked_connections += 1;
            return;
        }
        state.attribution.accepted(owner.map_or(0, |owner| owner.pid), &open.server);
        let info = info(open, owner, state);
        self.followed.insert(open.connection, Connection::new(streams, info, opened, open.before));
    }
}
