//! One connection: its byte streams, its protocol, and the exchanges under way on it.

mod runtime_notes;

use std::sync::Arc;

use cargo_beyla_events::{DELIVERY_AWAITED, State, TASK_NOT_ASKED, tcp_state};

use crate::event::Operation;
use crate::exchange::carried::{Carrier, Readers};
use crate::exchange::closing::Closing;
use crate::exchange::exchanges::Exchanges;
use crate::exchange::run_state::RunState;
use crate::exchange::stall::Obstacle;
use crate::model::connection::{ConnectionInfo, Endpoint, Party, Role};
use crate::protocol::detect::Detector;
use crate::protocol::message::UnfinishedResponse;
use crate::runtime::attribution::Operator;
use crate::transport::connection::Connection as Streams;
use crate::transport::segment::{Direction, Io};
use crate::transport::tls::carried::Carried;
use crate::transport::tls::keys::Keys;
use crate::transport::tls::layer::Layer;

/// The server closes the second: from `include/net/tcp_states.h`, as in [`tcp_state`].
pub(super) const LAST_ACK: u8 = 9;

/// A connection and everything that is under way on it.
#[derive(Debug)]
pub(crate) struct Connection {
    streams: Streams,
    layer: Layer,
    protocol: Detector,
    /// Whether it was open before anybody watched.
    before: bool,
    exchanges: Exchanges,
    closing: Closing,
    /// How far each direction had moved when the connection was over, as sequence numbers of receive and send.
    end: Option<(u32, u32)>,
}

impl Connection {
    /// `opened` is when it was established, and when the server first did anything with it, in nanoseconds, if that was
    /// seen. `before`: it was open before anybody watched.
    pub(crate) fn new(
        streams: Streams,
        info: ConnectionInfo,
        opened: Option<(Option<u64>, u64)>,
        before: bool,
    ) -> Self {
        Self {
            streams,
            layer: Layer::new(Role::Server, info.owner.map_or(0, |owner| owner.pid), before),
            protocol: if before { Detector::joined() } else { Detector::default() },
            before,
            exchanges: Exchanges::new(info, opened),
            closing: Closing::default(),
            end: None,
        }
    }

    pub(crate) fn arrived(&mut self, sequence: u32, time_ns: u64) {
        self.streams.arrived(sequence, time_ns);
    }

    /// A client on this machine has what was sent up to a sequence number.
    pub(crate) fn delivered(&mut self, sequence: u32, time_ns: u64, state: &mut RunState) {
        self.exchanges.delivered(sequence, time_ns, state);
    }

    /// A receive or send call returned.
    pub(super) fn moved(&mut self, io: Io, operation: &Operation<'_>, readers: &mut Readers, state: &mut RunState) {
        let Operation { transfer, captured } = operation;
        let process = self.exchanges.info.owner.map_or(0, |owner| owner.pid);
        let task = if transfer.task == TASK_NOT_ASKED { self.exchanges.receiver.task } else { transfer.task };
        let operator = Operator { process, thread: transfer.thread, task };
        if let Some(runtime) = &mut state.runtime {
            runtime.moves_bytes(operator.thread, operator.task_id(), transfer.header.time_ns);
        }
        let direction = self.streams.direction(io);
        if io == Io::Receive && transfer.length == 0 {
            self.client_closes(transfer.header.time_ns, state);
            return;
        }
        // What the server had received when it sent, it may have received unseen. Only content is taken
        // so: another thread's receive call may be under way, whose record would come too late then.
        if io == Io::Send && self.protocol.awaits_content() {
            let missing = self.streams.missing_until(Io::Receive, transfer.received_sequence);
            self.missed(Io::Receive, missing, readers, state);
        }
        if io == Io::Receive {
            self.exchanges.received_first(transfer);
            self.exchanges.received_ns = transfer.header.time_ns;
            self.exchanges.receiver = operator;
        } else {
            self.exchanges.sender = operator;
        }
        let Some(moved) = self.streams.moved(io, transfer, *captured) else {
            return;
        };
        // The outcome of what was under way when the server closed its end stands.
        if !self.protocol.is_reading() || (io == Io::Send && self.closing.is_over()) {
            return;
        }
        if io == Io::Receive && state.runtime.is_some() {
            self.exchanges.last_arrived_ns = moved.segment.last_arrived();
        }
        if io == Io::Send {
            // With `--explain=auto` there is no record of the beginning of a send call.
            self.exchanges.unobstructed(Obstacle::SendBuffer, transfer.begin_ns, state);
            let awaited = transfer.header.flags & DELIVERY_AWAITED != 0;
            self.exchanges.undelivered = awaited.then_some(transfer.end_sequence);
        }
        if moved.missing > 0 {
            state.miss(unaccounted(&self.protocol, direction, moved.missing));
        }
        let Readers { shared, keys } = readers;
        let mut carrier = Carrier { protocol: &mut self.protocol, shared, messages: self.exchanges.sink(state) };
        if moved.missing > 0 {
            self.layer.gap(direction, moved.missing, keys, &mut carrier);
        }
        self.layer.segment(&moved.segment, transfer.thread, keys, &mut carrier);
        if io == Io::Send {
            self.exchanges.sent = Some((moved.segment.begin_ns, moved.segment.end_ns));
            self.not_answered(state);
        } else if self.exchanges.is_in_order {
            self.receiving(state);
        }
    }

