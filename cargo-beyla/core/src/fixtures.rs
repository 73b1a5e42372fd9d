//! Hand-made requests, tests and runs, for tests.

mod calls;
mod explained;

use std::sync::Arc;

pub use calls::{call, calling};
pub use explained::{explained, explained_without_lines};

use crate::analysis::baseline::compare::{Comparison, Evidence, Row, Subject, Verdict};
use crate::analysis::baseline::estimate::{Change, Trend};
use crate::model::boundaries::Boundaries;
use crate::model::connection::{ConnectionInfo, Endpoint, Owner, StreamId};
use crate::model::duration::Distribution;
use crate::model::grpc::Grpc;
use crate::model::request::{MessageBytes, Outcome, Request};
use crate::model::summary::{RouteSummary, Summary, Totals, Unseen};
use crate::model::test::{EndedTest, TestId, TestResult, TestSummary};
use crate::model::tls_summary::TlsSummary;
use crate::model::trace_context::{SpanId, TestSpan, TraceId};

/// The start of the run by `CLOCK_MONOTONIC`.
pub const START: u64 = 1_000_000_000;

/// The `id`th request, `GET path`, of a healthy server; it takes `id` times 100 µs or so.
pub fn request(id: u64, path: &str) -> Request {
    let at = START + id * 10_000_000;
    let (path, query) = match path.split_once('?') {
        Some((path, query)) => (path, Some(query.into())),
        None => (path, None),
    };
    Request {
        id,
        connection: Arc::new(ConnectionInfo {
            id: id.div_ceil(2),
            server: tcp("127.0.0.1:8080"),
            client: tcp("127.0.0.1:50000"),
            proxy: None,
            owner: None,
            tls: None,
        }),
        protocol: "http/1.1",
        stream: None,
        grpc: None,
        method: "GET".into(),
        path: path.into(),
        query,
        route: path.into(),
        status: Some(200),
        outcome: Outcome::Complete,
        boundaries: Boundaries {
            connected: None,
            accepted: None,
            secured: None,
            arrived: Some(at),
            read: at + 12_000 * id,
            received: Some(at + 12_000 * id),
            responded: Some(at + 92_000 * id),
            ended: at + 100_000 * id,
        },
        request_bytes: MessageBytes { header: 78, body: Some(0) },
        response_bytes: Some(MessageBytes { header: 90, body: Some(28) }),
        explanation: None,
        trace: None,
        calls: Vec::new(),
        calls_not_kept: 0,
    }
}

/// The `id`th request of a run, which called a method of gRPC that answered with this status.
pub fn grpc_call(id: u64, status: u32) -> Request {
    let grpc = Grpc {
        service: "shop.v1.Cart".into(),
        method: "Add".into(),
        status: Some(status),
        request_messages: Some(1),
        response_messages: Some(u64::from(status == 0)),
        timeout_ns: None,
    };
    Request {
        protocol: "http/2",
        stream: Some(StreamId(2 * id - 1)),
        grpc: Some(grpc.into()),
        method: "POST".into(),
        ..request(id, "/shop.v1.Cart/Add")
    }
}

/// The `id`th test of a run, which passed.
pub fn ended_test(id: u32) -> EndedTest {
    let started_ns = START + u64::from(id) * 1_000_000_000;
    EndedTest {
        binary: "shop::api".into(),
        name: "buys".into(),
        round: 0,
        result: Some(TestResult::Passed),
        reason: None,
        started_ns,
        ended_ns: started_ns + 20_000_000,
        span: TestSpan { trace_id: TraceId::of(u128::from(id) << 64), span_id: SpanId::of(u64::from(id) << 32) },
    }
}

/// A test that passed in 30 ms, and made no requests.
pub fn test(name: &str, round: u32) -> TestSummary {
    TestSummary {
        binary: "shop::api".into(),
        name: name.into(),
        round,
        result: Some(TestResult::Passed),
        reason: None,
        started_ns: START,
        duration_ns: 30_000_000,
        requests: 0,
        errors: 0,
        incomplete: 0,
        calls: 0,
        sum_ns: 0,
        total: None,
        span: None,
    }
}

/// Says that a test caused the request.
pub fn assign(request: &mut Request, test: TestId) {
    Arc::make_mut(&mut request.connection).owner = Some(Owner { pid: 4300 + test.0, test: Some(test) });
}

/// An address of TCP.
///
/// # Panics
///
/// If it is none.
pub fn tcp(address: &str) -> Endpoint {
    Endpoint::Tcp(address.parse().expect("an address"))
}

/// One route; its counts are those of the requests.
pub fn summary(requests: Vec<Request>, routes: Vec<RouteSummary>) -> Summary {
    Summary {
        paused_ns: 0,
        totals: Totals {
            requests: requests.len() as u64,
            errors: requests.iter().filter(|request| request.is_error()).count() as u64,
            incomplete: requests.iter().filter(|request| request.outcome != Outcome::Complete).count() as u64,
            connections: requests
                .iter()
                .map(|request| request.connection.id)
                .collect::<std::collections::BTreeSet<_>>()
                .len() as u64,
            ..Totals::default()
        },
        listening: vec![tcp("127.0.0.1:8080")],
        tls: TlsSummary::default(),
        total: None,
        routes,
        requests: requests.into_iter().map(Arc::new).collect(),
        calls: Vec::new(),
        call_summaries: Vec::new(),
        unseen: Unseen::default(),
        spawns_unseen: String::new(),
        calls_unseen: String::new(),
        explained: None,
        call_findings: Vec::new(),
        tests: Vec::new(),
    }
}

