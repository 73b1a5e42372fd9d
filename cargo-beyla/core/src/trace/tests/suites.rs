//! The tests that requests belong to, and which of them are handed out when they are over.

use std::net::{Ipv4Addr, SocketAddr};

use cargo_beyla_events::{self as records, Header};

use super::*;
use crate::analysis::suite::Within;
use crate::event::{Executed, Paused, TestEnded, TestStarted};
use crate::model::connection::Endpoint;
use crate::model::finding::FindingKind;
use crate::model::test::{EndedTest, TestId, TestResult};

const PARENT: &str = "GET /a HTTP/1.1\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n";

/// A run of tests; the process of test `n` is `n + 1`, and so is its connection.
struct Run {
    trace: Trace,
    events: EventBuilder,
    played: usize,
}

impl Run {
    fn new(seed: Option<u128>) -> Self {
        let routes = RouteTable::new(&[]).expect("no patterns");
        let within = Some(Within { folders: vec!["/target".into()], itself: None });
        let settings = TraceSettings { export: true, seed, within, ..TraceSettings::new(routes, usize::MAX) };
        Self { trace: Trace::new(settings), events: EventBuilder::new(), played: 0 }
    }

    fn starts(&mut self, test: u32) {
        let (name, pid) = (format!("t{test}"), test + 1);
        self.begins(TestStarted { pid, name: &name, ..self.test(test) });
        self.executes(pid, pid);
    }

    /// One of no process.
    fn test(&self, test: u32) -> TestStarted<'static> {
        TestStarted { time_ns: self.events.now, test: TestId(test), pid: 0, round: 0, binary: "shop", name: "" }
    }

    fn begins(&mut self, started: TestStarted<'_>) {
        self.trace.record(&Event::TestStarted(started));
    }

    fn executes(&mut self, process: u32, pid: u32) {
        let executed = Executed { time_ns: self.events.now, process, pid, path: "/target/debug/deps/shop" };
        self.trace.record(&Event::Executed(executed));
    }

    fn owns(&mut self, test: u32, connection: u64) {
        let header = Header { time_ns: self.events.now, connection, ..Header::default() };
        self.trace.record(&Event::Owner(records::Owner { header, process: test + 1, pid: test + 1 }));
    }

    /// Its connection is opened, and this is sent on it; the answers follow if it is answered.
    fn serves(&mut self, test: u32, requests: &[&str], answered: bool) {
        let connection = u64::from(test) + 1;
        self.owns(test, connection);
        self.events.open(connection);
        for request in requests {
            self.events.receive(connection, request);
            if answered {
                self.events.send(connection, OK);
            }
        }
        self.play();
    }

    fn play(&mut self) {
        while let Ok(Some((event, size))) = Event::decode(&self.events.bytes[self.played..]) {
            self.trace.record(&event);
            self.played += size;
        }
    }

    fn ends(&mut self, test: u32, result: TestResult) {
        self.events.now += 100;
        let ended = TestEnded { time_ns: self.events.now, test: TestId(test), result: Some(result), reason: "why" };
        self.trace.record(&Event::TestEnded(ended));
    }

    fn ended(&mut self) -> Vec<EndedTest> {
        let mut ended = Vec::new();
        self.trace.take_ended_tests(|test| ended.push(test));
        ended
    }

    fn names(&mut self) -> Vec<String> {
        self.ended().iter().map(|test| test.name.to_string()).collect()
    }
}

#[test]
fn those_that_served_or_failed_are_handed_out_once() {
    let mut run = Run::new(Some(7));
    for test in 0..4 {
        run.starts(test);
    }
    run.serves(1, &[GET], true);
    assert!(run.ended().is_empty());
    for (test, result) in [(0, TestResult::Passed), (1, TestResult::Passed), (2, TestResult::Failed(101))] {
        run.ends(test, result);
    }
    assert_eq!(run.names(), ["t1", "t2"]);
    // One that outlived its test, which had passed without any as far as was known.
    run.serves(0, &[GET], true);
    assert_eq!(run.names(), ["t0"]);
    let now = run.events.now;
    run.trace.close(now);
    let [last] = &run.ended()[..] else { unreachable!("one was under way") };
    assert_eq!((&*last.name, last.result, last.ended_ns), ("t3", None, now));
    run.trace.close(now + 1);
    assert!(run.ended().is_empty());
    assert_eq!(run.trace.finish(now).tests[3].result, None);
}

#[test]
fn a_binary_without_a_list_is_a_failure_and_nobody_s_test() {
    let mut run = Run::new(Some(7));
    run.begins(TestStarted { name: "(list of tests)", ..run.test(0) });
    run.ends(0, TestResult::Unlisted);
    // A process whose own number is not known is not its process.
    run.executes(1, 0);
    run.serves(0, &[GET], true);
    let [ended] = &run.ended()[..] else { unreachable!("it failed") };
    assert_eq!((ended.result, ended.reason.as_deref()), (Some(TestResult::Unlisted), Some("why")));
    assert_eq!(run.trace.requests_of(TestId(0)), 0);
    let now = run.events.now;
    let summary = &run.trace.finish(now).tests[0];
    assert_eq!((summary.result, summary.reason.as_deref()), (Some(TestResult::Unlisted), Some("why")));
    assert_eq!(TestResult::Unlisted.label(), "failed");
}

