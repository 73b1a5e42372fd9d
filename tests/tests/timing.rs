//! The phases against the truth that `latency_lab` and the client know.

use std::time::{Duration, Instant};

use beyla_tests::alone::alone;
use beyla_tests::both::both_ways;
use beyla_tests::client::{get, post};
use beyla_tests::held_up::ask_behind_block;
use beyla_tests::report::Request;
use beyla_tests::run::{Capture, LATENCY_LAB, Run, Running};

fn start(capture: Capture, workers: &str) -> Running {
    Run::of(LATENCY_LAB, capture).environment("TOKIO_WORKER_THREADS", workers).start()
}

fn millis(ns: Option<u64>) -> f64 {
    ns.expect("a phase that is known") as f64 / 1e6
}

fn handle_is_that_of_the_handler(way: &str) {
    let _alone = alone();
    both_ways(|capture| {
        let run = start(capture, "2");
        let mut client = run.connect();
        let mut handlers = Vec::new();
        for ms in [1, 2, 5, 10, 20, 50, 100, 200] {
            for _ in 0..3 {
                let start = Instant::now();
                let response = client.get(&format!("{way}?ms={ms}"));
                handlers.push((Duration::from_micros(response.handler_us()), start.elapsed()));
            }
        }
        drop(client);
        let report = run.stop();
        assert_eq!(report.requests.len(), handlers.len());
        let mut excesses = Vec::new();
        for ((handler, exchange), request) in handlers.iter().zip(&report.requests) {
            let handle = Duration::from_nanos(request.phases.handle_ns());
            let excess = handle.checked_sub(*handler);
            excesses.push(excess.unwrap_or_else(|| panic!("the handler itself took {handler:?}: {request:#?}")));
            assert!(handle < *exchange, "the client waited {exchange:?}: {request:#?}");
        }
        excesses.sort();
        let median = excesses[excesses.len() / 2];
        assert!(median < Duration::from_millis(1), "{excesses:?}");
        report
    });
}

#[test]
fn handle_of_a_handler_that_sleeps() {
    handle_is_that_of_the_handler("/sleep");
}

#[test]
fn handle_of_a_handler_that_blocks() {
    handle_is_that_of_the_handler("/block");
}

#[test]
fn handle_of_a_handler_that_spins() {
    handle_is_that_of_the_handler("/spin");
}

/// How often a test measures whose client and server may each lose their processor for some milliseconds.
const ROUNDS: usize = 5;

/// The median is below 5 ms.
fn is_small(mut differences: Vec<f64>, of: &[&Request]) {
    differences.sort_by(f64::total_cmp);
    assert!(differences[differences.len() / 2] < 5.0, "{differences:?}: {of:#?}");
}

#[test]
fn a_blocked_worker_shows_as_queue_of_the_others() {
    let _alone = alone();
    both_ways(|capture| {
        let run = start(capture, "1");
        let (mut blocking, mut waiting) = (run.connect(), run.connect());
        // Both connections are accepted and idle.
        blocking.get("/fast");
        waiting.get("/fast");
        let mut truths = Vec::new();
        for _ in 0..ROUNDS {
            let wait = ask_behind_block(&mut blocking, || {
                waiting.send(get("/fast"));
            });
            waiting.response();
            truths.push(wait.over());
        }
        drop((blocking, waiting));

        let report = run.stop();
        let fast: Vec<&Request> = report.of_path("/fast").skip(2).collect();
        assert_eq!(fast.len(), ROUNDS);
        let mut differences = Vec::new();
        for (fast, truth) in fast.iter().zip(truths) {
            let queue = Duration::from_nanos(fast.phases.queue.expect("a queue"));
            assert!(truth.contains(&queue), "waited {truth:?}: {fast:#?}");
            differences.push(truth.end().saturating_sub(queue).as_secs_f64() * 1e3);
        }
        is_small(differences, &fast);
        is_small(fast.iter().map(|request| millis(request.phases.handle)).collect(), &fast);
        report
    });
}

#[test]
fn a_slow_upload_shows_as_receive() {
    let _alone = alone();
    both_ways(|capture| {
        let run = start(capture, "2");
        let mut client = run.connect();
        client.get("/fast");
        let body = vec![b'x'; 50_000];
        let request = post("/echo", &body);
        let (first, second) = request.split_at(20_000);
        let mut truths = Vec::new();
        for _ in 0..ROUNDS {
            client.send(first);
            let pause = Instant::now();
            std::thread::sleep(Duration::from_millis(100));
            let pause = pause.elapsed().as_secs_f64() * 1e3;
            let response = client.send(second).response();
            assert_eq!(response.body, body);
            truths.push((pause, response.handler_us() as f64 / 1e3));
        }
        drop(client);
        let report = run.stop();
        let echoes: Vec<&Request> = report.of_path("/echo").collect();
        assert_eq!(echoes.len(), ROUNDS);
        let measured = echoes.iter().zip(&truths);
        let paused = |(echo, (pause, _)): (&&Request, &(f64, f64))| (millis(echo.phases.receive) - pause).abs();
        let handled = |(echo, (_, handler)): (&&Request, &(f64, f64))| millis(echo.phases.handle) - handler;
        is_small(measured.clone().map(paused).collect(), &echoes);
        is_small(measured.map(handled).collect(), &echoes);
        report
    });
}

#[test]
fn a_slow_body_shows_as_respond() {
    let _alone = alone();
    both_ways(|capture| {
        let run = start(capture, "2");
        let mut client = run.connect();
        let start = Instant::now();
        assert_eq!(client.get("/chunks?n=3&bytes=1000&ms=50").body.len(), 3000);
        let exchange = start.elapsed().as_secs_f64() * 1e3;
        drop(client);
        let report = run.stop();
        let [chunks] = &report.requests[..] else { panic!("{:#?}", report.requests) };
        let respond = millis(chunks.phases.respond);
        assert!((100.0..exchange).contains(&respond), "the whole took {exchange} ms: {chunks:#?}");
        assert_eq!(chunks.response_bytes.and_then(|bytes| bytes.body), Some(3000));
        report
    });
}

#[test]
fn a_client_that_reads_late_shows_as_respond() {
    let _alone = alone();
    both_ways(|capture| {
        let run = start(capture, "2");
        let mut client = run.connect();
        // Far more than the buffers of both sockets hold.
        client.send(get("/download?bytes=50000000"));
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(client.response().body.len(), 50_000_000);
        drop(client);
        let report = run.stop();
        let [download] = &report.requests[..] else { panic!("{:#?}", report.requests) };
        assert!(millis(download.phases.respond) > 90.0, "{download:#?}");
        assert_eq!(download.response_bytes.and_then(|bytes| bytes.body), Some(50_000_000));
        report
    });
}
