//! HTTP/2 with `--explain`: a request is measured on the task of its stream.

use super::http2::{ONLY, answer, begin, get, post};
use super::*;
use crate::model::explanation::{Explanation, Holder, RespondParts};
use crate::protocol::http2::fixtures::{END_HEADERS, END_STREAM, data, frame, reset};

const MS: u64 = 1_000_000;
const SLEEP: i32 = syscalls::Sysno::nanosleep as i32;

/// From the last moment before a call of an [`EventBuilder`] until its entry or its return.
const ENTRY: u64 = 10;
const CALL: u64 = 20;

/// The task of the connection.
const CONNECTION: u64 = 700;

/// The connection's task, which was spawned in another's poll, has exchanged settings and is polled by thread 1.
fn connection() -> EventBuilder {
    let mut events = EventBuilder::explained();
    events.spawned(CONNECTION).running(CONNECTION);
    begin(&mut events).idle(CONNECTION).pause(MS);
    events
}

fn explanations(events: &EventBuilder) -> Vec<Option<Explanation>> {
    let summary = events.summary();
    for request in &summary.requests {
        let phases = request.boundaries.phases();
        if let Some(explanation) = request.explanation.as_deref() {
            assert_eq!(Some(explanation.parts.sum()), phases.handle);
            let respond = explanation.respond.map(|RespondParts { task, client }| task.sum() + client);
            assert!(respond.is_none() || respond == phases.respond);
        }
    }
    let not_opened = summary.explained.as_ref().map_or(0, |explained| explained.requests_not_opened);
    let has_handle = |request: &Request| request.boundaries.phases().handle.is_some_and(|handle| handle > 0);
    let unexplained = summary.requests.iter().filter(|request| request.explanation.is_none() && has_handle(request));
    assert_eq!(not_opened, unexplained.count() as u64);
    summary.requests.iter().map(|request| request.explanation.as_deref().cloned()).collect()
}

#[track_caller]
fn opened(events: &EventBuilder) -> Vec<[u64; 5]> {
    let named = |explanation: Option<Explanation>| explanation.expect("a task").parts.named().map(|(_, ns)| ns);
    explanations(events).into_iter().map(named).collect()
}

/// Two requests in one read, and their tasks on two threads: one sleeps without blocking, the other blocks.
#[test]
fn each_request_is_measured_on_the_task_of_its_stream() {
    let mut events = connection();
    events.running(CONNECTION).receive(1, [get(1, "/wait"), get(3, "/block")].concat()).pause(5);
    events.spawned(801).pause(3).spawned(802).pause(2).idle(CONNECTION);
    events.running(801).pause(MS).idle(801);
    events.on(2).running(802).pause(MS).sleep(SLEEP, 4 * MS, 0);
    // The second responds: it wakes the task of the connection, which is polled a little later.
    events.woken(CONNECTION).terminal(802).pause(100).on(1).running(CONNECTION).pause(50);
    events.send(1, answer(ONLY, 3, "200")).idle(CONNECTION).pause(2 * MS);
    events.woken(801).pause(7).running(801).pause(30).woken(CONNECTION).terminal(801);
    events.running(CONNECTION).send(1, answer(ONLY, 1, "200")).idle(CONNECTION);
    let second_ends = 3 + 2 + MS + MS + 4 * MS;
    let waiting = 5 * MS + 100 + 50 + CALL + 2 * MS;
    assert_eq!(
        opened(&events),
        [
            // Before the spawn the task of the connection runs, and after the answer as well.
            [5 + MS + 30 + ENTRY, 0, 0, 3 + 2 + 7, waiting],
            [5 + 3 + MS + 50 + ENTRY, 0, 4 * MS, second_ends - 3 - 5 * MS + 100, 0],
        ]
    );
}

