//! Requests that wait for other tasks: on whom, for how long, and what those did meanwhile.

use beyla_tests::alone::alone;
use beyla_tests::explanation::{Parts, Wait};
use beyla_tests::report::Report;
use beyla_tests::run::{Build, Capture, LATENCY_LAB, Run};

const ROUNDS: usize = 3;
const BUILDS: [Build; 2] = [Build::Debug, Build::Release];

/// Sends a request some times; all are opened.
fn play(build: Build, target: &str) -> Report {
    let run =
        Run::of(LATENCY_LAB, Capture::Auto).build(build).explain().environment("TOKIO_WORKER_THREADS", "2").start();
    let mut client = run.connect();
    for _ in 0..ROUNDS {
        assert_eq!(client.get(target).status, 200);
    }
    drop(client);
    let report = run.stop();
    report.check_opened();
    assert_eq!(report.requests.len(), ROUNDS);
    report
}

/// The requests did nothing but wait; the longest wait of each, which was all of it.
fn waits(report: &Report) -> impl Iterator<Item = &Wait> {
    report.mostly(&report.requests[0].path, |parts| parts.waiting);
    report.requests.iter().map(|request| {
        let handle = request.opened();
        let wait = handle.waits.first().unwrap_or_else(|| panic!("on nobody: {handle:#?}"));
        assert!(wait.ns as f64 >= 0.95 * handle.parts.waiting as f64, "{handle:#?}");
        wait
    })
}

/// What is waited for took 50 ms in one way; others may have had the CPU or the worker before and after.
fn took_50_ms(wait: &Wait, part: fn(&Parts) -> u64) {
    assert!((49.0..55.0).contains(&(part(&wait.parts) as f64 / 1e6)), "{wait:#?}");
}

/// Optimized builds may not tell what a task is.
fn is_named(wait: &Wait, build: Build, name: &str) {
    assert!(wait.on.contains(name) || (build == Build::Release && wait.on == "a task"), "not {name}: {wait:#?}");
}

#[test]
fn a_spawned_task_that_waits() {
    let _alone = alone();
    for build in BUILDS {
        let report = play(build, "/spawn?ms=50");
        for wait in waits(&report) {
            is_named(wait, build, "latency_lab::handlers::tasks::sleeping");
            took_50_ms(wait, |parts| parts.waiting);
        }
        assert_eq!(report.findings, []);
    }
}

#[test]
fn a_spawned_task_that_computes() {
    let _alone = alone();
    for build in BUILDS {
        let report = play(build, "/spawn_spin?ms=50");
        for wait in waits(&report) {
            is_named(wait, build, "latency_lab::handlers::tasks::spinning");
            took_50_ms(wait, |parts| parts.running + parts.runnable);
        }
        assert!(!report.has_finding("blocking-call"), "{:#?}", report.findings);
    }
}

#[test]
fn a_blocking_call_where_it_may_be() {
    let _alone = alone();
    for build in BUILDS {
        let report = play(build, "/spawn_blocking?ms=50");
        for wait in waits(&report) {
            assert_eq!(wait.on, "blocking pool");
            took_50_ms(wait, |parts| parts.blocked);
        }
        assert_eq!(report.findings, []);
    }
}

#[test]
fn a_task_that_waits_for_another() {
    let _alone = alone();
    for build in BUILDS {
        let report = play(build, "/nested?ms=50");
        for wait in waits(&report) {
            is_named(wait, build, "latency_lab::handlers::tasks::blocking");
            took_50_ms(wait, |parts| parts.waiting);
            let [inner] = &wait.waits[..] else { panic!("not one wait within: {wait:#?}") };
            assert_eq!(inner.on, "blocking pool");
            took_50_ms(inner, |parts| parts.blocked);
        }
        assert_eq!(report.findings, []);
    }
}

#[test]
fn a_task_that_answers_by_channel() {
    let _alone = alone();
    for build in BUILDS {
        let report = play(build, "/channel?ms=50");
        for wait in waits(&report) {
            is_named(wait, build, "latency_lab::actor::work");
            took_50_ms(wait, |parts| parts.waiting);
        }
        assert_eq!(report.findings, []);
    }
}

#[test]
fn a_call_that_blocks_in_place_holds_up_nobody() {
    let _alone = alone();
    for build in BUILDS {
        let report = play(build, "/in_place?ms=50");
        report.mostly("/in_place", |parts| parts.blocked);
        assert_eq!(report.findings, []);
    }
}

#[test]
fn a_task_that_gives_way_often_is_no_finding() {
    let _alone = alone();
    for build in BUILDS {
        let report = play(build, "/self_wake?n=1000");
        for request in &report.requests {
            let handle = request.opened();
            assert!(handle.parts.running > 0 && handle.waits.is_empty(), "{handle:#?}");
            assert!(handle.parts.share(|parts| parts.blocked) < 0.05, "{handle:#?}");
        }
        assert_eq!(report.findings, []);
    }
}
