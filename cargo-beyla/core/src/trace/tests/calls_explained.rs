//! Whose calls they are that the driver of a connection makes: by the wakes of `--explain`.

use super::*;
use crate::model::call::{CallOf, Certainty};

const GET_B: &str = "GET /b HTTP/1.1\r\n\r\n";

/// The driver's task, and the connection that it works on.
const DRIVER: u64 = 900;
const DRIVEN: u64 = 9;

/// Requests 1 and 2 are read by tasks 100 and 200 on threads 1 and 2, and both ask the driver, in this order if it is
/// awake for neither.
fn asked() -> EventBuilder {
    let mut events = EventBuilder::new();
    events.explain().open(1).open(2).on(3).connect(DRIVEN);
    events.on(1).running(100).receive(1, GET).woken(DRIVER).idle(100);
    events.on(2).running(200).receive(2, GET).woken(DRIVER).idle(200);
    events
}

fn requests_of(events: &EventBuilder) -> Vec<Option<(u64, Certainty)>> {
    let of = |call: &CallOf| (call.request, call.certainty);
    events.summary().calls.iter().map(|call| call.request.as_ref().map(of)).collect()
}

#[test]
fn a_reply_wakes_the_task_that_has_asked() {
    let mut events = asked();
    events.on(3).running(DRIVER).send(DRIVEN, GET).send(DRIVEN, GET_B).idle(DRIVER);
    events.running(DRIVER).receive(DRIVEN, OK).woken(100).idle(DRIVER);
    events.running(DRIVER).receive(DRIVEN, OK).woken(200).idle(DRIVER);
    events.on(1).running(100).send(1, OK).idle(100).on(2).running(200).send(2, OK).idle(200);
    assert_eq!(requests_of(&events), [Some((1, Certainty::Certain)), Some((2, Certainty::Certain))]);
    assert_eq!(events.summary().requests.iter().map(|request| request.calls.clone()).collect::<Vec<_>>(), [[1], [2]]);
}

#[test]
fn replies_that_are_read_at_once_wake_in_the_order_of_the_calls() {
    let mut events = asked();
    events.on(3).running(DRIVER).send(DRIVEN, format!("{GET}{GET_B}")).idle(DRIVER);
    events.running(DRIVER).receive(DRIVEN, format!("{OK}{OK}")).woken(200).woken(100);
    // The second request is answered before the poll ends.
    events.on(2).running(200).send(2, OK).idle(200).on(3).idle(DRIVER).on(1).running(100).send(1, OK);
    assert_eq!(requests_of(&events), [Some((2, Certainty::Certain)), Some((1, Certainty::Certain))]);
    assert_eq!(events.summary().requests.iter().map(|request| request.calls.clone()).collect::<Vec<_>>(), [[2], [1]]);
}

#[test]
fn without_a_reply_nobody_knows_whose_it_is() {
    let mut events = asked();
    events.on(3).running(DRIVER).send(DRIVEN, GET).idle(DRIVER).running(DRIVER).receive(DRIVEN, OK).idle(DRIVER);
    assert_eq!(requests_of(&events), [None]);
    // The poll goes on until the end of the run.
    let mut events = asked();
    events.on(3).running(DRIVER).send(DRIVEN, GET).receive(DRIVEN, OK);
    assert_eq!(requests_of(&events), [None]);
}

#[test]
fn a_driver_that_a_request_has_spawned_works_for_others_too() {
    let mut events = EventBuilder::new();
    events.explain().open(1).open(2);
    events.on(3).connect(8).on(1).running(100).receive(1, GET).connect(DRIVEN).spawned(DRIVER).idle(100);
    events.on(2).running(200).receive(2, GET).woken(DRIVER).idle(200);
    events.on(3).running(DRIVER).send(DRIVEN, GET).send(DRIVEN, GET_B).idle(DRIVER);
    events.running(DRIVER).receive(DRIVEN, OK).woken(100).idle(DRIVER);
    events.running(DRIVER).receive(DRIVEN, OK).woken(200).idle(DRIVER);
    assert_eq!(requests_of(&events), [Some((1, Certainty::Certain)), Some((2, Certainty::Certain))]);
}

/// Two requests send the driver a message each, and it makes their calls at once. Whom it wakes then is `woken`.
fn a_round_of_messages(events: &mut EventBuilder, woken: &[u64]) {
    const CHANNEL: u64 = 77;
    events.on(1).running(100).receive(1, GET).signalled(CHANNEL).woken(DRIVER).idle(100);
    events.on(2).running(200).receive(2, GET).signalled(CHANNEL).idle(200);
    events.on(3).running(DRIVER).send(DRIVEN, format!("{GET}{GET_B}")).idle(DRIVER);
    events.running(DRIVER).receive(DRIVEN, format!("{OK}{OK}"));
    for task in woken {
        events.woken(*task);
    }
    events.idle(DRIVER);
    for connection in [1, 2] {
        let task = 100 * connection;
        events.on(connection as u32).running(task).send(connection, OK).idle(task);
    }
}

