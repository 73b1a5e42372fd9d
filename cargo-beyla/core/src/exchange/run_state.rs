//! What all connections of a run share: what is counted so far, and the exchanges that have ended.

use std::sync::Arc;

use crate::exchange::in_flight::Exchange;
use crate::exchange::request_lines::RequestLines;
use crate::exchange::route::RouteTable;
use crate::exchange::route_names::RouteNames;
use crate::model::connection::ConnectionInfo;
use crate::model::explanation::Parts;
use crate::model::request::Outcome;
use crate::model::summary::Unseen;
use crate::protocol::message::{GivenUp, Note};
use crate::runtime::tracker::{EndedRequest, RuntimeTracker};

/// What all connections write to.
#[derive(Debug)]
pub(crate) struct RunState {
    pub(crate) routes: RouteTable,
    pub(crate) route_names: RouteNames,
    pub(crate) request_lines: RequestLines,
    /// The connections and the requests so far, those under way included.
    pub(crate) connections: u64,
    pub(crate) requests: u64,
    pub(crate) unseen: Unseen,
    /// Whether requests are asked which trace they belong to.
    pub(crate) track_request_headers: bool,
    /// Only of a run with `--explain`.
    pub(crate) runtime: Option<Box<RuntimeTracker>>,
    /// The exchanges that have ended since these were drained last.
    pub(crate) ended: Vec<Ended>,
}

/// An exchange that has ended, with its boundaries in order.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) exchange: Exchange,
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
            track_request_headers,
            runtime: None,
            ended: Vec::new(),
        }
    }

    /// Takes an exchange that has ended.
    pub(crate) fn finish(&mut self, mut exchange: Exchange, connection: &Arc<ConnectionInfo>) {
        exchange.settle();
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
