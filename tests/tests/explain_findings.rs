//! What is found wrong, whom it held up, and where it is said.

use std::time::Duration;

use beyla_tests::alone::alone;
use beyla_tests::both::both_ways;
use beyla_tests::client::get;
use beyla_tests::held_up::ask_behind_block;
use beyla_tests::run::{Build, Capture, LATENCY_LAB, Run, Running};
use beyla_tests::source;
use beyla_tests::system::Taken;

const HANDLERS: &str = "examples/latency_lab/src/handlers.rs";
const WORKERS: &str = "examples/latency_lab/src/handlers/workers.rs";

fn start(capture: Capture, workers: &str, flags: &[&str]) -> Running {
    Run::of(LATENCY_LAB, capture).explain().flags(flags).environment("TOKIO_WORKER_THREADS", workers).start()
}

#[test]
fn who_holds_up_the_others_is_named() {
    let _alone = alone();
    both_ways(|capture| {
        let run = start(capture, "1", &[]);
        let (mut blocking, mut waiting) = (run.connect(), run.connect());
        // Both connections are accepted and idle.
        blocking.get("/fast");
        waiting.get("/fast");
        let wait = ask_behind_block(&mut blocking, || {
            waiting.send(get("/fast"));
        });
        waiting.response();
        let truth = wait.over();
        drop((blocking, waiting));
        let report = run.stop();
        report.check_opened();

        let fast = report.of_path("/fast").last().unwrap();
        let [delay] = &fast.opened().delays[..] else { panic!("not one delay: {fast:#?}") };
        assert_eq!(delay.by, "GET /block");
        let waited = Duration::from_nanos(delay.ns);
        assert!(truth.contains(&waited), "waited {truth:?}: {fast:#?}");
        assert!(fast.phases.queue.is_some_and(|queue| delay.ns <= queue), "{fast:#?}");

        let finding = report.the_finding("blocking-call");
        assert_eq!(finding.route.as_deref(), Some("GET /block"));
        let [delayed] = &finding.delayed[..] else { panic!("not one route was delayed: {finding:#?}") };
        assert_eq!((delayed.route.as_str(), delayed.count), ("GET /fast", 1));
        assert_eq!((delayed.total_ns, delayed.max_ns), (delay.ns, delay.ns));
        // What was held up is not to blame.
        assert_eq!(report.findings.len(), 1, "{:#?}", report.findings);
        report
    });
}

/// A worker that is held up does not look for new connections either.
#[test]
fn who_holds_up_new_connections_is_named() {
    let _alone = alone();
    both_ways(|capture| {
        let run = start(capture, "1", &[]);
        let mut blocking = run.connect();
        blocking.get("/fast");
        let mut waiting = Vec::new();
        let wait = ask_behind_block(&mut blocking, || {
            waiting.extend((0..4).map(|_| run.connect()));
            for client in &mut waiting {
                client.send(get("/fast"));
            }
        });
        for client in &mut waiting {
            client.response();
        }
        let truth = wait.over();
        drop((blocking, waiting));
        let report = run.stop();
        report.check_opened();
        let finding = report.the_finding("blocking-call");
        let [delayed] = &finding.delayed[..] else { panic!("not one route was delayed: {finding:#?}") };
        assert_eq!((delayed.route.as_str(), delayed.count), ("GET /fast", 4));
        for fast in report.of_path("/fast").skip(1) {
            let [delay] = &fast.opened().delays[..] else { panic!("not one delay: {fast:#?}") };
            assert_eq!(delay.by, "GET /block");
            let waited = Duration::from_nanos(delay.ns);
            assert!(truth.contains(&waited), "waited {truth:?}: {fast:#?}");
        }
        // That they waited to be accepted has the same cause, which is told already.
        assert_eq!(report.findings.len(), 1, "{:#?}", report.findings);
        report
    });
}