/// A route with this number of requests, all complete.
pub fn route(method: &str, route: &str, count: u64) -> RouteSummary {
    RouteSummary {
        method: method.into(),
        route: route.into(),
        count,
        errors: 0,
        incomplete: 0,
        total: Some(Distribution { p50: 892_000, p90: 1_240_000, p99: 2_100_000, max: 12_045_678, mean: 934_123.4 }),
        phase_mean: [Some(112_095.0), Some(0.0), Some(747_299.0), Some(74_729.4)],
        handle_mean: None,
    }
}

/// 24 requests on two routes, all well.
pub fn healthy() -> Summary {
    let mut requests: Vec<Request> =
        (1..=24).map(|id| request(id, if id % 3 == 0 { "/users/7?full=1" } else { "/hello" })).collect();
    requests[8].boundaries.connected = Some(requests[8].boundaries.start() - 13_000_000);
    requests[8].boundaries.accepted = Some(requests[8].boundaries.start() - 500_000);
    for request in requests.iter_mut().filter(|request| &*request.path != "/hello") {
        request.route = "/users/{id}".into();
    }
    summary(requests, vec![route("GET", "/hello", 16), route("GET", "/users/{id}", 8)])
}

/// A request of every kind that goes wrong.
pub fn troubled() -> Summary {
    let mut requests: Vec<Request> = (1..=7).map(|id| request(id, "/status/500")).collect();
    requests[0].status = Some(500);
    requests[1].status = Some(404);
    let ends = [Outcome::ClientClosed, Outcome::ServerClosed, Outcome::StillOpen, Outcome::NotSeen];
    for (request, outcome) in requests[2..].iter_mut().zip(ends) {
        request.outcome = outcome;
        request.status = None;
        request.response_bytes = None;
        request.boundaries.responded = None;
    }
    requests[2].status = Some(200);
    requests[2].request_bytes.body = Some(3_000_000);
    requests[2].boundaries.responded = Some(requests[2].boundaries.ended - 1_000);
    requests[2].response_bytes = Some(MessageBytes { header: 90, body: None });
    requests[5].boundaries.arrived = None;
    requests[5].request_bytes.body = None;
    requests[6].method = "POST".into();
    let mut status = route("GET", "/status/{id}", 6);
    (status.errors, status.incomplete) = (2, 4);
    let mut post = route("POST", "/status/{id}", 1);
    (post.total, post.phase_mean) = (None, [None; 4]);
    summary(requests, vec![status, post])
}

/// Six requests of one test, two of another, and one whose test was not seen; and tests without any.
pub fn suite() -> Summary {
    let mut requests: Vec<Request> =
        (1..=9).map(|id| request(id, if id % 3 == 0 { "/users/7" } else { "/hello" })).collect();
    for request in &mut requests {
        let test = match request.id {
            1..=6 => Some(TestId(1)),
            7..=8 => Some(TestId(2)),
            _ => None,
        };
        Arc::make_mut(&mut request.connection).owner = Some(Owner { pid: 4300, test });
        if &*request.path == "/users/7" {
            request.route = "/users/{id}".into();
        }
    }
    requests[7].status = Some(500);
    let distribution = |max: u64| Distribution { p50: max / 2, p90: max, p99: max, max, mean: max as f64 / 2.0 };
    let mut tests = vec![test("pure::adds", 0), test("users::create_many_at_once", 0), test("users::fails", 0)];
    tests.extend(["pure::subtracts", "pure::multiplies"].map(|name| test(name, 0)));
    let of = |test: &mut TestSummary, requests: u64, errors: u64, max: u64| {
        (test.requests, test.errors, test.sum_ns) = (requests, errors, requests * max / 2);
        test.total = Some(distribution(max));
    };
    of(&mut tests[1], 6, 0, 600_000);
    of(&mut tests[2], 2, 1, 800_000);
    tests[2].result = Some(TestResult::Failed(101));
    tests[3].result = None;
    tests[4].result = Some(TestResult::Killed(6));
    let routes = vec![route("GET", "/hello", 6), route("GET", "/users/{id}", 3)];
    Summary { listening: Vec::new(), tests, ..summary(requests, routes) }
}

/// One route slower, one faster, a test slower, and what cannot be told.
pub fn comparison() -> Comparison {
    let route = |route: &str| Subject::Route { method: "GET".into(), route: route.into() };
    let duration = |name: &str| Subject::TestDuration { binary: "shop::api".into(), name: name.into() };
    let row = |subject: Subject, verdict: Verdict, times: Option<(f64, f64)>| {
        let change = times.map(|(before, now)| Change {
            baseline_ns: before * 1e6,
            now_ns: now * 1e6,
            interval_ns: ((now - before) * 0.8e6, (now - before) * 1.2e6),
            trend: Trend::NoChange,
        });
        let side =
            |gone: Verdict| if verdict == gone { Evidence::default() } else { Evidence { count: 10, rounds: 1 } };
        Row { subject, before: side(Verdict::New), now: side(Verdict::Gone), verdict, change }
    };
    let rows = vec![
        row(route("/users/{id}"), Verdict::Slower, Some((1.2, 6.3))),
        row(duration("users::create_many_at_once"), Verdict::Slower, Some((30.0, 80.0))),
        row(route("/hello"), Verdict::Faster, Some((9.0, 2.0))),
        row(route("/new"), Verdict::New, None),
        row(route("/gone"), Verdict::Gone, None),
        row(duration("users::gone"), Verdict::Gone, None),
        row(route("/few"), Verdict::TooFew, None),
        row(route("/same"), Verdict::NoChange, Some((1.0, 1.1))),
        row(duration("users::same"), Verdict::NoChange, Some((1.0, 1.1))),
    ];
    Comparison { baseline: "main".into(), saved_unix_ns: 1_700_000_000_000_000_000, rows }
}
