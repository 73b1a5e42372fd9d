//! What `handle` consisted of, against the truth that `latency_lab` and the scheduler know.

use std::collections::BTreeMap;
use std::time::Duration;

use beyla_tests::alone::alone;
use beyla_tests::both::both_ways;
use beyla_tests::busy::Busy;
use beyla_tests::report::Report;
use beyla_tests::run::{Build, Capture, LATENCY_LAB, Run};
use beyla_tests::source;
use beyla_tests::system::{Taken, waited_for_cpu};

const ROUNDS: usize = 5;

/// Plays handlers that compute, wait and block, 50 ms each.
fn parts_are_those_of_the_handler(workers: &str, build: Build) {
    let _alone = alone();
    both_ways(|capture| {
        let run =
            Run::of(LATENCY_LAB, capture).build(build).explain().environment("TOKIO_WORKER_THREADS", workers).start();
        let mut client = run.connect();
        let in_all = Taken::from(run.server_pid);
        let mut handlers = Vec::new();
        for _ in 0..ROUNDS {
            for path in ["/spin", "/sleep", "/block"] {
                let taken = Taken::from(run.server_pid);
                let handler = client.get(&format!("{path}?ms=50")).handler_us() as f64 / 1e3;
                handlers.push((handler, taken.so_far().as_secs_f64() * 1e3));
            }
        }
        let taken = in_all.so_far();
        drop(client);
        let report = run.stop();
        report.check_opened();
        assert_eq!(report.requests.len(), handlers.len());
        let mut beyond: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for (request, (handler, taken)) in report.requests.iter().zip(handlers) {
            let parts = request.opened().parts;
            let took = match request.path.as_str() {
                "/spin" => parts.running,
                "/sleep" => parts.waiting,
                _ => parts.blocked,
            };
            let (took, left) = (took as f64 / 1e6, parts.left() as f64 / 1e6);
            // A busy machine takes the CPU away, or gives it late: by as much as the kernel has counted, and no more.
            let took_what = || format!("the handler took {handler} ms, the machine {taken} ms: {request:#?}");
            assert!(left <= taken * 1.02 + 1.0, "{left} ms left to others; {}", took_what());
            assert!(took >= handler - taken - 2.5, "{}", took_what());
            // A timer counts from the moment at which the handler sets it, before its poll has ended, or its thread has
            // left the CPU. Nothing else can make a sleep shorter.
            let meanwhile = (parts.running + parts.runnable) as f64 / 1e6;
            assert!(request.path == "/spin" || took + meanwhile >= 49.9, "{}", took_what());
            beyond.entry(&request.path).or_default().push(took - handler);
        }
        for (path, mut beyond) in beyond {
            beyond.sort_by(f64::total_cmp);
            // Where the machine is a guest, it may stand still just before or after the handler's own clock runs, and
            // nobody counts that.
            assert!(beyond[ROUNDS / 2] < 2.5, "{path}: {beyond:?} ms more than the handler took");
        }
        spin_runs(&report, taken);
        sleep_waits(&report, taken);
        block_blocks(&report, build, taken);
        report
    });
}

fn spin_runs(report: &Report, taken: Duration) {
    report.mostly("/spin", |parts| parts.running, taken);
    // It spins by the clock: of one that others took the CPU from for nearly all of that, the poll did not compute for
    // long. A poll ran a little longer than what it handled.
    let ran =
        |ms: u64| report.of_path("/spin").filter(|request| request.opened().parts.running >= ms * 1_000_000).count();
    if ran(10) == 0 {
        return;
    }
    let finding = report.the_finding("cpu-bound-poll");
    assert_eq!((finding.route.as_deref(), finding.of), (Some("GET /spin"), ROUNDS as u64));
    assert!((ran(10) as u64..=ran(8) as u64).contains(&finding.count), "{finding:#?}");
}

fn sleep_waits(report: &Report, taken: Duration) {
    report.mostly("/sleep", |parts| parts.waiting, taken);
    for request in report.of_path("/sleep") {
        let handle = request.opened();
        // It waits for a timer, which is no task, and stands nowhere meanwhile.
        assert!(handle.waits.is_empty() && handle.delays.is_empty(), "{handle:#?}");
        assert!(handle.places.iter().all(|place| place.ns < 1_000_000), "{handle:#?}");
    }
}

fn block_blocks(report: &Report, build: Build, taken: Duration) {
    let file = "examples/latency_lab/src/handlers.rs";
    let line = source::line(file, "block", "thread::sleep(");
    report.mostly("/block", |parts| parts.blocked, taken);
    for request in report.of_path("/block") {
        let handle = request.opened();
        let place = handle.places.first().expect("a place");
        assert!(
            place.is_sleep_at(build, "latency_lab::handlers::block", file, line),
            "not at {file}:{line}: {place:#?}"
        );
        assert!(place.ns as f64 >= 0.95 * handle.parts.blocked as f64, "{handle:#?}");
        assert_eq!(place.count, 1);
    }
    let finding = report.the_finding("blocking-call");
    assert_eq!(finding.route.as_deref(), Some("GET /block"));
    assert_eq!((finding.count, finding.of), (ROUNDS as u64, ROUNDS as u64));
    let place = finding.place.as_ref().expect("a place");
    assert!(place.is_sleep_at(build, "latency_lab::handlers::block", file, line), "not at {file}:{line}: {place:#?}");
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
