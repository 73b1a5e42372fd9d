//! What the process asks of others.

use cargo_beyla_events::{Header, Spawned};

use super::*;
use crate::analysis::suite::Within;
use crate::event::Executed;
use crate::model::call::{Call, CallKind, CallOf, Certainty};
use crate::model::connection::Endpoint;

const GET_USER: &str = "GET /users/7?token=secret HTTP/1.1\r\nHost: a\r\n\r\n";
const NOT_FOUND: &str = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";

fn calls(build: impl FnOnce(&mut EventBuilder) -> &mut EventBuilder) -> (Summary, Vec<Call>) {
    let mut events = EventBuilder::new();
    build(&mut events);
    let summary = events.summary();
    let calls = summary.calls.iter().map(|call| (**call).clone()).collect();
    (summary, calls)
}

fn only(build: impl FnOnce(&mut EventBuilder) -> &mut EventBuilder) -> Call {
    let (_, calls) = calls(build);
    let [call] = &calls[..] else { unreachable!("one call: {calls:?}") };
    call.clone()
}

fn no_routes() -> RouteTable {
    RouteTable::new(&[]).expect("no patterns")
}

/// Has a trace record all of these events.
fn replay(trace: &mut Trace, events: &EventBuilder) {
    let mut bytes = &events.bytes[..];
    while let Ok(Some((event, size))) = Event::decode(bytes) {
        trace.record(&event);
        bytes = &bytes[size..];
    }
}

/// Connect, send, wait, pickup, receive.
fn phases(call: &Call) -> [Option<u64>; 5] {
    call.boundaries.phases().named().map(|(_, length)| length)
}

#[test]
fn a_call_has_its_phases_and_no_query() {
    let call = only(|events| {
        events.connect(1).send(1, GET_USER);
        let arrived_ns = events.now + 500;
        events.pause(800).receive_late(1, NOT_FOUND, arrived_ns)
    });
    assert_eq!((call.kind, &*call.summary), (CallKind::Http, "GET /users/{id}"));
    assert_eq!((call.text.as_deref(), call.status.as_deref()), (Some("GET /users/7"), Some("404")));
    assert_eq!((call.is_error, call.outcome, call.id), (true, Outcome::Complete, 1));
    // Connect until established, and the pause until the first send call; then the call itself.
    assert_eq!(phases(&call), [Some(20), Some(10), Some(500), Some(320), Some(0)]);
    assert_eq!(call.request_bytes, MessageBytes { header: GET_USER.len() as u64, body: Some(0) });
    assert_eq!(call.response_bytes, Some(MessageBytes { header: NOT_FOUND.len() as u64, body: Some(0) }));
    let ends = [&call.connection.server, &call.connection.client].map(ToString::to_string);
    assert_eq!(ends, ["127.0.0.1:9000", "127.0.0.1:40001"]);
}

#[test]
fn only_the_first_call_of_a_connection_waits_for_it_and_only_if_it_comes_at_once() {
    let connects = |pause: u64| {
        let (_, calls) =
            calls(|events| events.connect(1).pause(pause).send(1, GET).receive(1, OK).send(1, GET).receive(1, OK));
        calls.iter().map(|call| phases(call)[0]).collect::<Vec<_>>()
    };
    assert_eq!(connects(0), [Some(20), None]);
    assert_eq!(connects(900_000), [Some(900_020), None]);
    assert_eq!(connects(1_100_000), [None, None]);
    // A connection that took long may be waited for a little longer.
    let call = only(|events| {
        events.connects(1).pause(100_000_000).established(1).pause(9_000_000).send(1, GET).receive(1, OK)
    });
    assert_eq!(phases(&call)[0], Some(109_000_020));
}

