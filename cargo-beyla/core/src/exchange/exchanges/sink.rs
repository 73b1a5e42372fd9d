//! Takes the messages of one connection, which make and end exchanges.

use std::sync::Arc;

use super::{Exchanges, begin_stall, end_stall, response_ends};
use crate::exchange::carried::TlsMessages;
use crate::exchange::in_flight::{Exchange, GrpcCall};
use crate::exchange::run_state::RunState;
use crate::exchange::stall::{Obstacle, Stall};
use crate::model::boundaries::Boundaries;
use crate::model::connection::{Endpoint, Party, Role, StreamId};
use crate::model::request::{MessageBytes, Outcome};
use crate::model::tls::Tls;
use crate::model::tls_summary::{HandshakeFailure, Unreadable};
use crate::model::trace_context::Caller;
use crate::protocol::detect::Detector;
use crate::protocol::message::{
    Command, GivenUp, MessageEnd, Messages, Note, RequestHead, ResponseHead, Shared, Unfinished,
};
use crate::runtime::tracker::ReadRequest;
use crate::transport::segment::{Direction, Segment};

/// Takes the messages of one connection.
pub(in crate::exchange) struct MessageSink<'a> {
    pub(super) exchanges: &'a mut Exchanges,
    pub(super) state: &'a mut RunState,
}

impl MessageSink<'_> {
    fn request_end(&mut self, stream: StreamId, end: &MessageEnd) {
        let (received_ns, receiver) = (self.exchanges.last_arrived_ns, self.exchanges.receiver);
        let Some(exchange) = self.exchanges.get(stream).filter(|exchange| !exchange.received) else { return };
        exchange.received = true;
        exchange.request_bytes.body = end.body;
        exchange.boundaries.received = end.time_ns;
        if let Some(grpc) = &mut exchange.grpc {
            grpc.request_messages = end.grpc.messages;
        }
        if let (Some(runtime), Some(time_ns)) = (&mut self.state.runtime, end.time_ns) {
            exchange.upload_ns = received_ns.unwrap_or(time_ns).saturating_sub(exchange.boundaries.read);
            if let (Some(slot), None) = (exchange.runtime_slot, exchange.status) {
                runtime.received(slot, receiver.thread, receiver.task_id(), time_ns, exchange.line.route_id);
            }
        }
        // As a rule the response has yet to come.
        if exchange.is_over() {
            self.exchanges.finish(stream, self.state);
        }
    }

    fn response_end(&mut self, stream: StreamId, end: &MessageEnd) {
        let last_sent = self.exchanges.sent.map_or(0, |(_, end)| end);
        let (is_in_order, undelivered) = (self.exchanges.is_in_order, self.exchanges.undelivered);
        let (last_received_ns, sender) = (self.exchanges.received_ns, self.exchanges.sender);
        let Some(exchange) = self.exchanges.without_response(stream) else { return };
        if let Some(bytes) = &mut exchange.response_bytes {
            bytes.body = end.body;
        }
        if let Some(grpc) = &mut exchange.grpc {
            grpc.response_messages = end.grpc.messages;
            grpc.status = end.grpc.status;
        }
        if !exchange.received {
            // Answered before it was whole; it may never be.
            exchange.boundaries.received = Some(if is_in_order { last_received_ns } else { exchange.received_ns });
        }
        match end.time_ns {
            Some(time_ns) => {
                exchange.end(Outcome::Complete, time_ns);
                exchange.undelivered = undelivered;
                response_ends(exchange, self.state);
            }
            None => exchange.end(Outcome::NotSeen, last_sent),
        }
        self.state.attribution.answered(exchange.id, sender, exchange.boundaries.ended);
        self.exchanges.finish(stream, self.state);
    }
}

impl TlsMessages for MessageSink<'_> {
    fn about_to_read(&mut self, protocol: &Detector) {
        self.exchanges.is_in_order = protocol.answers_in_order();
    }

    fn speaks_tls(&mut self) {
        self.state.tls.speaks_tls(Role::Server);
    }

    fn secured(&mut self, secured_ns: u64, handshake_ns: Option<u64>) {
        self.exchanges.secured_ns = Some(secured_ns);
        self.state.tls.secured(Role::Server, handshake_ns);
    }

    fn begins(&mut self, tls: &Tls) {
        Arc::make_mut(&mut self.exchanges.info).tls = Some(Arc::new(tls.clone()));
    }

    fn unreadable(&mut self, reason: Unreadable) {
        self.exchanges.sealed.begin(reason, &mut self.state.tls);
        self.state.give_up(GivenUp::Tls);
    }

    fn sealed(&mut self, segment: &Segment<'_>, _: &mut Detector, _: &mut Shared) {
        self.exchanges.sealed.add(segment, &mut self.state.tls);
    }

    fn failed(&mut self, failure: HandshakeFailure, _: Option<u64>) {
        self.state.tls.failed(failure);
    }
}

