//! One connection: its streams, its protocol, and the exchanges under way on it.

mod explain;

use std::collections::VecDeque;
use std::sync::Arc;

use cargo_beyla_events::{DELIVERY_AWAITED, State, tcp_state};

use crate::event::Operation;
use crate::protocol::detect::Detector;
use crate::protocol::message::{
    GivenUp, MessageEnd, Messages, Note, RequestHead, ResponseHead, Shared, Unfinished, UnfinishedResponse,
};
use crate::transport::connection::Connection as Streams;
use crate::transport::segment::{Direction, Io};

use crate::exchange::closing::Closing;
use crate::exchange::in_flight::{Exchange, GrpcCall};
use crate::exchange::ledger::Ledger;
use crate::model::boundaries::Boundaries;
use crate::model::connection::{ConnectionInfo, Endpoint, Party, StreamId};
use crate::model::request::{MessageBytes, Outcome};
use crate::model::trace_context::Caller;
use crate::runtime::tracker::ReadRequest;

/// The server closes the second: from `include/net/tcp_states.h`, as in [`tcp_state`].
const LAST_ACK: u8 = 9;

/// A connection and everything that is under way on it.
#[derive(Debug)]
pub(crate) struct Connection {
    streams: Streams,
    protocol: Detector,
    /// Whether it was open before anybody watched.
    before: bool,
    exchanges: Exchanges,
    closing: Closing,
    /// The last word on how far each direction moved, receive and send, if the connection is over.
    end: Option<(u32, u32)>,
}

/// The exchanges under way on one connection, in the order of their requests.
#[derive(Debug)]
struct Exchanges {
    info: Arc<ConnectionInfo>,
    /// When the connection was established and accepted, in nanoseconds, until its first request.
    opened: Option<(Option<u64>, u64)>,
    under_way: VecDeque<Exchange>,
    /// Whether there has been a request.
    any_request: bool,
    /// Return of the last receive call, in nanoseconds.
    received_ns: u64,
    /// The thread that made it.
    receiver: u32,
    /// When the last byte that it brought reached the receive queue, if known, in nanoseconds. Only under
    /// `--explain`.
    last_arrived_ns: Option<u64>,
    /// Since when there is no room to send in, in nanoseconds.
    blocked_ns: Option<u64>,
    /// Entry and end of the last send call, in nanoseconds.
    sent: Option<(u64, u64)>,
    /// The end of the send call at hand or the last, as a sequence number, if it is still to be told when the client
    /// has its bytes.
    undelivered: Option<u32>,
}

impl Connection {
    /// `opened` is when it was established and accepted, in nanoseconds, if that was seen. `before`: it was open
    /// before anybody watched.
    pub(crate) fn new(
        streams: Streams,
        info: ConnectionInfo,
        opened: Option<(Option<u64>, u64)>,
        before: bool,
    ) -> Self {
        Self {
            streams,
            protocol: if before { Detector::joined() } else { Detector::default() },
            before,
            exchanges: Exchanges {
                info: Arc::new(info),
                opened,
                under_way: VecDeque::new(),
                any_request: false,
                received_ns: 0,
                receiver: 0,
                last_arrived_ns: None,
                blocked_ns: None,
                sent: None,
                undelivered: None,
            },
            closing: Closing::default(),
            end: None,
        }
    }

    pub(crate) fn arrived(&mut self, sequence: u32, time_ns: u64) {
        self.streams.arrived(sequence, time_ns);
    }

    /// A client on this machine has what was sent up to a sequence number.
    pub(crate) fn delivered(&mut self, sequence: u32, time_ns: u64, ledger: &mut Ledger) {
        let exchanges = &mut self.exchanges;
        if exchanges.undelivered == Some(sequence) {
            exchanges.undelivered = None;
            exchanges.sent = exchanges.sent.map(|(begin, end)| (begin, end.max(time_ns)));
        }
        for exchange in exchanges.under_way.iter_mut().filter(|exchange| exchange.undelivered == Some(sequence)) {
            exchange.boundaries.ended = exchange.boundaries.ended.max(time_ns);
        }
        // It has what was sent before as well.
        exchanges.book(ledger).await_no_more();
    }

