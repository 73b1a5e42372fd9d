//! Whether a total is ever longer than what the client measured: requests on one connection, beside two busy loops.
//!
//!     cargo bench -p beyla-tests --bench totals -- [--requests 10000] [--capture auto|socket|syscalls]
//!
//! The client takes its times around each exchange, by the clock of the records. Needs root (or sudo without a password).

use std::time::{Duration, Instant};

use beyla_tests::busy::Busy;
use beyla_tests::run::{Capture, Run, THREADS_SERVER};

fn main() {
    let (mut requests, mut ways) = (10_000, vec![Capture::Socket, Capture::Syscalls]);
    let mut arguments = std::env::args().skip(1);
    while let Some(flag) = arguments.next() {
        match flag.as_str() {
            "--requests" => requests = arguments.next().and_then(|number| number.parse().ok()).expect("a number"),
            "--capture" => {
                ways = match arguments.next().as_deref() {
                    Some("auto") => vec![Capture::Auto],
                    Some("socket") => vec![Capture::Socket],
                    Some("syscalls") => vec![Capture::Syscalls],
                    other => panic!("unknown way of capture {other:?}"),
                }
            }
            // Cargo says so to every benchmark.
            "--bench" => {}
            other => panic!("unknown flag {other}"),
        }
    }
    for capture in ways {
        measure(capture, requests);
    }
}

fn measure(capture: Capture, requests: usize) {
    let run = Run::of(THREADS_SERVER, capture).flags(["--max-requests", &requests.to_string()]).start();
    let mut client = run.connect();
    let busy = Busy::on_each_cpu(1);
    let mut measured = Vec::with_capacity(requests);
    for _ in 0..requests {
        let began = Instant::now();
        client.get("/fast");
        measured.push(began.elapsed());
    }
    drop((busy, client));
    let report = run.stop();
    assert_eq!(report.requests.len(), requests);
    let totals = report.requests.iter().map(|request| Duration::from_nanos(request.total_ns));
    let excesses: Vec<Duration> =
        totals.zip(&measured).filter_map(|(total, measured)| total.checked_sub(*measured)).collect();
    let most = excesses.iter().max().copied().unwrap_or_default();
    println!(
        "{}: {} of {requests} totals exceed the client's time, by {most:?} at most",
        capture.flag(),
        excesses.len()
    );
}
