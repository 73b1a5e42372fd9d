//! Spans that arrive.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use cargo_beyla::export::filter::{ExportFilter, RequestFilter, Signals};
use cargo_beyla::export::outcome::Counts;
use cargo_beyla::export::settings::{ExportSettings, Protocol, Sampler};
use cargo_beyla_core::exchange::pattern::PathPatterns;
use cargo_beyla_core::model::trace_context::{Caller, SpanId};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message;

use super::grpc_receiver::GrpcReceiver;
use super::http_receiver::{Answer, HttpReceiver};
use super::requests::{PATIENCE, export, export_traces, request, start, test, test_span, traces};

pub fn decode(receiver: &HttpReceiver) -> Vec<ExportTraceServiceRequest> {
    receiver.taken().into_iter().map(|body| ExportTraceServiceRequest::decode(body).expect("a message")).collect()
}

pub fn spans(messages: &[ExportTraceServiceRequest]) -> Vec<Span> {
    let of_resource = messages.iter().flat_map(|message| &message.resource_spans);
    of_resource.flat_map(|resource| &resource.scope_spans).flat_map(|scope| scope.spans.clone()).collect()
}

/// So many requests have a server span and its two children each, and no span is there twice.
#[track_caller]
pub fn assert_complete(messages: &[ExportTraceServiceRequest], requests: usize) {
    let spans = spans(messages);
    let servers = spans.iter().filter(|span| span.kind() == SpanKind::Server).count();
    let ids: HashSet<_> = spans.iter().map(|span| (span.trace_id.clone(), span.span_id.clone())).collect();
    assert_eq!((servers, spans.len(), ids.len()), (requests, 3 * requests, 3 * requests));
    for message in messages {
        assert!(message.resource_spans[0].scope_spans[0].spans.len() <= 512);
        assert!(message.encoded_len() < 4 * 1024 * 1024);
    }
}

#[test]
fn ten_thousand_requests_arrive_once_by_http() {
    let receiver = HttpReceiver::start(|_| Answer::Take(Vec::new()));
    let outcome = export_traces(&traces(&receiver.url(), Protocol::HttpProtobuf), 10_000, PATIENCE);
    assert_complete(&decode(&receiver), 10_000);
    assert_eq!(outcome.sentence(), format!("sent the spans of 10,000 requests to {}/v1/traces", receiver.url()));
    let first = &receiver.received()[0];
    assert_eq!(first.path, "/v1/traces");
    let header = |name: &str| first.headers[name].to_str().expect("text").to_owned();
    assert_eq!((header("content-type").as_str(), header("x-tenant").as_str()), ("application/x-protobuf", "a"));
    assert!(header("user-agent").starts_with("cargo-beyla/"));
}

#[test]
fn ten_thousand_requests_arrive_once_by_grpc() {
    let receiver = GrpcReceiver::start(|_| Some(Ok(ExportTraceServiceResponse::default())));
    let outcome = export_traces(&traces(&receiver.url(), Protocol::Grpc), 10_000, PATIENCE);
    assert_complete(&receiver.taken(), 10_000);
    assert_eq!(outcome.sentence(), format!("sent the spans of 10,000 requests to {}", receiver.url()));
    let metadata = &receiver.attempts()[0];
    assert_eq!(metadata.get("x-tenant").map(tonic::metadata::MetadataValue::as_bytes), Some(&b"a"[..]));
}

#[test]
fn the_resource_and_the_scope_are_told() {
    let receiver = HttpReceiver::start(|_| Answer::Take(Vec::new()));
    export_traces(&traces(&receiver.url(), Protocol::HttpProtobuf), 1, PATIENCE);
    let message = &decode(&receiver)[0];
    let resource = message.resource_spans[0].resource.as_ref().expect("there is one");
    let keys: Vec<_> = resource.attributes.iter().map(|attribute| attribute.key.as_str()).collect();
    for key in ["service.name", "service.instance.id", "telemetry.sdk.language", "telemetry.distro.name", "process.pid"]
    {
        assert!(keys.contains(&key), "{keys:?}");
    }
    let scope = message.resource_spans[0].scope_spans[0].scope.as_ref().expect("there is one");
    assert_eq!(scope.name, "cargo-beyla");
}

#[test]
fn requests_are_sent_while_the_run_goes_on() {
    let receiver = HttpReceiver::start(|_| Answer::Take(Vec::new()));
    let exporter = start(&traces(&receiver.url(), Protocol::HttpProtobuf));
    for id in 1..=3 {
        exporter.offer(&Arc::new(request(id)), Vec::new());
    }
    let begun = std::time::Instant::now();
    while receiver.taken().is_empty() && begun.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_complete(&decode(&receiver), 3);
    exporter.offer(&Arc::new(request(4)), Vec::new());
    let outcome = exporter.finish(PATIENCE).traces.expect("there are spans");
    assert_eq!((outcome.sent.requests, outcome.is_complete()), (4, true));
    assert_complete(&decode(&receiver), 4);
}

