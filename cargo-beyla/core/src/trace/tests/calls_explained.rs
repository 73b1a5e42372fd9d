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
