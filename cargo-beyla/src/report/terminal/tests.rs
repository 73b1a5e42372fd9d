mod calls;
mod explained;
mod suite;

use std::sync::Arc;

use insta::assert_snapshot;

use super::*;
use crate::report::fixtures;
use crate::report::run_info::Exit;
use crate::report::verdicts::Verdicts;
use cargo_beyla_core::model::connection::Endpoint;
use cargo_beyla_core::model::request::{Outcome, Request};
use cargo_beyla_core::model::summary::{Summary, Unseen};
use cargo_beyla_core::model::test::{TestResult, TestSummary};
use cargo_beyla_core::model::tls::Tls;

const SECONDS: u64 = 1_000_000_000;

fn rendered(summary: &Summary, width: usize) -> String {
    let options = TerminalOptions { slowest: 5, color: false, width: Some(width) };
    let mut report = fixtures::report(summary.clone(), fixtures::run(), 2_310_000_000);
    report.exit = Some(Exit::Code(0));
    let text = render(&report, &options);
    assert!(text.lines().all(|line| !line.ends_with(' ')), "{text}");
    text
}

/// What the first lines say of a run in which no request was seen.
fn zero(change: impl FnOnce(&mut Summary)) -> String {
    let mut summary = fixtures::summary(Vec::new(), Vec::new());
    change(&mut summary);
    let options = TerminalOptions { slowest: 5, color: false, width: Some(100) };
    let text = render(&fixtures::report(summary, fixtures::run(), 12 * SECONDS), &options);
    text.lines().next().unwrap().to_owned()
}