#[test]
fn a_pause_counts_in_no_test_and_not_in_the_run() {
    let mut run = Run::new(None);
    let began = run.events.now;
    for test in 0..3 {
        run.starts(test);
        run.events.now += 100;
    }
    // The first ends before it, the others last through it; the last begins within it, as far as its record says.
    run.ends(0, TestResult::Passed);
    let (from_ns, to_ns) = (run.events.now - 250, run.events.now + 1000);
    run.events.now = to_ns;
    run.trace.record(&Event::Paused(Paused { from_ns, to_ns }));
    run.ends(1, TestResult::Passed);
    let now = run.events.now;
    let summary = run.trace.finish(now);
    assert_eq!((summary.paused_ns, now - began), (1250, 1500));
    let durations: Vec<u64> = summary.tests.iter().map(|test| test.duration_ns).collect();
    assert_eq!(durations, [400, 150, 100]);
}

#[test]
fn one_is_ended_by_the_run_with_its_requests() {
    let mut run = Run::new(Some(7));
    run.starts(0);
    run.serves(0, &[GET], false);
    let now = run.events.now;
    run.trace.close(now);
    let mut requests = Vec::new();
    run.trace.take_finished(|finished| requests.push(request_of(finished)));
    let [test] = &run.ended()[..] else { unreachable!("it had a request") };
    assert_eq!((test.result, test.ended_ns, requests.len()), (None, now, 1));
    assert_eq!(requests[0].trace.as_ref().and_then(|trace| trace.test), Some(test.span));
}

#[test]
fn its_requests_hang_under_its_root_and_in_the_report_too() {
    let mut run = Run::new(Some(7));
    run.starts(0);
    run.starts(1);
    run.serves(0, &[GET, PARENT], true);
    run.serves(1, &[GET], true);
    run.ends(0, TestResult::Killed(101));
    run.ends(1, TestResult::Passed);
    let ended = run.ended();
    assert_eq!((ended[0].result, ended[1].result), (Some(TestResult::Killed(101)), Some(TestResult::Passed)));
    assert!(ended[0].started_ns < ended[0].ended_ns && ended[0].span.trace_id != ended[1].span.trace_id);
    let requests = run.trace.finish(run.events.now).requests;
    let contexts: Vec<_> = requests.iter().map(|request| request.trace.as_deref().expect("there is a seed")).collect();
    for (context, test) in [(contexts[0], &ended[0]), (contexts[2], &ended[1])] {
        assert_eq!((context.trace_id, context.parent()), (test.span.trace_id, Some(test.span.span_id)));
    }
    assert_eq!(contexts[1].trace_id.to_string(), "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(contexts[1].parent().map(|parent| parent.to_string()).as_deref(), Some("b7ad6b7169203331"));
    assert_eq!(contexts[1].link(), Some(ended[0].span));
}

#[test]
fn what_a_test_asks_of_its_own_server_is_its_request() {
    let mut run = Run::new(Some(7));
    run.starts(0);
    run.serves(0, &[GET], true);
    let end = |port| Endpoint::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    for (connection, port) in [(10, 8080), (11, 9000)] {
        run.owns(0, connection);
        run.events.connects_to(connection, end(port), end(0)).established(connection);
        run.events.send(connection, GET).receive(connection, OK);
        run.play();
    }
    let now = run.events.now;
    let summary = run.trace.finish(now);
    assert_eq!((summary.totals.requests, summary.totals.calls, summary.tests[0].calls), (1, 2, 1));
    assert_eq!(summary.unseen.unattributed_calls, 1);
    let mut rows: Vec<_> = summary.call_summaries.iter().map(|row| (row.peer.clone(), row.is_of_tests)).collect();
    rows.sort();
    assert_eq!(rows, [(Some(end(8080)), true), (Some(end(9000)), false)]);
    let spans: Vec<bool> = summary.calls.iter().map(|call| call.span.is_some()).collect();
    assert_eq!(spans, [false, true]);
}

#[test]
fn without_a_seed_there_are_no_spans() {
    let mut run = Run::new(None);
    run.starts(0);
    run.serves(0, &[GET, PARENT], true);
    run.ends(0, TestResult::Failed(101));
    assert!(run.ended().is_empty());
    let requests = run.trace.finish(run.events.now).requests;
    assert_eq!(requests[0].trace, None);
    assert_eq!(requests[1].trace.as_ref().map(|trace| trace.test), Some(None));
}

#[test]
fn findings_about_all_requests_name_the_tests_that_suffer() {
    const WAIT: u64 = 10_000_000;
    let mut run = Run { events: EventBuilder::explained(), ..Run::new(None) };
    for test in 0..5 {
        run.starts(test);
    }
    for (test, wait) in [(1, 0), (2, WAIT), (3, WAIT), (4, WAIT)] {
        let connection = u64::from(test) + 1;
        run.owns(test, connection);
        run.events.open_after(connection, wait).receive(connection, GET).send(connection, OK);
        run.play();
    }
    let now = run.events.now;
    let findings = run.trace.finish(now).explained.expect("it was asked for").findings;
    let [found] = &findings[..] else { panic!("{findings:?}") };
    assert_eq!((found.kind, &found.tests[..]), (FindingKind::AcceptWait, &[2, 3, 4].map(TestId)[..]));
}
