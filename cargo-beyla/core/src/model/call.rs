//! An outbound call: what the process asked of another one, and how long it waited for that.

use std::sync::Arc;

pub use crate::model::call_kind::CallKind;
use crate::model::connection::{ConnectionInfo, Endpoint, StreamId};
use crate::model::duration::Distribution;
use crate::model::request::{MessageBytes, Outcome, Request};
use crate::model::trace_context::{Caller, SpanId, TraceId};

/// One call and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Counts calls from 1 in the order in which they began.
    pub id: u64,
    /// The connection on which it went; of SQLite there is none, and this says only whose call it is. See [`Call::peer`].
    pub connection: Arc<ConnectionInfo>,
    /// Which exchange of that connection it is.
    pub stream: StreamId,
    /// What it asks for.
    pub kind: CallKind,
    /// What it asks for in a few words that many calls share: `GET /users/{id}`, `SELECT users`, `GET`,
    /// `/package.Service/Method`.
    pub summary: Arc<str>,
    /// The statement without its literals; for a call of HTTP, its method and path. `None` if it is not known.
    pub text: Option<Arc<str>>,
    /// What the peer answered: the status of HTTP or gRPC, the SQLSTATE, the error code of other databases; the error of
    /// connect if there was no connection. `None` if no answer was seen, or if the answer has no status.
    pub status: Option<Arc<str>>,
    /// Whether it failed.
    pub is_error: bool,
    /// The rows that the answer holds or that the statement has changed, if the protocol says so.
    pub rows: Option<u64>,
    /// How it ended.
    pub outcome: Outcome,
    /// The moments that bound it.
    pub boundaries: CallBoundaries,
    /// The size of what was sent.
    pub request_bytes: MessageBytes,
    /// The size of the answer; `None` if none was seen.
    pub response_bytes: Option<MessageBytes>,
    /// The trace that it carries to the peer, if it carries one: its id, and the span that is to be the peer's parent.
    pub trace: Option<(TraceId, Caller)>,
    /// The request that it belongs to, if that is known.
    pub request: Option<CallOf>,
    /// The request that the peer has served for it, if the peer is traced as well.
    pub served: Option<u64>,
    /// Its place in a trace, in a run that exports traces.
    pub span: Option<Box<CallSpan>>,
}

/// The place of a call's client span in a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallSpan {
    /// The trace of the span that the application has made for the call, if it has made one; else its request's or its
    /// test's; else a trace of its own.
    pub trace_id: TraceId,
    /// The id of the span.
    pub span_id: SpanId,
    /// The span that the application has made for the call, if it has made one: the call carries another span than the
    /// caller of its request. Else the server span of its request, or the root span of its test. `None` if it begins a
    /// trace.
    pub parent: Option<SpanId>,
    /// Who decided whether the spans of the trace are recorded, if that was decided elsewhere.
    pub caller: Option<Caller>,
}

impl Call {
    /// The [`Call::summary`] of a connection that could not be opened.
    pub const CONNECT: &str = "connect";

    /// Who is asked; `None` of SQLite, which is asked within the process.
    pub fn peer(&self) -> Option<&Endpoint> {
        (self.kind != CallKind::Sqlite).then_some(&self.connection.server)
    }

    /// Whether it sends telemetry to a collector, by OTLP: that is the application's own tracing, and not its work.
    pub fn delivers_telemetry(&self) -> bool {
        match self.kind {
            CallKind::Http => self.text.as_deref().is_some_and(|text| {
                ["/v1/traces", "/v1/metrics", "/v1/logs"].iter().any(|path| text.ends_with(path))
                    && text.starts_with("POST ")
            }),
            CallKind::Grpc => self.summary.starts_with("/opentelemetry.proto.collector."),
            _ => false,
        }
    }

    /// The memory that it takes, in bytes, approximately. What it shares with other calls does not count.
    pub fn memory(&self) -> usize {
        size_of::<Self>() + self.span.as_ref().map_or(0, |_| size_of::<CallSpan>())
    }
}

