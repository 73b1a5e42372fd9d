//! `--explain=auto`: every request is opened by what the scheduler and the sampler see, and by probes as long as these
//! cost little.

use std::time::{Duration, Instant};

use beyla_tests::alone::alone;
use beyla_tests::both::both_ways;
use beyla_tests::client::get;
use beyla_tests::explanation::{Finding, Unit};
use beyla_tests::held_up::ask_behind_block;
use beyla_tests::http2::Http2;
use beyla_tests::load;
use beyla_tests::report::Report;
use beyla_tests::run::{ACTIX_LAB, Build, Capture, LATENCY_LAB, Run, THREADS_SERVER};
use beyla_tests::source;
use beyla_tests::system::Taken;

const ROUNDS: usize = 5;
const LAB_HANDLERS: &str = "examples/latency_lab/src/handlers.rs";
/// Polls have no probe.
const NO_PROBES: [&str; 3] = ["--explain=auto", "--overhead-budget", "0"];

/// Plays the handlers that all servers have; what was taken from the server meanwhile.
fn play(run: Run) -> (Report, Duration) {
    let run = run.environment("TOKIO_WORKER_THREADS", "2").start();
    let taken = Taken::from(run.server_pid);
    // Where the place of a task's id is found out by itself, it takes a few connections.
    let mut client = run.connect();
    for _ in 0..ROUNDS {
        for target in ["/fast", "/spin?ms=50", "/sleep?ms=50", "/block?ms=50"] {
            assert_eq!(client.get(target).status, 200);
        }
    }
    let taken = taken.so_far();
    drop(client);
    let report = run.stop();
    report.check();
    assert_eq!(report.requests.len(), 4 * ROUNDS);
    (report, taken)
}

/// What no probe is needed for.
fn is_seen((report, taken): &(Report, Duration), server: &str, file: &str, build: Build) {
    let explain = report.explain.as_ref().expect("a run that opens requests");
    assert_eq!((&explain.unseen, explain.requests_not_opened), (&None, 0));
    assert_eq!(explain.requests_of_tier_1, report.requests.len() as u64);
    for request in &report.requests {
        let handle = request.opened();
        assert_eq!((handle.tier, handle.unit), (1, Unit::Task), "{request:#?}");
        assert_eq!(handle.parts.scheduled, 0, "{request:#?}");
        assert_eq!((&handle.waits[..], &handle.delays[..]), (&[][..], &[][..]), "{request:#?}");
    }
    report.mostly("/block", |parts| parts.blocked, *taken);
    report.mostly("/sleep", |parts| parts.waiting, *taken);
    let mut ran: Vec<f64> = report
        .of_path("/spin")
        .map(|request| (request.opened().parts.running + request.opened().parts.runnable) as f64 / 50e6)
        .collect();
    ran.sort_by(f64::total_cmp);
    assert!(ran[0] <= 1.0 + taken.as_secs_f64() / 0.05 && ran[ROUNDS / 2] >= 0.9, "{ran:?} of each /spin");

    let line = source::line(file, "block", "thread::sleep(");
    // Macros put handlers in modules of their own.
    let place = report.of_path("/block").next().and_then(|request| request.opened().places.first()).expect("a place");
    let function = place.function.clone().expect("a function");
    assert!(function.contains(server) && function.ends_with("::block"), "{place:#?}");
    for request in report.of_path("/block") {
        let place = request.opened().places.first().expect("a place");
        assert!(place.is_sleep_at(build, &function, file, line), "not at {file}:{line}: {place:#?}");
    }
    let finding = report.the_finding("blocking-call");
    assert_eq!((finding.route.as_deref(), finding.count), (Some("GET /block"), ROUNDS as u64));
    let place = finding.place.as_ref().expect("a place");
    assert!(place.is_sleep_at(build, &function, file, line), "not at {file}:{line}: {place:#?}");
    let finding = report.the_finding("cpu-bound-poll");
    assert_eq!(finding.route.as_deref(), Some("GET /spin"));
    // What the machine takes away is no fault of these handlers.
    let others = report.findings.iter().filter(|finding| finding.kind != "cpu-saturated");
    assert_eq!(others.count(), 2, "{:#?}", report.findings);
}

#[test]
fn without_probes_it_is_seen_what_blocks_and_what_computes() {
    let _alone = alone();
    for &capture in Capture::ways() {
        let run = Run::of(LATENCY_LAB, capture).flags(NO_PROBES);
        is_seen(&play(run), "latency_lab", LAB_HANDLERS, Build::Debug);
    }
}

#[test]
fn also_on_a_runtime_of_one_thread() {
    let _alone = alone();
    let run = Run::of(ACTIX_LAB, Capture::Auto).flags(NO_PROBES);
    is_seen(&play(run), "actix_lab", "examples/actix_lab/src/main.rs", Build::Debug);
}

/// There probes cannot tell tasks apart.
#[test]
fn also_in_a_binary_of_fat_lto() {
    let _alone = alone();
    let run = Run::of(LATENCY_LAB, Capture::Auto).release_with("lto", "fat").flags(["--explain=auto"]);
    let run = run.environment("TOKIO_WORKER_THREADS", "2").start();
    // Without debug information the place of a task's id is found out from the first connections.
    for _ in 0..20 {
        run.connect().get("/fast");
    }
    let taken = Taken::from(run.server_pid);
    let mut client = run.connect();
    for _ in 0..ROUNDS {
        client.get("/block?ms=50");
    }
    let taken = taken.so_far();
    drop(client);
    let report = run.stop();
    report.check();
    report.mostly("/block", |parts| parts.blocked, taken);
    assert!(report.of_path("/block").all(|request| (request.opened().tier, request.opened().unit) == (1, Unit::Task)));
    let finding = report.the_finding("blocking-call");
    assert!((1..=ROUNDS as u64).contains(&finding.count), "{report:#?}");
}

