//! What `handle` consisted of, against the truth that `latency_lab` and the scheduler know.

use std::collections::BTreeMap;

use beyla_tests::alone::alone;
use beyla_tests::both::both_ways;
use beyla_tests::busy::Busy;
use beyla_tests::explanation::Parts;
use beyla_tests::report::Report;
use beyla_tests::run::{Build, Capture, LATENCY_LAB, Run};
use beyla_tests::source;
use beyla_tests::system::waited_for_cpu;

const ROUNDS: usize = 5;

/// Plays handlers that compute, wait and block, 50 ms each.
fn parts_are_those_of_the_handler(workers: &str, build: Build) {
    let _alone = alone();
    both_ways(|capture| {
        let run =
            Run::of(LATENCY_LAB, capture).build(build).explain().environment("TOKIO_WORKER_THREADS", workers).start();
        let mut client = run.connect();
        let mut handlers = Vec::new();
        for _ in 0..ROUNDS {
            for path in ["/spin", "/sleep", "/block"] {
                handlers.push(client.get(&format!("{path}?ms=50")).handler_us() as f64 / 1e3);
            }
        }
        drop(client);
        let report = run.stop();
        report.check_opened();
        assert_eq!(report.requests.len(), handlers.len());
        let mut beyond: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for (request, handler) in report.requests.iter().zip(handlers) {
            let Parts { running, runnable, blocked, scheduled, waiting } = request.opened().parts;
            // On a busy machine a handler is taken off the CPU now and then, or gets it late; where it shares a machine, it
            // may stand still on it.
            let (took, delayed) = match request.path.as_str() {
                "/spin" => (running, runnable),
                "/sleep" => (waiting, scheduled + runnable + running),
                _ => (blocked, runnable + running),
            };
            let (took, delayed) = (took as f64 / 1e6, delayed as f64 / 1e6);
            // What delays it just before or after the handler's own clock runs is no part of what that says.
            let more = took - handler;
            assert!((-2.5 - delayed..10.0).contains(&more), "the handler took {handler} ms: {request:#?}");
            assert!(request.path == "/spin" || took >= 49.9, "{request:#?}");
            beyond.entry(&request.path).or_default().push(more);
        }
        for (path, mut beyond) in beyond {
            beyond.sort_by(f64::total_cmp);
            assert!(beyond[ROUNDS / 2] < 2.5, "{path}: {beyond:?} ms more than the handler took");
        }
        spin_runs(&report);
        sleep_waits(&report);
        block_blocks(&report, build);
        report
    });
}

fn spin_runs(report: &Report) {
    report.mostly("/spin", |parts| parts.running);
    let finding = report.the_finding("cpu-bound-poll");
    assert_eq!(finding.route.as_deref(), Some("GET /spin"));
    assert_eq!((finding.count, finding.of), (ROUNDS as u64, ROUNDS as u64));
}

fn sleep_waits(report: &Report) {
    report.mostly("/sleep", |parts| parts.waiting);
    for request in report.of_path("/sleep") {
        let handle = request.opened();
        // It waits for a timer, which is no task, and stands nowhere meanwhile.
        assert!(handle.waits.is_empty() && handle.delays.is_empty(), "{handle:#?}");
        assert!(handle.places.iter().all(|place| place.ns < 1_000_000), "{handle:#?}");
    }
}

fn block_blocks(report: &Report, build: Build) {
    let file = "examples/latency_lab/src/handlers.rs";
    let line = source::line(file, "block", "thread::sleep(");
    report.mostly("/block", |parts| parts.blocked);
    for request in report.of_path("/block") {
        let handle = request.opened();
        let place = handle.places.first().expect("a place");
        assert!(place.is_sleep_at("latency_lab::handlers::block", file, line), "not at {file}:{line}: {place:#?}");
        assert!(place.ns as f64 >= 0.95 * handle.parts.blocked as f64, "{handle:#?}");
        assert_eq!(place.count, 1);
        assert!(build == Build::Release || place.function.is_some(), "{place:#?}");
    }
    let finding = report.the_finding("blocking-call");
    assert_eq!(finding.route.as_deref(), Some("GET /block"));
    assert_eq!((finding.count, finding.of), (ROUNDS as u64, ROUNDS as u64));
    let place = finding.place.as_ref().expect("a place");
    assert!(place.is_sleep_at("latency_lab::handlers::block", file, line), "not at {file}:{line}: {place:#?}");
    let blocked = || report.of_path("/block").map(|request| request.opened().parts.blocked);
    let near = |ns: u64, truth: u64| (ns as f64 - truth as f64).abs() < 0.02 * truth as f64;
    assert!(near(finding.total_ns, blocked().sum()), "{finding:#?}");
    assert!(near(finding.max_ns, blocked().max().unwrap_or(0)), "{finding:#?}");
}

#[test]
fn one_worker() {
    parts_are_those_of_the_handler("1", Build::Debug);
}

#[test]
fn two_workers() {
    parts_are_those_of_the_handler("2", Build::Debug);
}

#[test]
fn one_worker_in_release() {
    parts_are_those_of_the_handler("1", Build::Release);
}

#[test]
fn two_workers_in_release() {
    parts_are_those_of_the_handler("2", Build::Release);
}

#[test]
fn what_competes_for_the_cpus_shows_as_runnable() {
    let _alone = alone();
    let run = Run::of(LATENCY_LAB, Capture::Auto).explain().environment("TOKIO_WORKER_THREADS", "1").start();
    let mut client = run.connect();
    client.get("/fast");
    let busy = Busy::on_each_cpu(2);
    let before = waited_for_cpu(run.server_pid);
    for _ in 0..ROUNDS {
        client.get("/spin?ms=200");
    }
    let waited = waited_for_cpu(run.server_pid).checked_sub(before).expect("the server has as many threads as before");
    drop((busy, client));
    let report = run.stop();
    report.check_opened();
    let runnable: u64 = report.of_path("/spin").map(|request| request.opened().parts.runnable).sum();
    let (runnable, truth) = (runnable as f64 / 1e6, waited.as_secs_f64() * 1e3);
    // Three want each CPU.
    assert!(truth > 0.3 * 200.0 * ROUNDS as f64, "the server waited for {truth} ms only");
    assert!((runnable - truth).abs() < 0.1 * truth, "runnable {runnable} ms, by the scheduler {truth} ms");
    assert!(report.has_finding("cpu-saturated"), "{:#?}", report.findings);
    assert!(!report.has_finding("blocking-call"), "{:#?}", report.findings);
}