#[test]
fn a_large_answer_is_received_in_several_calls() {
    let call = only(|events| {
        events.connect(1).send(1, "POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nab").pause(50).send(1, "cd");
        events.receive(1, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab").pause(80).receive(1, "cd")
    });
    assert_eq!(phases(&call), [Some(20), Some(80), Some(10), Some(10), Some(100)]);
    assert_eq!(call.request_bytes.body, Some(4));
    assert_eq!(call.response_bytes.and_then(|bytes| bytes.body), Some(4));
}

#[test]
fn an_answer_that_comes_before_the_request_is_whole_ends_the_call() {
    let call = only(|events| {
        events.connect(1).send(1, "POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nab").receive(1, NOT_FOUND)
    });
    assert_eq!((call.outcome, phases(&call)), (Outcome::Complete, [Some(20), None, Some(20), Some(10), Some(0)]));
}

#[test]
fn a_connect_that_fails_is_a_call() {
    for (errno, status, is_error, outcome) in [
        (111, Some("ECONNREFUSED"), true, Outcome::ServerClosed),
        (110, Some("ETIMEDOUT"), true, Outcome::ServerClosed),
        (0, None, true, Outcome::ClientClosed),
    ] {
        let call = only(|events| events.connects(1).pause(90).connect_fails(1, errno));
        assert_eq!((call.kind, &*call.summary), (CallKind::Tcp, "connect"));
        assert_eq!((call.status.as_deref(), call.is_error, call.outcome), (status, is_error, outcome));
        assert_eq!(phases(&call), [Some(100), None, None, None, None]);
    }
    let path = "/var/run/postgresql/.s.PGSQL.5432".to_owned();
    let call =
        only(|events| events.connects_to(1, Endpoint::Unix(path), Endpoint::Unix(String::new())).connect_fails(1, 2));
    assert_eq!((call.kind, call.status.as_deref()), (CallKind::Postgresql, Some("ENOENT")));
    // It goes on at the end of the run.
    let call = only(|events| events.connects(1));
    assert_eq!((call.outcome, call.is_error), (Outcome::StillOpen, false));
}

#[test]
fn a_call_ends_with_its_connection() {
    let ends = |end: fn(&mut EventBuilder) -> &mut EventBuilder| {
        let call = only(|events| end(events.connect(1).send(1, GET)));
        (call.outcome, call.is_error, call.boundaries.read.is_some())
    };
    assert_eq!(ends(|events| events.end_of_stream(1)), (Outcome::ServerClosed, true, false));
    assert_eq!(ends(|events| events.reset(1)), (Outcome::ServerClosed, true, false));
    assert_eq!(ends(|events| events.server_closes(1).over(1)), (Outcome::ClientClosed, false, false));
    assert_eq!(ends(|events| events), (Outcome::StillOpen, false, false));
    let head = "HTTP/1.1 200 OK\r\n\r\nall";
    let call = only(|events| events.connect(1).send(1, GET).receive(1, head).client_closes(1).end_of_stream(1).over(1));
    assert_eq!((call.outcome, call.response_bytes.and_then(|bytes| bytes.body)), (Outcome::Complete, Some(3)));
}

#[test]
fn an_answer_that_came_before_a_reset_is_read_after_it() {
    let upload = "POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nabcd";
    let call = only(|events| events.connect(1).send(1, upload).reset(1).pause(900_000_000).receive(1, NOT_FOUND));
    assert_eq!((call.outcome, call.status.as_deref()), (Outcome::Complete, Some("404")));
}

#[test]
fn a_call_without_an_answer_ends_with_the_reset_and_is_told_soon_after_it() {
    let mut events = EventBuilder::new();
    events.connect(1).send(1, GET).reset(1);
    let reset_ns = events.now;
    let mut trace = Trace::new(TraceSettings { export: true, ..TraceSettings::new(no_routes(), 10) });
    events.pause(300_000_000).open(2).receive(2, GET);
    replay(&mut trace, &events);
    let mut taken = Vec::new();
    trace.take_finished(|finished| taken.push(finished));
    let [Finished::Call(call)] = &taken[..] else { unreachable!("{taken:?}") };
    assert_eq!((call.outcome, call.is_error, call.boundaries.ended), (Outcome::ServerClosed, true, reset_ns));
}

#[test]
fn connections_that_the_process_opens_are_counted_apart() {
    let (summary, _) = calls(|events| {
        events.open(1).receive(1, GET).connect(2).send(2, GET).receive(2, OK).send(1, OK);
        events.connect(3).send(3, "\x16\x03\x01\x02\x00\x01")
    });
    let totals = summary.totals;
    assert_eq!((totals.connections, totals.client_connections, totals.calls), (1, 2, 1));
    assert_eq!((summary.unseen, summary.tls.connections), (Unseen::default(), [0, 1]));
    let ids = (summary.requests[0].connection.id, summary.calls[0].connection.id);
    assert_eq!(ids, (1, 2));
}

#[test]
fn of_calls_in_tls_the_times_and_the_sizes_are_known() {
    let call = only(|events| {
        events.connect(1).send(1, "\x16\x03\x01\x00\x01a").pause(300).receive(1, "\x16\x03\x03\x00\x01a");
        events.send(1, "\x14\x03\x03\x00\x01\x01\x17\x03\x03\x00\x01a").send(1, "\x17\x03\x03\x00\x03ask");
        events.pause(100).receive(1, "\x17\x03\x03\x00\x04told")
    });
    assert_eq!((call.kind, call.outcome), (CallKind::Tcp, Outcome::Complete));
    assert_eq!(phases(&call), [Some(380), Some(10), Some(110), Some(10), Some(0)]);
    let body = |bytes: MessageBytes| bytes.body;
    assert_eq!((body(call.request_bytes), call.response_bytes.and_then(body)), (Some(8), Some(9)));
}

#[test]
fn the_calls_of_a_request_come_with_it() {
    let mut events = EventBuilder::new();
    events.in_task(5).open(1).receive(1, GET);
    events.in_task(5).connect(2).send(2, GET).receive(2, OK).send(2, GET_USER).receive(2, NOT_FOUND);
    events.send(1, OK).in_task(0).connect(3).send(3, GET).receive(3, OK);
    let summary = events.summary();
    assert_eq!(summary.requests[0].calls, [1, 2]);
    let of = Some(CallOf { request: 1, certainty: Certainty::Certain });
    assert_eq!(summary.calls.iter().map(|call| call.request).collect::<Vec<_>>(), [of, of, None]);
    assert_eq!(summary.unseen.unattributed_calls, 1);
    let rows: Vec<_> = summary
        .call_summaries
        .iter()
        .map(|row| (&*row.summary, row.count, row.errors, row.requests, row.per_request.map(|per| (per.mean, per.max))))
        .collect();
    assert_eq!(rows, [("GET /a", 2, 0, 1, Some((1.0, 1))), ("GET /users/{id}", 1, 1, 1, Some((1.0, 1)))]);
}

#[test]
fn so_do_those_of_tasks_that_it_has_spawned() {
    let mut events = EventBuilder::new();
    events.in_task(5).open(1).receive(1, GET).in_task(6).open(2).receive(2, GET);
    events.in_task(5).spawns(20).in_task(20).connect(3).send(3, GET).receive(3, OK);
    // A driver: its connection was opened by the task that has spawned it.
    events.in_task(6).connect(4).spawns(21).in_task(21).send(4, GET).receive(4, OK);
    let of = Some(CallOf { request: 1, certainty: Certainty::Certain });
    assert_eq!(events.summary().calls.iter().map(|call| call.request).collect::<Vec<_>>(), [of, None]);
}

#[test]
fn the_same_where_the_processes_are_followed_that_the_server_starts() {
    let mut events = EventBuilder::new();
    events.push(&Event::Executed(Executed { time_ns: 1, process: 77, pid: 7, path: "/target/debug/server" }));
    events.in_task(5).open(1).receive(1, GET).in_task(6).open(2).receive(2, GET);
    // Its own connections come without a record of their process, and what it spawns does not.
    let header = Header { time_ns: events.now, ..Header::default() };
    events.push(&Event::Spawned(Spawned { header, parent: 5, child: 20, thread: 1, process: 77 }));
    events.in_task(20).connect(3).send(3, GET).receive(3, OK);
    let within = Some(Within { folders: vec!["/target".into()], itself: Some(7) });
    let settings = TraceSettings { within, ..TraceSettings::new(no_routes(), 10) };
    let mut trace = Trace::new(settings);
    replay(&mut trace, &events);
    let calls = trace.finish(events.now).calls;
    assert_eq!(calls[0].request, Some(CallOf { request: 1, certainty: Certainty::Certain }));
}

#[test]
fn exporters_get_a_request_with_its_calls_and_the_others_alone() {
    let mut events = EventBuilder::new();
    events.in_task(5).open(1).receive(1, GET).connect(2).send(2, GET).receive(2, OK);
    events.connect(4).send(4, GET_USER).send(1, OK).receive(4, NOT_FOUND);
    events.in_task(0).connect(3).send(3, GET).receive(3, OK);
    let settings = TraceSettings { export: true, seed: Some(7), ..TraceSettings::new(no_routes(), 10) };
    let mut trace = Trace::new(settings);
    replay(&mut trace, &events);
    let mut taken = Vec::new();
    trace.take_finished(|finished| taken.push(finished));
    let [Finished::Request(request, calls), Finished::Call(late), Finished::Call(alone)] = &taken[..] else {
        unreachable!("{taken:?}")
    };
    let parent = request.trace.as_ref().map(|trace| (trace.trace_id, Some(trace.span_id)));
    let span = |call: &Call| call.span.as_ref().map(|span| (span.trace_id, span.parent));
    assert_eq!((calls.len(), span(&calls[0]), span(late)), (1, parent, parent));
    assert_eq!((alone.request, span(alone).map(|(_, parent)| parent)), (None, Some(None)));
    // The one that outlived it belongs to it as well.
    let summary = trace.finish(events.now);
    assert_eq!(summary.requests[0].calls, [1, 2]);
}

#[test]
fn a_trace_that_is_sent_out_is_kept() {
    let head = "GET / HTTP/1.1\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n";
    let call = only(|events| events.connect(1).send(1, head).receive(1, OK));
    let (trace_id, caller) = call.trace.expect("a trace");
    assert_eq!(trace_id.to_string(), "0af7651916cd43dd8448eb211c80319c");
    assert_eq!((caller.span_id.to_string().as_str(), caller.sampled), ("b7ad6b7169203331", true));
}

#[test]
fn a_server_that_calls_itself_makes_a_call_and_serves_a_request() {
    let mut events = EventBuilder::new();
    let (server, client) =
        (Endpoint::Tcp(([127, 0, 0, 1], 8080).into()), Endpoint::Tcp(([127, 0, 0, 1], 50000).into()));
    events.in_task(5).open_unix(1, "").receive(1, GET).connects_to(2, server, client).established(2).send(2, GET_USER);
    events.in_task(6).open(3).receive(3, GET_USER).send(3, NOT_FOUND);
    events.in_task(5).receive(2, NOT_FOUND).send(1, OK);
    let summary = events.summary();
    assert_eq!((summary.totals.requests, summary.totals.calls), (2, 1));
    assert_eq!((summary.calls[0].served, summary.requests[0].calls.clone()), (Some(2), vec![1]));
}

#[test]
fn a_connection_met_in_its_midst_is_read_from_the_next_call_on() {
    let mut events = EventBuilder::new();
    events.found_open().connects(1).receive(1, "rest of an answer").send(1, GET).receive(1, OK);
    let summary = events.summary();
    assert_eq!(
        summary.calls.iter().map(|call| (&*call.summary, phases(call)[0])).collect::<Vec<_>>(),
        [("GET /a", None)]
    );
}

#[test]
fn of_a_call_whose_answer_passed_unseen_the_end_is_not_known() {
    let (_, calls) =
        calls(|events| events.connect(1).send(1, GET).unseen(Down, 1, 500).send(1, GET_USER).receive(1, OK));
    let outcomes: Vec<_> = calls.iter().map(|call| (&*call.summary, call.outcome)).collect();
    assert_eq!(outcomes, [("GET /a", Outcome::NotSeen), ("GET /users/{id}", Outcome::Complete)]);
}