#[test]
fn what_is_held_up_is_named_without_probes() {
    let _alone = alone();
    both_ways(|capture| {
        let run = Run::of(LATENCY_LAB, capture).flags(NO_PROBES).environment("TOKIO_WORKER_THREADS", "1").start();
        let (mut blocking, mut waiting) = (run.connect(), run.connect());
        blocking.get("/fast");
        waiting.get("/fast");
        let wait = ask_behind_block(&mut blocking, || {
            waiting.send(get("/fast"));
        });
        waiting.response();
        let truth = wait.over();
        drop((blocking, waiting));
        let report = run.stop();
        let fast = report.of_path("/fast").last().unwrap();
        let [delay] = &fast.opened().delays[..] else { panic!("not one delay: {fast:#?}") };
        assert_eq!(delay.by, "GET /block");
        assert!(truth.contains(&Duration::from_nanos(delay.ns)), "waited {truth:?}: {fast:#?}");
        let finding = report.the_finding("blocking-call");
        let [delayed] = &finding.delayed[..] else { panic!("not one route was delayed: {finding:#?}") };
        assert_eq!((delayed.route.as_str(), delayed.count), ("GET /fast", 1));
        report
    });
}

#[test]
fn a_server_of_threads_is_seen_as_with_probes() {
    let _alone = alone();
    let (report, taken) = play(Run::of(THREADS_SERVER, Capture::Auto).flags(["--explain=auto"]));
    report.check_opened_as_threads();
    report.mostly("/spin", |parts| parts.running, taken);
    report.mostly("/block", |parts| parts.blocked, taken);
}

/// Each stream of HTTP/2 is a task of its own.
#[test]
fn streams_are_told_apart_without_probes() {
    let _alone = alone();
    let run = Run::of(LATENCY_LAB, Capture::Auto).flags(NO_PROBES).environment("TOKIO_WORKER_THREADS", "4").start();
    let mut client = Http2::connect(run.port, 1 << 20);
    for _ in 0..ROUNDS {
        let streams = client.get(&["/sleep?ms=60", "/block?ms=40"]);
        client.end_of(&streams);
    }
    drop(client);
    let report = run.stop();
    report.check();
    assert_eq!(report.explain.as_ref().map(|explain| explain.requests_not_opened), Some(0));
    for request in &report.requests {
        let parts = request.opened().parts;
        // The kernel's timers may be early by a tick of the clock that handlers do not see.
        let is_right = if request.path == "/block" {
            parts.blocked >= 39_900_000
        } else {
            parts.waiting >= 59_000_000 && parts.blocked < 20_000_000
        };
        assert!(is_right, "{request:#?}");
    }
}

/// With one request at a time, probes cost next to nothing, and no request is without them.
#[test]
fn one_request_at_a_time_is_always_known_exactly() {
    let _alone = alone();
    let (report, taken) = play(Run::of(LATENCY_LAB, Capture::Auto).flags(["--explain=auto"]));
    report.check_opened();
    assert!(report.requests.iter().all(|request| request.opened().tier == 2));
    report.mostly("/spin", |parts| parts.running, taken);
    report.mostly("/sleep", |parts| parts.waiting, taken);
    report.mostly("/block", |parts| parts.blocked, taken);
}

/// Under load windows open and close: all requests are opened, some by probes, and nothing is found where nothing is wrong.
#[test]
fn under_load_windows_open_and_close_and_invent_nothing() {
    const CONNECTIONS: usize = 8;
    const EACH: usize = 50;
    let _alone = alone();
    let flags = ["--explain=auto", "--overhead-budget", "0.5", "--max-requests", "200000"];
    let run = Run::of(LATENCY_LAB, Capture::Auto).build(Build::Release).flags(flags).start();
    let begun = Instant::now();
    let mut sent = 0;
    while begun.elapsed() < Duration::from_secs(6) {
        load::keep_alive(run.port, CONNECTIONS, EACH, "/fast");
        sent += CONNECTIONS * EACH;
        // The tool is a debug build, and has to keep up.
        std::thread::sleep(Duration::from_millis(20));
    }
    let report = run.stop();
    report.check();
    assert_eq!(report.totals.requests, sent as u64);
    let explain = report.explain.as_ref().expect("a run that opens requests");
    assert_eq!(explain.requests_not_opened, 0);
    let probed = sent as u64 - explain.requests_of_tier_1;
    assert!(probed >= sent as u64 / 100 && explain.requests_of_tier_1 > 0, "{probed} of {sent} were probed");
    // The machine may be busy, and then it takes CPUs away and lets new connections wait.
    let of_machine = ["cpu-saturated", "accept-wait"];
    let others = report.findings.iter().filter(|finding| !of_machine.contains(&finding.kind.as_str()));
    assert_eq!(others.collect::<Vec<_>>(), Vec::<&Finding>::new());
}
