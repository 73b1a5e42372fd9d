//! Requests that wait for other tasks: on whom, for how long, and what those did meanwhile.

use std::time::{Duration, Instant};

use beyla_tests::alone::alone;
use beyla_tests::explanation::{Parts, Wait};
use beyla_tests::report::Report;
use beyla_tests::run::{Build, Capture, HYPER_SERVER, LATENCY_LAB, Run};
use beyla_tests::system::Taken;

const ROUNDS: usize = 3;
const BUILDS: [Build; 2] = [Build::Debug, Build::Release];

/// Requests, and what is known of them from outside.
struct Played {
    report: Report,
    /// What was taken from the server meanwhile.
    taken: Duration,
    /// How long the client waited for each answer.
    answered_after: Vec<Duration>,
}

/// Sends a request some times; all are opened.
impl Played {
    /// There is no finding. The one exception: a busy machine gave the server no processor for at least as long as the
    /// finding says.
    fn accuses_nobody(&self) {
        for finding in &self.report.findings {
            let by_machine = finding.kind == "runtime-saturated" && Duration::from_nanos(finding.max_ns) <= self.taken;
            assert!(by_machine, "with {:?} taken: {finding:#?}", self.taken);
        }
    }
}

fn play(build: Build, target: &str) -> Played {
    play_on("2", build, target)
}

fn play_on(workers: &str, build: Build, target: &str) -> Played {
    let run =
        Run::of(LATENCY_LAB, Capture::Auto).build(build).explain().environment("TOKIO_WORKER_THREADS", workers).start();
    let taken = Taken::from(run.server_pid);
    let mut client = run.connect();
    let mut answered_after = Vec::new();
    for _ in 0..ROUNDS {
        let sent = Instant::now();
        assert_eq!(client.get(target).status, 200);
        answered_after.push(sent.elapsed());
    }
    let taken = taken.so_far();
    drop(client);
    let report = run.stop();
    report.check_opened();
    assert_eq!(report.requests.len(), ROUNDS);
    Played { report, taken, answered_after }
}

/// The requests did nothing but wait; the longest wait of each, which was all of it, and how long the client waited.
fn waits(played: &Played) -> impl Iterator<Item = (&Wait, Duration)> {
    let Played { report, taken, answered_after } = played;
    report.mostly(&report.requests[0].path, |parts| parts.waiting, *taken);
    report.requests.iter().zip(answered_after).map(|(request, answered_after)| {
        let handle = request.opened();
        let wait = handle.waits.first().unwrap_or_else(|| panic!("on nobody: {handle:#?}"));
        assert!(wait.ns as f64 >= 0.95 * handle.parts.waiting as f64, "{handle:#?}");
        (wait, *answered_after)
    })
}

/// What is waited for took 50 ms in one way. On a busy machine a timer rings late, and others have the CPU or the worker
/// before and after: the client waits for that as well.
fn took_50_ms(wait: &Wait, answered_after: Duration, part: fn(&Parts) -> u64) {
    let (waited, took) = (Duration::from_nanos(wait.ns), Duration::from_nanos(part(&wait.parts)));
    assert!(took >= Duration::from_millis(49), "{wait:#?}");
    assert!(took <= waited && waited <= answered_after, "of {answered_after:?}: {wait:#?}");
}

/// Optimized builds may not tell what a task is.
fn is_named(wait: &Wait, build: Build, name: &str) {
    assert!(wait.on.contains(name) || (build == Build::Release && wait.on == "a task"), "not {name}: {wait:#?}");
}

#[test]
fn a_spawned_task_that_waits() {
    let _alone = alone();
    for build in BUILDS {
        let played = play(build, "/spawn?ms=50");
        for (wait, answered_after) in waits(&played) {
            is_named(wait, build, "latency_lab::handlers::tasks::sleeping");
            took_50_ms(wait, answered_after, |parts| parts.waiting);
        }
        played.accuses_nobody();
    }
}

#[test]
fn a_spawned_task_that_computes() {
    let _alone = alone();
    for build in BUILDS {
        let played = play(build, "/spawn_spin?ms=50");
        for (wait, answered_after) in waits(&played) {
            is_named(wait, build, "latency_lab::handlers::tasks::spinning");
            took_50_ms(wait, answered_after, |parts| parts.running + parts.runnable);
        }
        assert!(!played.report.has_finding("blocking-call"), "{:#?}", played.report.findings);
    }
}

