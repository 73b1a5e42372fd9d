use std::collections::HashMap;
use std::sync::Arc;

use opentelemetry_proto::tonic::common::v1::any_value::Value;

use super::*;
use crate::report::fixtures;
use cargo_beyla_core::model::connection::{ConnectionInfo, Endpoint};
use cargo_beyla_core::model::explanation::{Cause, Delay, Explanation, Holder, Parts, Place, RespondParts, Tier, Unit};
use cargo_beyla_core::model::request::UNREAD;
use cargo_beyla_core::model::system_call::SystemCall;
use cargo_beyla_core::model::trace_context::Caller;

/// The fixture's first request, with ids and with every boundary at another time.
fn request() -> Request {
    let mut request = fixtures::request(1, "/users/7?full=1");
    request.route = "/users/{id}".into();
    let start = request.boundaries.start();
    request.boundaries.connected = Some(start - 30);
    request.boundaries.accepted = Some(start - 20);
    request.boundaries.received = Some(request.boundaries.read + 5);
    request.trace =
        Some(TraceContext { trace_id: TraceId::of(7), span_id: SpanId::of(8), caller: None, test: None }.into());
    request
}

fn values(attributes: &[KeyValue]) -> HashMap<&str, String> {
    let value = |attribute: &KeyValue| match attribute.value.clone().and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => format!("#{number}"),
        other => unreachable!("{other:?}"),
    };
    attributes.iter().map(|attribute| (attribute.key.as_str(), value(attribute))).collect()
}

#[test]
fn times_are_those_of_the_boundaries() {
    let (request, run) = (request(), fixtures::run());
    let boundaries = request.boundaries;
    let unix = |ns: u64| ns - fixtures::START + run.started_unix_ns;
    let [server, in_queue, processing] = spans(&request, &run).try_into().expect("three spans");
    let times = |span: &Span| (span.start_time_unix_nano, span.end_time_unix_nano);
    let [arrived, read, ended] = [boundaries.start(), boundaries.read, boundaries.ended].map(unix);
    assert_eq!(times(&server), (arrived, ended));
    assert_eq!(times(&in_queue), (arrived, read));
    assert_eq!(times(&processing), (read, ended));
    let events: Vec<_> = server.events.iter().map(|event| (event.name.as_str(), event.time_unix_nano)).collect();
    assert_eq!(
        events,
        [
            ("connected", arrived - 30),
            ("accepted", arrived - 20),
            ("arrived", arrived),
            ("read", read),
            ("received", read + 5),
            ("responded", unix(boundaries.responded.expect("known"))),
            ("sent", ended),
        ]
    );
}

#[test]
fn the_three_hang_together() {
    let [server, in_queue, processing] = spans(&request(), &fixtures::run()).try_into().expect("three spans");
    assert_eq!((server.name.as_str(), server.kind()), ("GET /users/{id}", SpanKind::Server));
    assert_eq!((in_queue.name.as_str(), in_queue.kind()), ("in queue", SpanKind::Internal));
    assert_eq!((processing.name.as_str(), processing.kind()), ("processing", SpanKind::Internal));
    assert!(server.parent_span_id.is_empty());
    for child in [&in_queue, &processing] {
        assert_eq!((&child.parent_span_id, &child.trace_id), (&server.span_id, &server.trace_id));
        assert_ne!(child.span_id, server.span_id);
    }
    assert_ne!(in_queue.span_id, processing.span_id);
}

#[test]
fn a_caller_is_the_parent_and_none_of_ours_has_its_id() {
    let mut request = request();
    let caller = Caller { span_id: SpanId::of(99), sampled: true, state: Some("a=1".into()) };
    request.trace.as_mut().expect("there is one").caller = Some(caller);
    let spans = spans(&request, &fixtures::run());
    assert_eq!(spans[0].parent_span_id, SpanId::of(99).bytes());
    assert!(spans.iter().all(|span| span.span_id != SpanId::of(99).bytes() && span.trace_state == "a=1"));
    assert!(spans[0].flags & SpanFlags::ContextIsRemoteMask as u32 != 0);
    assert!(spans[1].flags & SpanFlags::ContextIsRemoteMask as u32 == 0);
}

