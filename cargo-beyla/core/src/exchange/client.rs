//! One connection that the process opened: its byte streams, its protocol, and the calls under way on it.

use std::sync::Arc;

use cargo_beyla_events::{State, tcp_state};
use syscalls::Errno;

use crate::event::Operation;
use crate::exchange::calls::Calls;
use crate::exchange::carried::{Carrier, Readers};
use crate::exchange::connection::{LAST_ACK, unaccounted};
use crate::exchange::run_state::RunState;
use crate::model::connection::{ConnectionInfo, Party, Role};
use crate::model::request::Outcome;
use crate::protocol::detect::Detector;
use crate::protocol::message::UnfinishedResponse;
use crate::runtime::attribution::{CallConnection, Operator};
use crate::transport::connection::{Connection as Streams, begun_ns};
use crate::transport::segment::Io;
use crate::transport::tls::carried::Carried;
use crate::transport::tls::keys::Keys;
use crate::transport::tls::layer::Layer;

/// A connection of which the process is the client, and everything that is under way on it.
#[derive(Debug)]
pub(crate) struct ClientConnection {
    streams: Streams,
    layer: Layer,
    protocol: Detector,
    calls: Calls,
    /// Whether there is a connection yet.
    is_established: bool,
    /// Who closed first, and when, in nanoseconds.
    closed: Option<(Party, u64)>,
    /// Whether it broke. What has arrived before can still be read.
    is_reset: bool,
    /// Nothing more is read of it.
    is_over: bool,
}

impl ClientConnection {
    /// `connecting_ns` is when connect began, if that was seen. `before`: it was open before anybody watched.
    pub(crate) fn new(
        streams: Streams,
        info: ConnectionInfo,
        users: CallConnection,
        connecting_ns: Option<u64>,
        before: bool,
    ) -> Self {
        Self {
            streams,
            layer: Layer::new(Role::Client, info.owner.map_or(0, |owner| owner.pid), before),
            protocol: Detector::client(&info.server, before),
            calls: Calls::new(info, users, connecting_ns),
            is_established: before,
            closed: None,
            is_reset: false,
            is_over: false,
        }
    }

    /// Connect has succeeded.
    pub(crate) fn established(&mut self, time_ns: u64) {
        self.is_established = true;
        self.calls.ready(time_ns);
    }

    pub(crate) fn arrived(&mut self, sequence: u32, time_ns: u64) {
        self.streams.arrived(sequence, time_ns);
    }

    /// A receive or send call returned.
    pub(super) fn moved(&mut self, io: Io, operation: &Operation<'_>, readers: &mut Readers, state: &mut RunState) {
        let Operation { transfer, captured } = operation;
        let time_ns = transfer.header.time_ns;
        if io == Io::Receive && transfer.length == 0 {
            self.closed.get_or_insert((Party::Server, time_ns));
            return self.stop(time_ns, readers, state);
        }
        if transfer.length > 0 && !self.is_established {
            // The record that says so was lost.
            self.established(begun_ns(transfer));
        }
        let operator = Operator { process: self.calls.users.process(), thread: transfer.thread, task: transfer.task };
        match io {
            Io::Send => self.calls.sender = operator,
            Io::Receive => {
                (self.calls.received_ns, self.calls.receiver) = (time_ns, transfer.thread);
                state.reads_answer(transfer.thread);
            }
        }
        let direction = self.streams.direction(io);
        let Some(moved) = self.streams.moved(io, transfer, *captured) else { return };
        if !self.protocol.is_reading() || self.is_over {
            return;
        }
        let Readers { shared, keys } = readers;
        let mut carrier = Carrier { protocol: &mut self.protocol, shared, messages: self.calls.sink(state) };
        if moved.missing > 0 {
            self.layer.gap(direction, moved.missing, keys, &mut carrier);
        }
        self.layer.segment(&moved.segment, transfer.thread, keys, &mut carrier);
        if moved.missing > 0 {
            state.miss(unaccounted(&self.protocol, direction, moved.missing));
        }
    }

