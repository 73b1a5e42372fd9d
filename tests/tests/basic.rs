//! The hello server of the article.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use beyla_tests::both::both_ways;
use beyla_tests::client::{get, last_get};
use beyla_tests::fixture::{self, HELLO_SERVER, manifest};
use beyla_tests::odd::header_length;
use beyla_tests::report::{Exit, Report};
use beyla_tests::rows;
use beyla_tests::run::{BASIC, Capture, LATENCY_LAB, Run};
use beyla_tests::tool::tool;

const BODY: &str = "Hello world! from beyla-rust";

#[test]
fn two_hundred_requests_are_two_hundred_rows() {
    both_ways(|capture| {
        let run = Run::of(BASIC, capture).start();
        let request = last_get("/hello");
        let mut header = 0;
        let mut measured = Vec::new();
        for _ in 0..200 {
            let start = Instant::now();
            let mut client = run.connect();
            let response = client.send(&request).response();
            // The server closes after its last send call; only then is the exchange over for sure.
            assert!(client.rest().is_empty());
            measured.push(start.elapsed());
            assert_eq!(response.body, BODY.as_bytes());
            header = response.header.len();
        }
        let report = run.stop();
        assert_eq!(report.exit, Some(Exit::Code(0)));
        assert_eq!(report.rows(), vec![rows::complete("GET /hello", (request.len(), 0), 200, (header, 28)); 200]);
        assert_eq!(report.totals.connections, 200);
        assert_eq!(report.totals.errors, 0);
        assert!(report.unseen.is_empty(), "{:?}", report.unseen);
        let [route] = &report.routes[..] else { panic!("{:?}", report.routes) };
        assert_eq!((route.method.as_str(), route.route.as_str(), route.count), ("GET", "/hello", 200));
        for (request, measured) in report.requests.iter().zip(&measured) {
            assert!(
                Duration::from_nanos(request.total_ns) < *measured,
                "the client measured {measured:?}: {request:#?}"
            );
        }
        // Where accept is not seen, the wait is unknown for a client that has taken its time to send.
        let known = report.requests.iter().filter(|request| request.accept_wait_ns.is_some()).count();
        assert!(known == 200 || (capture == Capture::Socket && known > 100), "{capture:?}: {known}");
        report
    });
}

/// We block signals, to read them from a descriptor; a shell whose SIGCHLD is blocked waits for ever.
#[test]
fn the_command_has_no_signals_blocked() {
    let folder = fixture::folder(&[]);
    let mask = folder.path().join("mask");
    let exec = format!("grep SigBlk /proc/self/status > '{}'; sleep 0 & wait", mask.display());
    let finished = Run::of(BASIC, Capture::Auto).flags(["--exec", &exec]).to_end();
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    let mask = fs::read_to_string(mask).expect("the command has written it");
    assert_eq!(mask.trim(), "SigBlk:\t0000000000000000");
}

/// The product's promise, word for word: see "Try it" in the README.
#[test]
fn the_totals_are_below_what_curl_measures() {
    both_ways(|capture| {
        let folder = fixture::folder(&[]);
        let times = folder.path().join("times");
        let exec = format!(
            "for i in $(seq 200); do curl -s -o /dev/null -w '%{{time_total}} %{{size_download}}\\n' $BEYLA_URL/hello; done > {}",
            times.display()
        );
        let finished = Run::of(BASIC, capture).flags(["--exec", &exec]).to_end();
        assert_eq!(finished.code(), 0, "{}", finished.stderr);
        let report = finished.report();
        let times = fs::read_to_string(times).unwrap();
        assert_eq!(times.lines().count(), 200);
        assert_eq!(report.requests.len(), 200);
        for (line, request) in times.lines().zip(&report.requests) {
            let (seconds, size) = line.split_once(' ').unwrap();
            assert_eq!(size, "28");
            let measured = Duration::from_secs_f64(seconds.parse().unwrap());
            assert!(Duration::from_nanos(request.total_ns) < measured, "curl measured {measured:?}: {request:#?}");
        }
        report
    });
}

#[test]
fn the_first_request_of_a_connection_alone_tells_of_its_accept() {
    both_ways(|capture| {
        let run = Run::of(BASIC, capture).start();
        let mut client = run.connect();
        for _ in 0..3 {
            client.get("/hello");
        }
        drop(client);
        let report = run.stop();
        let known: Vec<bool> = report.requests.iter().map(|request| request.accept_wait_ns.is_some()).collect();
        assert_eq!(known, [true, false, false]);
        assert_eq!(report.totals.connections, 1);
        report
    });
}

#[test]
fn a_route_that_is_not_there_is_a_row_too() {
    both_ways(|capture| {
        let run = Run::of(BASIC, capture).start();
        let mut client = run.connect();
        let answer = client.get("/nothing?a=1&b=2");
        assert_eq!(answer.status, 404);
        let length = header_length(&answer.header);
        let report = run.stop();
        let request = get("/nothing?a=1&b=2");
        assert_eq!(report.rows(), [rows::complete("GET /nothing", (request.len(), 0), 404, (length, 0))]);
        assert_eq!(report.requests[0].query.as_deref(), Some("a=1&b=2"));
        report
    });
}

#[test]
fn what_the_server_prints_is_all_that_stdout_has() {
    both_ways(|capture| {
        let run = Run::of(BASIC, capture).start();
        let port = run.port;
        let finished = run.let_go();
        assert_eq!(finished.code(), 0, "{}", finished.stderr);
        assert_eq!(finished.stdout, format!("listening on http://127.0.0.1:{port}\n"));
        let report = finished.report();
        assert_eq!(report.target.listening, [format!("127.0.0.1:{port}")]);
        assert!(report.target.executable.ends_with("/debug/server"), "{}", report.target.executable);
        report
    });
}

#[test]
fn a_run_of_a_given_duration_ends_by_itself() {
    both_ways(|capture| {
        let start = Instant::now();
        let finished = Run::of(BASIC, capture).flags(["--duration", "500ms"]).to_end();
        assert_eq!(finished.code(), 0, "{}", finished.stderr);
        assert!(start.elapsed() >= Duration::from_millis(500));
        let report = finished.report();
        assert!(report.requests.is_empty());
        report
    });
}

#[test]
fn the_report_alone_goes_to_stdout_where_it_is_wanted() {
    let workspace = fixture::folder(&[("Cargo.toml", &manifest("hello", "")), ("src/main.rs", HELLO_SERVER)]);
    let mut command = Command::new(tool());
    command.args(["beyla", "run", "--json", "-", "--exec", "curl -s $BEYLA_URL/a > /dev/null", "--manifest-path"]);
    let output = command.arg(workspace.path().join("Cargo.toml")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Report = serde_json::from_slice(&output.stdout).unwrap();
    report.check();
    assert_eq!(report.totals.requests, 1);
    assert!(String::from_utf8_lossy(&output.stderr).contains("/a"), "the summary goes to stderr");
}

#[test]
fn of_many_requests_the_slowest_are_kept_and_all_are_counted() {
    both_ways(|capture| {
        let run = Run::of(LATENCY_LAB, capture).flags(["--max-requests", "5"]).start();
        let mut client = run.connect();
        for round in 0..50 {
            client.get(if round % 10 == 3 { "/sleep?ms=300" } else { "/fast" });
        }
        drop(client);
        let report = run.stop();
        assert_eq!((report.totals.requests, report.totals.requests_not_kept), (50, 45));
        assert!(report.requests.iter().all(|request| request.path == "/sleep"), "{:?}", report.rows());
        report
    });
}
