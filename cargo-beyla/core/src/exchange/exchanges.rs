//! The exchanges that are under way on one connection.

mod sink;

use std::collections::VecDeque;
use std::sync::Arc;

use cargo_beyla_events::Transfer;

use crate::exchange::in_flight::Exchange;
use crate::exchange::run_state::RunState;
use crate::exchange::stall::Obstacle;
use crate::exchange::tls::SealedTurns;
use crate::model::connection::{ConnectionInfo, StreamId};
use crate::runtime::attribution::Operator;
use sink::MessageSink;

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
    /// When the handshake of TLS was over, in nanoseconds, until the first request.
    secured_ns: Option<u64>,
    /// What moves sealed, if the connection cannot be read.
    pub(super) sealed: SealedTurns,
    /// Ascending. In boxes, because with many streams most of them leave from the midst, and the others move up.
    under_way: VecDeque<Box<Exchange>>,
    /// Where the last one was that was looked for.
    found: usize,
    /// Whether there has been a request.
    pub(super) any_request: bool,
    /// Whether responses come in the order of their requests.
    pub(super) is_in_order: bool,
    /// Return of the last receive call, in nanoseconds.
    pub(super) received_ns: u64,
    /// Who made it.
    pub(super) receiver: Operator,
    /// Who made the last send call.
    pub(super) sender: Operator,
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
            secured_ns: None,
            sealed: SealedTurns::default(),
            under_way: VecDeque::new(),
            found: 0,
            any_request: false,
            is_in_order: true,
            received_ns: 0,
            receiver: Operator::default(),
            sender: Operator::default(),
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
        self.under_way.back().map(|exchange| &**exchange)
    }

    /// Those without the head of a response, in their order.
    pub(super) fn unanswered(&self) -> impl Iterator<Item = &Exchange> {
        self.under_way.iter().map(|exchange| &**exchange).filter(|exchange| exchange.status.is_none())
    }

    /// All of them, which leave.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Box<Exchange>> {
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
        let under_way =
            self.under_way.iter_mut().map(|exchange| &mut **exchange).filter(|exchange| exchange.outcome.is_none());
        under_way.filter(move |exchange| is_in_order || exchange.status.is_some()).take(most)
    }

    /// Where the exchange is, or where it would be.
    fn place(&self, stream: StreamId) -> Result<usize, usize> {
        let is_at = |place: &usize| self.under_way.get(*place).is_some_and(|exchange| exchange.stream == stream);
        // The messages of one exchange often follow each other: those of the last request, or of the response at hand.
        let last = self.under_way.len().wrapping_sub(1);
        match [last, self.found].into_iter().find(is_at) {
            Some(place) => Ok(place),
            None => self.under_way.binary_search_by_key(&stream, |exchange| exchange.stream),
        }
    }

    /// An exchange that is under way.
    fn get(&mut self, stream: StreamId) -> Option<&mut Exchange> {
        self.found = self.place(stream).ok()?;
        self.under_way.get_mut(self.found).map(|exchange| &mut **exchange)
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