#[test]
fn a_test_is_the_parent_or_is_linked() {
    let test = TestSpan { trace_id: TraceId::of(7), span_id: SpanId::of(70) };
    let mut request = request();
    request.trace.as_mut().expect("there is one").test = Some(test);
    let server = &spans(&request, &fixtures::run())[0];
    assert_eq!(server.parent_span_id, test.span_id.bytes());
    assert!(server.links.is_empty() && server.flags & SpanFlags::ContextIsRemoteMask as u32 == 0);

    let context = request.trace.as_mut().expect("there is one");
    context.trace_id = TraceId::of(9);
    context.caller = Some(Caller { span_id: SpanId::of(99), sampled: true, state: None });
    let spans = spans(&request, &fixtures::run());
    assert_eq!(spans[0].parent_span_id, SpanId::of(99).bytes());
    let links: Vec<_> = spans.iter().flat_map(|span| &span.links).collect();
    let [link] = links[..] else { unreachable!("{links:?}") };
    assert_eq!((&link.trace_id[..], &link.span_id[..]), (&test.trace_id.bytes()[..], &test.span_id.bytes()[..]));
}

#[test]
fn attributes_have_the_names_of_the_conventions() {
    let spans = spans(&request(), &fixtures::run());
    let expected = [
        ("http.request.method", "GET"),
        ("http.route", "/users/{id}"),
        ("http.response.status_code", "#200"),
        ("url.path", "/users/7"),
        ("url.query", "full=1"),
        ("url.scheme", "http"),
        ("network.protocol.name", "http"),
        ("network.protocol.version", "1.1"),
        ("http.request.body.size", "#0"),
        ("http.response.body.size", "#28"),
        ("server.address", "127.0.0.1"),
        ("server.port", "#8080"),
        ("client.address", "127.0.0.1"),
        ("client.port", "#50000"),
        ("network.peer.address", "127.0.0.1"),
        ("network.peer.port", "#50000"),
    ];
    let expected: HashMap<_, _> = expected.into_iter().map(|(key, value)| (key, value.to_owned())).collect();
    assert_eq!(values(&spans[0].attributes), expected);
    assert_eq!(spans[0].status, None);
}

#[test]
fn a_proxy_is_the_peer_and_not_the_client() {
    let mut request = request();
    let proxied = ConnectionInfo {
        client: Endpoint::Tcp("192.0.2.7:443".parse().expect("an address")),
        proxy: Some(request.connection.client.clone()),
        ..ConnectionInfo::clone(&request.connection)
    };
    request.connection = Arc::new(proxied);
    let spans = spans(&request, &fixtures::run());
    let values = values(&spans[0].attributes);
    assert_eq!((values["client.address"].as_str(), values["client.port"].as_str()), ("192.0.2.7", "#443"));
    let peer = (values["network.peer.address"].as_str(), values["network.peer.port"].as_str());
    assert_eq!(peer, ("127.0.0.1", "#50000"));
}

#[test]
fn what_could_not_be_read_has_neither_method_nor_path() {
    let mut request = Request { status: Some(400), query: None, ..request() };
    (request.method, request.path, request.route) = (UNREAD.into(), UNREAD.into(), UNREAD.into());
    let spans = spans(&request, &fixtures::run());
    assert_eq!(spans[0].name, "HTTP");
    let values = values(&spans[0].attributes);
    assert_eq!(
        (values["http.request.method"].as_str(), values["http.response.status_code"].as_str()),
        ("_OTHER", "#400")
    );
    for absent in ["http.request.method_original", "http.route", "url.path", "url.query"] {
        assert!(!values.contains_key(absent), "{absent}");
    }
}

#[test]
fn only_what_the_server_fails_is_an_error() {
    for (status, outcome, error) in [
        (Some(200), Outcome::Complete, None),
        (Some(404), Outcome::Complete, None),
        (Some(503), Outcome::Complete, Some("503")),
        (None, Outcome::ServerClosed, Some("server_closed")),
        (Some(200), Outcome::ServerClosed, Some("server_closed")),
        (None, Outcome::ClientClosed, None),
        (None, Outcome::StillOpen, None),
    ] {
        let request = Request { status, outcome, ..request() };
        let server = spans(&request, &fixtures::run()).remove(0);
        assert_eq!(server.status.map(|status| status.code()), error.map(|_| StatusCode::Error));
        let values = values(&server.attributes);
        assert_eq!(values.get("error.type").map(String::as_str), error);
        assert_eq!(values.contains_key("cargo_beyla.outcome"), outcome != Outcome::Complete);
        assert_eq!(server.events.iter().any(|event| event.name == "sent"), outcome == Outcome::Complete);
    }
}