/// The first of two streams blocks the only worker: the second is scheduled, and the report names the first.
#[test]
fn a_stream_that_blocks_the_worker_delays_the_other() {
    let mut events = connection();
    events.running(CONNECTION).receive(1, [get(1, "/block"), get(3, "/fast")].concat());
    events.spawned(801).spawned(802).idle(CONNECTION).running(801).sleep(SLEEP, 200 * MS, 0).woken(CONNECTION);
    events.terminal(801).running(802).terminal(802).running(CONNECTION);
    events.send(1, [answer(ONLY, 1, "200"), answer(ONLY, 3, "200")].concat()).idle(CONNECTION);
    assert_eq!(opened(&events), [[ENTRY, 0, 200 * MS, 0, 0], [ENTRY, 0, 0, 200 * MS, 0]]);
    let second = explanations(&events)[1].clone().expect("it is opened");
    let by = second.delays.iter().map(|delay| (&delay.by, delay.ns)).collect::<Vec<_>>();
    assert_eq!(by, [(&Holder::Request(("GET".into(), "/block".into())), 200 * MS)]);
}

/// The frame of the second stream arrives while the first blocks: it waits in the queue.
#[test]
fn a_stream_waits_in_the_queue_while_the_worker_is_blocked() {
    let mut events = connection();
    events.running(CONNECTION).receive(1, get(1, "/block")).spawned(801).idle(CONNECTION).running(801).pause(MS);
    let arrived = events.now;
    events.sleep(SLEEP, 200 * MS, 0).woken(CONNECTION).terminal(801).running(CONNECTION);
    let late = String::from_utf8(get(3, "/fast")).expect("literals");
    events.receive_late(1, &late, arrived).spawned(802).send(1, answer(ONLY, 1, "200")).idle(CONNECTION);
    events.running(802).woken(CONNECTION).terminal(802).running(CONNECTION).send(1, answer(ONLY, 3, "200"));
    let second = explanations(&events)[1].clone().expect("it is opened");
    assert_eq!(second.delays[0].by, Holder::Request(("GET".into(), "/block".into())));
    assert_eq!(events.summary().requests[1].boundaries.phases().queue, Some(200 * MS + CALL));
}

#[test]
fn a_refused_stream_has_no_task_and_the_others_keep_theirs() {
    let mut events = connection();
    events.running(CONNECTION).receive(1, [get(1, "/a"), get(3, "/refused"), get(5, "/c")].concat());
    events.spawned(801).send(1, reset(3)).spawned(802).idle(CONNECTION);
    events.running(801).pause(MS).terminal(801).running(802).sleep(SLEEP, MS, 0).terminal(802);
    events.running(CONNECTION).send(1, [answer(ONLY, 1, "200"), answer(ONLY, 5, "200")].concat()).idle(CONNECTION);
    let all = explanations(&events);
    let blocked = |place: usize| all[place].as_ref().map(|explanation| explanation.parts.blocked);
    assert_eq!([blocked(0), blocked(1), blocked(2)], [Some(0), None, Some(MS)]);
}

#[test]
fn a_stream_that_the_client_resets_has_a_task() {
    let mut events = connection();
    events.running(CONNECTION).receive(1, [get(1, "/gone"), reset(1), get(3, "/b")].concat());
    events.spawned(801).spawned(802).idle(CONNECTION).running(801).terminal(801);
    events.running(802).sleep(SLEEP, MS, 0).terminal(802).running(CONNECTION).send(1, answer(ONLY, 3, "200"));
    let second = explanations(&events)[1].clone().expect("it is opened");
    assert_eq!(second.parts.blocked, MS);
}

/// A service that spawns as it is called, or a stream that is refused later: which task is whose cannot be told.
#[test]
fn where_the_numbers_differ_nothing_is_said() {
    for spawned in [&[801, 802, 803][..], &[801]] {
        let mut events = connection();
        events.running(CONNECTION).receive(1, [get(1, "/a"), get(3, "/b")].concat());
        for task in spawned {
            events.spawned(*task);
        }
        events.idle(CONNECTION);
        for task in spawned {
            events.running(*task).pause(MS).terminal(*task);
        }
        events.running(CONNECTION).send(1, [answer(ONLY, 1, "200"), answer(ONLY, 3, "200")].concat());
        assert_eq!(explanations(&events), [None, None]);
    }
}

