//! A request while it is under way.

use std::sync::Arc;

use super::boundaries::Boundaries;
use super::explain::Slot;
use super::lines::Line;
use super::model::{ConnectionInfo, MessageBytes, Outcome, Request};
use super::trace_context::{Caller, Identities};
use crate::protocol::trace_context::TraceId;

/// A request and what has been seen of its response.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) id: u64,
    pub(super) protocol: &'static str,
    pub(super) line: Arc<Line>,
    pub(super) boundaries: Boundaries,
    pub(super) request_bytes: MessageBytes,
    /// Whether the request is whole.
    pub(super) received: bool,
    pub(super) status: Option<u16>,
    pub(super) response_bytes: Option<MessageBytes>,
    /// How it ended, once the response is over.
    pub(super) outcome: Option<Outcome>,
    /// The trace that it came with, and who sent it.
    pub(super) caller: Option<(TraceId, Caller)>,
    /// The client is on this machine and does not have the last byte yet: its sequence number, plus one.
    pub(super) undelivered: Option<u32>,
    /// What `--explain` knows of it.
    pub(super) opened: Option<Slot>,
    /// From reading its first byte to the arrival of its last, in nanoseconds. Only under `--explain`.
    pub(super) upload_ns: u64,
    /// How long the server waited for room to send in, in nanoseconds. Only under `--explain`.
    pub(super) stalled_ns: u64,
}

impl Exchange {
    /// Ends it. `ended_ns` may be before the last moment that is known of it.
    pub(super) fn end(&mut self, outcome: Outcome, ended_ns: u64) {
        self.outcome = Some(outcome);
        self.boundaries.ended = ended_ns;
    }

    /// Whether nothing more belongs to it.
    pub(super) fn is_over(&self) -> bool {
        self.received && self.outcome.is_some() && self.undelivered.is_none()
    }

    pub(super) fn is_error(&self) -> bool {
        self.outcome == Some(Outcome::ServerClosed) || self.status.is_some_and(|status| status >= 500)
    }

    /// Puts the boundaries in order. A response that begins before the whole request was received ends
    /// the receive phase: the application was at work. Calls on several threads may overlap, and a
    /// recording may hold anything.
    pub(super) fn settle(&mut self) {
        let boundaries = &mut self.boundaries;
        boundaries.arrived = boundaries.arrived.map(|arrived| arrived.min(boundaries.read));
        boundaries.accepted = boundaries.accepted.map(|accepted| accepted.min(boundaries.read));
        boundaries.connected = match (boundaries.connected, boundaries.accepted) {
            (Some(connected), Some(accepted)) => Some(connected.min(accepted)),
            (connected, _) => connected,
        };
        boundaries.responded = boundaries.responded.map(|responded| responded.max(boundaries.read));
        boundaries.received = boundaries
            .received
            .map(|received| received.max(boundaries.read))
            .map(|received| boundaries.responded.map_or(received, |responded| received.min(responded)));
        let last = boundaries.responded.or(boundaries.received).unwrap_or(boundaries.read);
        boundaries.ended = boundaries.ended.max(last);
    }

    pub(super) fn to_request(&self, connection: &Arc<ConnectionInfo>, identities: Identities) -> Request {
        Request {
            id: self.id,
            connection: Arc::clone(connection),
            protocol: self.protocol,
            method: Arc::clone(&self.line.method),
            path: Arc::clone(&self.line.path),
            query: self.line.query.clone(),
            route: Arc::clone(&self.line.route),
            status: self.status,
            outcome: self.outcome.unwrap_or(Outcome::StillOpen),
            boundaries: self.boundaries,
            request_bytes: self.request_bytes,
            response_bytes: self.response_bytes,
            explanation: None,
            trace: identities.context(self.id, self.caller.as_ref(), connection.owner.and_then(|owner| owner.test)),
        }
    }
}
