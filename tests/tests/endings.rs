//! Exchanges that break off, and servers that do.

use std::os::unix::process::ExitStatusExt;

use beyla_tests::both::both_ways;
use beyla_tests::client::{Client, get};
use beyla_tests::odd::{answer, playing};
use beyla_tests::report::{Exit, Report};
use beyla_tests::rows::{broken_off, complete, unanswered};
use beyla_tests::run::{BASIC, Capture, LATENCY_LAB, Run};

/// A header that promises more than comes.
const PROMISE: &str = "send:HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n";
const PROMISE_LENGTH: usize = PROMISE.len() - "send:".len();

/// Tells the client that its request has been read.
const CONTINUE: &str = "send:HTTP/1.1 100 Continue\r\n\r\n";

/// A run in which the client does as it is told and then is gone.
fn left_by(client: impl Fn(Client), steps: &[&str], expected: &[String]) {
    both_ways(|capture| {
        let run = playing(capture, steps);
        client(run.connect());
        // The server has served this connection once it takes the next one to its end.
        let mut next = run.connect();
        next.finish_sending();
        next.rest();
        let report = run.stop();
        assert_eq!(report.rows(), expected);
        report
    });
}

#[test]
fn a_client_that_closes_before_the_response() {
    let request = get("/slow");
    left_by(
        |mut client| {
            client.send(&request).until("\r\n\r\n");
            client.finish_sending().rest();
        },
        &["head", CONTINUE, "await-eof"],
        &[unanswered("GET /slow", (request.len(), 0), "client closed")],
    );
}

#[test]
fn a_client_that_resets_before_the_response() {
    let request = get("/slow");
    both_ways(|capture| {
        let run = playing(capture, &["head", CONTINUE, "await-eof"]);
        let mut client = run.connect();
        client.send(&request).until("\r\n\r\n");
        client.reset();
        let report = run.stop();
        assert_eq!(report.rows(), [unanswered("GET /slow", (request.len(), 0), "client closed")]);
        report
    });
}

#[test]
fn a_client_that_closes_during_the_response() {
    let request = get("/half");
    left_by(
        |mut client| {
            client.send(&request).exactly(PROMISE_LENGTH + 1000);
            client.finish_sending().rest();
        },
        &["head", PROMISE, "fill:1000", "await-eof"],
        &[broken_off("GET /half", (request.len(), 0), "client closed", 200, (PROMISE_LENGTH, 1000))],
    );
}

#[test]
fn a_client_that_resets_during_a_response_that_is_being_sent() {
    both_ways(|capture| {
        let run = Run::of(LATENCY_LAB, capture).start();
        let mut client = run.connect();
        client.send(get("/download?bytes=50000000")).exactly(1000);
        client.reset();
        let report = run.stop();
        let [download] = &report.requests[..] else { panic!("{:#?}", report.requests) };
        assert_eq!((download.status, download.outcome.as_str()), (Some(200), "client closed"));
        let sent = download.response_bytes.and_then(|bytes| bytes.body).unwrap();
        assert!((1..50_000_000).contains(&sent), "{download:#?}");
        // How much had been sent is chance, and the same in no two runs.
        let mut report = report;
        report.requests[0].response_bytes = None;
        report.requests[0].status = None;
        report
    });
}

#[test]
fn a_client_that_closes_during_its_upload() {
    let request = "POST /up HTTP/1.1\r\nhost: test\r\ncontent-length: 5000\r\n\r\n";
    left_by(
        |mut client| {
            client.send(request).send("x".repeat(100)).finish_sending().rest();
        },
        &["head", "body:5000", "send:never"],
        &[unanswered("POST /up", (request.len(), 100), "client closed")],
    );
}

#[test]
fn a_client_that_sends_half_a_header_has_sent_no_request() {
    left_by(
        |mut client| {
            client.send("GET /half HTTP/1.1\r\nhost:").finish_sending().rest();
        },
        &["head", "send:never"],
        &[],
    );
}

