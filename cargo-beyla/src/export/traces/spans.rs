//! The spans of one request, as Grafana Beyla makes them: the server span, and within it `in queue` and
//! `processing`, which divide it at the moment the server read the request.
//!
//! `processing` goes on to the end, not to the beginning of the response: an application that streams is
//! at work until then, and nothing of the request lies outside the two.
//!
//! # Ids under a propagated context
//!
//! A request that came with `traceparent` continues the caller's trace: the server span's parent is the
//! span that the caller named. All ids of ours are new ones, that of `processing` too. In Beyla
//! `processing` carries "the propagated span id", and that is the id which Beyla itself writes into what
//! the server sends on (outgoing headers, or the context of a Go program), so that what comes after hangs
//! under it. We write nothing into the server or into what it sends, so there is no such id. The one id
//! that an application does know is the caller's, which it reads from the same header; `processing`
//! cannot take that one over, as it is the id of the caller's own span, and a second span of that id in
//! the same trace is an error that receivers answer in ways of their own (Jaeger takes the two for one).
//!
//! The consequence: where the application is instrumented by itself, its server span and ours are
//! siblings under the caller's span, in one trace, and ours, which begins at the arrival, encloses the
//! other in time. Without a caller the application begins a trace of its own, and nothing connects the
//! two.
//!
//! # Tests
//!
//! In a run of tests the server span of a request without a caller is a child of its test's root span. Where
//! there is a caller, which may be code of the test that is instrumented, the request stays in the caller's
//! trace, and a link leads from its server span to the test's root span.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, SpanFlags, Status};

use super::explained;
use crate::export::attribute::{Attribute, known_method, route, rpc_method};
use crate::report::run_info::RunInfo;
use cargo_beyla_core::exchange::trace_context::Child;
use cargo_beyla_core::model::request::{Outcome, Request};
use cargo_beyla_core::model::trace_context::{SpanId, TestSpan, TraceContext, TraceId};

/// What W3C Trace Context calls the flag of a trace that is recorded.
pub(super) const SAMPLED: u32 = 1;

/// The spans of a request, the server span first; none if the request has no place in a trace.
pub(in crate::export) fn spans(request: &Request, run: &RunInfo) -> Vec<Span> {
    let Some(context) = request.trace.as_deref() else {
        return Vec::new();
    };
    let boundaries = &request.boundaries;
    let server = server(request, context, run);
    let child = |child: Child, name: &str, from: u64, to: u64| Span {
        name: name.to_owned(),
        span_id: context.child(child).bytes().to_vec(),
        parent_span_id: context.span_id.bytes().to_vec(),
        kind: SpanKind::Internal.into(),
        flags: SAMPLED | SpanFlags::ContextHasIsRemoteMask as u32,
        start_time_unix_nano: run.unix_ns(from),
        end_time_unix_nano: run.unix_ns(to),
        trace_id: server.trace_id.clone(),
        trace_state: server.trace_state.clone(),
        ..Span::default()
    };
    let in_queue = boundaries.arrived.map(|arrived| child(Child::InQueue, "in queue", arrived, boundaries.read));
    let processing = child(Child::Processing, "processing", boundaries.read, boundaries.ended);
    [Some(server), in_queue, Some(processing)].into_iter().flatten().collect()
}

/// All that it has.
fn attributes(request: &Request) -> Vec<KeyValue> {
    let attributes = Attribute::ALL.into_iter();
    attributes.filter_map(|attribute| Some(attribute.of(request)?.to_key_value(attribute.name()))).collect()
}

fn server(request: &Request, context: &TraceContext, run: &RunInfo) -> Span {
    let TraceContext { trace_id, span_id, caller, test: _ } = context;
    let remote = if caller.is_some() { SpanFlags::ContextIsRemoteMask as u32 } else { 0 };
    let mut attributes = attributes(request);
    let mut events = events(request, run);
    if let Some(explanation) = &request.explanation {
        attributes.extend(explained::attributes(explanation));
        let handle_ns = request.boundaries.received.unwrap_or(request.boundaries.read);
        events.extend(explained::events(explanation, run.unix_ns(handle_ns)));
    }
    Span {
        trace_id: TraceId::bytes(*trace_id).to_vec(),
        span_id: SpanId::bytes(*span_id).to_vec(),
        parent_span_id: context.parent().map(|parent| parent.bytes().to_vec()).unwrap_or_default(),
        trace_state: caller.as_ref().and_then(|caller| caller.state.as_deref()).unwrap_or_default().to_owned(),
        flags: SAMPLED | SpanFlags::ContextHasIsRemoteMask as u32 | remote,
        name: name(request),
        kind: SpanKind::Server.into(),
        start_time_unix_nano: run.unix_ns(request.boundaries.start()),
        end_time_unix_nano: run.unix_ns(request.boundaries.ended),
        attributes,
        events,
        links: context.link().map(link).into_iter().collect(),
        status: request.is_error().then(|| Status { code: StatusCode::Error.into(), message: String::new() }),
        ..Span::default()
    }
}

/// To the root span of a test. Whether that is sampled is not known here.
fn link(TestSpan { trace_id, span_id }: TestSpan) -> Link {
    Link {
        trace_id: trace_id.bytes().to_vec(),
        span_id: span_id.bytes().to_vec(),
        flags: SpanFlags::ContextHasIsRemoteMask as u32,
        ..Link::default()
    }
}

/// As in `GET /users/{id}`. A method that is not a known one is `HTTP` there. A gRPC call is named by its method, as in
/// `package.Service/Method`.
fn name(request: &Request) -> String {
    if request.grpc.is_some() {
        return rpc_method(&request.path).to_owned();
    }
    let method = known_method(&request.method).unwrap_or("HTTP");
    route(request).map_or_else(|| method.to_owned(), |route| format!("{method} {route}"))
}

/// One for each moment of the timing model that is known, in their order.
fn events(request: &Request, run: &RunInfo) -> Vec<Event> {
    let boundaries = &request.boundaries;
    let ended = match request.outcome {
        Outcome::Complete => Some(boundaries.ended),
        _ => None,
    };
    let moments = [
        ("connected", boundaries.connected),
        ("accepted", boundaries.accepted),
        ("secured", boundaries.secured),
        ("arrived", boundaries.arrived),
        ("read", Some(boundaries.read)),
        ("received", boundaries.received),
        ("responded", boundaries.responded),
        ("sent", ended),
    ];
    let known = moments.into_iter().filter_map(|(name, ns)| Some((name, ns?)));
    let event =
        |(name, ns): (&str, u64)| Event { name: name.to_owned(), time_unix_nano: run.unix_ns(ns), ..Event::default() };
    known.map(event).collect()
}

#[cfg(test)]
#[path = "spans_tests.rs"]
mod tests;