    /// The connection is established, or one end closed. Returns whether it is over. Calls stay open if the process
    /// closes it after `stopping_ns`, when it was asked to end; those of a connection that [broke](Self::is_broken) go on.
    pub(super) fn changed(
        &mut self,
        change: &State,
        stopping_ns: u64,
        readers: &mut Readers,
        state: &mut RunState,
    ) -> bool {
        let time_ns = change.header.time_ns;
        match change.new {
            tcp_state::ESTABLISHED => {
                self.streams = Streams::new(Role::Client, change.receive_sequence, change.send_sequence);
                self.calls.bound_to(change.local_port);
                self.established(time_ns);
                return false;
            }
            tcp_state::CLOSE if !self.is_established => {
                let error = (change.error != 0).then(|| error_name(change.error));
                let outcome = match error {
                    Some(_) => Outcome::ServerClosed,
                    None if time_ns < stopping_ns => Outcome::ClientClosed,
                    None => Outcome::StillOpen,
                };
                self.calls.connect_ended(outcome, error, time_ns, state);
                self.is_over = true;
                return true;
            }
            tcp_state::CLOSE_WAIT => {
                self.streams.peer_finished();
                self.closed.get_or_insert((Party::Server, time_ns));
                return false;
            }
            tcp_state::FIN_WAIT1 | tcp_state::CLOSE | LAST_ACK => {}
            _ => return false,
        }
        if change.error != 0 {
            self.closed.get_or_insert((Party::Server, time_ns));
            self.is_reset = true;
        } else if time_ns < stopping_ns {
            self.closed.get_or_insert((Party::Client, time_ns));
        }
        // A process that closes only its sending half may still read the answer. After a reset it may still read what
        // arrived before.
        if change.new != tcp_state::FIN_WAIT1 && !self.is_reset {
            self.stop(time_ns, readers, state);
        }
        change.new == tcp_state::CLOSE
    }

    /// Whether the connection broke, and calls on it may still have answers that have arrived before.
    pub(super) fn is_broken(&self) -> bool {
        self.is_reset && !self.is_over
    }

    /// Nothing has been read for some time since the connection broke.
    pub(super) fn give_up_broken(&mut self, now_ns: u64, readers: &mut Readers, state: &mut RunState) {
        if self.is_broken() {
            self.stop(now_ns, readers, state);
        }
    }

    /// Nothing follows any more: what is under way ends as the connection did, or stays open.
    pub(super) fn finish(mut self, now_ns: u64, readers: &mut Readers, state: &mut RunState) {
        self.stop(now_ns, readers, state);
    }

    /// A thread of the process has set up a key.
    pub(super) fn key_came(&mut self, thread: u32, readers: &mut Readers, state: &mut RunState) {
        if self.protocol.is_reading() && !self.is_over {
            self.carry(readers, state, |layer, keys, carrier| layer.key_came(thread, keys, carrier));
        }
    }

    pub(super) fn is_tls(&self) -> bool {
        self.layer.is_tls()
    }

    fn carry(
        &mut self,
        readers: &mut Readers,
        state: &mut RunState,
        carry: impl FnOnce(&mut Layer, &mut Keys, &mut dyn Carried),
    ) {
        let Readers { shared, keys } = readers;
        let messages = self.calls.sink(state);
        carry(&mut self.layer, keys, &mut Carrier { protocol: &mut self.protocol, shared, messages });
    }

    fn stop(&mut self, now_ns: u64, readers: &mut Readers, state: &mut RunState) {
        if self.is_over {
            return;
        }
        self.is_over = true;
        if !self.is_established {
            return self.calls.connect_ended(Outcome::StillOpen, None, now_ns, state);
        }
        let closed_by = self.closed.map(|(party, _)| party);
        self.carry(readers, state, |layer, keys, carrier| layer.stop(closed_by, keys, carrier));
        self.protocol.stop(&mut self.calls.sink(state));
        let info = Arc::clone(&self.calls.info);
        for mut call in self.calls.drain() {
            let unfinished = self.protocol.unfinished(call.stream);
            call.missing(&unfinished);
            let (outcome, ended_ns) = self.outcome(unfinished.response, call.boundaries.read.is_some(), now_ns);
            call.end(outcome, ended_ns);
            state.finish_call(call, &self.calls.users, &info, self.calls.receiver);
        }
    }

    /// How a call ended whose answer is not whole, and when. `response` is what its answer wants, `begun` whether that
    /// has begun.
    fn outcome(&self, response: UnfinishedResponse, begun: bool, now_ns: u64) -> (Outcome, u64) {
        let received_ns = self.calls.received_ns;
        match (response, self.closed) {
            (UnfinishedResponse::Unseen, _) => (Outcome::NotSeen, received_ns),
            (UnfinishedResponse::Close | UnfinishedResponse::Unknown, Some((Party::Server, _)))
                if begun && !self.is_reset =>
            {
                (Outcome::Complete, received_ns)
            }
            (_, Some((Party::Client, time_ns))) => (Outcome::ClientClosed, time_ns),
            (_, Some((Party::Server, time_ns))) => (Outcome::ServerClosed, time_ns),
            (_, None) => (Outcome::StillOpen, now_ns),
        }
    }
}

/// The name of an error of the network, as in `<errno.h>`.
fn error_name(error: u8) -> &'static str {
    Errno::new(error.into()).name().unwrap_or("error")
}
