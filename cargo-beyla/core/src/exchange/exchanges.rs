//! The exchanges that are under way on one connection.

use std::collections::VecDeque;
use std::sync::Arc;

use cargo_beyla_events::Transfer;

use crate::exchange::in_flight::{Exchange, GrpcCall};
use crate::exchange::run_state::RunState;
use crate::exchange::stall::{Obstacle, Stall};
use crate::model::boundaries::Boundaries;
use crate::model::connection::{ConnectionInfo, Endpoint, Party, StreamId};
use crate::model::request::{MessageBytes, Outcome};
use crate::model::trace_context::Caller;
use crate::protocol::message::{GivenUp, MessageEnd, Messages, Note, RequestHead, ResponseHead, Unfinished};
use crate::runtime::tracker::ReadRequest;
use crate::transport::segment::Direction;

/// A stand-in for the moment of accept may be too late by so much, in nanoseconds: no such wait is worth a word.
const ACCEPT_ERROR_NS: u64 = 1_000_000;

/// Or by this part of the whole wait, as a fraction of 1.
const ACCEPT_ERROR_SHARE: u64 = 4;

/// The exchanges under way on one connection, by their streams.
#[derive(Debug)]
pub(super) struct Exchanges {
    pub(super) info: Arc<ConnectionInfo>,
    /// When the connection was established and accepted, in nanoseconds, until its first request.
    opened: Option<(Option<u64>, Option<u64>)>,
    /// Ascending.
    under_way: VecDeque<Exchange>,
    /// Whether there has been a request.
    pub(super) any_request: bool,
    /// Whether responses come in the order of their requests.
    pub(super) is_in_order: bool,
    /// Return of the last receive call, in nanoseconds.
    pub(super) received_ns: u64,
    /// The thread that made it.
    pub(super) receiver: u32,
    /// When the last byte that it brought reached the receive queue, if known, in nanoseconds. Only under
    /// `--explain`.
    pub(super) last_arrived_ns: Option<u64>,
    /// What holds up every response of the connection, and since when, in nanoseconds.
    obstacles: Vec<(Obstacle, u64)>,
    /// Entry and end of the last send call, in nanoseconds.
    pub(super) sent: Option<(u64, u64)>,
    /// The end of the send call at hand or the last, as a sequence number, if a record will still say when the client
    /// has its bytes.
    pub(super) undelivered: Option<u32>,
}

impl Exchanges {
    /// `opened` is when the connection was established, and when the server first did anything with it, in nanoseconds,
    /// if that was seen.
    pub(super) fn new(info: ConnectionInfo, opened: Option<(Option<u64>, u64)>) -> Self {
        Self {
            info: Arc::new(info),
            opened: opened.map(|(established_ns, touched_ns)| (established_ns, Some(touched_ns))),
            under_way: VecDeque::new(),
            any_request: false,
            is_in_order: true,
            received_ns: 0,
            receiver: 0,
            last_arrived_ns: None,
            obstacles: Vec::new(),
            sent: None,
            undelivered: None,
        }
    }

    /// A receive call brought bytes. If nothing was seen of the connection before its return, accept was not seen, and
    /// the call may have begun right after it and waited for the client. Then nobody knows when accept was, unless the
    /// client took next to none of the time.
    pub(super) fn received_first(&mut self, transfer: &Transfer) {
        let touched_ns = transfer.header.time_ns;
        if let Some((established_ns, accepted @ Some(_))) = &mut self.opened
            && *accepted == Some(touched_ns)
        {
            let arrived_ns = Some(transfer.arrival_ns).filter(|&arrival_ns| arrival_ns != 0);
            let stands_for_accept = established_ns.zip(arrived_ns).is_some_and(|(established_ns, arrived_ns)| {
                let of_client = arrived_ns.saturating_sub(established_ns);
                let wait = touched_ns.saturating_sub(established_ns);
                of_client < ACCEPT_ERROR_NS.max(wait / ACCEPT_ERROR_SHARE)
            });
            if !stands_for_accept {
                *accepted = None;
            }
        }
    }

    /// Takes the messages of the connection, on which these exchanges are.
    pub(super) fn sink<'a>(&'a mut self, state: &'a mut RunState) -> MessageSink<'a> {
        MessageSink { exchanges: self, state }
    }

    /// The exchange that began last.
    pub(super) fn last(&self) -> Option<&Exchange> {
        self.under_way.back()
    }

    /// Those without the head of a response, in their order.
    pub(super) fn unanswered(&self) -> impl Iterator<Item = &Exchange> {
        self.under_way.iter().filter(|exchange| exchange.status.is_none())
    }

