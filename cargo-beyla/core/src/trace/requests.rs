//! What is counted and kept of the requests that have ended.

use std::sync::Arc;

use crate::analysis::call_findings::{CallFindings, Caller};
use crate::analysis::call_waits::call_waits;
use crate::analysis::recent_latencies::RecentLatencies;
use crate::analysis::routes::{CountedRequest, RouteStatistics};
use crate::analysis::slowest_requests::SlowestRequests;
use crate::analysis::suite::Suite;
use crate::exchange::route_names::RouteNames;
use crate::exchange::run_state::{Ended, EndedCall};
use crate::exchange::trace_context::Identities;
use crate::model::request::Outcome;
use crate::runtime::tracker::RuntimeTracker;

use super::TraceSettings;
use super::calls::EndedCalls;
use super::finished::FinishedQueue;

/// The requests of a run that have ended.
#[derive(Debug)]
pub(super) struct EndedRequests {
    pub(super) slowest: SlowestRequests,
    pub(super) calls: EndedCalls,
    pub(super) call_findings: CallFindings,
    pub(super) statistics: RouteStatistics,
    pub(super) recent: RecentLatencies,
    /// For exporters.
    pub(super) finished: FinishedQueue,
    pub(super) identities: Identities,
    /// Only of a run that traces tests.
    pub(super) suite: Option<Suite>,
    /// Those that the server failed, and those without a whole response.
    pub(super) errors: u64,
    pub(super) incomplete: u64,
}

impl EndedRequests {
    pub(super) fn new(settings: &mut TraceSettings) -> Self {
        Self {
            slowest: SlowestRequests::new(settings.max_requests),
            calls: EndedCalls::default(),
            call_findings: CallFindings::default(),
            statistics: RouteStatistics::default(),
            recent: RecentLatencies::default(),
            finished: FinishedQueue::new(settings.export),
            identities: Identities::new(settings.seed),
            suite: settings.within.take().map(Suite::new),
            errors: 0,
            incomplete: 0,
        }
    }

    /// Takes a call that has ended.
    pub(super) fn add_call(&mut self, ended: &EndedCall) {
        let mut is_of_test = false;
        if let Some(suite) = &mut self.suite {
            is_of_test = ended.request.is_none() && suite.serves(&ended.connection.server);
            if let Some(test) = ended.connection.owner.and_then(|owner| owner.test).filter(|_| !is_of_test) {
                suite.add_call(test);
            }
        }
        // It is exported as a request, so its own span would be a second one.
        let identities = if is_of_test { Identities::new(None) } else { self.identities };
        if let Some(call) = self.calls.add(ended, is_of_test, identities)
            && self.finished.is_wanted()
        {
            self.finished.push_call(call);
        }
    }

    /// Takes one more.
    pub(super) fn add(&mut self, ended: &Ended, names: &RouteNames, runtime: Option<&mut RuntimeTracker>) {
        let Ended { exchange, connection, parts } = ended;
        let (boundaries, route) = (&exchange.boundaries, exchange.line.route_id);
        let outcome = exchange.outcome.unwrap_or(Outcome::StillOpen);
        let error = exchange.is_error();
        self.errors += u64::from(error);
        self.incomplete += u64::from(outcome != Outcome::Complete);
        let counted = CountedRequest { outcome, error, boundaries, parts: *parts };
        self.statistics.add(route, || names.name(route), &counted);
        let test = connection.owner.and_then(|owner| owner.test);
        if let Some(suite) = &mut self.suite
            && let Some(test) = test
        {
            suite.add(test, &counted);
        }
        let total = boundaries.total();
        if outcome == Outcome::Complete {
            self.recent.add(boundaries.ended, total);
        }
        let identities = self.identities;
        let calls = self.calls.of_ended(exchange.id);
        if let Some(calls) = &calls {
            self.call_findings.add(&Caller { route, test, total_ns: total, calls: &calls.calls });
        }
        let request = || {
            let mut request = exchange.to_request(connection, identities);
            if let Some(calls) = &calls {
                (request.calls, request.calls_not_kept) = (calls.ids(), calls.not_kept);
            }
            if let (Some(runtime), Some(slot)) = (&runtime, exchange.runtime_slot) {
                request.explanation = runtime.explanation(slot, |route| names.name(route)).map(|mut explanation| {
                    if let Some(calls) = &calls {
                        let handle = boundaries.received.unwrap_or(boundaries.read)
                            ..boundaries.responded.unwrap_or(boundaries.ended);
                        let most = explanation.parts.waiting;
                        explanation.calls = call_waits(&calls.calls, runtime.waiting(slot), &handle, most);
                    }
                    Arc::new(explanation)
                });
            }
            request
        };
        let kept = self.slowest.offer(exchange.id, total, request);
        let is_kept = kept.is_some();
        if self.finished.is_wanted() {
            let finished = kept.map_or_else(|| Arc::new(request()), Arc::clone);
            self.finished.push_request(finished, calls.as_ref().map_or_else(Vec::new, |calls| calls.calls.clone()));
        }
        if is_kept {
            self.calls.keep(exchange.id, calls.unwrap_or_default(), self.slowest.requests());
        }
        if let (Some(runtime), Some(slot)) = (runtime, exchange.runtime_slot) {
            runtime.forget(slot);
        }
    }
}