/// How many requests and calls there was no room for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// The requests.
    pub requests: u64,
    /// The calls, those of such requests included.
    pub calls: u64,
}

/// What has ended, as it is handed out while the run goes on.
#[derive(Clone, Debug)]
pub enum Finished {
    /// A request, and its calls that are over, in the order in which they began.
    Request(Arc<Request>, Vec<Arc<Call>>),
    /// A call that belongs to no request, or that has outlived its request.
    Call(Arc<Call>),
}

/// Statistics of the calls that ask the same peer for the same. Times are nanoseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct CallSummary {
    /// What they ask for.
    pub kind: CallKind,
    /// Who is asked; `None` of SQLite and for [`CallSummary::OTHER`].
    pub peer: Option<Endpoint>,
    /// As [`Call::summary`].
    pub summary: Arc<str>,
    /// The number of calls.
    pub count: u64,
    /// The calls that failed.
    pub errors: u64,
    /// The calls without a whole answer: they count in no time.
    pub incomplete: u64,
    /// The total times; `None` if no call was complete.
    pub total: Option<Distribution>,
    /// The number of requests that have made such calls, as far as that is known.
    pub requests: u64,
    /// How many such calls each of these requests has made: the mean, and the most.
    pub per_request: Option<CallsPerRequest>,
    /// Whether they are made by tests to the servers of the tests: each of them is a request of the run as well.
    pub is_of_tests: bool,
}

impl CallSummary {
    /// The [`CallSummary::summary`] of all calls that have no room of their own.
    pub const OTHER: &str = "(other)";
}

/// How many calls a request makes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CallsPerRequest {
    /// The mean over the requests that make any.
    pub mean: f64,
    /// The most that a request has made.
    pub max: u64,
}

/// The request that a call belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallOf {
    /// Its id.
    pub request: u64,
    /// How sure that is.
    pub certainty: Certainty,
}

/// How sure it is that a call belongs to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Certainty {
    /// What was seen allows no other request.
    Certain,
    /// It is by far the most likely one.
    Likely,
}

impl Certainty {
    /// Its name in reports.
    pub fn label(self) -> &'static str {
        match self {
            Self::Certain => "certain",
            Self::Likely => "likely",
        }
    }
}

/// The moments that bound a call, in nanoseconds of `CLOCK_MONOTONIC`. Each belongs to the phases on both of its sides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallBoundaries {
    /// The connect call began, if the call had to open its connection.
    pub connecting: Option<u64>,
    /// Entry of the first send call that carries bytes of it; without one, the moment at which connect failed.
    pub begun: u64,
    /// Return of the send call that carried its last byte; `None` if the answer began before, or if it was not seen.
    pub sent: Option<u64>,
    /// The first byte of the answer reached the receive queue, if that was seen.
    pub answered: Option<u64>,
    /// Return of the receive call that brought the first byte of the answer; `None` without an answer.
    pub read: Option<u64>,
    /// Return of the receive call that brought the last byte of the answer. If the call broke off, the moment at which
    /// it did.
    pub ended: u64,
}

/// The parts of a call's total time, in nanoseconds; they sum to it exactly.
///
/// If one of its boundaries is not known, a part is `None`, and its time counts in the next known part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallPhases {
    /// It opened its connection.
    pub connect: Option<u64>,
    /// It was being sent.
    pub send: Option<u64>,
    /// The peer worked on it.
    pub wait: Option<u64>,
    /// The answer was there, and the process did not look.
    pub pickup: Option<u64>,
    /// The answer was being received.
    pub receive: Option<u64>,
}

impl CallBoundaries {
    /// When the call's time starts.
    pub fn start(&self) -> u64 {
        self.connecting.unwrap_or(self.begun)
    }

    /// The total time in nanoseconds.
    pub fn total(&self) -> u64 {
        self.ended.saturating_sub(self.start())
    }

