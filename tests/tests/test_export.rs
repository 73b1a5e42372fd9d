//! What a run of tests sends away: one trace a test.

use std::collections::{BTreeMap, HashMap};
use std::process::Command;

use beyla_tests::fixture::{self, manifest};
use beyla_tests::receiver::{Receiver, attribute, hexadecimal};
use beyla_tests::report::Report;
use beyla_tests::run::{Capture, Finished, Run};
use beyla_tests::spans;
use beyla_tests::tool::tool;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use serde_json::Value;

/// The root spans of tests, by name, and all other spans.
fn divided(receiver: &Receiver) -> (BTreeMap<String, Span>, Vec<Span>) {
    let is_root = |span: &Span| attribute(&span.attributes, "test.case.name").is_some();
    let (roots, others): (Vec<Span>, Vec<Span>) = receiver.spans().into_iter().partition(is_root);
    let count = roots.len();
    let roots: BTreeMap<_, _> = roots.into_iter().map(|span| (span.name.clone(), span)).collect();
    assert_eq!(roots.len(), count, "none is there twice");
    (roots, others)
}

/// How many requests each test has made, as its line says.
fn told(finished: &Finished) -> BTreeMap<String, usize> {
    let tests = finished.stderr.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [verb, _, _, binary, name, rest @ ..] = &words[..] else { return None };
        let is_verb = matches!(*verb, "PASS" | "FAIL" | "TIMEOUT") || verb.starts_with("SIG");
        let requests = || rest.first().map_or(0, |number| number.parse().expect("a number"));
        is_verb.then(|| (format!("{binary} {name}"), requests()))
    });
    tests.collect()
}

fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}

/// Each request of the report hangs under the root span of the test that has made as many.
fn hang_under_their_tests(finished: &Finished, receiver: &Receiver) -> Report {
    let report = finished.report();
    let (roots, others) = divided(receiver);
    spans::are_those_of_requests(&report, &others);
    let mut made: HashMap<String, usize> = HashMap::new();
    for request in &report.requests {
        let root = roots.values().find(|root| Some(hexadecimal(&root.trace_id)) == request.trace_id);
        let root = root.unwrap_or_else(|| panic!("in no test's trace: {request:#?}"));
        assert_eq!(Some(hexadecimal(&root.span_id)), request.parent_span_id);
        let (start, end) = (root.start_time_unix_nano, root.end_time_unix_nano);
        assert!(start <= request.start_unix_ns && request.start_unix_ns <= end, "{root:#?} {request:#?}");
        *made.entry(root.name.clone()).or_default() += 1;
    }
    let told = told(finished);
    for (name, requests) in &told {
        assert_eq!(made.get(name).copied().unwrap_or(0), *requests, "{name}");
    }
    for root in roots.values() {
        assert!(told.contains_key(&root.name), "{}", root.name);
        assert!(root.parent_span_id.is_empty() && root.kind() == SpanKind::Internal, "{root:#?}");
    }
    let sentence = format!("Sent the spans of {} requests and {} tests to ", report.requests.len(), roots.len());
    assert!(finished.stderr.contains(&sentence), "'{sentence}' is not in:\n{}", finished.stderr);
    report
}

#[test]
fn one_trace_a_test() {
    for capture in [Capture::Socket, Capture::Syscalls] {
        let receiver = Receiver::start();
        let jaeger = receiver.address.to_string();
        let folder = fixture::folder(&[]);
        let recording = folder.path().join("run.beyla");
        let run = Run::test("bookshop", capture).flags(["--jaeger", &jaeger]);
        let finished = run.flags(["--record".as_ref(), recording.as_os_str()]).to_end();
        assert_eq!(finished.code(), 0, "{}", finished.stderr);
        let report = hang_under_their_tests(&finished, &receiver);
        let (roots, _) = divided(&receiver);
        // Two of the fourteen make no requests.
        assert_eq!((report.requests.len(), roots.len()), (92, 12));
        let search = &roots["bookshop::api a_search_finds_what_it_should"];
        for (key, value) in [
            ("test.suite.name", "bookshop::api"),
            ("test.case.name", "a_search_finds_what_it_should"),
            ("test.case.result.status", "pass"),
        ] {
            assert_eq!(attribute(&search.attributes, key).as_deref(), Some(value));
        }
        assert_eq!(search.status, None);
        let json: Value = serde_json::from_str(finished.json.as_deref().expect("a report")).expect("JSON");
        let tests = json["tests"].as_array().expect("tests");
        for test in tests {
            let root = roots.get(&format!("{} {}", text(&test["binary"]), text(&test["name"])));
            let ids = root.map(|root| (hexadecimal(&root.trace_id), hexadecimal(&root.span_id)));
            let told = test["trace_id"].as_str().map(|trace| (trace.to_owned(), text(&test["span_id"]).to_owned()));
            assert_eq!(told, ids, "{test}");
        }
        // Reported again, it shows what was sent.
        let mut again = Command::new(tool());
        let output = again.args(["beyla", "report", "--json", "-"]).arg(&recording).output().expect("the tool runs");
        let again: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!((&again["tests"], &again["requests"]), (&json["tests"], &json["requests"]));
        let resource = receiver.resource().attributes;
        assert_eq!(attribute(&resource, "service.name").as_deref(), Some("bookshop"));
        assert_eq!(attribute(&resource, "process.pid"), None);
    }
}