#[test]
fn what_the_caller_does_not_record_is_left_out() {
    let receiver = HttpReceiver::start(|_| Answer::Take(Vec::new()));
    let of = |parent_based, ratio| Sampler { parent_based, ratio };
    for (sampler, sent) in [(of(true, 1.0), 2), (of(false, 0.0), 0), (of(false, 1.0), 3)] {
        let exporter = start(&ExportSettings { sampler, ..traces(&receiver.url(), Protocol::HttpProtobuf) });
        for (id, sampled) in [(1, None), (2, Some(true)), (3, Some(false))] {
            let mut request = request(id);
            let caller = sampled.map(|sampled| Caller { span_id: SpanId::of(77), sampled, state: None });
            request.trace.as_mut().expect("there is one").caller = caller;
            exporter.offer(&Arc::new(request), Vec::new());
        }
        let outcome = exporter.finish(PATIENCE).traces.expect("there are spans");
        assert_eq!(
            (outcome.all.requests, outcome.sent.requests, outcome.unsampled.requests),
            (3, sent, 3 - sent),
            "{sampler:?}"
        );
        assert!(outcome.is_complete());
    }
}

#[test]
fn of_a_test_all_is_sampled_or_nothing() {
    let receiver = HttpReceiver::start(|_| Answer::Take(Vec::new()));
    for (parent_based, ratio, sent) in
        [(true, 1.0, 100..=100), (true, 0.5, 20..=80), (false, 0.5, 20..=80), (false, 0.0, 0..=0)]
    {
        let sampler = Sampler { parent_based, ratio };
        let exporter = start(&ExportSettings { sampler, ..traces(&receiver.url(), Protocol::HttpProtobuf) });
        let known = decode(&receiver).len();
        for id in 1..=100 {
            for number in 0..3 {
                let mut request = request(u64::from(id * 10 + number));
                let context = request.trace.as_mut().expect("there is one");
                (context.trace_id, context.test) = (test_span(id).trace_id, Some(test_span(id)));
                exporter.offer(&Arc::new(request), Vec::new());
            }
            exporter.offer_test(test(id));
        }
        let outcome = exporter.finish(PATIENCE).traces.expect("there are spans");
        assert!(outcome.is_complete() && outcome.all == Counts { requests: 300, tests: 100, calls: 0 }, "{outcome:?}");
        assert_eq!(outcome.sent.requests, 3 * outcome.sent.tests);
        assert_eq!(
            (outcome.unsampled.requests, outcome.unsampled.tests),
            (300 - outcome.sent.requests, 100 - outcome.sent.tests)
        );
        assert!(sent.contains(&outcome.sent.tests), "{outcome:?}");
        let spans: Vec<Span> = spans(&decode(&receiver)[known..]);
        let (roots, servers): (Vec<_>, Vec<_>) = spans
            .iter()
            .filter(|span| span.kind() == SpanKind::Server || span.parent_span_id.is_empty())
            .partition(|span| span.parent_span_id.is_empty());
        assert_eq!((roots.len() as u64, servers.len() as u64), (outcome.sent.tests, outcome.sent.requests));
        for server in servers {
            let has_root =
                |root: &&&Span| (&root.trace_id, &root.span_id) == (&server.trace_id, &server.parent_span_id);
            assert_eq!(roots.iter().filter(has_root).count(), 1, "{server:#?}");
        }
    }
}

#[test]
fn what_the_settings_leave_out_is_told() {
    let receiver = HttpReceiver::start(|_| Answer::Take(Vec::new()));
    let ignored = PathPatterns::new(&["/users/1".into(), "/users/2".into()]).expect("patterns");
    for (ignored_as, sent) in [(Signals::NONE, 3), (Signals { traces: true, metrics: false }, 5)] {
        let filter = Some(ExportFilter::new(RequestFilter::default(), ignored.clone(), ignored_as));
        let settings = ExportSettings { filter, ..traces(&receiver.url(), Protocol::HttpProtobuf) };
        let outcome = export(&settings, 5, PATIENCE).traces.expect("there are spans");
        assert_eq!(
            (outcome.all.requests, outcome.sent.requests, outcome.unwanted.requests, outcome.unsampled.requests),
            (5, sent, 5 - sent, 0)
        );
        assert!(outcome.is_complete());
    }
}

#[test]
fn a_run_without_requests_is_a_run() {
    let outcome = export_traces(&traces("http://127.0.0.1:9", Protocol::Grpc), 0, PATIENCE);
    assert_eq!(outcome.sentence(), "sent no spans to http://127.0.0.1:9: there were no requests");
}