#[test]
fn a_healthy_server_on_a_wide_terminal() {
    assert_snapshot!(rendered(&fixtures::healthy(), 140), @"
    24 requests in 2.31 s (10.4/s), no errors, 12 connections
    server, pid 4242, on 127.0.0.1:8080

    Routes, the most time first; phases as their mean share
      method  route        count  errors     p50      p90      p99      max  queue  receive  handle  respond
      GET     /hello          16       0  892 µs  1.24 ms  2.10 ms  12.0 ms    12%       0%     80%       8%
      GET     /users/{id}      8       0  892 µs  1.24 ms  2.10 ms  12.0 ms    12%       0%     80%       8%

    The 5 slowest requests    ░ queue  < receive  █ handle  > respond
       #        at    total  phases                     queue  receive   handle  respond  status  request
      24  +0.240 s  2.40 ms  ░░░███████████████████>>  288 µs     0 ns  1.92 ms   192 µs  200     GET /users/7?full=1
      23  +0.230 s  2.30 ms  ░░░███████████████████>>  276 µs     0 ns  1.84 ms   184 µs  200     GET /hello
      22  +0.220 s  2.20 ms  ░░░███████████████████>>  264 µs     0 ns  1.76 ms   176 µs  200     GET /hello
      21  +0.210 s  2.10 ms  ░░░███████████████████>>  252 µs     0 ns  1.68 ms   168 µs  200     GET /users/7?full=1
      20  +0.200 s  2.00 ms  ░░░███████████████████>>  240 µs     0 ns  1.60 ms   160 µs  200     GET /hello
    ");
}

#[test]
fn grpc_calls_on_a_narrow_terminal() {
    let mut slow = fixtures::grpc_call(4, 4);
    let grpc = slow.grpc.as_mut().expect("a call");
    (grpc.timeout_ns, grpc.request_messages, grpc.response_messages) = (Some(250_000_000), Some(1000), Some(12));
    let given_up = Request { id: 5, outcome: Outcome::ClientClosed, ..slow.clone() };
    let requests =
        vec![fixtures::grpc_call(1, 0), fixtures::grpc_call(2, 5), fixtures::grpc_call(3, 99), slow, given_up];
    let routes = vec![fixtures::route("POST", "/shop.v1.Cart/Add", 5)];
    assert_snapshot!(rendered(&fixtures::summary(requests, routes), 80), @"
    5 requests in 2.31 s (2.16/s), 2 errors, 1 incomplete, 2 connections
    server, pid 4242, on 127.0.0.1:8080

    Routes, the most time first
      method  route              count  errors     p50      p90      p99      max
      POST    /shop.v1.Cart/Add      5       0  892 µs  1.24 ms  2.10 ms  12.0 ms

    Mean share of each phase
      method  route              queue  receive  handle  respond
      POST    /shop.v1.Cart/Add    12%       0%     80%       8%

    Every request, in order    ░ queue  < receive  █ handle  > respond
      #        at   total  phases        status             request
      1  +0.010 s  100 µs  ░██████████>  OK                 POST /shop.v1.Cart/Add
      2  +0.020 s  200 µs  ░██████████>  NOT_FOUND          POST /shop.v1.Cart/Add
      3  +0.030 s  300 µs  ░██████████>  99                 POST /shop.v1.Cart/Add
      4  +0.040 s  400 µs  ░██████████>  DEADLINE_EXCEEDED  POST /shop.v1.Cart/Add
         deadline 250 ms  messages: 1,000 in, 12 out
      5  +0.040 s  400 µs  ░██████████>  DEADLINE_EXCEEDED  POST /shop.v1.Cart/Add
         client closed  deadline 250 ms  messages: 1,000 in, 12 out
    ");
}

#[test]
fn a_healthy_server_on_a_narrow_terminal() {
    assert_snapshot!(rendered(&fixtures::healthy(), 80), @"
    24 requests in 2.31 s (10.4/s), no errors, 12 connections
    server, pid 4242, on 127.0.0.1:8080

    Routes, the most time first
      method  route        count  errors     p50      p90      p99      max
      GET     /hello          16       0  892 µs  1.24 ms  2.10 ms  12.0 ms
      GET     /users/{id}      8       0  892 µs  1.24 ms  2.10 ms  12.0 ms

    Mean share of each phase
      method  route        queue  receive  handle  respond
      GET     /hello         12%       0%     80%       8%
      GET     /users/{id}    12%       0%     80%       8%

    The 5 slowest requests    ░ queue  < receive  █ handle  > respond
       #        at    total  phases                    status  request
      24  +0.240 s  2.40 ms  ░░░███████████████████>>  200     GET /users/7?full=1
      23  +0.230 s  2.30 ms  ░░░███████████████████>>  200     GET /hello
      22  +0.220 s  2.20 ms  ░░░███████████████████>>  200     GET /hello
      21  +0.210 s  2.10 ms  ░░░███████████████████>>  200     GET /users/7?full=1
      20  +0.200 s  2.00 ms  ░░░███████████████████>>  200     GET /hello
    ");
}

#[test]
fn errors_and_odd_outcomes() {
    assert_snapshot!(rendered(&fixtures::troubled(), 120), @"
    7 requests in 2.31 s (3.03/s), 2 errors, 4 incomplete, 4 connections
    server, pid 4242, on 127.0.0.1:8080

    Routes, the most time first; phases as their mean share
      method  route         count  errors  incomplete     p50      p90      p99      max  queue  receive  handle  respond
      GET     /status/{id}      6       2           4  892 µs  1.24 ms  2.10 ms  12.0 ms    12%       0%     80%       8%
      POST    /status/{id}      1       0           0       -        -        -        -      -        -       -        -

    Every request, in order    ░ queue  < receive  █ handle  > respond
      #        at   total  phases          queue  receive   handle  respond  body in  body out  status  request
      1  +0.010 s  100 µs  ░██████████>  12.0 µs     0 ns  80.0 µs  8.00 µs      0 B      28 B  500     GET /status/500
      2  +0.020 s  200 µs  ░██████████>  24.0 µs     0 ns   160 µs  16.0 µs      0 B      28 B  404     GET /status/500
      3  +0.030 s  300 µs  ░███████████  36.0 µs     0 ns   263 µs  1.00 µs  2.9 MiB         -  200     GET /status/500
         client closed
      4  +0.040 s  400 µs  ░███████████  48.0 µs     0 ns   352 µs        -      0 B         -  -       GET /status/500
         server closed
      5  +0.050 s  500 µs  ░███████████  60.0 µs     0 ns   440 µs        -      0 B         -  -       GET /status/500
         still open
      6  +0.060 s  528 µs  ████████████        -     0 ns   528 µs        -        -         -  -       GET /status/500
         not seen
      7  +0.070 s  700 µs  ░██████████>  84.0 µs     0 ns   560 µs  56.0 µs      0 B      28 B  200     POST /status/500
    ");
}

#[test]
fn an_accept_wait_is_told() {
    let mut request = fixtures::request(1, "/hello");
    request.boundaries.accepted = Some(request.boundaries.start() - 100_000);
    request.boundaries.connected = Some(request.boundaries.start() - 13_100_000);
    let summary = fixtures::summary(vec![request], Vec::new());
    assert_snapshot!(rendered(&summary, 100), @"
    1 request in 2.31 s (0.43/s), no errors, 1 connection
    server, pid 4242, on 127.0.0.1:8080

    Every request, in order
      #        at   total    queue  receive   handle  respond  body in  body out  status  request
      1  +0.010 s  100 µs  12.0 µs     0 ns  80.0 µs  8.00 µs      0 B      28 B  200     GET /hello
         + 13.0 ms accept wait
    ");
}

#[test]
fn a_handshake_of_tls_is_told_with_the_first_request_of_its_connection() {
    let mut request = fixtures::request(1, "/hello");
    let tls = Tls { handshake_ns: Some(2_400_000), ..Tls::default() };
    Arc::make_mut(&mut request.connection).tls = Some(Arc::new(tls));
    assert!(!rendered(&fixtures::summary(vec![request.clone()], Vec::new()), 100).contains("handshake"));
    request.boundaries.secured = Some(request.boundaries.start() - 1);
    let text = rendered(&fixtures::summary(vec![request], Vec::new()), 100);
    assert!(text.trim_end().ends_with("GET /hello\n     + 2.40 ms TLS handshake"), "{text}");
}

/// Requests, routes and tests whose paths take up to a line, with all that may be said of them beside.
fn long_paths(methods: [&str; 3], lengths: std::ops::RangeInclusive<usize>) -> (Summary, Vec<String>) {
    let mut summary = fixtures::suite();
    (summary.requests, summary.routes) = Default::default();
    let mut paths = Vec::new();
    for (id, length) in (1..).zip(lengths) {
        let path = format!("/{}{length:03}", "a".repeat(length - 4));
        let method = methods[length % 3];
        let mut request = fixtures::request(id, &path);
        request.method = method.into();
        request.boundaries.accepted = Some(request.boundaries.start() - 100_000);
        request.boundaries.connected = Some(request.boundaries.start() - 13_100_000);
        request.outcome = Outcome::ClientClosed;
        fixtures::assign(&mut request, cargo_beyla_core::model::test::TestId(1));
        summary.requests.push(request.into());
        summary.routes.push(fixtures::route(method, &path, 1));
        paths.push(path);
    }
    summary.totals.requests = paths.len() as u64;
    (summary, paths)
}

#[test]
fn nothing_costs_a_path_that_fits_into_a_line() {
    let methods = ["GET", "HEAD", "UPDATEREDIRECTREF"];
    let rendered = |summary: &Summary, width: Option<usize>| {
        let options = TerminalOptions { slowest: 100, color: false, width };
        render(&fixtures::report(summary.clone(), fixtures::run_of_tests(), SECONDS), &options)
    };
    for width in [80, 100, 120, 200] {
        // Beneath its row a request is indented by 6, its method takes up to 17 columns, and a space.
        for lengths in [5..=20, 20..=35, width - 40..=width - 24] {
            let (summary, paths) = long_paths(methods, lengths);
            let text = rendered(&summary, Some(width));
            let (_, paths_in) = text.split_once("Routes, ").unwrap();
            assert!(!paths_in.contains('…'), "{width}:\n{text}");
            for path in paths {
                let shown = text.lines().filter(|line| line.contains(&path)).count();
                assert!(shown >= 2, "{width}: {path}:\n{text}");
            }
            for said in ["client closed", "+ 13.0 ms accept wait", "in users::create_many_at_once"] {
                assert_eq!(text.matches(said).count(), summary.requests.len(), "{text}");
            }
            assert!(text.lines().all(|line| crate::report::text::width(line) <= width), "{text}");
        }
    }
    // A path that is longer than a line loses its middle in a terminal, and nothing in a pipe.
    let (summary, paths) = long_paths(methods, 300..=305);
    assert!(rendered(&summary, Some(120)).contains('…'));
    let text = rendered(&summary, None);
    assert!(!text.contains('…') && paths.iter().all(|path| text.matches(path).count() >= 2), "{text}");
    let (_, each) = text.split_once("Every request").unwrap();
    let line = each.lines().find(|line| line.contains(&paths[0])).unwrap();
    assert!(line.trim_start().starts_with("1  +"), "in a pipe, a request is a line: {line}");
}

/// Their columns are as wide as the headers above them.
#[test]
fn short_names_fit_into_every_width() {
    for path in ["/", "/users"] {
        for (opened, unanswered) in [(false, 0), (false, 3), (true, 0), (true, 3)] {
            let mut summary = if opened { fixtures::explained() } else { fixtures::healthy() };
            for route in &mut summary.routes {
                route.route = path.into();
                route.incomplete = unanswered;
            }
            for request in &mut summary.requests {
                let request = std::sync::Arc::make_mut(request);
                (request.path, request.query) = (path.into(), None);
            }
            for width in (60..=200).step_by(5) {
                let text = rendered(&summary, width);
                for line in text.lines() {
                    let columns = crate::report::text::width(line);
                    assert!(columns <= width.max(WIDTH_MIN), "{columns} of {width}: {line}");
                }
                let rows = text.lines().filter(|line| line.contains(path) && line.contains("GET")).count();
                assert!(rows >= summary.routes.len() + 5, "{width}:\n{text}");
            }
        }
    }
}

#[test]
fn everything_lost() {
    let mut summary = fixtures::healthy();
    summary.totals.requests_not_kept = 1;
    summary.unseen = Unseen {
        lost_records: 12_345,
        skipped_probes: 1,
        failed_reads: 2,
        out_of_step: 1,
        untracked_connections: 1,
        missing_bytes: 1_258_291,
        upgraded_connections: 2,
        tls_connections: 3,
        partial_heads: 2,
        pushed_responses: 3,
        unreadable_connections: 4,
        unread_requests: 1,
        io_urings: 1,
        unjoined_connections: 2,
        foreign_connections: 1,
        ..Unseen::default()
    };
    let text = rendered(&summary, 100);
    let (_, notes) = text.split_once("Not in this report").unwrap();
    assert_snapshot!(notes, @"
    - 1 request is counted, and not listed one by one: only the 24 slowest are kept. Keep more with
      --max-requests.
    - 12,345 events were lost because the tracer could not keep up: requests and calls are missing, or
      end as `not seen`. Send less at a time, or leave it more of the CPU.
    - The kernel skipped a probe 1 time, because the CPU was inside one already: requests may be
      missing, or end as `not seen`.
    - A probe could not read what it needed 2 times: requests may be missing, or end as `not seen`.
    - Where the next frame begins was lost 1 time: what follows on such a connection is not read.
    - 1 connection was too many to follow at the same time: requests are missing. Use fewer
      connections at a time.
    - 1.2 MiB passed unseen: requests in them are missing, or end as `not seen`.
    - The server uses io_uring. What it receives and sends that way is not seen, so those requests are
      missing or incomplete. Run it on epoll, if its runtime can.
    - 3 connections began TLS, and the server answered in plain text, or a proxy's header came first:
      those requests are missing.
    - 2 headers of HTTP/2 refer to what passed before anybody watched, or unseen: methods, paths and
      statuses may be missing there.
    - 3 responses of HTTP/2 that the server pushed, without a request, are not rows.
    - 2 connections went over to another protocol, such as WebSocket: the request that asked for it is
      here, what followed is not.
    - 4 connections spoke something else than HTTP/1, broke its rules, or had a header above 16 KiB:
      requests on them are missing, or end as `not seen`.
    - 1 request or more is missing: of each call 16 KiB are looked at, and a header was longer, or
      began behind them.
    - On 2 connections that were open before anybody watched, no request was found: what was under way
      at the beginning is not in this report, nor is TLS or another protocol.
    - 1 connection was served by programs that are not built in this workspace: those requests are not
      followed.
    ");
}

#[test]
fn no_requests() {
    let reasons = [
        zero(|_| {}),
        zero(|summary| summary.listening = vec![fixtures::tcp("[::]:3000")]),
        zero(|summary| summary.listening = vec![Endpoint::Unix("/run/\x1b[2J".into())]),
        zero(|summary| summary.listening.clear()),
        zero(|summary| summary.totals.connections = 1),
        zero(|summary| (summary.totals.connections, summary.unseen.tls_connections) = (3, 3)),
        zero(|summary| (summary.totals.connections, summary.unseen.tls_connections) = (3, 2)),
        zero(|summary| summary.unseen.io_urings = 1),
        zero(|summary| summary.unseen.lost_records = 1),
        zero(|summary| {
            (summary.totals.connections, summary.unseen.unreadable_connections) = (1, 1);
        }),
    ];
    assert_snapshot!(reasons.join("\n"), @"
    No requests in 12.0 s: nothing connected to the server; try `curl http://127.0.0.1:8080/` while it runs
    No requests in 12.0 s: nothing connected to the server; try `curl http://localhost:3000/` while it runs
    No requests in 12.0 s: nothing connected to the server
    No requests in 12.0 s: the server never listened
    No requests in 12.0 s: its only connection carried none
    No requests in 12.0 s: all 3 connections spoke TLS
    No requests in 12.0 s: 2 of 3 connections spoke TLS
    No requests in 12.0 s: the server uses io_uring
    No requests in 12.0 s: too much was lost
    No requests in 12.0 s: its only connection spoke no HTTP/1
    ");
    let mut ended = fixtures::report(fixtures::summary(Vec::new(), Vec::new()), fixtures::run(), 12 * SECONDS);
    ended.exit = Some(Exit::Code(0));
    let text = render(&ended, &TerminalOptions { slowest: 5, color: false, width: Some(100) });
    let reason = "nothing connected to the server before it ended; try `curl http://127.0.0.1:8080/` while it runs";
    assert_eq!(text.lines().next(), Some(&*format!("No requests in 12.0 s: {reason}")));
}

#[test]
fn hostile_paths_steer_no_terminal() {
    let mut hostile = fixtures::request(1, "/\x1b]0;title\x07\x1b[2J\r\n?\u{202e}a=\u{9b}1m");
    hostile.method = "GET\x1b[31m".into();
    let mut long = fixtures::request(2, &format!("/{}/the/end", "日本/".repeat(100)));
    long.method = "M".repeat(300).into();
    let mut routes = vec![fixtures::route("GET\x1b[31m", "/\x1b[2J", 1)];
    routes.push(fixtures::route(&"M".repeat(300), &format!("/{}/end", "x/".repeat(300)), 1));
    let summary = fixtures::summary(vec![hostile, long], routes);
    for width in [80, 100, 140, 300] {
        let text = rendered(&summary, width);
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text}");
        for line in text.lines() {
            assert!(crate::report::text::width(line) <= width, "{width}: {line}");
        }
    }
    assert_snapshot!(rendered(&summary, 100), @r"
    2 requests in 2.31 s (0.87/s), no errors, 1 connection
    server, pid 4242, on 127.0.0.1:8080

    Routes, the most time first
      method  route  count  errors     p50      p90      p99      max
                         1       0  892 µs  1.24 ms  2.10 ms  12.0 ms
        GET\u{1b}[31m /\u{1b}[2J
                         1       0  892 µs  1.24 ms  2.10 ms  12.0 ms
        MMMMMMMM…MMMMMMMM /x/x/x/x/x/x/x/x/x/x/x/x/x/x/x…/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x//end

    Mean share of each phase
      method  route  queue  receive  handle  respond
                       12%       0%     80%       8%
        GET\u{1b}[31m /\u{1b}[2J
                       12%       0%     80%       8%
        MMMMMMMM…MMMMMMMM /x/x/x/x/x/x/x/x/x/x/x/x/x/x/x…/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x//end

    Every request, in order    ░ queue  < receive  █ handle  > respond
      #        at   total  phases        body in  body out  status  request
      1  +0.010 s  100 µs  ░██████████>      0 B      28 B  200
         GET\u{1b}[31m /\u{1b}]0;title\u{7}\u{1b}[2J\r\n?\u{202e}a=\u{9b}1m
      2  +0.020 s  200 µs  ░██████████>      0 B      28 B  200
         MMMMMMMM…MMMMMMMM /日本/日本/日本/日本/日本/日…本/日本/日本/日本/日本/日本/日本/日本//the/end
    ");
}

#[test]
fn many_routes_are_summed_up() {
    let routes = (1..=30).map(|id| fixtures::route("GET", &format!("/{id}"), 100)).collect();
    let text = rendered(&fixtures::summary(vec![fixtures::request(1, "/")], routes), 100);
    assert!(text.contains("  and 5 more routes with 500 requests; the JSON report has all (--json)\n"), "{text}");
}

#[test]
fn an_unusual_ending_is_told() {
    let options = TerminalOptions { slowest: 0, color: false, width: Some(80) };
    let said = |exit| {
        let mut report = fixtures::report(fixtures::healthy(), fixtures::run(), SECONDS);
        report.exit = exit;
        render(&report, &options)
    };
    assert!(said(Some(Exit::Signal(11))).contains("The server was ended by signal 11 (SIGSEGV)\n"));
    assert!(said(Some(Exit::Signal(77))).contains("The server was ended by signal 77\n"));
    assert!(said(Some(Exit::Code(101))).contains("The server ended with exit code 101\n"));
    for usual in [None, Some(Exit::Code(0)), Some(Exit::Signal(2)), Some(Exit::Signal(15))] {
        assert!(!said(usual).contains("The server"), "{usual:?}");
    }
}

#[test]
fn colours_change_nothing_but_colours() {
    let mut options = TerminalOptions { slowest: 5, color: true, width: Some(100) };
    for summary in [fixtures::healthy(), fixtures::troubled(), fixtures::explained()] {
        options.color = true;
        let colored = render(&fixtures::report(summary.clone(), fixtures::run(), SECONDS), &options);
        assert!(colored.contains("\x1b["));
        options.color = false;
        let plain = render(&fixtures::report(summary.clone(), fixtures::run(), SECONDS), &options);
        assert_eq!(anstream::adapter::strip_str(&colored).to_string(), plain);
    }
}