#[test]
fn a_grpc_call_is_told_as_such() {
    for (status, name, is_error) in [
        (0, "OK", false),
        (1, "CANCELLED", false),
        (2, "UNKNOWN", true),
        (5, "NOT_FOUND", false),
        (14, "UNAVAILABLE", true),
    ] {
        let request = Request { trace: request().trace, ..fixtures::grpc_call(1, status) };
        let server = spans(&request, &fixtures::run()).remove(0);
        assert_eq!((server.name.as_str(), server.kind()), ("shop.v1.Cart/Add", SpanKind::Server));
        let values = values(&server.attributes);
        for (key, value) in [
            ("rpc.system.name", "grpc"),
            ("rpc.method", "shop.v1.Cart/Add"),
            ("rpc.response.status_code", name),
            ("http.request.method", "POST"),
            ("http.response.status_code", "#200"),
            ("network.protocol.version", "2"),
        ] {
            assert_eq!(values[key], value, "{key}");
        }
        assert_eq!(values.get("error.type").map(String::as_str), is_error.then_some(name));
        assert_eq!(server.status.map(|status| status.code()), is_error.then_some(StatusCode::Error));
    }
    assert!(!values(&spans(&request(), &fixtures::run())[0].attributes).keys().any(|key| key.starts_with("rpc.")));
}

#[test]
fn what_is_not_known_is_absent() {
    let mut request = request();
    request.boundaries.arrived = None;
    request.response_bytes = None;
    let [server, processing] = spans(&request, &fixtures::run()).try_into().expect("two spans");
    assert_eq!(processing.name, "processing");
    assert_eq!(server.start_time_unix_nano, processing.start_time_unix_nano);
    assert!(!values(&server.attributes).contains_key("http.response.body.size"));
    request.trace = None;
    assert!(spans(&request, &fixtures::run()).is_empty());
}

#[test]
fn methods_are_bounded_and_secrets_are_not_sent() {
    let mut request = request();
    request.method = "PURGE".into();
    request.query = Some("a=1&sig=s3cret&Signature=x&signature=y".into());
    let server = spans(&request, &fixtures::run()).remove(0);
    assert_eq!(server.name, "HTTP /users/{id}");
    let values = values(&server.attributes);
    assert_eq!(values["http.request.method"], "_OTHER");
    assert_eq!(values["http.request.method_original"], "PURGE");
    assert_eq!(values["url.query"], "a=1&sig=REDACTED&Signature=REDACTED&signature=y");
}

#[test]
fn an_explanation_is_told_on_the_server_span() {
    let mut request = request();
    let cause = Cause::SystemCall(SystemCall::here(syscalls::Sysno::nanosleep.id()));
    request.explanation = Some(Arc::new(Explanation {
        tier: Tier::Probed,
        unit: Unit::Task,
        parts: Parts { running: 1, runnable: 2, blocked: 3, scheduled: 4, waiting: 5 },
        respond: Some(RespondParts {
            task: Parts { running: 6, runnable: 7, blocked: 8, scheduled: 9, waiting: 10 },
            client: 11,
        }),
        places: vec![Place { cause, stack: 1, ns: 3, count: 2 }],
        by_stack: vec![],
        waits: vec![],
        calls: vec![],
        delays: vec![Delay { by: Holder::Request(("GET".into(), "/slow".into())), ns: 4 }],
    }));
    let server = spans(&request, &fixtures::run()).remove(0);
    let parts = values(&server.attributes);
    assert_eq!(parts["cargo_beyla.handle.unit"], "task");
    for (part, ns) in [("running", 1), ("runnable", 2), ("blocked", 3), ("scheduled", 4), ("waiting", 5)] {
        assert_eq!(parts[format!("cargo_beyla.handle.{part}").as_str()], format!("#{ns}"));
        assert_eq!(parts[format!("cargo_beyla.respond.{part}").as_str()], format!("#{}", ns + 5));
    }
    assert_eq!(parts["cargo_beyla.respond.client"], "#11");
    let [.., place, delay] = &server.events[..] else { unreachable!("it has events") };
    let place = (place.name.as_str(), values(&place.attributes));
    assert_eq!((place.0, place.1["cargo_beyla.system_call"].as_str()), ("cargo_beyla.place", "nanosleep"));
    assert_eq!((place.1["cargo_beyla.cause"].as_str(), place.1["cargo_beyla.ns"].as_str()), ("system-call", "#3"));
    assert_eq!(
        (delay.name.as_str(), values(&delay.attributes)["cargo_beyla.by"].as_str()),
        ("cargo_beyla.delay", "GET /slow")
    );
}