    /// A receive or send call returned.
    pub(crate) fn moved(&mut self, io: Io, operation: &Operation<'_>, shared: &mut Shared, ledger: &mut Ledger) {
        let Operation { transfer, captured } = operation;
        let direction = self.streams.direction(io);
        if io == Io::Receive && transfer.length == 0 {
            self.client_closes(transfer.header.time_ns, ledger);
            return;
        }
        // What the server had received when it sent, it may have received unseen. Only content is taken
        // so: another thread's receive call may be under way, whose record would come too late then.
        if direction == Direction::Response && self.protocol.awaits_content() {
            let missing = self.streams.missing_until(Io::Receive, transfer.received_sequence);
            self.missed(Direction::Request, missing, ledger);
        }
        if direction == Direction::Request {
            self.exchanges.received_ns = transfer.header.time_ns;
            self.exchanges.receiver = transfer.thread;
        }
        let Some(moved) = self.streams.moved(io, transfer, *captured) else {
            return;
        };
        // The outcome of what was under way when the server closed its end stands.
        if !self.protocol.is_reading() || (direction == Direction::Response && self.closing.is_over()) {
            return;
        }
        if direction == Direction::Request && ledger.explain.is_some() {
            self.exchanges.last_arrived_ns = moved.segment.last_arrived();
        }
        if direction == Direction::Response {
            let awaited = transfer.header.flags & DELIVERY_AWAITED != 0;
            self.exchanges.undelivered = awaited.then_some(transfer.end_sequence);
        }
        let mut book = self.exchanges.book(ledger);
        if moved.missing > 0 {
            book.ledger.miss(unaccounted(&self.protocol, direction, moved.missing));
            self.protocol.gap(direction, moved.missing, &mut book);
        }
        self.protocol.segment(&moved.segment, shared, &mut book);
        if direction == Direction::Response {
            self.exchanges.sent = Some((moved.segment.begin_ns, moved.segment.end_ns));
            self.not_answered(ledger);
        } else {
            self.receiving(ledger);
        }
    }

    /// One end closed. Whether nothing is left of the connection. What the server closes once it is told
    /// to end, which was at `stopping_ns`, stays open as far as the requests are concerned.
    pub(crate) fn state(&mut self, state: &State, stopping_ns: u64, ledger: &mut Ledger) -> bool {
        let time_ns = state.header.time_ns;
        if state.error != 0 {
            self.closing.reset(time_ns);
        }
        match state.new {
            tcp_state::CLOSE_WAIT => {
                self.streams.peer_finished();
                self.client_closes(time_ns, ledger);
                return false;
            }
            tcp_state::FIN_WAIT1 | tcp_state::CLOSE | LAST_ACK => {
                if time_ns < stopping_ns {
                    self.closing.by(Party::Server, time_ns);
                }
            }
            _ => return false,
        }
        let over = state.new == tcp_state::CLOSE;
        // A FIN takes up a sequence number as well.
        let fin = u32::from(over && matches!(self.exchanges.info.server, Endpoint::Tcp(_)));
        // After a reset a send call may yet return that was under way.
        if state.error == 0 && !self.closing.is_over() {
            let missing = self.streams.missing_until(Io::Send, state.send_sequence.wrapping_sub(fin));
            self.missed(Direction::Response, missing, ledger);
        }
        self.closing.over(time_ns);
        self.stop(time_ns, ledger);
        if over {
            self.end = Some((state.receive_sequence.wrapping_sub(fin), state.send_sequence.wrapping_sub(fin)));
        }
        over
    }

    /// Nothing follows any more: what is under way ends as the connection did, or stays open.
    pub(crate) fn bury(mut self, now_ns: u64, ledger: &mut Ledger) {
        self.stop(now_ns, ledger);
        ledger.unseen.unjoined_connections +=
            u64::from(self.before && self.protocol.has_begun() && !self.exchanges.any_request);
        if let Some((received, sent)) = self.end
            && self.protocol.is_reading()
        {
            ledger.miss(self.streams.lag(Io::Receive, received));
            ledger.miss(self.streams.lag(Io::Send, sent));
        }
    }

    fn missed(&mut self, direction: Direction, missing: u64, ledger: &mut Ledger) {
        if missing > 0 && self.protocol.is_reading() {
            ledger.miss(unaccounted(&self.protocol, direction, missing));
            self.protocol.gap(direction, missing, &mut self.exchanges.book(ledger));
        }
    }

