//! Ten thousand requests: all of them arrive, each once, and to the nanosecond.

use std::time::Duration;

use beyla_tests::both::both_ways;
use beyla_tests::receiver::Receiver;
use beyla_tests::report::Report;
use beyla_tests::run::{Capture, LATENCY_LAB, Run};
use beyla_tests::spans;
use beyla_tests::wait::{LONG, poll};

const CONNECTIONS: usize = 4;
const OF_EACH: usize = 2500;

fn all_arrive(capture: Capture, receiver: &Receiver) -> Report {
    let flags = ["--otlp", &receiver.url(), "--otlp-protocol", receiver.protocol, "--max-requests", "20000"];
    let run = Run::of(LATENCY_LAB, capture).flags(flags).start();
    std::thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(|| {
                let mut client = run.connect();
                for number in 0..OF_EACH {
                    client.get(if number % 10 == 3 { "/users/7" } else { "/fast" });
                }
            });
        }
    });
    // The exporter has a low priority, and only ten seconds once the run is over. A busy machine may not give it enough.
    let has_all = || {
        std::thread::sleep(Duration::from_millis(100));
        (receiver.server_spans().len() >= CONNECTIONS * OF_EACH).then_some(())
    };
    assert!(poll(LONG, has_all).is_some(), "{}", run.stderr());
    let finished = run.let_go();
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    assert!(finished.stderr.contains("Sent the spans of 10,000 requests to "), "{}", finished.stderr);
    let report = finished.report();
    assert_eq!((report.requests.len(), receiver.server_spans().len()), (CONNECTIONS * OF_EACH, CONNECTIONS * OF_EACH));
    spans::are_those_of(&report, receiver);
    report
}

#[test]
fn by_http() {
    both_ways(|capture| all_arrive(capture, &Receiver::start()));
}

#[test]
fn by_grpc() {
    both_ways(|capture| all_arrive(capture, &Receiver::start_grpc()));
}
