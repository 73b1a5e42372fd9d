//! An application that exports spans of its own, held against what the run exports of the same requests.

use std::collections::HashSet;

use beyla_tests::both::both_ways;
use beyla_tests::client::get;
use beyla_tests::receiver::{Receiver, hexadecimal};
use beyla_tests::report::{Report, Request};
use beyla_tests::run::{Capture, Finished, Run, TOTAL_REQUEST_TIMES};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

const REQUESTS: usize = 50;
/// The span that every request names as its caller.
const CALLER: &str = "00f067aa0ba902a8";

/// The trace that a request names as its own.
fn trace_id(number: usize) -> String {
    format!("1af92f3577b34da6a3ce929d0e0e{number:04x}")
}

fn with_traceparent(number: usize) -> String {
    let header = format!("\r\ntraceparent: 00-{}-{CALLER}-01\r\n", trace_id(number));
    get("/hello").replacen("\r\n", &header, 1)
}

/// Runs the example, which sends its spans to the receiver, and is its client, on more than one connection.
fn run(run: Run, receiver: &Receiver, request: impl Fn(usize) -> String) -> Finished {
    let run = run.environment("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url()).start();
    let mut clients = [run.connect(), run.connect()];
    for number in 0..REQUESTS {
        let response = clients[number % 2].send(request(number)).response();
        assert_eq!((response.status, &response.body[..]), (200, &b"Hello world! from beyla-rust"[..]));
    }
    drop(clients);
    let finished = run.let_go();
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    // Of the application it would be a message that its spans could not be sent.
    assert!(!finished.stderr.contains("ERROR"), "{}", finished.stderr);
    finished
}

/// The spans of one trace: ours and the application's.
#[derive(Debug)]
struct Trace {
    server: Span,
    in_queue: Span,
    processing: Span,
    /// The span that the application opens for the request.
    root: Span,
    /// The one that its handler opens within.
    nested: Span,
}

/// The only span of a name.
fn the<'a>(spans: &'a [Span], name: &str, of: impl Fn(&Span) -> bool) -> &'a Span {
    let found: Vec<_> = spans.iter().filter(|span| span.name == name && of(span)).collect();
    let [span] = found[..] else { panic!("not one `{name}`: {found:#?}") };
    span
}

/// What came of a request: five spans, of which two belong to the application.
fn trace_of(request: &Request, receiver: &Receiver) -> Trace {
    let all = receiver.spans();
    let (ours, theirs) = (receiver.spans_of("cargo-beyla"), receiver.spans_of("total_request_times"));
    assert_eq!((ours.len(), theirs.len(), all.len()), (3 * REQUESTS, 2 * REQUESTS, 5 * REQUESTS), "and none twice");
    let server = the(&ours, "GET /hello", |span| Some(hexadecimal(&span.span_id)) == request.span_id);
    // Requests come one after another, so at the time of this one there is no other.
    let root = the(&theirs, "GET /hello", |span| {
        (server.start_time_unix_nano..=server.end_time_unix_nano).contains(&span.start_time_unix_nano)
    });
    let child = |spans, name, parent: &Span| the(spans, name, |span| span.parent_span_id == parent.span_id).clone();
    Trace {
        in_queue: child(&ours, "in queue", server),
        processing: child(&ours, "processing", server),
        server: server.clone(),
        nested: child(&theirs, "greeting", root),
        root: root.clone(),
    }
}

fn times(span: &Span) -> (u64, u64) {
    (span.start_time_unix_nano, span.end_time_unix_nano)
}