    fn stop(&mut self, now_ns: u64, ledger: &mut Ledger) {
        self.exchanges.room(now_ns);
        self.protocol.stop(&mut self.exchanges.book(ledger));
        let exchanges = &mut self.exchanges;
        for mut exchange in exchanges.under_way.drain(..) {
            let unfinished = self.protocol.unfinished(exchange.stream);
            if !exchange.received {
                exchange.request_bytes.body = unfinished.request_body;
            }
            if exchange.outcome.is_none() {
                let begun = exchange.status.is_some();
                if let Some(bytes) = &mut exchange.response_bytes {
                    bytes.body = unfinished.response_body;
                }
                let response =
                    Some(unfinished.response).filter(|response| begun || *response == UnfinishedResponse::Unseen);
                let sent = exchanges.sent.filter(|_| begun);
                let (outcome, ended_ns) = self.closing.outcome(response, sent, now_ns);
                exchange.end(outcome, ended_ns.max(sent.map_or(0, |(_, end)| end)));
            }
            ledger.enter(&mut exchange, &exchanges.info);
        }
    }
}

/// How many of `missing` bytes are not known to be content of a request.
fn unaccounted(protocol: &Detector, direction: Direction, missing: u64) -> u64 {
    match direction {
        Direction::Request => missing.saturating_sub(protocol.announced_content()),
        Direction::Response => missing,
    }
}

impl Exchanges {
    fn book<'a>(&'a mut self, ledger: &'a mut Ledger) -> Book<'a> {
        Book { exchanges: self, ledger }
    }
}

/// Takes the messages of one connection down.
struct Book<'a> {
    exchanges: &'a mut Exchanges,
    ledger: &'a mut Ledger,
}

impl Book<'_> {
    /// An exchange that is under way.
    fn exchange(&mut self, stream: StreamId) -> Option<&mut Exchange> {
        self.exchanges.under_way.iter_mut().find(|exchange| exchange.stream == stream)
    }

    /// An exchange that is under way and has no whole response.
    fn unanswered(&mut self, stream: StreamId) -> Option<&mut Exchange> {
        self.exchange(stream).filter(|exchange| exchange.outcome.is_none())
    }

    /// Takes the return of the last send call for the end of what a client has not been seen to have.
    fn await_no_more(&mut self) {
        for exchange in &mut self.exchanges.under_way {
            exchange.undelivered = None;
        }
        self.enter_finished();
    }

    fn enter_finished(&mut self) {
        let Exchanges { info, under_way, .. } = &mut *self.exchanges;
        under_way.retain_mut(|exchange| {
            let is_over = exchange.is_over();
            if is_over {
                self.ledger.enter(exchange, info);
            }
            !is_over
        });
    }

    /// Enters an exchange if nothing more belongs to it. Those of HTTP/2 end in any order.
    fn enter_if_over(&mut self, stream: StreamId) {
        let Exchanges { info, under_way, .. } = &mut *self.exchanges;
        let is_over = |exchange: &Exchange| exchange.stream == stream && exchange.is_over();
        if let Some(at) = under_way.iter().position(is_over)
            && let Some(mut exchange) = under_way.remove(at)
        {
            self.ledger.enter(&mut exchange, info);
        }
    }

    fn request_end(&mut self, stream: StreamId, end: &MessageEnd) {
        if let Some(last) = self.exchanges.under_way.iter_mut().rfind(|exchange| exchange.stream == stream)
            && !last.received
        {
            last.received = true;
            last.request_bytes.body = end.body;
            last.boundaries.received = end.time_ns;
            if let Some(grpc) = &mut last.grpc {
                grpc.request_messages = end.grpc.messages;
            }
            if let (Some(explain), Some(time_ns)) = (&mut self.ledger.explain, end.time_ns) {
                let arrived = self.exchanges.last_arrived_ns.unwrap_or(time_ns);
                last.upload_ns = arrived.saturating_sub(last.boundaries.read);
                if let (Some(slot), None) = (last.opened, last.status) {
                    explain.received(slot, self.exchanges.receiver, time_ns, last.line.statistics);
                }
            }
            self.enter_if_over(stream);
        }
    }

    fn response_end(&mut self, stream: StreamId, end: &MessageEnd) {
        let last_sent = self.exchanges.sent.map_or(0, |(_, end)| end);
        let (received_ns, undelivered) = (self.exchanges.received_ns, self.exchanges.undelivered);
        if let Some(exchange) = self.unanswered(stream) {
            if let Some(bytes) = &mut exchange.response_bytes {
                bytes.body = end.body;
            }
            if let Some(grpc) = &mut exchange.grpc {
                grpc.response_messages = end.grpc.messages;
                grpc.status = end.grpc.status;
            }
            if !exchange.received {
                // Answered before it was whole; it may never be.
                exchange.boundaries.received = Some(received_ns);
            }
            match end.time_ns {
                Some(time_ns) => {
                    exchange.end(Outcome::Complete, time_ns);
                    exchange.undelivered = undelivered;
                }
                None => exchange.end(Outcome::NotSeen, last_sent),
            }
            self.enter_if_over(stream);
        }
    }
}