#[test]
fn tasks_of_different_types_are_not_all_of_streams() {
    let mut events = connection();
    events.running(CONNECTION).receive(1, [get(1, "/a"), get(3, "/b")].concat()).spawned(801).spawned(902);
    events.on(2).running(801).idle(801).running(902).idle(902).on(1).idle(CONNECTION);
    events.running(CONNECTION).send(1, [answer(ONLY, 1, "200"), answer(ONLY, 3, "200")].concat());
    assert_eq!(explanations(&events), [None, None]);
}

#[test]
fn a_server_that_spawns_nothing_handles_its_streams_itself() {
    let mut events = connection();
    events.running(CONNECTION).receive(1, get(1, "/a")).sleep(SLEEP, 3 * MS, 0).idle(CONNECTION).pause(MS);
    events.woken(CONNECTION).running(CONNECTION).send(1, answer(ONLY, 1, "200")).idle(CONNECTION);
    assert_eq!(opened(&events), [[ENTRY, 0, 3 * MS, 0, MS]]);
    let first = explanations(&events)[0].clone().expect("it is opened");
    assert_eq!(first.places.iter().map(|place| place.ns).collect::<Vec<_>>(), [3 * MS]);
}

/// On a runtime whose spawns are not seen, the task of the connection may have spawned any number.
#[test]
fn without_spawns_to_see_nothing_is_said() {
    let mut events = EventBuilder::explained();
    events.running(CONNECTION);
    begin(&mut events).receive(1, get(1, "/a")).idle(CONNECTION).running(801).pause(MS).terminal(801);
    events.running(CONNECTION).send(1, answer(ONLY, 1, "200")).idle(CONNECTION);
    assert_eq!(explanations(&events), [None]);
}

/// The task may respond on another thread before the poll has ended that spawned it.
#[test]
fn a_response_before_the_end_of_the_poll_that_read_its_request() {
    // All tasks up to that of the stream were polled, and are of one type.
    let mut events = connection();
    events.running(CONNECTION).receive(1, [get(1, "/a"), get(3, "/b")].concat()).spawned(801).spawned(802).on(2);
    events.running(801).sleep(SLEEP, MS, 0).terminal(801).on(1).send(1, answer(ONLY, 1, "200")).idle(CONNECTION);
    events.running(802).terminal(802).running(CONNECTION).send(1, answer(ONLY, 3, "200")).idle(CONNECTION);
    let blocked = |place: usize| explanations(&events)[place].as_ref().map(|explanation| explanation.parts.blocked);
    assert_eq!([blocked(0), blocked(1)], [Some(MS), Some(0)]);
    // The application spawns a task before each, so the second is not the one of the second stream.
    for (first, expected) in [(901, None), (801, None)] {
        let mut events = connection();
        events.running(CONNECTION).receive(1, [get(1, "/a"), get(3, "/b")].concat()).spawned(first).spawned(802);
        events.spawned(903).spawned(804).on(2).running(802).terminal(802).running(804).terminal(804).on(1);
        events.send(1, answer(ONLY, 3, "200")).idle(CONNECTION);
        assert_eq!(explanations(&events)[1], expected);
    }
}

#[test]
fn an_upload_is_handled_from_its_last_byte_on() {
    let mut events = connection();
    events.running(CONNECTION).receive(1, post(1, "/up")).spawned(801).idle(CONNECTION);
    events.running(801).sleep(SLEEP, 5 * MS, 0).idle(801).pause(MS).running(CONNECTION);
    events.receive(1, data(END_STREAM, 1, b"all")).woken(801).idle(CONNECTION).running(801).sleep(SLEEP, 2 * MS, 0);
    events.woken(CONNECTION).terminal(801).running(CONNECTION).send(1, answer(ONLY, 1, "200")).idle(CONNECTION);
    assert_eq!(opened(&events), [[ENTRY, 0, 2 * MS, 0, 0]]);
    // A response that comes before the end of its request: what the server has of it by then was received.
    let mut events = connection();
    events.running(CONNECTION).receive(1, post(1, "/early")).spawned(801).idle(CONNECTION).running(801).pause(MS);
    events.idle(801).running(CONNECTION).receive(1, data(0, 1, b"some")).woken(801);
    events.receive(1, get(3, "/other")).spawned(802).idle(CONNECTION).running(801).sleep(SLEEP, 2 * MS, 0);
    events.woken(CONNECTION).terminal(801).running(CONNECTION).send(1, answer(ONLY, 1, "413")).idle(CONNECTION);
    let first = explanations(&events)[0].clone().expect("it is opened");
    assert_eq!((first.parts.blocked, first.parts.sum()), (2 * MS, 2 * MS + CALL + ENTRY));
}

