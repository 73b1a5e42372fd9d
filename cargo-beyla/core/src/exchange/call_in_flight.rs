//! A call while it is under way.

use std::sync::Arc;

use crate::exchange::trace_context::{CallOrigin, Identities};
use crate::model::call::{Call, CallBoundaries, CallKind, CallOf};
use crate::model::connection::{ConnectionInfo, StreamId};
use crate::model::request::{MessageBytes, Outcome};
use crate::model::trace_context::{Caller, TraceId};
use crate::protocol::message::{CommandEnding, Unfinished};
use crate::runtime::attribution::CallStart;

/// A call and what has been seen of its answer.
#[derive(Debug)]
pub(crate) struct CallInFlight {
    pub(crate) id: u64,
    /// Which exchange of its connection it is.
    pub(crate) stream: StreamId,
    pub(crate) kind: CallKind,
    pub(crate) summary: Arc<str>,
    pub(crate) text: Option<Arc<str>>,
    pub(crate) boundaries: CallBoundaries,
    pub(crate) request_bytes: MessageBytes,
    /// Whether all of it was sent.
    pub(crate) is_sent: bool,
    pub(crate) response_bytes: Option<MessageBytes>,
    /// Of HTTP.
    pub(crate) status: Option<u16>,
    /// Of gRPC.
    pub(crate) grpc_status: Option<u32>,
    /// What the answer to a command says of it.
    pub(crate) ending: CommandEnding,
    /// The name of the error, if connect failed or SQLite did.
    pub(crate) error_name: Option<&'static str>,
    /// How it ended, once it has.
    pub(crate) outcome: Option<Outcome>,
    /// The trace that it carries to the peer.
    pub(crate) trace: Option<(TraceId, Caller)>,
    /// What was known when it began of the request that it belongs to.
    pub(crate) start: CallStart,
}

impl CallInFlight {
    /// Ends it. `ended_ns` may be before the last moment that is known of it.
    pub(crate) fn end(&mut self, outcome: Outcome, ended_ns: u64) {
        self.outcome = Some(outcome);
        self.boundaries.ended = ended_ns;
    }

    /// Takes note of what is missing of it.
    pub(crate) fn missing(&mut self, unfinished: &Unfinished) {
        if !self.is_sent {
            self.request_bytes.body = unfinished.request_body;
        }
        if let Some(bytes) = &mut self.response_bytes {
            bytes.body = unfinished.response_body;
        }
        self.grpc_status = self.grpc_status.or(unfinished.response_grpc.status);
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.outcome == Some(Outcome::Complete)
    }

    /// Whether the peer failed it. OpenTelemetry's conventions say which statuses mean that to a client. It is an error too
    /// if the process gave up while it was still connecting.
    pub(crate) fn is_error(&self) -> bool {
        let by_status = match self.kind {
            CallKind::Grpc => {
                self.grpc_status.map_or_else(|| self.status.is_some_and(|status| status != 200), |status| status != 0)
            }
            _ => self.status.is_some_and(|status| status >= 400),
        };
        by_status
            || self.ending.error.is_some()
            || self.error_name.is_some()
            || self.outcome == Some(Outcome::ServerClosed)
            || (self.outcome == Some(Outcome::ClientClosed) && &*self.summary == Call::CONNECT)
    }

    /// Puts the boundaries in order. An answer may come while the call is still being sent, calls on several threads may
    /// overlap, and a recording may hold anything.
    pub(crate) fn settle(&mut self) {
        let boundaries = &mut self.boundaries;
        boundaries.connecting = boundaries.connecting.map(|connecting| connecting.min(boundaries.begun));
        boundaries.read = boundaries.read.map(|read| read.max(boundaries.begun));
        boundaries.answered = match boundaries.read {
            Some(read) => boundaries.answered.map(|answered| answered.clamp(boundaries.begun, read)),
            None => None,
        };
        boundaries.sent = boundaries
            .sent
            .filter(|sent| boundaries.read.is_none_or(|read| *sent <= read))
            .map(|sent| sent.max(boundaries.begun))
            .map(|sent| boundaries.answered.map_or(sent, |answered| sent.min(answered)));
        let last = boundaries.read.or(boundaries.sent).unwrap_or(boundaries.begun);
        boundaries.ended = boundaries.ended.max(last);
    }

    fn status(&self) -> Option<Arc<str>> {
        let number = match self.kind {
            CallKind::Grpc => self.grpc_status.or(self.status.map(u32::from)),
            _ => self.status.map(u32::from),
        };
        let error = self.ending.error.as_ref().map(|code| Arc::from(code.as_str()));
        error.or(self.error_name.map(Arc::from)).or(number.map(|number| number.to_string().into()))
    }

    pub(crate) fn to_call(
        &self,
        connection: &Arc<ConnectionInfo>,
        request: Option<CallOf>,
        caller: Option<&(TraceId, Caller)>,
        identities: Identities,
    ) -> Call {
        let origin = CallOrigin {
            call: self.id,
            carries: self.trace.as_ref(),
            request: request.map(|of| (of.request, caller)),
            test: connection.owner.and_then(|owner| owner.test),
        };
        Call {
            id: self.id,
            connection: Arc::clone(connection),
            stream: self.stream,
            kind: self.kind,
            summary: Arc::clone(&self.summary),
            text: self.text.clone(),
            status: self.status(),
            is_error: self.is_error(),
            rows: self.ending.rows,
            outcome: self.outcome.unwrap_or(Outcome::StillOpen),
            boundaries: self.boundaries,
            request_bytes: self.request_bytes,
            response_bytes: self.response_bytes,
            trace: self.trace.clone(),
            request,
            served: None,
            span: identities.call_span(&origin),
        }
    }
}