#[test]
fn a_poll_that_computes_holds_up_others_as_well() {
    let _alone = alone();
    let run = start(Capture::Auto, "1", &[]);
    let (mut spinning, mut waiting) = (run.connect(), run.connect());
    spinning.get("/fast");
    waiting.get("/fast");
    spinning.send(get("/spin?ms=200"));
    std::thread::sleep(Duration::from_millis(50));
    waiting.get("/fast");
    spinning.response();
    drop((spinning, waiting));
    let report = run.stop();
    report.check_opened();
    let fast = report.of_path("/fast").last().unwrap();
    assert_eq!(fast.opened().delays.first().map(|delay| delay.by.as_str()), Some("GET /spin"), "{fast:#?}");
    let finding = report.the_finding("cpu-bound-poll");
    assert_eq!(finding.route.as_deref(), Some("GET /spin"));
    let delayed: Vec<_> = finding.delayed.iter().map(|delayed| (delayed.route.as_str(), delayed.count)).collect();
    assert_eq!(delayed, [("GET /fast", 1)]);
    assert!(!report.has_finding("blocking-call"), "{:#?}", report.findings);
}

#[test]
fn what_is_shorter_than_the_threshold_is_no_finding() {
    let _alone = alone();
    for (flags, found) in [(&[][..], false), (&["--block-threshold", "2ms"][..], true)] {
        let run = start(Capture::Auto, "2", flags);
        let mut client = run.connect();
        for _ in 0..3 {
            client.get("/block?ms=4");
        }
        drop(client);
        let report = run.stop();
        report.check_opened();
        assert_eq!(report.has_finding("blocking-call"), found, "{:#?}", report.findings);
    }
}

#[test]
fn who_waits_for_a_lock_is_found_with_the_line() {
    const MS: u64 = 100;
    let _alone = alone();
    let run = start(Capture::Auto, "2", &[]);
    let (mut one, mut other, mut holding) = (run.connect(), run.connect(), run.connect());
    let (mut surely, mut perhaps) = (0, 0);
    for _ in 0..5 {
        // Both come while a worker is held up, so that they are found at the same moment and shared out
        // between the two.
        let taken = Taken::from(run.server_pid);
        holding.send(get("/spin?ms=5"));
        one.send(get(&format!("/lock?ms={MS}")));
        other.send(get(&format!("/lock?ms={MS}")));
        let handlers = [one.response().handler_us(), other.response().handler_us()];
        holding.response();
        // By its own clock, the second waited for the first, unless the machine held it up.
        let taken = taken.so_far().as_micros() as u64;
        perhaps += handlers.iter().filter(|us| **us > 1500 * MS).count() as u64;
        surely += handlers.iter().filter(|us| **us > 1500 * MS + taken).count() as u64;
    }
    drop((one, other, holding));
    let report = run.stop();
    report.check_opened();
    assert!(surely > 0, "no two requests met at the lock");

    let line = source::line(WORKERS, "lock", ".lock()");
    let finding = report.the_finding("lock-contention");
    assert_eq!(finding.route.as_deref(), Some("GET /lock"));
    assert!((surely..=perhaps).contains(&finding.count), "{surely} to {perhaps}: {finding:#?}");
    assert_eq!(finding.of, 10);
    let place = finding.place.as_ref().expect("a place");
    assert_eq!(place.cause, "lock");
    assert!(
        place.is_at(Build::Debug, "latency_lab::handlers::workers::lock", WORKERS, line),
        "not at {WORKERS}:{line}: {place:#?}"
    );
    let waiting = report.of_path("/lock").filter(|request| {
        request.opened().places.iter().any(|place| place.cause == "lock" && place.ns > MS * 1_000_000 / 2)
    });
    assert!((surely..=perhaps).contains(&(waiting.count() as u64)), "{surely} to {perhaps}: {report:#?}");

    // And the first sleeps with the lock in its hands, which is another matter.
    let line = source::line(WORKERS, "lock", "thread::sleep(");
    let place = report.the_finding("blocking-call").place.as_ref().expect("a place");
    assert!(place.is_sleep_at(Build::Debug, "latency_lab::handlers::workers::lock", WORKERS, line), "{place:#?}");
}

#[test]
fn the_terminal_names_the_line_before_the_tables() {
    let _alone = alone();
    let run = start(Capture::Auto, "2", &[]);
    run.connect().get("/block?ms=50");
    let finished = run.let_go();
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    let place = format!("{HANDLERS}:{}", source::line(HANDLERS, "block", "thread::sleep("));
    let find = |text: &str| finished.stderr.find(text).unwrap_or_else(|| panic!("no '{text}':\n{}", finished.stderr));
    assert!(find(&place) < find("Routes, the most time first"), "{}", finished.stderr);
    let said: Vec<&str> = finished.stderr.lines().take_while(|line| !line.starts_with("Routes")).collect();
    assert!(said.iter().any(|line| line.contains("GET /block")), "{}", finished.stderr);
}