/// Our spans have the times of the report, to the nanosecond; the application's are inside.
fn check_times(request: &Request, trace: &Trace) {
    let (start, end) = (request.start_unix_ns, request.start_unix_ns + request.total_ns);
    let read = start + request.phases.queue.expect("its arrival was seen");
    assert_eq!(times(&trace.server), (start, end), "{request:#?}");
    assert_eq!(times(&trace.in_queue), (start, read), "{request:#?}");
    assert_eq!(times(&trace.processing), (read, end), "{request:#?}");
    let [(opened, closed), nested] = [&trace.root, &trace.nested].map(times);
    assert!(opened <= nested.0 && nested.0 <= nested.1 && nested.1 <= closed, "{trace:#?}");
    // No tolerance. The application reads the wall clock for each moment; ours are of the monotonic clock, and made
    // into wall-clock time by one offset for the run. Both clocks go at the same pace, and the offset is exact to tens of
    // nanoseconds, while between the return of the server's receive call and the opening of the span, and between its
    // end and the return of the send call, the server works for microseconds.
    assert!(
        read < opened && closed < end,
        "the application's span opens {} ns after the request was read, and ends {} ns before it was sent",
        i128::from(opened) - i128::from(read),
        i128::from(end) - i128::from(closed),
    );
    assert!(closed - opened < request.total_ns);
}

fn requests(finished: &Finished) -> Report {
    let report = finished.report();
    assert_eq!(report.requests.len(), REQUESTS);
    report
}

#[test]
fn one_trace_has_the_spans_of_both() {
    both_ways(|capture| {
        let receiver = Receiver::start();
        let flags = ["--jaeger", &receiver.address.to_string()];
        let finished = run(Run::of(TOTAL_REQUEST_TIMES, capture).flags(flags), &receiver, with_traceparent);
        let report = requests(&finished);
        let mut seen = HashSet::new();
        for request in &report.requests {
            let trace = trace_of(request, &receiver);
            assert_eq!(request.parent_span_id.as_deref(), Some(CALLER));
            let id = hexadecimal(&trace.server.trace_id);
            assert_eq!(request.trace_id.as_ref(), Some(&id));
            for span in [&trace.in_queue, &trace.processing, &trace.root, &trace.nested] {
                assert_eq!(hexadecimal(&span.trace_id), id, "{trace:#?}");
            }
            // Children of the same caller.
            for span in [&trace.server, &trace.root] {
                assert_eq!((hexadecimal(&span.parent_span_id).as_str(), span.kind()), (CALLER, SpanKind::Server));
            }
            assert_ne!(trace.server.span_id, trace.root.span_id);
            check_times(request, &trace);
            seen.insert(id);
        }
        assert_eq!(seen, (0..REQUESTS).map(trace_id).collect());
        report
    });
}

#[test]
fn without_a_caller_each_has_a_trace_of_its_own() {
    both_ways(|capture| {
        let receiver = Receiver::start();
        let flags = ["--jaeger", &receiver.address.to_string()];
        let finished = run(Run::of(TOTAL_REQUEST_TIMES, capture).flags(flags), &receiver, |_| get("/hello"));
        let report = requests(&finished);
        let mut seen = HashSet::new();
        for request in &report.requests {
            let trace = trace_of(request, &receiver);
            let Trace { server, in_queue, processing, root, nested } = &trace;
            assert!(server.parent_span_id.is_empty() && root.parent_span_id.is_empty(), "{trace:#?}");
            assert!([in_queue, processing].iter().all(|span| span.trace_id == server.trace_id), "{trace:#?}");
            assert_eq!(nested.trace_id, root.trace_id);
            check_times(request, &trace);
            seen.extend([server, root].map(|span| hexadecimal(&span.trace_id)));
        }
        assert_eq!(seen.len(), 2 * REQUESTS, "none in common");
        report
    });
}

/// The variable is the application's, and the run heeds it too: both send to the same place, and neither twice.
#[test]
fn one_variable_says_where_both_send() {
    let receiver = Receiver::start();
    let finished = run(Run::of(TOTAL_REQUEST_TIMES, Capture::Auto), &receiver, with_traceparent);
    for request in &requests(&finished).requests {
        check_times(request, &trace_of(request, &receiver));
    }
    let sentence = format!("Sent the spans of {REQUESTS} requests to {}/v1/traces\n", receiver.url());
    assert_eq!(finished.stderr.matches(&sentence).count(), 1, "{}", finished.stderr);
}
