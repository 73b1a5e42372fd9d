//! A request while it is under way.

use std::sync::Arc;
use std::time::Duration;

use crate::exchange::request_lines::RequestLine;
use crate::exchange::stall::Stall;
use crate::exchange::trace_context::Identities;
use crate::model::boundaries::Boundaries;
use crate::model::connection::{ConnectionInfo, StreamId};
use crate::model::grpc::{Grpc, is_server_error};
use crate::model::request::{MessageBytes, Outcome, Request};
use crate::model::trace_context::{Caller, TraceId};
use crate::protocol::grpc;
use crate::protocol::message::Unfinished;
use crate::runtime::tracker::RequestSlot;

/// A request and what has been seen of its response.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) id: u64,
    /// Which exchange of its connection it is.
    pub(crate) stream: StreamId,
    pub(crate) protocol: &'static str,
    pub(crate) line: Arc<RequestLine>,
    pub(crate) boundaries: Boundaries,
    pub(crate) request_bytes: MessageBytes,
    /// Whether the request is whole.
    pub(crate) received: bool,
    pub(crate) status: Option<u16>,
    pub(crate) response_bytes: Option<MessageBytes>,
    /// How it ended, once the response is over.
    pub(crate) outcome: Option<Outcome>,
    /// The trace that it came with, and who sent it.
    pub(crate) caller: Option<(TraceId, Caller)>,
    /// The client is on this machine and does not have the last byte yet: its sequence number, plus one.
    pub(crate) undelivered: Option<u32>,
    /// Where the runtime tracker keeps it. Only under `--explain`.
    pub(crate) runtime_slot: Option<RequestSlot>,
    /// From reading its first byte to the arrival of its last, in nanoseconds. Only under `--explain`.
    pub(crate) upload_ns: u64,
    /// When the last part of the request was received, in nanoseconds.
    pub(crate) received_ns: u64,
    /// Whether, and for how long, the response cannot go on because of the client.
    pub(crate) stall: Stall,
    /// Of a gRPC call.
    pub(crate) grpc: Option<Box<GrpcCall>>,
}

/// What is known of a gRPC call beside its path.
#[derive(Debug)]
pub(crate) struct GrpcCall {
    timeout: Option<Duration>,
    pub(crate) status: Option<u32>,
    pub(crate) request_messages: Option<u64>,
    pub(crate) response_messages: Option<u64>,
}

impl GrpcCall {
    pub(crate) fn new(call: grpc::Call) -> Self {
        Self { timeout: call.timeout, status: None, request_messages: None, response_messages: None }
    }

    fn to_model(&self, path: &str) -> Option<Box<Grpc>> {
        let (service, method) = grpc::split_path(path)?;
        let timeout_ns = self.timeout.map(|timeout| timeout.as_nanos().try_into().unwrap_or(u64::MAX));
        let Self { status, request_messages, response_messages, .. } = *self;
        let (service, method) = (service.into(), method.into());
        Some(Grpc { service, method, status, request_messages, response_messages, timeout_ns }.into())
    }
}

impl Exchange {
    /// Ends it. `ended_ns` may be before the last moment that is known of it.
    pub(crate) fn end(&mut self, outcome: Outcome, ended_ns: u64) {
        self.outcome = Some(outcome);
        self.boundaries.ended = ended_ns;
    }

    /// Nothing more comes of it: what is missing counts as far as it came.
    pub(crate) fn take_unfinished(&mut self, unfinished: &Unfinished) {
        if !self.received {
            self.request_bytes.body = unfinished.request_body;
            if let Some(grpc) = &mut self.grpc {
                grpc.request_messages = unfinished.request_grpc.messages;
            }
        }
        if self.outcome.is_none() {
            if let Some(bytes) = &mut self.response_bytes {
                bytes.body = unfinished.response_body;
            }
            if let Some(grpc) = &mut self.grpc {
                grpc.response_messages = unfinished.response_grpc.messages;
                grpc.status = unfinished.response_grpc.status;
            }
        }
    }

    /// Whether nothing more belongs to it.
    pub(crate) fn is_over(&self) -> bool {
        self.received && self.outcome.is_some() && self.undelivered.is_none()
    }

    pub(crate) fn is_error(&self) -> bool {
        let grpc = self.grpc.as_ref().and_then(|grpc| grpc.status);
        self.outcome == Some(Outcome::ServerClosed)
            || self.status.is_some_and(|status| status >= 500)
            || grpc.is_some_and(is_server_error)
    }

    /// Puts the boundaries in order. A response that begins before the whole request was received ends
    /// the receive phase: the application was at work. Calls on several threads may overlap, and a
    /// recording may hold anything.
    pub(crate) fn settle(&mut self) {
        let boundaries = &mut self.boundaries;
        boundaries.arrived = boundaries.arrived.map(|arrived| arrived.min(boundaries.read));
        boundaries.accepted = boundaries.accepted.map(|accepted| accepted.min(boundaries.read));
        // What comes before the end of the handshake is no first request after it.
        boundaries.secured = boundaries.secured.filter(|secured| *secured <= boundaries.read);
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

    pub(crate) fn to_request(&self, connection: &Arc<ConnectionInfo>, identities: Identities) -> Request {
        Request {
            id: self.id,
            connection: Arc::clone(connection),
            protocol: self.protocol,
            stream: (self.protocol == "http/2").then_some(self.stream),
            grpc: self.grpc.as_ref().and_then(|grpc| grpc.to_model(&self.line.path)),
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
            calls: Vec::new(),
            calls_not_kept: 0,
        }
    }
}
