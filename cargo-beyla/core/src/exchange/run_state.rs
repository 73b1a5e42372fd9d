//! What all connections of a run share: what is counted so far, and the exchanges that have ended.

use std::sync::Arc;

use cargo_beyla_events::TaskChange;

use crate::exchange::answers::{Answer, Answers};
use crate::exchange::call_in_flight::CallInFlight;
use crate::exchange::call_texts::CallTexts;
use crate::exchange::in_flight::Exchange;
use crate::exchange::request_lines::RequestLines;
use crate::exchange::route::RouteTable;
use crate::exchange::route_names::RouteNames;
use crate::exchange::tls::TlsCounts;
use crate::model::call::{CallOf, Certainty};
use crate::model::connection::ConnectionInfo;
use crate::model::explanation::Parts;
use crate::model::request::Outcome;
use crate::model::summary::Unseen;
use crate::model::trace_context::{Caller, TraceId};
use crate::protocol::message::{GivenUp, Note};
use crate::runtime::attribution::{Attribution, CallConnection, Driven, ToJudge, Told};
use crate::runtime::tracker::{EndedRequest, RuntimeTracker};

/// What all connections write to.
#[derive(Debug)]
pub(crate) struct RunState {
    pub(crate) routes: RouteTable,
    pub(crate) route_names: RouteNames,
    pub(crate) request_lines: RequestLines,
    /// The connections that it has accepted and the requests so far, those under way included.
    pub(crate) connections: u64,
    pub(crate) requests: u64,
    pub(crate) unseen: Unseen,
    pub(crate) tls: TlsCounts,
    /// Whether requests are asked which trace they belong to.
    pub(crate) track_request_headers: bool,
    /// Only of a run with `--explain`.
    pub(crate) runtime: Option<Box<RuntimeTracker>>,
    /// The exchanges that have ended since these were drained last.
    pub(crate) ended: Vec<Ended>,
    pub(crate) call_texts: CallTexts,
    /// The connections that the process has opened and the calls so far, those under way included.
    pub(crate) client_connections: u64,
    pub(crate) calls: u64,
    pub(crate) attribution: Attribution,
    answers: Answers,
    /// The calls that have ended since these were drained last.
    pub(crate) ended_calls: Vec<EndedCall>,
}

/// A call that has ended, with its boundaries in order.
#[derive(Debug)]
pub(crate) struct EndedCall {
    pub(crate) call: CallInFlight,
    pub(crate) connection: Arc<ConnectionInfo>,
    /// The request that it belongs to.
    pub(crate) request: Option<CallOf>,
    /// The trace that this request came with.
    pub(crate) caller: Option<(TraceId, Caller)>,
    /// Whether this request is still under way.
    pub(crate) is_within_request: bool,
}

/// An exchange that has ended, with its boundaries in order.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) exchange: Box<Exchange>,
    pub(crate) connection: Arc<ConnectionInfo>,
    /// The parts of its `handle` phase, where they are known.
    pub(crate) parts: Option<Parts>,
}

impl RunState {
    pub(crate) fn new(routes: RouteTable, track_request_headers: bool) -> Self {
        Self {
            routes,
            route_names: RouteNames::default(),
            request_lines: RequestLines::default(),
            connections: 0,
            requests: 0,
            unseen: Unseen::default(),
            tls: TlsCounts::default(),
            track_request_headers,
            runtime: None,
            ended: Vec::new(),
            call_texts: CallTexts::default(),
            client_connections: 0,
            calls: 0,
            attribution: Attribution::default(),
            answers: Answers::default(),
            ended_calls: Vec::new(),
        }
    }

    /// Takes an exchange that has ended.
    pub(crate) fn finish(&mut self, mut exchange: Box<Exchange>, connection: &Arc<ConnectionInfo>) {
        exchange.settle();
        self.attribution.ended(exchange.id, exchange.boundaries.ended);
        let parts = self.runtime.as_mut().and_then(|runtime| {
            runtime.ended(&EndedRequest {
                slot: exchange.runtime_slot,
                route: exchange.line.route_id,
                test: connection.owner.and_then(|owner| owner.test),
                boundaries: &exchange.boundaries,
                upload_ns: exchange.upload_ns,
                stalled_ns: exchange.stall.total(exchange.boundaries.ended),
                is_refused: exchange.outcome == Some(Outcome::ServerClosed) && exchange.status.is_none(),
            })
        });
        self.ended.push(Ended { exchange, connection: Arc::clone(connection), parts });
    }

    /// Takes a call that has ended. `receiver` is the thread that has read the last of its answer.
    pub(super) fn finish_call(
        &mut self,
        mut call: CallInFlight,
        users: &CallConnection,
        connection: &Arc<ConnectionInfo>,
        receiver: u32,
    ) {
        call.settle();
        let answered_ns = call.boundaries.read.unwrap_or(call.boundaries.ended);
        let request = self.attribution.ends(users, &connection.server, &call.start, answered_ns);
        let connection = Arc::clone(connection);
        if request.is_none() && call.is_complete() && self.attribution.awaits_wakes(&call.start, receiver) {
            self.answers.ended(receiver, call, connection);
        } else {
            self.answers.forget(call.id);
            self.count_call(call, connection, request);
        }
    }

    /// Takes a statement that SQLite has executed.
    pub(super) fn finish_sqlite(
        &mut self,
        mut call: CallInFlight,
        users: &CallConnection,
        connection: &Arc<ConnectionInfo>,
    ) {
        call.settle();
        let request = self.attribution.ends(users, &connection.server, &call.start, call.boundaries.ended);
        // A thread that polls no task may work for nobody: what else it does no connection tells.
        let certainty = if call.start.is_of_maker() { Certainty::Certain } else { Certainty::Likely };
        let request = request.map(|of| CallOf { certainty: of.certainty.max(certainty), ..of });
        self.count_call(call, Arc::clone(connection), request);
    }