    /// One end closed. Returns whether the connection is over. Requests stay open if the server closes the connection
    /// after `stopping_ns`, when it was asked to end.
    pub(super) fn closing(
        &mut self,
        change: &State,
        stopping_ns: u64,
        readers: &mut Readers,
        state: &mut RunState,
    ) -> bool {
        let time_ns = change.header.time_ns;
        if change.error != 0 {
            self.closing.reset(time_ns);
        }
        match change.new {
            tcp_state::CLOSE_WAIT => {
                self.streams.peer_finished();
                self.client_closes(time_ns, state);
                return false;
            }
            tcp_state::FIN_WAIT1 | tcp_state::CLOSE | LAST_ACK => {
                if time_ns < stopping_ns {
                    self.closing.by(Party::Server, time_ns);
                }
            }
            _ => return false,
        }
        let over = change.new == tcp_state::CLOSE;
        // A FIN takes up a sequence number as well.
        let fin = u32::from(over && matches!(self.exchanges.info.server, Endpoint::Tcp(_)));
        // After a reset a send call may yet return that was under way.
        if change.error == 0 && !self.closing.is_over() {
            let missing = self.streams.missing_until(Io::Send, change.send_sequence.wrapping_sub(fin));
            self.missed(Io::Send, missing, readers, state);
        }
        self.closing.over(time_ns);
        self.stop(time_ns, readers, state);
        if over {
            self.end = Some((change.receive_sequence.wrapping_sub(fin), change.send_sequence.wrapping_sub(fin)));
        }
        over
    }

    /// Nothing follows any more: what is under way ends as the connection did, or stays open.
    pub(super) fn finish(mut self, now_ns: u64, readers: &mut Readers, state: &mut RunState) {
        self.stop(now_ns, readers, state);
        state.unseen.unjoined_connections +=
            u64::from(self.before && self.protocol.has_begun() && !self.exchanges.any_request);
        if let Some((received, sent)) = self.end
            && self.protocol.is_reading()
        {
            state.miss(self.streams.lag(Io::Receive, received));
            state.miss(self.streams.lag(Io::Send, sent));
        }
    }

    fn missed(&mut self, io: Io, missing: u64, readers: &mut Readers, state: &mut RunState) {
        let direction = self.streams.direction(io);
        if missing > 0 && self.protocol.is_reading() {
            state.miss(unaccounted(&self.protocol, direction, missing));
            self.carry(readers, state, |layer, keys, carrier| layer.gap(direction, missing, keys, carrier));
        }
    }

    /// A thread of the process has set up a key.
    pub(super) fn key_came(&mut self, thread: u32, readers: &mut Readers, state: &mut RunState) {
        if self.protocol.is_reading() {
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
        let messages = self.exchanges.sink(state);
        carry(&mut self.layer, keys, &mut Carrier { protocol: &mut self.protocol, shared, messages });
    }

    fn stop(&mut self, now_ns: u64, readers: &mut Readers, state: &mut RunState) {
        let closed_by = self.closing.first();
        self.carry(readers, state, |layer, keys, carrier| layer.stop(closed_by, keys, carrier));
        self.exchanges.sealed.end(&mut state.tls);
        self.protocol.stop(&mut self.exchanges.sink(state));
        let sent = self.exchanges.sent;
        let info = Arc::clone(&self.exchanges.info);
        for mut exchange in self.exchanges.drain() {
            let unfinished = self.protocol.unfinished(exchange.stream);
            exchange.take_unfinished(&unfinished);
            if exchange.outcome.is_none() {
                let begun = exchange.status.is_some();
                let response =
                    Some(unfinished.response).filter(|response| begun || *response == UnfinishedResponse::Unseen);
                let sent = sent.filter(|_| begun);
                let (outcome, ended_ns) = self.closing.outcome(response, sent, now_ns);
                exchange.end(outcome, ended_ns.max(sent.map_or(0, |(_, end)| end)));
            }
            state.finish(exchange, &info);
        }
    }
}

/// How many of `missing` bytes are not known to be content of a request.
pub(super) fn unaccounted(protocol: &Detector, direction: Direction, missing: u64) -> u64 {
    match direction {
        Direction::Request => missing.saturating_sub(protocol.announced_content()),
        Direction::Response => missing,
    }
}
