//! HTTP/2 with `--explain`: each request is measured on the task of its own stream, and a slow response on who is slow.

use std::time::{Duration, Instant};

use beyla_tests::alone::alone;
use beyla_tests::explanation::RespondParts;
use beyla_tests::http2::Http2;
use beyla_tests::report::{Report, Request};
use beyla_tests::run::{Build, Capture, LATENCY_LAB, Run};
use beyla_tests::source;
use beyla_tests::system::Taken;

/// More than any response of these tests.
const WIDE: u32 = 1 << 20;

const MS: u64 = 1_000_000;

/// They tell the same, but for the sizes of heads: a header block depends on the digits of what the handler measures.
const WAYS: [Capture; 2] = [Capture::Socket, Capture::Syscalls];

fn lab(workers: &str, capture: Capture) -> Run {
    Run::of(LATENCY_LAB, capture).explain().environment("TOKIO_WORKER_THREADS", workers)
}

fn of_stream(report: &Report, stream: u32) -> &Request {
    report.requests.iter().find(|request| request.stream == Some(u64::from(stream))).expect("such a stream")
}

/// Requests that wait, block and compute, all on one connection at the same time: each has its own parts and places.
#[test]
fn interleaved_streams_are_told_apart() {
    const FILE: &str = "examples/latency_lab/src/handlers.rs";
    const ROUNDS: usize = 3;
    let _alone = alone();
    for capture in WAYS {
        let run = lab("4", capture).start();
        let taken = Taken::from(run.server_pid);
        let mut client = Http2::connect(run.port, WIDE);
        for _ in 0..ROUNDS {
            let streams = client.get(&["/sleep?ms=60", "/block?ms=40", "/spin?ms=30", "/fast"]);
            client.end_of(&streams);
        }
        let taken = taken.so_far();
        drop(client);
        let report = run.stop();
        report.check_opened();
        assert_eq!(report.requests.len(), 4 * ROUNDS);
        report.mostly("/sleep", |parts| parts.waiting, taken);
        report.mostly("/block", |parts| parts.blocked, taken);
        report.mostly("/spin", |parts| parts.running + parts.runnable, taken);
        let line = source::line(FILE, "block", "thread::sleep(");
        for request in &report.requests {
            let handle = request.opened();
            // None of them waits for another task: not for that of its stream.
            assert_eq!(handle.waits, [], "{request:#?}");
            if request.path == "/block" {
                let place = handle.places.first().expect("a place");
                assert!(
                    place.is_sleep_at(Build::Debug, "latency_lab::handlers::block", FILE, line),
                    "not at {FILE}:{line}: {place:#?}"
                );
            } else {
                assert!(handle.parts.blocked < 20 * MS, "it has another's time: {request:#?}");
            }
        }
        assert!(report.has_finding("blocking-call"), "{:#?}", report.findings);
    }
}

/// One worker, and a handler that blocks it: the frames of another stream arrive meanwhile, and wait in the queue.
#[test]
fn a_stream_queues_while_another_blocks_the_only_worker() {
    const BLOCK: Duration = Duration::from_millis(200);
    const ROUNDS: usize = 5;
    let _alone = alone();
    for capture in WAYS {
        let run = lab("1", capture).start();
        let mut client = Http2::connect(run.port, WIDE);
        let mut truth = Vec::new();
        for _ in 0..ROUNDS {
            let block = client.get(&["/block?ms=200"]);
            let begun = Instant::now();
            std::thread::sleep(Duration::from_millis(50));
            let sent = Instant::now();
            let fast = client.get(&["/fast"]);
            let ended = client.end_of(&[block[0], fast[0]]);
            // The blocker ends when it responds; the other is read then, and not before.
            truth.push((fast[0], ended[0] - sent, begun));
        }
        drop(client);
        let report = run.stop();
        report.check_opened();
        let mut off = Vec::new();
        for (stream, waited, _) in truth {
            let request = of_stream(&report, stream);
            let queue = Duration::from_nanos(request.phases.queue.expect("its frame's arrival is known"));
            assert!(queue < BLOCK && queue > BLOCK / 2, "{request:#?}");
            off.push(queue.abs_diff(waited));
            let delay = request.opened().delays.first().unwrap_or_else(|| panic!("delayed by nobody: {request:#?}"));
            assert_eq!(delay.by, "GET /block", "{request:#?}");
        }
        off.sort();
        assert!(off[ROUNDS / 2] < Duration::from_millis(5), "{off:?} from the truth");
    }
}