/// The parts of `respond` of the first request: those of its task, and the client's.
fn respond(events: &EventBuilder) -> ([u64; 5], u64) {
    let first = explanations(events)[0].clone().expect("it is opened");
    let RespondParts { task, client } = first.respond.expect("its task is known");
    (task.named().map(|(_, ns)| ns), client)
}

#[test]
fn a_response_that_is_produced_slowly() {
    let mut events = connection();
    events.running(CONNECTION).receive(1, get(1, "/events")).spawned(801).idle(CONNECTION).running(801).idle(801);
    events.running(CONNECTION).send(1, answer(END_HEADERS, 1, "200")).idle(CONNECTION).pause(20 * MS);
    events.woken(801).pause(MS).running(801).sleep(SLEEP, 3 * MS, MS).woken(CONNECTION).terminal(801);
    events.running(CONNECTION).send(1, data(END_STREAM, 1, b"one")).idle(CONNECTION);
    let (task, client) = respond(&events);
    assert_eq!((task, client), ([ENTRY + ENTRY, MS, 3 * MS, MS, 20 * MS + ENTRY], 0));
}

#[test]
fn a_window_that_is_shut_is_the_clients_time() {
    let whole = vec![b'w'; 16_000];
    for (update, opened) in [(1, true), (0, false)] {
        let mut events = connection();
        events.running(CONNECTION).receive(1, [frame(4, 0, 0, &[0, 4, 0, 0, 62, 128]), get(1, "/big")].concat());
        events.spawned(801).idle(CONNECTION).running(801).idle(801).running(CONNECTION);
        // 16,000 bytes are all that the window allows.
        events.send(1, [answer(END_HEADERS, 1, "200"), data(0, 1, &whole)].concat()).idle(CONNECTION).pause(30 * MS);
        events.running(CONNECTION).receive(1, frame(8, 0, update, &[0, 0, 62, 128])).idle(CONNECTION).pause(5 * MS);
        events.woken(801).running(801).terminal(801).running(CONNECTION).send(1, data(END_STREAM, 1, &whole));
        let (task, client) = respond(&events);
        // Only the stream's own window was shut.
        let expected = if opened { 30 * MS + CALL } else { 35 * MS + CALL + ENTRY };
        assert!(client.abs_diff(expected) <= CALL, "{client} {task:?}");
        assert_eq!(task[4] + client, 35 * MS + CALL + ENTRY);
    }
}

#[test]
fn a_full_send_buffer_is_the_clients_time() {
    let mut events = EventBuilder::explained();
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf";
    events.running(7).receive(1, "GET /a HTTP/1.1\r\n\r\n").send(1, head).send_blocked(1).idle(7).pause(40 * MS);
    events.woken(7).pause(MS).running(7).sending(1).pause(MS).send(1, "half").idle(7);
    let (task, client) = respond(&events);
    assert_eq!((task, client), ([CALL + MS + ENTRY, 0, 0, MS, 0], 40 * MS));
    // Without it the same wait is the server's own.
    let mut events = EventBuilder::explained();
    events.running(7).receive(1, "GET /a HTTP/1.1\r\n\r\n").send(1, head).idle(7).pause(40 * MS);
    events.woken(7).running(7).preempted(MS).send(1, "half");
    assert_eq!(respond(&events).1, 0);
}