    /// All of them, which leave.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Exchange> {
        self.under_way.drain(..)
    }

    /// A client on this machine has what was sent up to a sequence number.
    pub(super) fn delivered(&mut self, sequence: u32, time_ns: u64, state: &mut RunState) {
        if self.undelivered == Some(sequence) {
            self.undelivered = None;
            self.sent = self.sent.map(|(begin, end)| (begin, end.max(time_ns)));
        }
        for exchange in &mut self.under_way {
            if exchange.undelivered == Some(sequence) {
                exchange.boundaries.ended = exchange.boundaries.ended.max(time_ns);
                response_ends(exchange, state);
            }
            // It has what was sent before as well.
            exchange.undelivered.take_if(|end| self.is_in_order || sequence.wrapping_sub(*end).cast_signed() >= 0);
        }
        self.finish_all(state);
    }

    /// From `at` on, the client holds up all responses.
    pub(super) fn obstructed(&mut self, obstacle: Obstacle, at: u64, state: &mut RunState) {
        if self.obstacles.iter().all(|(known, _)| *known != obstacle) {
            self.obstacles.push((obstacle, at));
            for exchange in self.responding() {
                begin_stall(exchange, obstacle, at, state);
            }
        }
    }

    /// It no longer does, or perhaps not: the server tries.
    pub(super) fn unobstructed(&mut self, obstacle: Obstacle, at: u64, state: &mut RunState) {
        if let Some(place) = self.obstacles.iter().position(|(known, _)| *known == obstacle) {
            self.obstacles.swap_remove(place);
            for exchange in self.responding() {
                end_stall(exchange, obstacle, at, state);
            }
        }
    }

    /// Those whose responses are under way. Where responses come in order, that is one at most.
    fn responding(&mut self) -> impl Iterator<Item = &mut Exchange> {
        let (is_in_order, most) = if self.is_in_order { (true, 1) } else { (false, usize::MAX) };
        let under_way = self.under_way.iter_mut().filter(|exchange| exchange.outcome.is_none());
        under_way.filter(move |exchange| is_in_order || exchange.status.is_some()).take(most)
    }

    /// Where the exchange is, or where it would be.
    fn place(&self, stream: StreamId) -> Result<usize, usize> {
        match self.under_way.back() {
            Some(last) if last.stream == stream => Ok(self.under_way.len() - 1),
            _ => self.under_way.binary_search_by_key(&stream, |exchange| exchange.stream),
        }
    }

    /// An exchange that is under way.
    fn get(&mut self, stream: StreamId) -> Option<&mut Exchange> {
        let place = self.place(stream).ok()?;
        self.under_way.get_mut(place)
    }

    /// An exchange that is under way and has no whole response.
    fn without_response(&mut self, stream: StreamId) -> Option<&mut Exchange> {
        self.get(stream).filter(|exchange| exchange.outcome.is_none())
    }

    /// Finishes an exchange to which nothing more belongs.
    fn finish(&mut self, stream: StreamId, state: &mut RunState) {
        if let Ok(place) = self.place(stream)
            && self.under_way[place].is_over()
            && let Some(exchange) = self.under_way.remove(place)
        {
            state.finish(exchange, &self.info);
        }
    }

    /// Finishes all to which nothing more belongs.
    fn finish_all(&mut self, state: &mut RunState) {
        let mut place = 0;
        while let Some(exchange) = self.under_way.get(place) {
            if !exchange.is_over() {
                place += 1;
            } else if let Some(exchange) = self.under_way.remove(place) {
                state.finish(exchange, &self.info);
            }
        }
    }
}

fn begin_stall(exchange: &mut Exchange, obstacle: Obstacle, at: u64, state: &mut RunState) {
    if exchange.stall.begin(obstacle, at)
        && let (Some(runtime), Some(slot)) = (&mut state.runtime, exchange.runtime_slot)
    {
        runtime.client_stalls(slot, at);
    }
}

fn end_stall(exchange: &mut Exchange, obstacle: Obstacle, at: u64, state: &mut RunState) {
    if exchange.stall.end(obstacle, at)
        && let (Some(runtime), Some(slot)) = (&mut state.runtime, exchange.runtime_slot)
    {
        runtime.client_takes(slot, at);
    }
}

fn response_ends(exchange: &Exchange, state: &mut RunState) {
    if let (Some(runtime), Some(slot)) = (&mut state.runtime, exchange.runtime_slot) {
        runtime.response_ends(slot, exchange.boundaries.ended);
    }
}

/// Takes the messages of one connection.
pub(super) struct MessageSink<'a> {
    exchanges: &'a mut Exchanges,
    state: &'a mut RunState,
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
                runtime.received(slot, receiver, time_ns, exchange.line.route_id);
            }
        }
        self.exchanges.finish(stream, self.state);
    }

    fn response_end(&mut self, stream: StreamId, end: &MessageEnd) {
        let last_sent = self.exchanges.sent.map_or(0, |(_, end)| end);
        let (is_in_order, undelivered) = (self.exchanges.is_in_order, self.exchanges.undelivered);
        let last_received_ns = self.exchanges.received_ns;
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
        self.exchanges.finish(stream, self.state);
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
        let boundaries =
            Boundaries { connected, accepted, arrived: head.arrived_ns, read: head.read_ns, ..Boundaries::default() };
        let (thread, at) = (exchanges.receiver, exchanges.received_ns);
        let line = state.request_lines.get(head, &state.routes, &mut state.route_names);
        let has_stream = !exchanges.is_in_order;
        let read = ReadRequest { thread, at, boundaries: &boundaries, route: line.route_id, has_stream };
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
        exchanges.under_way.insert(place, exchange);
    }

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
        let (at, thread) = (self.exchanges.received_ns, self.exchanges.receiver);
        let Some(exchange) = self.exchanges.get(stream) else { return };
        exchange.received_ns = at;
        if let (Some(runtime), Some(slot), None) = (&mut self.state.runtime, exchange.runtime_slot, exchange.status) {
            runtime.received(slot, thread, at, exchange.line.route_id);
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
        // What has not come of the request will not.
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
