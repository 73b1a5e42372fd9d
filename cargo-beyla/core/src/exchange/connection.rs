//! One connection: its streams, its protocol, and the exchanges under way on it.

mod explain;

use std::collections::VecDeque;
use std::sync::Arc;

use cargo_beyla_events::{DELIVERY_AWAITED, State, Transfer, tcp_state};

use crate::protocol::http1::{Heads, Http1};
use crate::protocol::message::{
    GivenUp, MessageEnd, Messages, Protocol, RequestHead, ResponseHead, UnfinishedResponse,
};
use crate::transport::connection::Connection as Streams;
use crate::transport::segment::Direction;

use crate::exchange::closing::{Closing, Party};
use crate::exchange::in_flight::Exchange;
use crate::exchange::ledger::Ledger;
use crate::exchange::trace_context::Caller;
use crate::model::boundaries::Boundaries;
use crate::model::request::{ConnectionInfo, Endpoint, MessageBytes, Outcome};
use crate::runtime::explain::Arrived;

/// A stand-in for the moment of accept may be too late by so much, in nanoseconds: no such wait is worth a word.
const ACCEPT_ERROR_NS: u64 = 1_000_000;

/// Or by this part of the whole wait, as a fraction of 1.
const ACCEPT_ERROR_SHARE: u64 = 4;

/// The server closes the second: from `include/net/tcp_states.h`, as in [`tcp_state`].
const LAST_ACK: u8 = 9;

