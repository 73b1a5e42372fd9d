//! gRPC: tonic's server and client, held against what the client itself counts; gRPC-Web byte by byte.

use std::collections::BTreeMap;
use std::time::Duration;

use beyla_tests::both::{both_ways, each_way};
use beyla_tests::calls::{call, reported};
use beyla_tests::client::{Client, get};
use beyla_tests::frames::sending;
use beyla_tests::odd::playing;
use beyla_tests::prometheus::{metrics_port, promtool_is_content, scrape};
use beyla_tests::receiver::{Receiver, attribute};
use beyla_tests::report::{Grpc, Report};
use beyla_tests::run::{Capture, GRPC_SERVER, Run};
use beyla_tests::wait::{LONG, poll};
use opentelemetry_proto::tonic::trace::v1::Span;

/// The names of the statuses, by their numbers.
const STATUSES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// Those that mean that the server has failed.
const ERRORS: [u32; 6] = [2, 4, 12, 13, 14, 15];

fn all_are_whole(report: &Report) {
    assert!(report.unseen.is_empty(), "{:?}", report.unseen);
    let whole = |outcome: &str| outcome == "complete";
    assert!(report.requests.iter().all(|request| request.status == Some(200) && whole(&request.outcome)));
}

/// The calls that a scrape tells of, by method and status; what failed says why.
fn scraped(port: u16) -> BTreeMap<(String, String), u64> {
    let page = scrape(port, "text/plain");
    promtool_is_content(&page);
    let label = |line: &str, name: &str| {
        let (_, rest) = line.split_once(&format!("{name}=\""))?;
        rest.split_once('"').map(|(value, _)| value.to_owned())
    };
    let lines = page.lines().filter(|line| line.starts_with("rpc_server_call_duration_seconds_count{"));
    lines
        .map(|line| {
            assert_eq!(label(line, "rpc_system_name").as_deref(), Some("grpc"), "{line}");
            let (method, status) = (label(line, "rpc_method"), label(line, "rpc_response_status_code"));
            let status = status.unwrap_or_else(|| panic!("no status in '{line}'"));
            let is_error = ERRORS.iter().any(|&error| STATUSES[error as usize] == status);
            assert_eq!(label(line, "error_type"), is_error.then(|| status.clone()), "{line}");
            let count = line.rsplit(' ').next().and_then(|count| count.parse().ok()).expect("a count");
            ((method.expect("it is there"), status), count)
        })
        .collect()
}

#[test]
fn a_thousand_calls_and_their_statuses() {
    const CALLS: u32 = 500;
    each_way(|capture| {
        let run = Run::of(GRPC_SERVER, capture).flags(["--prometheus", "127.0.0.1:0"]).start();
        let counted = call(&run, CALLS, 0, 3, 20);
        let port = metrics_port(&run);
        let expected: BTreeMap<_, _> = counted
            .iter()
            .map(|((method, status), [calls, ..])| {
                ((format!("lab.v1.Lab/{method}"), STATUSES[*status as usize].to_owned()), *calls)
            })
            .collect();
        let mut seen = BTreeMap::new();
        let complete = poll(LONG, || {
            seen = scraped(port);
            (seen == expected).then_some(())
        });
        assert!(complete.is_some(), "{seen:#?} {expected:#?}");
        let report = run.stop();
        assert_eq!(report.requests.len() as u32, 2 * CALLS + 3 * 3);
        assert_eq!(reported(&report), counted);
        // What the client is known to have asked for, one status after the other.
        for status in 0..17 {
            let calls = u64::from(CALLS / 17 + u32::from(status < CALLS % 17));
            assert_eq!(counted[&("Fail".to_owned(), status)], [calls, calls, if status == 0 { calls } else { 0 }]);
        }
        assert_eq!(counted[&("Chat".to_owned(), 0)], [3, 60, 60]);
        all_are_whole(&report);
        report
    });
}

#[test]
fn a_deadline_is_told_and_what_passes_it_is_no_success() {
    let run = Run::of(GRPC_SERVER, Capture::Auto).start();
    call(&run, 0, 3, 0, 0);
    let finished = run.let_go();
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    let report = finished.report();
    report.check();
    let calls: Vec<&Grpc> = report.requests.iter().filter_map(|request| request.grpc.as_ref()).collect();
    let deadlines: Vec<_> = calls.iter().map(|call| call.timeout_ns.map(Duration::from_nanos)).collect();
    assert_eq!(deadlines, [None, Some(Duration::from_secs(1)), Some(Duration::from_millis(10))]);
    let [none, second, third] = &report.requests[..] else { panic!("{:?}", report.rows()) };
    assert_eq!((calls[0].status, calls[1].status), (Some(0), Some(0)));
    assert!(none.total_ns >= 50_000_000 && second.total_ns >= 50_000_000, "{:?}", report.rows());
    // Client and server both look at the clock, and either may be the first.
    assert!(third.outcome == "client closed" || matches!(calls[2].status, Some(1 | 4)), "{third:#?}");
    assert!(third.total_ns < 50_000_000, "{third:#?}");
    assert!(finished.stderr.contains("deadline 10.0 ms"), "{}", finished.stderr);
}

