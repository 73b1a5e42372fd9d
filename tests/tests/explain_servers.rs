//! Servers of other kinds, and builds of which less can be seen: what is told is true, and what cannot be
//! told is said.

use std::time::{Duration, Instant};

use beyla_tests::alone::alone;
use beyla_tests::client::get;
use beyla_tests::report::Report;
use beyla_tests::run::{ACTIX_LAB, Build, Capture, HYPER_SERVER, LATENCY_LAB, Run, THREADS_SERVER};
use beyla_tests::source;
use beyla_tests::system::Taken;

const ROUNDS: usize = 3;

/// Plays the handlers that all servers have; what was taken from the server meanwhile.
fn play(run: Run) -> (Report, Duration) {
    let run = run.explain().start();
    let taken = Taken::from(run.server_pid);
    let mut client = run.connect();
    for _ in 0..ROUNDS {
        for target in ["/fast", "/spin?ms=50", "/sleep?ms=50", "/block?ms=50"] {
            assert_eq!(client.get(target).status, 200);
        }
    }
    let taken = taken.so_far();
    drop(client);
    let report = run.stop();
    assert_eq!(report.requests.len(), 4 * ROUNDS);
    (report, taken)
}

/// Of a server that has only threads.
fn threads_block_and_that_is_fine((report, taken): &(Report, Duration)) {
    const FILE: &str = "tests/src/bin/threads_server/handlers.rs";
    report.check_opened_as_threads();
    report.mostly("/spin", |parts| parts.running, *taken);
    report.mostly("/sleep", |parts| parts.blocked, *taken);
    report.mostly("/block", |parts| parts.blocked, *taken);
    let line = source::line(FILE, "block", "thread::sleep(");
    for request in report.of_path("/block") {
        let place = request.opened().places.first().expect("a place");
        assert!(
            place.is_sleep_at(Build::Debug, "threads_server::handlers::block", FILE, line),
            "not at {FILE}:{line}: {place:#?}"
        );
    }
    assert!(!report.has_finding("blocking-call"), "{:#?}", report.findings);
}

#[test]
fn a_thread_for_each_connection() {
    let _alone = alone();
    threads_block_and_that_is_fine(&play(Run::of(THREADS_SERVER, Capture::Auto)));
}

/// Their threads wait in a receive call, which is the first that socket tracepoints tell of a connection.
#[test]
fn clients_that_are_slow_to_send_accuse_no_accept() {
    const IDLE: Duration = Duration::from_millis(300);
    let _alone = alone();
    let run = Run::of(THREADS_SERVER, Capture::Auto).explain().start();
    for _ in 0..4 {
        let mut client = run.connect();
        std::thread::sleep(IDLE);
        client.get("/fast");
    }
    let report = run.stop();
    assert_eq!(report.requests.len(), 4);
    for request in &report.requests {
        let wait = request.accept_wait_ns.map(Duration::from_nanos);
        assert!(wait.is_none_or(|wait| wait < IDLE / 3), "the client's own time: {request:#?}");
    }
    assert!(!report.has_finding("accept-wait"), "{:#?}", report.findings);
}

#[test]
fn a_pool_of_threads() {
    let _alone = alone();
    threads_block_and_that_is_fine(&play(Run::of(THREADS_SERVER, Capture::Auto).arguments(["--pool", "2"])));
}

#[test]
fn a_pool_without_a_free_thread_shows_as_queue() {
    let _alone = alone();
    let run = Run::of(THREADS_SERVER, Capture::Auto).explain().arguments(["--pool", "2"]).start();
    let (mut one, mut other, mut late) = (run.connect(), run.connect(), run.connect());
    // Each has a thread now, as long as its connection lasts.
    one.get("/fast");
    other.get("/fast");
    let sent = Instant::now();
    late.send(get("/fast"));
    let there = Instant::now();
    std::thread::sleep(Duration::from_millis(100));
    let least = there.elapsed();
    drop(one);
    late.response();
    let most = sent.elapsed();
    drop((other, late));
    let report = run.stop();
    report.check_opened_as_threads();
    let queue = report.requests.last().and_then(|request| request.phases.queue).map(Duration::from_nanos);
    assert!(queue.is_some_and(|queue| (least..=most).contains(&queue)), "{queue:?}, not {least:?} to {most:?}");
    assert!(!report.has_finding("blocking-call"), "{:#?}", report.findings);
}

/// Of a server whose connections are tasks of tokio.
fn tasks_are_seen((report, taken): &(Report, Duration), function: &str, file: &str) {
    report.check_opened();
    report.mostly("/spin", |parts| parts.running, *taken);
    report.mostly("/sleep", |parts| parts.waiting, *taken);
    report.mostly("/block", |parts| parts.blocked, *taken);
    let finding = report.the_finding("blocking-call");
    assert_eq!(finding.route.as_deref(), Some("GET /block"));
    assert_eq!((finding.count, finding.of), (ROUNDS as u64, ROUNDS as u64));
    let line = source::line(file, "block", "thread::sleep(");
    let place = finding.place.as_ref().expect("a place");
    assert!(place.is_sleep_at(Build::Debug, function, file, line), "not at {file}:{line}: {place:#?}");
}

#[test]
fn hyper_on_a_runtime_of_one_thread() {
    let _alone = alone();
    let played = play(Run::of(HYPER_SERVER, Capture::Auto));
    tasks_are_seen(&played, "hyper_server::block", "tests/src/bin/hyper_server.rs");
}

#[test]
fn actix_web() {
    let _alone = alone();
    let played = play(Run::of(ACTIX_LAB, Capture::Auto));
    // Its attribute macro puts the handler into a method of a type of the same name.
    let place = played.0.the_finding("blocking-call").place.as_ref().expect("a place");
    let function = place.function.as_deref().expect("a function");
    assert!(function.contains("actix_lab::") && function.ends_with("::block"), "{place:#?}");
    tasks_are_seen(&played, function, "examples/actix_lab/src/main.rs");
}

/// Of an async server whose tasks cannot be seen: the thread that received a request tells of it as
/// long as the handler stays there.
fn only_threads_are_seen((report, taken): &(Report, Duration)) {
    report.check_opened_as_threads();
    report.mostly("/spin", |parts| parts.running, *taken);
    report.mostly("/block", |parts| parts.blocked, *taken);
    for request in report.of_path("/sleep") {
        let handle = request.opened();
        assert!(handle.parts.share(|parts| parts.running) < 0.05, "{request:#?}");
    }
}

#[test]
fn a_stripped_binary() {
    let _alone = alone();
    only_threads_are_seen(&play(Run::of(LATENCY_LAB, Capture::Auto).release_with("strip", "symbols")));
}

#[test]
fn a_binary_of_fat_lto() {
    let _alone = alone();
    only_threads_are_seen(&play(Run::of(LATENCY_LAB, Capture::Auto).release_with("lto", "fat")));
}
