//! What is said of calls that are wrong, and that nothing is said of others.

use beyla_tests::explanation::AskedFor;
use beyla_tests::load;
use beyla_tests::run::{Capture, ORDERS, Run};

/// How often each mistake is made.
const TIMES: u64 = 4;

fn asked_for(kind: &str, summary: &str, max: u64) -> AskedFor {
    AskedFor { kind: kind.to_owned(), summary: summary.to_owned(), peer: None, status: None, max }
}

#[test]
fn each_mistake_has_its_finding() {
    let run = Run::of(ORDERS, Capture::Auto).start();
    for (path, status) in [("/orders/41", 200), ("/slow", 200), ("/down", 502)] {
        for _ in 0..TIMES {
            assert_eq!(run.connect().get(path).status, status, "{path}");
        }
    }
    let finished = run.let_go();
    let report = finished.report();
    let refused = AskedFor {
        peer: Some("127.0.0.1:1".to_owned()),
        status: Some("ECONNREFUSED".to_owned()),
        ..asked_for("tcp", "connect", 1)
    };
    let expected = [
        ("repeated-call", "GET /orders/{id}", asked_for("sqlite", "SELECT items", 41)),
        ("slow-call", "GET /slow", asked_for("http", "GET /slow", 1)),
        ("failed-connect", "GET /down", refused),
    ];
    assert_eq!(report.findings.len(), expected.len(), "{:#?}", report.findings);
    for (kind, route, call) in expected {
        let finding = report.the_finding(kind);
        assert_eq!((finding.route.as_deref(), finding.call.as_ref()), (Some(route), Some(&call)), "{finding:#?}");
        // The service has a route of the same name.
        assert_eq!((finding.count, finding.of), (TIMES, if kind == "slow-call" { 2 * TIMES } else { TIMES }));
    }
    for line in
        ["repeated call: GET /orders/{id} makes up to 41 × sqlite SELECT items", "one statement can do all of it"]
    {
        assert!(finished.stderr.contains(line), "'{line}' is not in:\n{}", finished.stderr);
    }
}

#[test]
fn healthy_requests_have_none() {
    let run = Run::of(ORDERS, Capture::Auto).start();
    for path in ["/orders/7/total", "/rates/EUR", "/spawned", "/search?customer=nobody"] {
        load::keep_alive(run.port, 16, 30, path);
    }
    load::keep_alive(run.port, 4, 25, "/together");
    let report = run.stop();
    assert_eq!(report.totals.requests, report.requests.len() as u64 + report.totals.requests_not_kept);
    assert!(report.requests.iter().filter(|request| !request.path.starts_with("/prices")).count() >= 2000);
    assert!(report.calls.len() >= 2000, "{}", report.calls.len());
    assert_eq!(report.findings.len(), 0, "{:#?}", report.findings);
}