#[test]
fn spans_say_what_the_conventions_say() {
    let receiver = Receiver::start();
    let run = Run::of(GRPC_SERVER, Capture::Auto).flags(["--otlp", &receiver.url()]).start();
    call(&run, 17, 0, 0, 0);
    let report = run.stop();
    assert_eq!(report.requests.len(), 34);
    let spans = receiver.server_spans();
    assert_eq!(spans.len(), 34);
    for status in 0..17_u32 {
        let name = STATUSES[status as usize];
        let is_it = |span: &&Span| attribute(&span.attributes, "rpc.response.status_code").as_deref() == Some(name);
        let mut failed = spans.iter().filter(|span| span.name == "lab.v1.Lab/Fail").filter(is_it);
        let (Some(span), None) = (failed.next(), failed.next()) else { panic!("not one span of {name}: {spans:#?}") };
        let error = ERRORS.contains(&status).then(|| name.to_owned());
        for (key, value) in [
            ("rpc.system.name", Some("grpc".to_owned())),
            ("rpc.method", Some("lab.v1.Lab/Fail".to_owned())),
            ("error.type", error.clone()),
        ] {
            assert_eq!(attribute(&span.attributes, key), value, "{span:#?}");
        }
        // 2 is an error.
        assert_eq!(span.status.as_ref().map(|status| status.code), error.map(|_| 2), "{span:#?}");
    }
    let metrics: Vec<u8> = receiver.received("/v1/metrics").into_iter().flat_map(|message| message.body).collect();
    assert!(String::from_utf8_lossy(&metrics).contains("rpc.server.call.duration"));
}

/// A message of gRPC.
fn message(flags: u8, content: &[u8]) -> Vec<u8> {
    [&[flags][..], &(content.len() as u32).to_be_bytes(), content].concat()
}

/// Calls over HTTP/1 as a browser does, answered with this content in chunks, or with none and the status in the head.
fn web(content_type: &str, request: &[u8], answers: &[Option<&[u8]>], expected: &[Grpc]) {
    both_ways(|capture| {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\n");
        let mut steps = Vec::new();
        for answer in answers {
            steps.extend(["head".to_owned(), format!("body:{}", request.len())]);
            let Some(answer) = answer else {
                steps.push(format!("send:{head}content-length: 0\r\ngrpc-status: 5\r\n\r\n"));
                continue;
            };
            steps.push(format!("send:{head}transfer-encoding: chunked\r\n\r\n"));
            // Chunks that have nothing to do with messages.
            for chunk in answer.chunks(7) {
                steps.push(sending(&[format!("{:x}\r\n", chunk.len()).into_bytes()]));
                steps.push(sending(&[[chunk, b"\r\n"].concat()]));
            }
            steps.push("send:0\r\n\r\n".to_owned());
        }
        let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
        let run = playing(capture, &steps);
        let mut client: Client = run.connect();
        for answer in answers {
            let head = format!(
                "POST /shop.v1.Cart/List HTTP/1.1\r\nhost: test\r\ncontent-type: {content_type}\r\ngrpc-timeout: \
                 5S\r\ncontent-length: {}\r\n\r\n",
                request.len()
            );
            let body = client.send([head.as_bytes(), request].concat()).response().body;
            assert_eq!(body, answer.unwrap_or_default());
        }
        drop(client);
        let report = run.stop();
        let calls: Vec<_> = report.requests.iter().filter_map(|request| request.grpc.clone()).collect();
        assert_eq!(calls, expected);
        assert!(report.requests.iter().all(|request| request.outcome == "complete"), "{:?}", report.rows());
        assert!(report.unseen.is_empty(), "{:?}", report.unseen);
        report
    });
}

fn listed(status: u32, request_messages: u64, response_messages: u64) -> Grpc {
    Grpc {
        service: "shop.v1.Cart".to_owned(),
        method: "List".to_owned(),
        status: Some(status),
        request_messages: Some(request_messages),
        response_messages: Some(response_messages),
        timeout_ns: Some(5_000_000_000),
    }
}

#[test]
fn grpc_web_over_http_1() {
    let trailers = message(0x80, b"grpc-status: 13\r\ngrpc-message: no%20way\r\n");
    let answer = [message(0, b"one"), message(0, b""), message(1, &[7; 300]), trailers].concat();
    let request = message(0, b"what is there?");
    web("application/grpc-web+proto", &request, &[Some(&answer), None], &[listed(13, 1, 3), listed(5, 1, 0)]);
}

#[test]
fn grpc_web_as_text() {
    // Each part in base64 by itself: an empty message, a message of one byte, and trailers with `grpc-status:5`.
    let answer = b"AAAAAAA=AAAAAAF4gAAAAA9ncnBjLXN0YXR1czo1DQo=";
    web("application/grpc-web-text", b"AAAAAAA=", &[Some(answer), None], &[listed(5, 1, 2), listed(5, 1, 0)]);
}

#[test]
fn what_is_no_grpc_has_none() {
    both_ways(|capture| {
        let run = playing(capture, &["head", "send:HTTP/1.1 200 OK\r\ncontent-length: 0\r\ngrpc-status: 5\r\n\r\n"]);
        run.connect().send(get("/shop.v1.Cart/List")).response();
        let report = run.stop();
        assert!(report.requests.iter().all(|request| request.grpc.is_none()), "{:?}", report.requests);
        report
    });
}
