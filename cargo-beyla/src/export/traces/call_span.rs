//! The client span of an outbound call.
//!
//! Its parent is the server span of the request that made it. Where the application has sent a `traceparent` with the
//! call, the span is in the trace that this names, under the application's own span: what the peer sends of the call
//! hangs under the same one. A call of no request begins a trace, and in a run of tests it is in that of its test.

use opentelemetry_proto::tonic::trace::v1::span::{Event, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, SpanFlags, Status};

use super::spans::SAMPLED;
use crate::export::call_attribute::CallAttribute;
use crate::report::run_info::RunInfo;
use cargo_beyla_core::model::call::{Call, CallKind};

/// `None` if the call has no place in a trace.
pub(super) fn call_span(call: &Call, run: &RunInfo) -> Option<Span> {
    let context = call.span.as_deref()?;
    let attributes = CallAttribute::ALL.into_iter();
    let attributes = attributes.filter_map(|attribute| Some(attribute.of(call)?.to_key_value(attribute.name())));
    Some(Span {
        trace_id: context.trace_id.bytes().to_vec(),
        span_id: context.span_id.bytes().to_vec(),
        parent_span_id: context.parent.map(|parent| parent.bytes().to_vec()).unwrap_or_default(),
        trace_state: context.caller.as_ref().and_then(|caller| caller.state.as_deref()).unwrap_or_default().to_owned(),
        flags: SAMPLED | SpanFlags::ContextHasIsRemoteMask as u32,
        name: name(call).to_owned(),
        kind: SpanKind::Client.into(),
        start_time_unix_nano: run.unix_ns(call.boundaries.start()),
        end_time_unix_nano: run.unix_ns(call.boundaries.ended),
        attributes: attributes.collect(),
        events: events(call, run),
        status: call.is_error.then(|| Status { code: StatusCode::Error.into(), message: String::new() }),
        ..Span::default()
    })
}

/// The summary; a protocol that is not read has none.
fn name(call: &Call) -> &str {
    match (call.kind, &*call.summary) {
        (kind, "") => kind.label(),
        // As the attribute `rpc.method` has it.
        (CallKind::Grpc, path) => path.trim_start_matches('/'),
        (_, summary) => summary,
    }
}

/// One for each moment within the call that is known.
fn events(call: &Call, run: &RunInfo) -> Vec<Event> {
    let boundaries = &call.boundaries;
    // A connection that could not be opened has no moment at which it was.
    let was_opened = boundaries.begun < boundaries.ended;
    let moments = [
        ("connected", boundaries.connecting.filter(|_| was_opened).map(|_| boundaries.begun)),
        ("sent", boundaries.sent),
        ("answered", boundaries.answered),
        ("read", boundaries.read),
    ];
    let known = moments.into_iter().filter_map(|(name, ns)| Some((name, ns?)));
    let event =
        |(name, ns): (&str, u64)| Event { name: name.to_owned(), time_unix_nano: run.unix_ns(ns), ..Event::default() };
    known.map(event).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixtures;
    use cargo_beyla_core::model::call::CallSpan;
    use cargo_beyla_core::model::trace_context::{SpanId, TraceId};

    fn placed(summary: &str, parent: Option<SpanId>) -> Call {
        let calls = fixtures::calling().calls;
        let call = calls.iter().find(|call| &*call.summary == summary).expect("a call");
        let span = CallSpan { trace_id: TraceId::of(7), span_id: SpanId::of(8), parent, caller: None };
        Call { span: Some(Box::new(span)), ..Call::clone(call) }
    }

    #[test]
    fn a_call_is_a_client_span_in_its_place() {
        let run = fixtures::run();
        let call = placed("SELECT orders", Some(SpanId::of(9)));
        let span = call_span(&call, &run).expect("it is in a trace");
        assert_eq!((span.name.as_str(), span.kind()), ("SELECT orders", SpanKind::Client));
        assert_eq!(span.trace_id, TraceId::of(7).bytes());
        assert_eq!((span.span_id, span.parent_span_id), (SpanId::of(8).bytes().into(), SpanId::of(9).bytes().into()));
        assert_eq!(span.start_time_unix_nano, run.unix_ns(call.boundaries.start()));
        assert_eq!(span.end_time_unix_nano, run.unix_ns(call.boundaries.ended));
        assert_eq!(span.status, None);
        let names: Vec<&str> = span.events.iter().map(|event| event.name.as_str()).collect();
        assert_eq!(names, ["connected", "sent", "answered", "read"]);
        assert!(span.events.is_sorted_by_key(|event| event.time_unix_nano));
    }

    #[test]
    fn a_connection_that_failed_is_an_error_without_moments() {
        let span = call_span(&placed("connect", None), &fixtures::run()).expect("it is in a trace");
        assert!(span.parent_span_id.is_empty() && span.events.is_empty());
        assert_eq!(span.status.map(|status| status.code()), Some(StatusCode::Error));
        let grpc = call_span(&placed("/shop.Stock/Check", None), &fixtures::run()).expect("it is in a trace");
        assert_eq!(grpc.name, "shop.Stock/Check");
        let unread = call_span(&placed("", None), &fixtures::run()).expect("it is in a trace");
        assert_eq!(unread.name, "tcp");
    }

    #[test]
    fn a_call_without_a_place_has_no_span() {
        let call = Call { span: None, ..placed("GET", None) };
        assert_eq!(call_span(&call, &fixtures::run()), None);
    }
}