    /// The phases of the total.
    pub fn phases(&self) -> CallPhases {
        let mut from = self.start();
        let mut until = |boundary: u64| {
            let boundary = boundary.min(self.ended);
            let length = boundary.saturating_sub(from);
            from = from.max(boundary);
            length
        };
        let connect = self.connecting.map(|_| until(self.begun));
        let send = self.sent.map(&mut until);
        let wait = self.answered.map(&mut until);
        let pickup = self.read.map(&mut until);
        // What ends without an answer ends in the phase that it is in.
        let rest = until(self.ended);
        match (self.read, self.sent) {
            (Some(_), _) => CallPhases { connect, send, wait, pickup, receive: Some(rest) },
            (None, Some(_)) => CallPhases { connect, send, wait: Some(rest), ..CallPhases::default() },
            (None, None) if self.begun < self.ended => {
                CallPhases { connect, send: Some(rest), ..CallPhases::default() }
            }
            (None, None) => CallPhases { connect: connect.map(|connect| connect + rest), ..CallPhases::default() },
        }
    }
}

impl CallPhases {
    /// The name and the length of each phase, in order of time.
    pub fn named(&self) -> [(&'static str, Option<u64>); 5] {
        [
            ("connect", self.connect),
            ("send", self.send),
            ("wait", self.wait),
            ("pickup", self.pickup),
            ("receive", self.receive),
        ]
    }

    /// The sum of the known phases, in nanoseconds.
    pub fn sum(&self) -> u64 {
        self.named().iter().filter_map(|(_, length)| *length).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPLETE: CallBoundaries = CallBoundaries {
        connecting: Some(10),
        begun: 15,
        sent: Some(22),
        answered: Some(50),
        read: Some(53),
        ended: 61,
    };

    #[test]
    fn phases_lie_between_the_boundaries() {
        let phases = COMPLETE.phases();
        assert_eq!(phases.named().map(|(_, length)| length), [Some(5), Some(7), Some(28), Some(3), Some(8)]);
        assert_eq!((phases.sum(), COMPLETE.total()), (51, 51));
    }

    #[test]
    fn an_unknown_boundary_leaves_its_phase_out_and_the_sum_exact() {
        let without = |change: fn(&mut CallBoundaries)| {
            let mut boundaries = COMPLETE;
            change(&mut boundaries);
            boundaries
        };
        for boundaries in [
            without(|of| of.connecting = None),
            without(|of| of.sent = None),
            without(|of| of.answered = None),
            without(|of| (of.answered, of.read) = (None, None)),
            without(|of| (of.sent, of.answered, of.read) = (None, None, None)),
            // Connect failed.
            CallBoundaries { connecting: Some(10), begun: 61, ended: 61, ..CallBoundaries::default() },
            // The answer came while the call was being sent.
            CallBoundaries { sent: Some(70), ..COMPLETE },
        ] {
            assert_eq!(boundaries.phases().sum(), boundaries.total(), "{boundaries:?}");
        }
        assert_eq!(without(|of| of.connecting = None).phases().connect, None);
        assert_eq!(without(|of| of.answered = None).phases().pickup, Some(31));
    }

    #[test]
    fn telemetry_is_told_by_where_it_goes() {
        let delivers = |kind: CallKind, summary: &str, text: &str| {
            let call = Call { text: Some(text.into()), ..crate::fixtures::call(1, kind, summary, 0, 1) };
            call.delivers_telemetry()
        };
        assert!(delivers(CallKind::Http, "POST /v1/traces", "POST /v1/traces"));
        assert!(delivers(CallKind::Http, "POST /{id}/v1/logs", "POST /17/v1/logs"));
        let export = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
        assert!(delivers(CallKind::Grpc, export, &format!("POST {export}")));
        assert!(!delivers(CallKind::Http, "GET /v1/traces", "GET /v1/traces"));
        assert!(!delivers(CallKind::Http, "POST /orders", "POST /orders"));
        assert!(!delivers(CallKind::Postgresql, "SELECT items", "POST /v1/traces"));
    }
}