impl Messages for MessageSink<'_> {
    fn client(&mut self, client: Endpoint) {
        let info = Arc::make_mut(&mut self.exchanges.info);
        info.proxy = Some(std::mem::replace(&mut info.client, client));
    }

    fn request(&mut self, stream: StreamId, head: &RequestHead<'_>) {
        let (exchanges, state) = (&mut *self.exchanges, &mut *self.state);
        if exchanges.is_in_order {
            // Who asks for more has the answer to what it asked for before.
            exchanges.under_way.iter_mut().for_each(|exchange| exchange.undelivered = None);
            exchanges.finish_all(state);
        }
        let Err(place) = exchanges.place(stream) else { return };
        exchanges.any_request = true;
        state.requests += 1;
        let (connected, accepted) = exchanges.opened.take().unwrap_or_default();
        let boundaries = Boundaries {
            connected,
            accepted,
            secured: exchanges.secured_ns.take(),
            arrived: head.arrived_ns,
            read: head.read_ns,
            ..Boundaries::default()
        };
        let (receiver, at) = (exchanges.receiver, exchanges.received_ns);
        let line = state.request_lines.get(head, &state.routes, &mut state.route_names);
        let has_stream = !exchanges.is_in_order;
        let read = ReadRequest {
            thread: receiver.thread,
            task: receiver.task_id(),
            at,
            boundaries: &boundaries,
            route: line.route_id,
            has_stream,
        };
        let runtime_slot = state.runtime.as_mut().and_then(|runtime| runtime.read(&read));
        let exchange = Exchange {
            id: state.requests,
            stream,
            protocol: head.protocol,
            line,
            boundaries,
            request_bytes: MessageBytes { header: head.bytes, body: Some(0) },
            received: false,
            status: None,
            response_bytes: None,
            outcome: None,
            caller: head.trace.as_ref().filter(|_| state.track_request_headers).map(Caller::of),
            undelivered: None,
            runtime_slot,
            upload_ns: 0,
            received_ns: at,
            stall: Stall::default(),
            grpc: head.grpc.map(GrpcCall::new).map(Box::new),
        };
        state.attribution.read(exchange.id, exchanges.receiver, has_stream, exchange.caller.as_ref(), at);
        exchanges.under_way.insert(place, Box::new(exchange));
    }

    fn command(&mut self, _: StreamId, _: &Command<'_>) {
        // The process serves what is no HTTP: no request.
    }

    fn ready(&mut self, _: u64) {}

    fn response(&mut self, stream: StreamId, head: &ResponseHead) {
        let Some(exchange) = self.exchanges.without_response(stream) else { return };
        exchange.status = head.status;
        exchange.boundaries.responded = Some(head.begin_ns);
        exchange.response_bytes = Some(MessageBytes { header: head.bytes, body: Some(0) });
        if let (Some(slot), Some(runtime)) = (exchange.runtime_slot, &mut self.state.runtime) {
            runtime.responded(slot, head.begin_ns);
        }
        if !self.exchanges.is_in_order {
            let obstacles = std::mem::take(&mut self.exchanges.obstacles);
            if let Some(exchange) = self.exchanges.without_response(stream) {
                for &(obstacle, since) in &obstacles {
                    begin_stall(exchange, obstacle, since.max(head.begin_ns), self.state);
                }
            }
            self.exchanges.obstacles = obstacles;
        }
    }

    fn progress(&mut self, stream: StreamId) {
        let (at, receiver) = (self.exchanges.received_ns, self.exchanges.receiver);
        let Some(exchange) = self.exchanges.get(stream) else { return };
        exchange.received_ns = at;
        if let (Some(runtime), Some(slot), None) = (&mut self.state.runtime, exchange.runtime_slot, exchange.status) {
            runtime.received(slot, receiver.thread, receiver.task_id(), at, exchange.line.route_id);
        }
    }

    fn window(&mut self, stream: Option<StreamId>, is_shut: bool, time_ns: u64) {
        match (stream, is_shut) {
            (None, true) => self.exchanges.obstructed(Obstacle::ConnectionWindow, time_ns, self.state),
            (None, false) => self.exchanges.unobstructed(Obstacle::ConnectionWindow, time_ns, self.state),
            (Some(stream), is_shut) => {
                let Some(exchange) = self.exchanges.without_response(stream) else { return };
                let change = if is_shut { begin_stall } else { end_stall };
                change(exchange, Obstacle::StreamWindow, time_ns, self.state);
            }
        }
    }

    fn end(&mut self, stream: StreamId, direction: Direction, end: &MessageEnd) {
        match direction {
            Direction::Request => self.request_end(stream, end),
            Direction::Response => self.response_end(stream, end),
        }
    }

    fn reset(&mut self, stream: StreamId, by: Party, time_ns: u64, unfinished: &Unfinished) {
        let Some(exchange) = self.exchanges.get(stream) else { return };
        exchange.take_unfinished(unfinished);
        if exchange.outcome.is_none() {
            let outcome = match by {
                Party::Client => Outcome::ClientClosed,
                Party::Server => Outcome::ServerClosed,
            };
            exchange.end(outcome, time_ns);
        }
        // The rest of the request does not come any more.
        exchange.received = true;
        self.exchanges.finish(stream, self.state);
    }

    fn unseen(&mut self, stream: StreamId) {
        let last_sent = self.exchanges.sent.map_or(0, |(_, end)| end);
        let Some(exchange) = self.exchanges.without_response(stream) else { return };
        let ended_ns = exchange.status.map_or(0, |_| last_sent);
        exchange.end(Outcome::NotSeen, ended_ns);
        if let Some(bytes) = &mut exchange.response_bytes {
            bytes.body = None;
        }
        self.exchanges.finish(stream, self.state);
    }

    fn unread(&mut self) {
        self.state.unseen.unread_requests += 1;
    }

    fn note(&mut self, note: Note) {
        self.state.note(note);
    }

    fn give_up(&mut self, reason: GivenUp) {
        self.state.give_up(reason);
    }
}