/// A connection and everything that is under way on it.
#[derive(Debug)]
pub(crate) struct Connection {
    streams: Streams,
    protocol: Http1,
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
    /// When the connection was established and accepted, in nanoseconds, until its first request. What the server did
    /// first with it stands for accept where that was not seen.
    opened: Option<(Option<u64>, Option<u64>)>,
    under_way: VecDeque<Exchange>,
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
            protocol: if before { Http1::joined() } else { Http1::default() },
            before,
            exchanges: Exchanges {
                info: Arc::new(info),
                opened: opened.map(|(established_ns, touched_ns)| (established_ns, Some(touched_ns))),
                under_way: VecDeque::new(),
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
    pub(crate) fn moved(
        &mut self,
        direction: Direction,
        transfer: &Transfer,
        data: &[u8],
        heads: &mut Heads,
        ledger: &mut Ledger,
    ) {
        if direction == Direction::Request && transfer.length == 0 {
            self.client_closes(transfer.header.time_ns, ledger);
            return;
        }
        // What the server had received when it sent, it may have received unseen. Only content is taken
        // so: another thread's receive call may be under way, whose record would come too late then.
        if direction == Direction::Response && self.protocol.awaits_content() {
            let missing = self.streams.missing_until(Direction::Request, transfer.received_sequence);
            self.missed(Direction::Request, missing, ledger);
        }
        if direction == Direction::Request {
            self.exchanges.received_first(transfer);
            self.exchanges.received_ns = transfer.header.time_ns;
            self.exchanges.receiver = transfer.thread;
        }
        let Some(moved) = self.streams.moved(direction, transfer, data) else {
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
        self.protocol.segment(&moved.segment, heads, &mut book);
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
                self.streams.client_finished();
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
            let missing = self.streams.missing_until(Direction::Response, state.send_sequence.wrapping_sub(fin));
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
        ledger.unseen.unjoined_connections += u64::from(self.before && self.protocol.is_without_requests());
        if let Some((received, sent)) = self.end
            && self.protocol.is_reading()
        {
            ledger.miss(self.streams.lag(Direction::Request, received));
            ledger.miss(self.streams.lag(Direction::Response, sent));
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
        let unfinished = self.protocol.stop(&mut self.exchanges.book(ledger));
        let exchanges = &mut self.exchanges;
        let mut current = Some(unfinished.response);
        for mut exchange in exchanges.under_way.drain(..) {
            if !exchange.received {
                exchange.request_bytes.body = unfinished.request_body;
            }
            if exchange.outcome.is_none() {
                let begun = exchange.status.is_some();
                if let Some(bytes) = &mut exchange.response_bytes {
                    bytes.body = unfinished.response_body;
                }
                let response = current.take().filter(|response| begun || *response == UnfinishedResponse::Unseen);
                let sent = exchanges.sent.filter(|_| begun);
                let (outcome, ended_ns) = self.closing.outcome(response, sent, now_ns);
                exchange.end(outcome, ended_ns.max(sent.map_or(0, |(_, end)| end)));
            }
            ledger.enter(&mut exchange, &exchanges.info);
        }
    }
}

/// How many of `missing` bytes are not known to be content of a request.
fn unaccounted(protocol: &Http1, direction: Direction, missing: u64) -> u64 {
    match direction {
        Direction::Request => missing.saturating_sub(protocol.announced_content()),
        Direction::Response => missing,
    }
}

impl Exchanges {
    /// A receive call brought bytes. If nothing was seen of the connection before its return, accept was not seen, and
    /// the call may have begun right after it and waited for the client. Then nobody knows when accept was, unless the
    /// client took next to none of the time.
    fn received_first(&mut self, transfer: &Transfer) {
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
    /// The oldest exchange without a whole response.
    fn unanswered(&mut self) -> Option<&mut Exchange> {
        self.exchanges.under_way.iter_mut().find(|exchange| exchange.outcome.is_none())
    }

    /// Takes the return of the last send call for the end of what a client has not been seen to have.
    fn await_no_more(&mut self) {
        for exchange in &mut self.exchanges.under_way {
            exchange.undelivered = None;
        }
        self.enter_finished();
    }

    fn enter_finished(&mut self) {
        while let Some(first) = self.exchanges.under_way.front_mut().filter(|first| first.is_over()) {
            self.ledger.enter(first, &self.exchanges.info);
            self.exchanges.under_way.pop_front();
        }
    }
}

impl Messages for Book<'_> {
    fn client(&mut self, client: Endpoint) {
        let info = Arc::make_mut(&mut self.exchanges.info);
        info.proxy = Some(std::mem::replace(&mut info.client, client));
    }

    fn request(&mut self, head: &RequestHead<'_>) {
        // Who asks for more has the answer to what it asked for before.
        self.await_no_more();
        let ledger = &mut *self.ledger;
        ledger.totals.requests += 1;
        let (connected, accepted) = self.exchanges.opened.take().unwrap_or_default();
        self.exchanges.under_way.push_back(Exchange {
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
        });
        if let (Some(explain), Some(exchange)) = (&mut ledger.explain, self.exchanges.under_way.back_mut()) {
            let (thread, at) = (self.exchanges.receiver, self.exchanges.received_ns);
            exchange.opened = explain.read(&Arrived { thread, at, boundaries: &exchange.boundaries });
        }
    }

    fn request_end(&mut self, end: MessageEnd) {
        if let Some(last) = self.exchanges.under_way.back_mut()
            && !last.received
        {
            last.received = true;
            last.request_bytes.body = end.body;
            last.boundaries.received = end.time_ns;
            if let (Some(explain), Some(time_ns)) = (&mut self.ledger.explain, end.time_ns) {
                let arrived = self.exchanges.last_arrived_ns.unwrap_or(time_ns);
                last.upload_ns = arrived.saturating_sub(last.boundaries.read);
                if let (Some(slot), None) = (last.opened, last.status) {
                    explain.received(slot, self.exchanges.receiver, time_ns, last.line.statistics);
                }
            }
            self.enter_finished();
        }
    }

    fn response(&mut self, head: &ResponseHead) {
        if let Some(exchange) = self.unanswered() {
            exchange.status = Some(head.status);
            exchange.boundaries.responded = Some(head.begin_ns);
            exchange.response_bytes = Some(MessageBytes { header: head.bytes, body: Some(0) });
            if let Some(slot) = exchange.opened
                && let Some(explain) = &mut self.ledger.explain
            {
                explain.responded(slot, head.begin_ns);
            }
        }
    }

    fn response_end(&mut self, end: MessageEnd) {
        let last_sent = self.exchanges.sent.map_or(0, |(_, end)| end);
        let (received_ns, undelivered) = (self.exchanges.received_ns, self.exchanges.undelivered);
        if let Some(exchange) = self.unanswered() {
            if let Some(bytes) = &mut exchange.response_bytes {
                bytes.body = end.body;
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
            self.enter_finished();
        }
    }

    fn request_unread(&mut self) {
        self.ledger.unseen.unread_requests += 1;
    }

    fn response_unseen(&mut self) {
        let last_sent = self.exchanges.sent.map_or(0, |(_, end)| end);
        if let Some(exchange) = self.unanswered() {
            let ended_ns = exchange.status.map_or(0, |_| last_sent);
            exchange.end(Outcome::NotSeen, ended_ns);
            if let Some(bytes) = &mut exchange.response_bytes {
                bytes.body = None;
            }
            self.enter_finished();
        }
    }

    fn give_up(&mut self, reason: GivenUp) {
        self.ledger.give_up(reason);
    }
}
