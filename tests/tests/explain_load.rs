//! Many requests, none of which has anything to be found.

use beyla_tests::alone::alone;
use beyla_tests::both::both_ways;
use beyla_tests::load;
use beyla_tests::run::{Build, LATENCY_LAB, Run};

#[test]
fn ten_thousand_requests_are_all_opened() {
    const CONNECTIONS: usize = 8;
    const EACH: usize = 1250;
    let _alone = alone();
    both_ways(|capture| {
        let run = Run::of(LATENCY_LAB, capture).explain().build(Build::Release).flags(["--max-requests", "10000"]);
        let run = run.environment("TOKIO_WORKER_THREADS", "2").start();
        load::keep_alive(run.port, CONNECTIONS, EACH, "/fast");
        let report = run.stop();
        report.check_opened();
        assert_eq!(report.totals.requests, (CONNECTIONS * EACH) as u64);
        assert_eq!(report.requests.len(), CONNECTIONS * EACH);
        assert_eq!(report.findings, []);
        report
    });
}
