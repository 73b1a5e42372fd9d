//! The connections that are followed.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};

use cargo_beyla_events::{MOVED_BY_CLIENT, State};
use hashbrown::HashMap;

use crate::event::{Open, Operation};
use crate::exchange::connection::Connection;
use crate::exchange::run_state::RunState;
use crate::model::connection::{ConnectionInfo, Endpoint, Owner, Role};
use crate::protocol::message::Shared;
use crate::transport::connection::Connection as Streams;
use crate::transport::segment::Io;

/// The connections that are followed at a time; more than a process may have open by default.
pub(crate) const CONNECTIONS_MAX: usize = 256 * 1024;

/// Connections that are over and remembered for what is still to come of them: a call that was under
/// way when a reset came, requests that had arrived before it.
const CLOSED_MAX: usize = 256;

/// All of them, by the numbers that records have for them.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    followed: HashMap<u64, Connection>,
    shared: Shared,
    /// Those that are over, the oldest first.
    closed: VecDeque<u64>,
}

impl Connections {
    pub(crate) fn get_mut(&mut self, connection: u64) -> Option<&mut Connection> {
        self.followed.get_mut(&connection)
    }

    /// The server accepted a connection, which belongs to this process and test if to any.
    pub(crate) fn open(&mut self, open: &Open, owner: Option<Owner>, state: &mut RunState) {
        if open.role == Role::Client {
            return;
        }
        let streams = Streams::new(Role::Server, open.receive_sequence, open.send_sequence);
        self.follow(open, streams, Some((open.established_ns, open.time_ns)), owner, state);
    }

    /// A receive or send call returned.
    pub(crate) fn moved(&mut self, io: Io, operation: &Operation<'_>, state: &mut RunState) {
        let transfer = &operation.transfer;
        let id = transfer.header.connection;
        if let Some(connection) = self.followed.get_mut(&id) {
            return connection.moved(io, operation, &mut self.shared, state);
        }
        let is_client = transfer.header.flags & MOVED_BY_CLIENT != 0;
        if is_client || transfer.length == 0 || self.followed.len() >= CONNECTIONS_MAX {
            return;
        }
        // The record that opened it was lost, and with it the addresses of its ends.
        let unknown = Endpoint::Tcp(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)));
        let open = Open {
            time_ns: transfer.header.time_ns,
            connection: id,
            established_ns: None,
            role: Role::Server,
            server: unknown.clone(),
            client: unknown,
            receive_sequence: 0,
            send_sequence: 0,
            thread: transfer.thread,
            task: transfer.task,
            before: false,
        };
        self.follow(&open, Streams::unknown(Role::Server), None, None, state);
        if let Some(connection) = self.followed.get_mut(&id) {
            connection.moved(io, operation, &mut self.shared, state);
        }
    }

    /// One end of a connection closed.
    pub(crate) fn closing(&mut self, change: &State, stopping_ns: u64, state: &mut RunState) {
        let id = change.header.connection;
        let Some(connection) = self.followed.get_mut(&id) else { return };
        if !connection.closing(change, stopping_ns, state) {
            return;
        }
        self.closed.push_back(id);
        if self.closed.len() > CLOSED_MAX
            && let Some(oldest) = self.closed.pop_front()
            && let Some(connection) = self.followed.remove(&oldest)
        {
            connection.finish(change.header.time_ns, state);
        }
    }

    /// Ends what is under way at `now_ns`: it stays open.
    pub(crate) fn finish(&mut self, now_ns: u64, state: &mut RunState) {
        let mut connections: Vec<_> = self.followed.drain().collect();
        connections.sort_unstable_by_key(|(id, _)| *id);
        for (_, connection) in connections {
            connection.finish(now_ns, state);
        }
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
        if self.followed.len() >= CONNECTIONS_MAX {
            state.unseen.untracked_connections += 1;
            return;
        }
        let id = state.connections;
        let info = ConnectionInfo { id, server: open.server.clone(), client: open.client.clone(), proxy: None, owner };
        self.followed.insert(open.connection, Connection::new(streams, info, opened, open.before));
    }
}