#[test]
fn a_server_that_closes_without_an_answer() {
    let request = get("/a");
    left_by(
        |mut client| assert!(client.send(&request).rest().is_empty()),
        &["head"],
        &[unanswered("GET /a", (request.len(), 0), "server closed")],
    );
}

#[test]
fn a_server_that_resets_without_an_answer() {
    let request = get("/a");
    left_by(
        |mut client| assert!(client.send(&request).rest().is_empty()),
        &["head", "reset"],
        &[unanswered("GET /a", (request.len(), 0), "server closed")],
    );
}

#[test]
fn a_server_that_closes_during_the_response() {
    let request = get("/a");
    left_by(
        |mut client| assert_eq!(client.send(&request).rest().len(), PROMISE_LENGTH + 1000),
        &["head", PROMISE, "fill:1000"],
        &[broken_off("GET /a", (request.len(), 0), "server closed", 200, (PROMISE_LENGTH, 1000))],
    );
}

#[test]
fn a_handler_that_unwinds_is_an_error_without_status() {
    both_ways(|capture| {
        let run = Run::of(LATENCY_LAB, capture).start();
        let request = get("/abort");
        for _ in 0..2 {
            assert!(run.connect().send(&request).rest().is_empty());
        }
        let report = run.stop();
        assert_eq!(report.rows(), vec![unanswered("GET /abort", (request.len(), 0), "server closed"); 2]);
        assert_eq!((report.totals.errors, report.totals.incomplete), (2, 2));
        report
    });
}

#[test]
fn statuses_of_500_and_above_are_errors() {
    both_ways(|capture| {
        let run = Run::of(LATENCY_LAB, capture).start();
        let mut client = run.connect();
        for code in [200, 404, 500, 503] {
            assert_eq!(client.get(&format!("/status/{code}")).status, code);
        }
        drop(client);
        let report = run.stop();
        assert_eq!((report.totals.requests, report.totals.errors), (4, 2));
        report
    });
}

#[test]
fn a_request_that_is_open_when_the_run_ends() {
    let request = get("/for-ever");
    both_ways(|capture| {
        let run = playing(capture, &["head", CONTINUE, "hang"]);
        let mut client = run.connect();
        client.send(&request).until("\r\n\r\n");
        let report = run.stop();
        assert_eq!(report.rows(), [unanswered("GET /for-ever", (request.len(), 0), "still open")]);
        report
    });
}

/// A server that crashes on its second request.
fn crash(step: &str, signal: i32) {
    let (first, last) = (get("/first"), get("/last"));
    both_ways(|capture: Capture| -> Report {
        let run = playing(capture, &["head", &format!("send:{}", answer("ok")), "head", step]);
        let mut client = run.connect();
        client.get("/first");
        assert!(client.send(&last).rest().is_empty());
        let finished = run.let_go();
        assert_eq!(finished.status.signal(), Some(signal), "{}", finished.stderr);
        let report = finished.report();
        assert_eq!(report.exit, Some(Exit::Signal(signal)));
        let header = answer("ok").len() - 2;
        assert_eq!(
            report.rows(),
            [
                complete("GET /first", (first.len(), 0), 200, (header, 2)),
                unanswered("GET /last", (last.len(), 0), "server closed"),
            ]
        );
        assert!(finished.stderr.contains("/first"), "no summary:\n{}", finished.stderr);
        report
    });
}

#[test]
fn a_server_that_aborts_gets_its_summary() {
    crash("abort", libc::SIGABRT);
}

#[test]
fn a_server_that_faults_gets_its_summary() {
    crash("segv", libc::SIGSEGV);
}

#[test]
fn interrupted_at_the_terminal_it_ends_as_the_server_does() {
    both_ways(|capture| {
        let run = Run::of(BASIC, capture).start_alone();
        let address = run.listening(1).remove(0);
        let mut client = Client::tcp(address.trim_start_matches("on http://"));
        client.get("/hello");
        drop(client);
        run.wait_until_interruptible();
        run.interrupt();
        let finished = run.wait();
        assert_eq!(finished.code(), 0, "{}", finished.stderr);
        let report = finished.report();
        assert_eq!(report.totals.requests, 1);
        report
    });
}