impl Messages for Book<'_> {
    fn client(&mut self, client: Endpoint) {
        let info = Arc::make_mut(&mut self.exchanges.info);
        info.proxy = Some(std::mem::replace(&mut info.client, client));
    }

    fn request(&mut self, stream: StreamId, head: &RequestHead<'_>) {
        // Who asks for more has the answer to what it asked for before.
        self.await_no_more();
        let ledger = &mut *self.ledger;
        ledger.totals.requests += 1;
        let (connected, accepted) = match self.exchanges.opened.take() {
            Some((connected, accepted)) => (connected, Some(accepted)),
            None => (None, None),
        };
        self.exchanges.any_request = true;
        self.exchanges.under_way.push_back(Exchange {
            stream,
            id: ledger.totals.requests,
            protocol: head.protocol,
            line: ledger.lines.get(head, &ledger.routes, &mut ledger.statistics),
            boundaries: Boundaries {
                connected,
                accepted,
                arrived: head.arrived_ns,
                read: head.read_ns,
                ..Default::default()
            },
            request_bytes: MessageBytes { header: head.bytes, body: Some(0) },
            received: false,
            status: None,
            response_bytes: None,
            outcome: None,
            caller: head.trace.as_ref().filter(|_| ledger.track_request_headers).map(Caller::of),
            undelivered: None,
            opened: None,
            upload_ns: 0,
            stalled_ns: 0,
            grpc: head.grpc.map(GrpcCall::new).map(Box::new),
        });
        if let (Some(explain), Some(exchange)) = (&mut ledger.explain, self.exchanges.under_way.back_mut()) {
            let (thread, at) = (self.exchanges.receiver, self.exchanges.received_ns);
            exchange.opened = explain.read(&ReadRequest { thread, at, boundaries: &exchange.boundaries });
        }
    }

    fn response(&mut self, stream: StreamId, head: &ResponseHead) {
        if let Some(exchange) = self.unanswered(stream) {
            exchange.status = head.status;
            exchange.boundaries.responded = Some(head.begin_ns);
            exchange.response_bytes = Some(MessageBytes { header: head.bytes, body: Some(0) });
            if let Some(slot) = exchange.opened
                && let Some(explain) = &mut self.ledger.explain
            {
                explain.responded(slot, head.begin_ns);
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
        if let Some(exchange) = self.exchange(stream) {
            if exchange.outcome.is_none() {
                let outcome = match by {
                    Party::Client => Outcome::ClientClosed,
                    Party::Server => Outcome::ServerClosed,
                };
                exchange.end(outcome, time_ns);
                if let Some(bytes) = &mut exchange.response_bytes {
                    bytes.body = unfinished.response_body;
                }
            }
            if !exchange.received {
                exchange.request_bytes.body = unfinished.request_body;
            }
            exchange.received = true;
            self.enter_if_over(stream);
        }
    }

    fn unread(&mut self) {
        self.ledger.unseen.unread_requests += 1;
    }

    fn unseen(&mut self, stream: StreamId) {
        let last_sent = self.exchanges.sent.map_or(0, |(_, end)| end);
        if let Some(exchange) = self.unanswered(stream) {
            let ended_ns = exchange.status.map_or(0, |_| last_sent);
            exchange.end(Outcome::NotSeen, ended_ns);
            if let Some(bytes) = &mut exchange.response_bytes {
                bytes.body = None;
            }
            self.enter_if_over(stream);
        }
    }

    fn note(&mut self, note: Note) {
        self.ledger.note(note);
    }

    fn give_up(&mut self, reason: GivenUp) {
        self.ledger.give_up(reason);
    }
}
