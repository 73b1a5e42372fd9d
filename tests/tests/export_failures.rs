//! Collectors that fail, and what a run is worth then: all but what they did not take, and the truth about that.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use beyla_tests::alone::alone;
use beyla_tests::receiver::{Mode, Receiver};
use beyla_tests::run::{Capture, Finished, LATENCY_LAB, Run, Running};
use beyla_tests::wait::{LONG, poll};

/// What the end of a run may take because of exports, and then as much again for a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the last lines say of the spans.
#[derive(Debug)]
struct Told {
    sent: u64,
    of: u64,
    not_sent: u64,
}

/// As in `sent the spans of 9,488 of 10,000 requests to URL; 512 were not sent: connection refused`.
fn told(finished: &Finished) -> Told {
    let line = finished.stderr.lines().find(|line| line.to_lowercase().contains("sent the spans of "));
    let line = line.unwrap_or_else(|| panic!("not a word of it:\n{}", finished.stderr));
    let mut parts = line.split("; ");
    let number = |word: &str| if word == "none" { Some(0) } else { word.replace(',', "").parse::<u64>().ok() };
    let words: Vec<&str> = parts.next().unwrap_or_default().split_whitespace().collect();
    let numbers: Vec<u64> =
        words.iter().take_while(|word| !word.contains("://")).filter_map(|word| number(word)).collect();
    let (sent, of) = match numbers[..] {
        [all] => (all, all),
        [sent, of] => (sent, of),
        _ => panic!("{line}"),
    };
    let not_sent = parts.filter_map(|part| number(part.split_whitespace().next()?)).sum();
    Told { sent, of, not_sent }
}

/// The requests whose server spans came, each once.
fn came(receiver: &Receiver) -> u64 {
    let spans = receiver.server_spans();
    let ids: BTreeSet<_> = spans.iter().map(|span| &span.span_id).collect();
    assert_eq!(ids.len(), spans.len(), "some came twice");
    ids.len() as u64
}

fn send(run: &Running, requests: u64) {
    let mut client = run.connect();
    for _ in 0..requests {
        client.get("/fast");
    }
}

/// Ends the run: its report is complete, it ends in time, and what it says of its spans adds up.
fn ended(run: Running, requests: u64) -> (Finished, Told) {
    let ending = Instant::now();
    let finished = run.let_go();
    assert!(ending.elapsed() < PATIENCE, "{:?}:\n{}", ending.elapsed(), finished.stderr);
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    let report = finished.report();
    report.check();
    assert_eq!((report.totals.requests, report.requests.len() as u64), (requests, requests));
    assert_eq!(report.totals.lost_events, 0);
    let told = told(&finished);
    assert_eq!((told.of, told.sent + told.not_sent), (requests, requests), "{}", finished.stderr);
    (finished, told)
}

#[test]
fn it_is_killed() {
    let _alone = alone();
    let receiver = Receiver::start();
    let run = Run::of(LATENCY_LAB, Capture::Auto).flags(["--otlp", &receiver.url()]).start();
    send(&run, 1000);
    assert!(poll(LONG, || (came(&receiver) >= 500).then_some(())).is_some(), "nothing comes");
    receiver.kill();
    send(&run, 1000);
    let (finished, told) = ended(run, 2000);
    // The last message may have come, and nobody was there to say so.
    let came = came(&receiver);
    assert!(told.sent <= came && came <= told.sent + 170, "{told:?}, and {came} came");
    assert!((500..=1000).contains(&told.sent), "{told:?}");
    assert!(finished.stderr.contains("refused"), "{}", finished.stderr);
    assert!(finished.stderr.contains("sent no metrics to "), "{}", finished.stderr);
}

#[test]
fn it_is_overloaded_and_recovers() {
    let _alone = alone();
    for start in [Receiver::start, Receiver::start_grpc] {
        let receiver = start();
        receiver.set_mode(Mode::Refuse);
        let flags = ["--otlp", &receiver.url(), "--otlp-protocol", receiver.protocol];
        let run = Run::of(LATENCY_LAB, Capture::Auto).flags(flags).start();
        send(&run, 500);
        assert!(poll(LONG, || (receiver.refused() > 0).then_some(())).is_some(), "nothing comes");
        // The run ends meanwhile.
        let told = std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_secs(5));
                receiver.set_mode(Mode::Take);
            });
            ended(run, 500).1
        });
        assert_eq!((told.sent, told.not_sent, came(&receiver)), (500, 0, 500));
        assert!(receiver.refused() > 2, "it was tried again");
    }
}

#[test]
fn it_never_answers() {
    let _alone = alone();
    let receiver = Receiver::start();
    receiver.set_mode(Mode::Silent);
    let run = Run::of(LATENCY_LAB, Capture::Auto).flags(["--otlp", &receiver.url()]).start();
    send(&run, 700);
    assert!(poll(LONG, || (receiver.refused() > 0).then_some(())).is_some(), "nothing comes");
    let (finished, told) = ended(run, 700);
    assert_eq!((told.sent, told.not_sent), (0, 700));
    assert_eq!(finished.stderr.matches("no answer").count(), 2, "spans and metrics:\n{}", finished.stderr);
}

#[test]
fn the_user_does_not_wait_for_it() {
    let _alone = alone();
    let receiver = Receiver::start();
    receiver.set_mode(Mode::Silent);
    let run = Run::of(LATENCY_LAB, Capture::Auto).flags(["--otlp", &receiver.url()]).start();
    send(&run, 700);
    assert!(poll(LONG, || (receiver.refused() > 0).then_some(())).is_some(), "nothing comes");
    let pid = run.tool_pid().to_string();
    let (finished, told) = std::thread::scope(|scope| {
        scope.spawn(|| {
            // The run is over by then, and what is left has 10 s.
            std::thread::sleep(Duration::from_secs(4));
            std::process::Command::new("kill").args(["-INT", &pid]).status()
        });
        ended(run, 700)
    });
    assert_eq!((told.sent, told.not_sent), (0, 700));
    assert_eq!(finished.stderr.matches(": interrupted").count(), 2, "spans and metrics:\n{}", finished.stderr);
}
