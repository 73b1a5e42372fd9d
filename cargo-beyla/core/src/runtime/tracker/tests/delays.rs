//! Requests that polls of other tasks hold up.

use super::*;
use crate::model::explanation::{Delay, Holder};
use crate::tape::explain::{library, own, system};

fn delays(summary: &Summary, id: u64) -> Vec<(String, u64)> {
    let by = |delay: Delay| match delay.by {
        Holder::Request((method, route)) => (format!("{method} {route}"), delay.ns),
        Holder::Task(vtable) => (format!("task {vtable}"), delay.ns),
    };
    of(summary, id).delays.into_iter().map(by).collect()
}

/// Task 7 handles `GET /a` and blocks thread 1 for 20 ms after 1 ms. `meanwhile` happens 5 ms before the end of that.
fn block(meanwhile: impl FnOnce(&mut Tape)) -> Tape {
    let mut tape = Tape::explained();
    tape.open(2).running(7).receive(1, GET).pause(MS);
    let begin = tape.now;
    tape.pause(15 * MS);
    meanwhile(&mut tape);
    tape.on(1);
    tape.now = begin + 20 * MS;
    tape.off_cpu(begin, begin + 20 * MS, SLEEP).send(1, OK).idle(7);
    tape
}

#[test]
fn a_request_that_arrives_while_its_thread_is_blocked() {
    for (thread, expected) in [(1, vec![("GET /a".to_owned(), 20 * MS + 20)]), (2, vec![])] {
        let mut tape = block(|_| {});
        // The request arrived just after the blocking began.
        tape.on(thread).running(8);
        let before = tape.now;
        tape.receive_late(2, GET_B, before - 20 * MS - 20).send(2, OK).idle(8);
        let summary = tape.summary();
        assert_eq!(delays(&summary, 2), expected);
        let told = &explained(&summary).findings;
        assert_eq!((told.len(), told[0].kind, told[0].total_ns), (1, FindingKind::BlockingCall, 20 * MS));
        let delayed: Vec<_> = told[0].delayed.iter().map(|by| (&*by.route, by.count, by.total_ns, by.max_ns)).collect();
        let same: Vec<_> = expected.iter().map(|(_, ns)| ("/b", 1, *ns, *ns)).collect();
        assert_eq!(delayed, same);
    }
}

#[test]
fn a_task_that_is_woken_while_its_thread_is_blocked() {
    for (thread, expected) in [(1, vec![("GET /a".to_owned(), 5 * MS + 20)]), (2, vec![])] {
        let mut tape = Tape::explained();
        tape.open(2).on(2).running(8).receive(2, GET_B).idle(8).on(1).running(7).receive(1, GET);
        let begin = tape.now;
        tape.pause(15 * MS).on(3).woken(8).on(1).pause(5 * MS).off_cpu(begin, begin + 20 * MS, SLEEP);
        tape.send(1, OK).idle(7).on(thread).running(8).send(2, OK).idle(8);
        let summary = tape.summary();
        let second = of(&summary, 1);
        assert_eq!(delays(&summary, 1), expected);
        assert_eq!(second.parts.scheduled, 5 * MS + 20);
    }
}

#[test]
fn short_polls_and_those_of_the_same_task_are_no_delay() {
    let mut tape = Tape::explained();
    tape.open(2).running(7).receive(1, GET).pause(2 * MS).idle(7).on(2).woken(7);
    tape.on(1).running(8).receive(2, GET_B).pause(900_000).idle(8).running(7).send(1, OK).idle(7);
    let summary = tape.summary();
    assert_eq!((delays(&summary, 1), delays(&summary, 2)), (vec![], vec![]));
    assert!(of(&summary, 1).parts.scheduled > 900_000);
}

#[test]
fn block_in_place_holds_nothing_up() {
    // The thread that takes over may be known before the poll ends, or after.
    for early in [true, false] {
        let mut tape = Tape::explained();
        tape.open(2).running(7).receive(1, GET).spawned_blocking(900);
        let stand_in = |tape: &mut Tape| {
            tape.on(2).running(900).running(9).idle(9).on(1);
        };
        if early {
            stand_in(&mut tape);
        }
        tape.sleep(SLEEP, 20 * MS, 0).send(1, OK).idle(7);
        if !early {
            stand_in(&mut tape);
            tape.stack_frames(1, &[library("tokio::task::block_in_place"), own("app::f", "src/main.rs", 3)]);
        }
        tape.running(8);
        let before = tape.now;
        tape.receive_late(2, GET_B, before - 10 * MS).send(2, OK).idle(8);
        let summary = tape.summary();
        assert_eq!(delays(&summary, 2), [], "{early}");
        assert_eq!(told(&summary).is_empty(), early);
    }
    // The stack alone shows it.
    let mut tape = Tape::explained();
    tape.running(7).receive(1, GET).falls_asleep(1, false).sleep(SLEEP, 20 * MS, 0).send(1, OK).idle(7);
    let own = own("app::f", "src/main.rs", 3);
    tape.stack_frames(1, &[library("std::thread::sleep"), own, library("tokio::task::block_in_place")]);
    assert_eq!(told(&tape.summary()), []);
}

/// Since version 1.23 of tokio, the wake comes when the thread has nothing else to do.
#[test]
fn a_task_that_yields_is_scheduled_and_delayed_by_those_that_come_first() {
    // In both kinds of runtimes: the thread may poll within a loop that is a task itself.
    for in_loop in [true, false] {
        let mut tape = Tape::explained();
        if in_loop {
            tape.spawned_blocking(900).running(900);
        }
        tape.running(7).receive(1, GET).pause(MS).deferred(7).pause(MS).idle(7);
        for task in 100..105 {
            // The worker comes to them by different paths.
            let stack = 1 + u32::from(task == 104);
            tape.running(task).falls_asleep(stack, false).sleep(SLEEP, 20 * MS, 0).terminal(task);
        }
        for stack in [1, 2] {
            let way = library(&format!("tokio::way{stack}"));
            tape.stack_frames(stack, &[system("sleep"), own("app::sleeps", "src/main.rs", 3), way]);
        }
        tape.woken(7).pause(50).running(7).send(1, OK).idle(7).task_type(1001, "app::sleeps");
        assert_eq!(parts(&tape), [2 * MS + ENTRY, 0, 0, 100 * MS + 50, 0]);
        let summary = tape.summary();
        assert_eq!(delays(&summary, 1), [("task 1001".to_owned(), 100 * MS)]);
        assert_eq!(explained(&summary).task_types[&1001].as_ref(), "app::sleeps");
        let told = &explained(&summary).findings;
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!((told[0].kind, told[0].total_ns, told[0].count), (FindingKind::BlockingCall, 100 * MS, 5));
        let [delayed] = &told[0].delayed[..] else { panic!("not one route: {told:?}") };
        assert_eq!((&*delayed.route, delayed.count), ("/a", 1));
        assert_eq!((delayed.total_ns, delayed.max_ns), (100 * MS, 100 * MS));
    }
}

#[test]
fn a_yield_on_another_thread_or_before_the_poll_says_nothing() {
    let mut tape = Tape::explained();
    tape.running(7).receive(1, GET).on(2).deferred(7).on(1).pause(MS).idle(7).deferred(7).pause(3 * MS);
    tape.woken(7).running(7).send(1, OK).idle(7);
    assert_eq!(parts(&tape), [MS + ENTRY, 0, 0, 0, 3 * MS]);
}
