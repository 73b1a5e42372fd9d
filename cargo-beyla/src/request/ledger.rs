//! The books of a run: what is counted and kept of requests that have ended.

use std::sync::Arc;

use crate::protocol::message::GivenUp;

use super::exchange::Exchange;
use super::keeper::Keeper;
use super::lines::Lines;
use super::model::{ConnectionInfo, Outcome};
use super::recent::Recent;
use super::route::RouteTable;
use super::statistics::{Ended, Statistics};
use super::summary::{Totals, Unseen};

/// What all connections write to.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) routes: RouteTable,
    pub(super) lines: Lines,
    pub(super) keeper: Keeper,
    pub(super) statistics: Statistics,
    pub(super) recent: Recent,
    pub(super) totals: Totals,
    pub(super) unseen: Unseen,
}

impl Ledger {
    pub(super) fn new(routes: RouteTable, max_requests: usize) -> Self {
        Self {
            routes,
            lines: Lines::default(),
            keeper: Keeper::new(max_requests),
            statistics: Statistics::default(),
            recent: Recent::default(),
            totals: Totals::default(),
            unseen: Unseen::default(),
        }
    }

    /// Enters a request that has ended.
    pub(super) fn enter(&mut self, exchange: &mut Exchange, connection: &Arc<ConnectionInfo>) {
        exchange.settle();
        let outcome = exchange.outcome.unwrap_or(Outcome::StillOpen);
        let error = exchange.is_error();
        self.totals.errors += u64::from(error);
        self.totals.incomplete += u64::from(outcome != Outcome::Complete);
        self.statistics.add(exchange.line.statistics, &Ended { outcome, error, boundaries: &exchange.boundaries });
        let total = exchange.boundaries.total();
        if outcome == Outcome::Complete {
            self.recent.add(exchange.boundaries.ended, total);
        }
        self.keeper.offer(exchange.id, total, || exchange.to_request(connection));
    }

    /// Counts a connection that is not read any further.
    pub(super) fn give_up(&mut self, reason: GivenUp) {
        let count = match reason {
            GivenUp::Upgraded => &mut self.unseen.upgraded_connections,
            GivenUp::Tls => &mut self.unseen.tls_connections,
            GivenUp::Http2 => &mut self.unseen.http2_connections,
            GivenUp::Unreadable => &mut self.unseen.unreadable_connections,
        };
        *count += 1;
    }

    /// Counts bytes that no record told of.
    pub(super) fn miss(&mut self, bytes: u64) {
        self.unseen.missing_bytes = self.unseen.missing_bytes.saturating_add(bytes);
    }
}