/// Tests of every end; two of them serve.
const TESTS: &str = r#"
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

fn serves(fields: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello").unwrap();
    });
    let mut client = TcpStream::connect(address).unwrap();
    client.write_all(format!("GET /a HTTP/1.1\r\nhost: x\r\n{fields}\r\n").as_bytes()).unwrap();
    client.read_to_end(&mut Vec::new()).unwrap();
    server.join().unwrap();
}

#[test] fn serves_nothing() {}
#[test] fn fails() { panic!() }
#[test] fn aborts() { std::process::abort() }
#[test] fn hangs() { serves(""); std::thread::sleep(std::time::Duration::from_secs(600)) }
#[test] fn is_called() {
    serves("traceparent: 00-1af92f3577b34da6a3ce929d0e0e0000-00f067aa0ba902a8-01\r\n");
}
"#;

#[test]
fn what_fails_has_a_trace_and_a_caller_s_request_a_link() {
    let folder = fixture::folder(&[("Cargo.toml", &manifest("shop", "")), ("src/lib.rs", ""), ("tests/api.rs", TESTS)]);
    for capture in [Capture::Socket, Capture::Syscalls] {
        let receiver = Receiver::start();
        let jaeger = receiver.address.to_string();
        let finished =
            Run::tests_of_workspace(folder.path(), capture).flags(["--jaeger", &jaeger, "--timeout", "2s"]).to_end();
        assert_eq!(finished.code(), 101, "{}", finished.stderr);
        let report = finished.report();
        let (roots, others) = divided(&receiver);
        spans::are_those_of_requests(&report, &others);
        let status = |root: &Span| attribute(&root.attributes, "test.case.result.status").expect("it has ended");
        let ends: Vec<_> = roots
            .iter()
            .map(|(name, root)| {
                let error = root.status.as_ref().map(|status| (status.code(), status.message.as_str()));
                (name.as_str(), status(root), error)
            })
            .collect();
        let error = |message| Some((StatusCode::Error, message));
        assert_eq!(
            ends,
            [
                ("shop::api aborts", "fail".to_owned(), error("killed by signal 6")),
                ("shop::api fails", "fail".to_owned(), error("failed with exit code 101")),
                ("shop::api hangs", "fail".to_owned(), error("timed out")),
                ("shop::api is_called", "pass".to_owned(), None),
            ]
        );
        let servers: Vec<&Span> = others.iter().filter(|span| span.kind() == SpanKind::Server).collect();
        let of_caller = |span: &&&Span| !span.links.is_empty();
        let called = servers.iter().find(of_caller).expect("one came from a caller");
        assert_eq!(hexadecimal(&called.trace_id), "1af92f3577b34da6a3ce929d0e0e0000");
        assert_eq!(hexadecimal(&called.parent_span_id), "00f067aa0ba902a8");
        let root = &roots["shop::api is_called"];
        let linked: Vec<_> = called.links.iter().map(|link| (&link.trace_id, &link.span_id)).collect();
        assert_eq!(linked, [(&root.trace_id, &root.span_id)]);
        let hanging = &roots["shop::api hangs"];
        let under: Vec<_> = servers.iter().filter(|span| span.parent_span_id == hanging.span_id).collect();
        assert!(under.len() == 1 && under[0].trace_id == hanging.trace_id, "{servers:#?}");
        assert!(hanging.end_time_unix_nano - hanging.start_time_unix_nano >= 2_000_000_000);
    }
}

#[test]
fn of_metrics_those_of_a_process_are_left_out() {
    let receiver = Receiver::start();
    let finished = Run::test("bookshop", Capture::Auto).flags(["--otlp", &receiver.url()]).to_end();
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    hang_under_their_tests(&finished, &receiver);
    let metrics = receiver.received("/v1/metrics");
    let body = &metrics.last().expect("they came").body;
    let has = |name: &str| body.windows(name.len()).any(|window| window == name.as_bytes());
    assert!(has("http.server.request.duration") && !has("process.cpu.time") && !has("process.memory.usage"));
}