#[test]
fn where_replies_are_missing_the_order_of_the_messages_tells_once_it_is_proven() {
    for (rounds, is_known) in [(0, false), (15, false), (16, true)] {
        let mut events = EventBuilder::new();
        events.explain().open(1).open(2).on(3).connect(DRIVEN);
        for _ in 0..rounds {
            a_round_of_messages(&mut events, &[100, 200]);
        }
        // The first one is awake.
        a_round_of_messages(&mut events, &[200]);
        let requests = requests_of(&events);
        let (before, last) = requests.split_at(2 * rounds);
        assert!(before.iter().all(|of| of.is_some_and(|(_, certainty)| certainty == Certainty::Certain)), "{before:?}");
        let first = 2 * rounds as u64 + 1;
        let expected = [first, first + 1].map(|request| is_known.then_some((request, Certainty::Likely)));
        assert_eq!(last, expected, "{rounds}");
    }
}

#[test]
fn an_order_that_replies_contradict_tells_nothing() {
    let mut events = EventBuilder::new();
    events.explain().open(1).open(2).on(3).connect(DRIVEN);
    for _ in 0..20 {
        a_round_of_messages(&mut events, &[200, 100]);
    }
    a_round_of_messages(&mut events, &[200]);
    assert_eq!(requests_of(&events)[40..], [None, None]);
}

/// Requests 1 and 2 ask a dispatcher, which spawns a task for each call and wakes the driver; both calls are sent.
fn dispatched() -> EventBuilder {
    const DISPATCHER: u64 = 800;
    let mut events = EventBuilder::new();
    events.explain().open(1).open(2).on(3).connect(DRIVEN);
    events.on(1).running(100).receive(1, GET).woken(DISPATCHER).idle(100);
    events.on(2).running(200).receive(2, GET).woken(DISPATCHER).idle(200);
    events.on(3).running(DISPATCHER).spawned(701).spawned(702).woken(DRIVER).idle(DISPATCHER);
    for relay in [701, 702] {
        events.running(relay).idle(relay);
    }
    events.running(DRIVER).send(DRIVEN, GET).send(DRIVEN, GET_B).idle(DRIVER);
    events
}

#[test]
fn a_task_of_one_call_hands_its_answer_on() {
    for at_once in [false, true] {
        let mut events = dispatched();
        events.on(3).running(DRIVER);
        if at_once {
            events.receive(DRIVEN, format!("{OK}{OK}")).woken(702).woken(701);
        } else {
            events.receive(DRIVEN, OK).woken(702).receive(DRIVEN, OK).woken(701);
        }
        // One has handed it on before the poll of the driver ends.
        events.on(4).running(702).woken(100).terminal(702).on(1).running(100).send(1, OK).idle(100);
        events.on(3).idle(DRIVER).running(701).woken(200).terminal(701).on(2).running(200).send(2, OK).idle(200);
        assert_eq!(requests_of(&events), [Some((1, Certainty::Certain)), Some((2, Certainty::Certain))], "{at_once}");
        let calls: Vec<_> = events.summary().requests.iter().map(|request| request.calls.clone()).collect();
        assert_eq!(calls, [[1], [2]], "{at_once}");
    }
}

#[test]
fn an_answer_that_nobody_hands_on_is_nobodys() {
    let mut events = dispatched();
    events.on(3).running(DRIVER).receive(DRIVEN, format!("{OK}{OK}")).woken(701).woken(702).idle(DRIVER);
    events.running(701).terminal(701);
    assert_eq!(requests_of(&events), [None, None]);
}

#[test]
fn the_beginning_of_an_answer_wakes_as_well_as_its_end() {
    let mut events = asked();
    events.on(3).running(DRIVER).send(DRIVEN, format!("{GET}{GET_B}")).idle(DRIVER);
    // The end of the first one meets a task that is awake.
    let (head, end) = OK.split_at(OK.len() - 1);
    events.running(DRIVER).receive(DRIVEN, head).woken(200).idle(DRIVER);
    events.running(DRIVER).receive(DRIVEN, format!("{end}{OK}")).woken(200).woken(100).idle(DRIVER);
    assert_eq!(requests_of(&events), [Some((2, Certainty::Certain)), Some((1, Certainty::Certain))]);
}

#[test]
fn a_spawned_task_that_others_wake_still_works_for_its_request() {
    let mut events = EventBuilder::new();
    events.explain().open(1).open(2).on(3).connect(DRIVEN);
    events.on(1).running(100).receive(1, GET).spawned(300).idle(100);
    // As one that waits for a connection of a pool.
    events.on(2).running(200).receive(2, GET).woken(300).idle(200);
    events.on(1).running(300).woken(DRIVER).idle(300);
    events.on(3).running(DRIVER).send(DRIVEN, GET).idle(DRIVER).running(DRIVER).receive(DRIVEN, OK).woken(300);
    events.idle(DRIVER);
    assert_eq!(requests_of(&events), [Some((1, Certainty::Likely))]);
}

#[test]
fn the_wait_of_a_request_is_that_for_its_calls() {
    let mut events = EventBuilder::new();
    events.explain().open(1).on(3).connect(DRIVEN);
    events.on(1).running(100).receive(1, GET).woken(DRIVER).idle(100);
    events.on(3).running(DRIVER).send(DRIVEN, GET).idle(DRIVER).pause(1000).running(DRIVER);
    events.receive(DRIVEN, OK).woken(100).idle(DRIVER).pause(50).on(1).running(100).send(1, OK).idle(100);
    let summary = events.summary();
    let explanation = summary.requests[0].explanation.as_ref().expect("an explanation");
    let waits: Vec<_> = explanation.calls.iter().map(|wait| (&*wait.summary, wait.ns, wait.count)).collect();
    assert_eq!((explanation.parts.waiting, waits), (1040, vec![("GET /a", 1040, 1)]));
}