    /// The answer of a call has begun. `receiver` is the thread that has read that.
    pub(super) fn answer_begins(&mut self, call: &CallInFlight, receiver: u32) {
        if self.attribution.awaits_wakes(&call.start, receiver) {
            self.answers.began(receiver, call);
        }
    }

    fn count_call(&mut self, call: CallInFlight, connection: Arc<ConnectionInfo>, request: Option<CallOf>) {
        let number = request.map(|of| of.request);
        self.ended_calls.push(EndedCall {
            call,
            connection,
            request,
            caller: number.and_then(|request| self.attribution.caller(request)).cloned(),
            is_within_request: number.is_some_and(|request| self.attribution.is_under_way(request)),
        });
    }

    /// A thread has read something on a connection that the process opened.
    pub(super) fn reads_answer(&mut self, thread: u32) {
        self.judge_held(thread);
        self.attribution.reads_answer(thread);
    }

    /// Something happens to a task.
    pub(crate) fn task(&mut self, change: &TaskChange) {
        match self.attribution.task(change) {
            Some(ToJudge::Poll { thread, relay }) => {
                self.judge_held(thread);
                self.attribution.poll_ends(thread);
                if let Some((call, connection, _)) = relay.and_then(|relay| self.answers.handed_on(relay)) {
                    self.count_call(call, connection, None);
                }
            }
            // Its request may be answered before the poll ends.
            Some(ToJudge::Wake(thread)) => {
                if let Some(call) = self.answers.the_only(thread)
                    && self.attribution.is_replied(thread, &call)
                {
                    self.judge_held(thread);
                }
            }
            Some(ToJudge::Relay(relay)) => {
                if let Some((call, connection, certainty)) = self.answers.handed_on(relay) {
                    let request = self.attribution.of_told(Told::Relay(relay, certainty));
                    self.count_call(call, connection, request);
                }
            }
            None => {}
        }
    }

    /// The calls that wait for the wakes of a thread wait no longer.
    fn judge_held(&mut self, thread: u32) {
        let read = self.answers.take(thread);
        if read.is_empty() {
            return;
        }
        let calls: Vec<Driven<'_>> = read.iter().map(Answer::driven).collect();
        let told = self.attribution.by_wakes(thread, &calls);
        for (answer, told) in read.into_iter().zip(told) {
            self.judge(answer, told);
        }
    }

    fn judge(&mut self, answer: Answer, told: Told) {
        let Some((call, connection)) = answer.ended else { return self.answers.told(answer.call, told) };
        let earlier = self.answers.forget(answer.call);
        let [earlier_of, of] = [earlier, told].map(|told| self.attribution.of_told(told));
        let request = match (earlier_of, of) {
            (Some(one), Some(other)) if one.request != other.request => None,
            // What is certain stands, whatever else is likely.
            (Some(one), _) if one.certainty == Certainty::Certain => Some(one),
            (one, other) => other.or(one),
        };
        let relay = [told, earlier].into_iter().find_map(|told| match told {
            Told::Relay(relay, certainty) if self.attribution.is_waiting(relay) => Some((relay, certainty)),
            _ => None,
        });
        let ended = match relay {
            Some((relay, certainty)) if request.is_none() => self.answers.wait(relay, (call, connection, certainty)),
            _ => Some((call, connection)),
        };
        if let Some((call, connection)) = ended {
            self.count_call(call, connection, request);
        }
    }

    /// The run is over, so no call waits for anything.
    pub(super) fn judge_all(&mut self) {
        for thread in self.answers.threads() {
            self.judge_held(thread);
        }
        for (call, connection) in self.answers.take_waiting() {
            self.count_call(call, connection, None);
        }
    }

    /// Counts a connection that the process opened and that is not read any further.
    pub(super) fn give_up_client(&mut self, reason: GivenUp) {
        let count = match reason {
            GivenUp::Upgraded => &mut self.unseen.upgraded_client_connections,
            GivenUp::Tls => &mut self.unseen.tls_client_connections,
            GivenUp::Unreadable => &mut self.unseen.unreadable_client_connections,
        };
        *count += 1;
    }

    /// Counts what is no call.
    pub(super) fn note_of_call(&mut self, note: Note) {
        match note {
            Note::Tunnel => self.unseen.upgraded_client_connections += 1,
            Note::Pushed | Note::PartialHead => self.note(note),
        }
    }

    /// Counts a connection that is not read any further.
    pub(crate) fn give_up(&mut self, reason: GivenUp) {
        let count = match reason {
            GivenUp::Upgraded => &mut self.unseen.upgraded_connections,
            GivenUp::Tls => &mut self.unseen.tls_connections,
            GivenUp::Unreadable => &mut self.unseen.unreadable_connections,
        };
        *count += 1;
    }

    /// Counts what is no request.
    pub(crate) fn note(&mut self, note: Note) {
        let count = match note {
            Note::Pushed => &mut self.unseen.pushed_responses,
            Note::PartialHead => &mut self.unseen.partial_heads,
            Note::Tunnel => &mut self.unseen.upgraded_connections,
        };
        *count += 1;
    }

    /// Counts bytes that moved without a record.
    pub(crate) fn miss(&mut self, bytes: u64) {
        self.unseen.missing_bytes = self.unseen.missing_bytes.saturating_add(bytes);
    }
}