#[test]
fn a_blocking_call_where_it_may_be() {
    let _alone = alone();
    for build in BUILDS {
        let played = play(build, "/spawn_blocking?ms=50");
        for (wait, answered_after) in waits(&played) {
            assert_eq!(wait.on, "blocking pool");
            took_50_ms(wait, answered_after, |parts| parts.blocked);
        }
        played.accuses_nobody();
    }
}

#[test]
fn a_task_that_waits_for_another() {
    let _alone = alone();
    for build in BUILDS {
        let played = play(build, "/nested?ms=50");
        for (wait, answered_after) in waits(&played) {
            is_named(wait, build, "latency_lab::handlers::tasks::blocking");
            took_50_ms(wait, answered_after, |parts| parts.waiting);
            let [inner] = &wait.waits[..] else { panic!("not one wait within: {wait:#?}") };
            assert_eq!(inner.on, "blocking pool");
            took_50_ms(inner, answered_after, |parts| parts.blocked);
        }
        played.accuses_nobody();
    }
}

#[test]
fn a_task_that_answers_by_channel() {
    let _alone = alone();
    for build in BUILDS {
        let played = play(build, "/channel?ms=50");
        for (wait, answered_after) in waits(&played) {
            is_named(wait, build, "latency_lab::actor::work");
            took_50_ms(wait, answered_after, |parts| parts.waiting);
        }
        played.accuses_nobody();
    }
}

#[test]
fn a_call_that_blocks_in_place_holds_up_nobody() {
    let _alone = alone();
    for build in BUILDS {
        let played = play(build, "/in_place?ms=50");
        let Played { report, taken, .. } = &played;
        report.mostly("/in_place", |parts| parts.blocked, *taken);
        played.accuses_nobody();
    }
}

#[test]
fn a_task_that_gives_way_often_is_no_finding() {
    let _alone = alone();
    for build in BUILDS {
        let played = play(build, "/self_wake?n=1000");
        for request in &played.report.requests {
            let handle = request.opened();
            assert!(handle.parts.running > 0 && handle.waits.is_empty(), "{handle:#?}");
            assert!(handle.parts.share(|parts| parts.blocked) < 0.05, "{handle:#?}");
        }
        played.accuses_nobody();
    }
}

/// A request whose task gave way to five tasks that held the only worker for 20 ms each.
fn gave_way(report: &Report, build: Build, task: &str) {
    let path = &report.requests[0].path;
    for request in &report.requests {
        let handle = request.opened();
        let ms = |ns: u64| ns as f64 / 1e6;
        assert!(ms(handle.parts.scheduled) >= 99.9, "{handle:#?}");
        assert!(ms(handle.parts.waiting) < 1.0 && handle.waits.is_empty(), "it waited for nothing: {handle:#?}");
        let [delay] = &handle.delays[..] else { panic!("not one delay: {handle:#?}") };
        assert!(delay.by == task || (build == Build::Release && delay.by == "a task"), "{handle:#?}");
        assert!((99.9..=ms(handle.parts.scheduled)).contains(&ms(delay.ns)), "{handle:#?}");
    }
    let finding = report.the_finding("blocking-call");
    assert_eq!((finding.route.as_deref(), finding.count), (None, 5 * ROUNDS as u64));
    let [delayed] = &finding.delayed[..] else { panic!("not one route: {finding:#?}") };
    assert_eq!((delayed.route.as_str(), delayed.count), (format!("GET {path}").as_str(), ROUNDS as u64));
    assert!(!report.has_finding("runtime-saturated"), "{:#?}", report.findings);
}

#[test]
fn a_task_that_gives_way_is_delayed_by_those_that_come_first() {
    let _alone = alone();
    for build in BUILDS {
        for target in ["/give_way?n=5&ms=20", "/spend?n=5&ms=20"] {
            let played = play_on("1", build, target);
            gave_way(&played.report, build, "latency_lab::handlers::workers::holding");
        }
    }
}

#[test]
fn so_it_is_on_a_runtime_of_one_thread() {
    let _alone = alone();
    let run = Run::of(HYPER_SERVER, Capture::Auto).explain().start();
    let mut client = run.connect();
    for _ in 0..ROUNDS {
        assert_eq!(client.get("/give_way?ms=20").status, 200);
    }
    drop(client);
    let report = run.stop();
    report.check_opened();
    gave_way(&report, Build::Debug, "hyper_server::holding");
}