/// Of what is said of the rounds of a test, all must be right. Where a machine stands still, it may not be known which
/// task handles a stream; that must be rare.
fn all_that_is_known<T: Copy + std::fmt::Debug>(rounds: &[Option<T>], is_right: impl Fn(T) -> bool) {
    let known: Vec<T> = rounds.iter().flatten().copied().collect();
    assert!(known.iter().all(|&one| is_right(one)) && 2 * known.len() > rounds.len(), "{rounds:#?}");
}

/// A stream that the client breaks off leaves the others as they are.
#[test]
fn a_stream_that_is_reset_takes_nothing_from_the_others() {
    const ROUNDS: usize = 5;
    let _alone = alone();
    let run = lab("2", Capture::Auto).start();
    let mut client = Http2::connect(run.port, WIDE);
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let streams = client.get(&["/sleep?ms=5000", "/sleep?ms=80", "/fast"]);
        client.reset(streams[0]);
        client.end_of(&streams[1..]);
        let more = client.get(&["/block?ms=40", "/sleep?ms=40"]);
        client.end_of(&more);
        rounds.push((streams, more));
    }
    drop(client);
    let report = run.stop();
    for (streams, _) in &rounds {
        assert_eq!(of_stream(&report, streams[0]).outcome, "client closed");
    }
    let parts = |stream| of_stream(&report, stream).handle.as_ref().map(|handle| handle.parts);
    let of = |of: fn(&(Vec<u32>, Vec<u32>)) -> u32| rounds.iter().map(|round| parts(of(round))).collect::<Vec<_>>();
    all_that_is_known(&of(|(streams, _)| streams[1]), |parts| parts.waiting >= 79 * MS);
    all_that_is_known(&of(|(_, more)| more[0]), |parts| parts.blocked >= 39 * MS);
    all_that_is_known(&of(|(_, more)| more[1]), |parts| parts.waiting >= 30 * MS && parts.blocked < 20 * MS);
}

fn respond(request: &Request) -> Option<RespondParts> {
    let sum = request.respond.map(|parts| parts.sum());
    assert!(sum.is_none() || sum == request.phases.respond, "{request:#?}");
    request.respond
}

/// Two responses that take as long: one because the application produces it slowly, one because the client reads it so.
#[test]
fn a_slow_response_is_the_applications_or_the_clients() {
    const WINDOW: u32 = 20_000;
    const ROUNDS: usize = 3;
    let _alone = alone();
    for capture in WAYS {
        let run = lab("2", capture).start();
        let mut client = Http2::connect(run.port, WINDOW);
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            let produced = client.get(&["/chunks?n=6&bytes=100&ms=30"]);
            client.end_of(&produced);
            let read = client.get(&["/download?bytes=40000"]);
            client.content_of(read[0], WINDOW as usize);
            std::thread::sleep(Duration::from_millis(150));
            client.grant(read[0], WINDOW);
            client.end_of(&read);
            // What the connection as a whole may send.
            client.grant(0, 3 * WINDOW);
            rounds.push((produced[0], read[0]));
        }
        drop(client);
        let report = run.stop();
        let of = |of: fn(&(u32, u32)) -> u32| {
            rounds.iter().map(|round| respond(of_stream(&report, of(round)))).collect::<Vec<_>>()
        };
        all_that_is_known(&of(|round| round.0), |slow| slow.waiting >= 120 * MS && slow.client < 10 * MS);
        all_that_is_known(&of(|round| round.1), |slow| slow.client >= 149 * MS && slow.waiting < 50 * MS);
        assert!(report.has_finding("slow-reader"), "{:#?}", report.findings);
    }
}

/// The same over HTTP/1, where it is the send buffer that is full.
#[test]
fn a_client_that_leaves_its_socket_unread() {
    const LARGE: usize = 64 << 20;
    let _alone = alone();
    for capture in WAYS {
        let run = lab("2", capture).start();
        let mut client = run.connect();
        client.send(format!("GET /download?bytes={LARGE} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes());
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(client.response().body.len(), LARGE);
        assert_eq!(client.get("/chunks?n=6&bytes=100&ms=30").status, 200);
        drop(client);
        let report = run.stop();
        report.check_opened();
        let opened = |place: usize| respond(&report.requests[place]).expect("the task that reads handles it");
        let [unread, produced] = [0, 1].map(opened);
        assert!(unread.client >= 200 * MS && unread.waiting < 50 * MS, "{unread:#?}");
        assert!(produced.waiting >= 120 * MS && produced.client < 10 * MS, "{produced:#?}");
    }
}
