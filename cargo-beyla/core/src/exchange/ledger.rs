//! The books of a run: what is counted and kept of requests that have ended.

use std::sync::Arc;

use crate::protocol::message::{GivenUp, Note};

use crate::analysis::recent_latencies::RecentLatencies;
use crate::analysis::routes::{CountedRequest, RouteStatistics};
use crate::analysis::slowest_requests::SlowestRequests;
use crate::analysis::suite::Suite;
use crate::exchange::finished::Finished;
use crate::exchange::in_flight::Exchange;
use crate::exchange::lines::Lines;
use crate::exchange::route::RouteTable;
use crate::exchange::trace::TraceSettings;
use crate::exchange::trace_context::Identities;
use crate::model::connection::ConnectionInfo;
use crate::model::request::Outcome;
use crate::model::summary::{Totals, Unseen};
use crate::runtime::tracker::{EndedRequest, RuntimeTracker};

/// What all connections write to.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) routes: RouteTable,
    pub(crate) lines: Lines,
    pub(crate) keeper: SlowestRequests,
    pub(crate) statistics: RouteStatistics,
    pub(crate) recent: RecentLatencies,
    pub(crate) totals: Totals,
    pub(crate) unseen: Unseen,
    pub(crate) finished: Finished,
    pub(crate) identities: Identities,
    /// Whether requests are asked which trace they belong to.
    pub(crate) track_request_headers: bool,
    /// Only of a run with `--explain`.
    pub(crate) explain: Option<Box<RuntimeTracker>>,
    /// Only of a run that traces tests.
    pub(crate) suite: Option<Suite>,
}

impl Ledger {
    pub(crate) fn new(settings: TraceSettings) -> Self {
        let TraceSettings { routes, max_requests, export, seed, track_request_headers, within, .. } = settings;
        Self {
            routes,
            lines: Lines::default(),
            keeper: SlowestRequests::new(max_requests),
            statistics: RouteStatistics::default(),
            recent: RecentLatencies::default(),
            totals: Totals::default(),
            unseen: Unseen::default(),
            finished: Finished::new(export),
            identities: Identities::new(seed),
            track_request_headers,
            explain: None,
            suite: within.map(Suite::new),
        }
    }

    /// Enters a request that has ended.
    pub(crate) fn enter(&mut self, exchange: &mut Exchange, connection: &Arc<ConnectionInfo>) {
        exchange.settle();
        let outcome = exchange.outcome.unwrap_or(Outcome::StillOpen);
        let error = exchange.is_error();
        self.totals.errors += u64::from(error);
        self.totals.incomplete += u64::from(outcome != Outcome::Complete);
        let test = connection.owner.and_then(|owner| owner.test);
        let route = exchange.line.statistics;
        let boundaries = &exchange.boundaries;
        let parts = self.explain.as_mut().and_then(|explain| {
            let (slot, upload_ns, stalled_ns) = (exchange.opened, exchange.upload_ns, exchange.stalled_ns);
            explain.ended(&EndedRequest { slot, route, test, boundaries, upload_ns, stalled_ns })
        });
        let ended = CountedRequest { outcome, error, boundaries, parts };
        self.statistics.add(route, &ended);
        if let Some(suite) = &mut self.suite
            && let Some(test) = test
        {
            suite.add(test, &ended);
        }
        let total = exchange.boundaries.total();
        if outcome == Outcome::Complete {
            self.recent.add(exchange.boundaries.ended, total);
        }
        let (explain, statistics, identities) = (&self.explain, &self.statistics, self.identities);
        let opened = exchange.opened.take();
        let request = || {
            let mut request = exchange.to_request(connection, identities);
            if let (Some(explain), Some(slot)) = (explain, opened) {
                request.explanation = explain.explanation(slot, |route| statistics.name(route)).map(Arc::new);
            }
            request
        };
        let kept = self.keeper.offer(exchange.id, total, request);
        if self.finished.is_wanted() {
            let finished = kept.map_or_else(|| Arc::new(request()), Arc::clone);
            self.finished.push(finished);
        }
        if let (Some(explain), Some(slot)) = (&mut self.explain, opened) {
            explain.forget(slot);
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

    /// Counts bytes that no record told of.
    pub(crate) fn miss(&mut self, bytes: u64) {
        self.unseen.missing_bytes = self.unseen.missing_bytes.saturating_add(bytes);
    }
}
