//! Waits for other tasks.

use super::*;
use crate::tape::explain::own;

fn wait(summary: &Summary) -> Wait {
    let waits = of(summary, 1).waits;
    assert_eq!(waits.len(), 1, "{waits:?}");
    waits.into_iter().next().expect("a wait")
}

#[test]
fn a_blocking_call_on_the_pool_is_a_wait_and_nothing_wrong() {
    let mut tape = Tape::explained();
    tape.running(7).receive(1, GET).pause(MS).spawned_blocking(900).idle(7).pause(MS);
    tape.on(2).running(900).pause(MS).falls_asleep(1, false).sleep(SLEEP, 50 * MS, 2 * MS).woken(7).terminal(900);
    tape.on(1).pause(MS).running(7).send(1, OK).idle(7);
    let summary = tape.summary();
    assert_eq!(parts(&tape), [MS + ENTRY, 0, 0, MS, 54 * MS]);
    let wait = wait(&summary);
    assert_eq!((wait.on, wait.ns, wait.count), (Awaited::BlockingPool, 54 * MS, 1));
    assert_eq!(named(&wait.parts), [MS, 2 * MS, 50 * MS, MS, 0]);
    assert_eq!(wait.places, [Place { cause: slept(), stack: 1, ns: 50 * MS, count: 1 }]);
    assert_eq!(told(&summary), []);
}

#[test]
fn waits_lie_within_waits() {
    let mut tape = Tape::explained();
    tape.running(7).receive(1, GET).spawned(200).idle(7).pause(MS);
    tape.on(2).running(200).spawned_blocking(900).idle(200).pause(MS);
    tape.on(3).running(900).sleep(SLEEP, 4 * MS, 0).woken(200).terminal(900).pause(MS);
    tape.on(2).running(200).pause(3 * MS).woken(7).terminal(200);
    tape.on(1).running(7).send(1, OK).idle(7);
    let outer = wait(&tape.summary());
    assert_eq!((outer.on, outer.ns), (Awaited::Task(1002), 10 * MS));
    assert_eq!(named(&outer.parts), [3 * MS, 0, 0, 2 * MS, 5 * MS]);
    let [inner] = &outer.waits[..] else { panic!("{outer:?}") };
    assert_eq!((inner.on, inner.ns), (Awaited::BlockingPool, 5 * MS));
    assert_eq!(named(&inner.parts), [0, 0, 4 * MS, MS, 0]);
    assert!(outer.places.is_empty() && inner.places.len() == 1);
}

#[test]
fn only_the_last_activity_of_an_older_task_counts() {
    let mut tape = Tape::explained();
    tape.on(2).running(200).falls_asleep(9, false).sleep(SLEEP, 9 * MS, 0).idle(200);
    tape.on(1).running(7).receive(1, GET).woken(200).idle(7).pause(MS);
    tape.on(2).running(200).falls_asleep(1, false).sleep(SLEEP, 2 * MS, 0).pause(MS).woken(7).pause(5 * MS).idle(200);
    tape.on(1).running(7).send(1, OK).idle(7);
    let wait = wait(&tape.summary());
    assert_eq!((wait.on, wait.ns), (Awaited::Task(1002), 4 * MS));
    assert_eq!(named(&wait.parts), [MS, 0, 2 * MS, MS, 0]);
    assert_eq!(wait.places.iter().map(|place| place.stack).collect::<Vec<_>>(), [1]);
}

#[test]
fn time_explains_the_wait_of_a_task_only_once() {
    let mut tape = Tape::explained();
    tape.running(7).receive(1, GET).spawned(200).idle(7);
    tape.on(2).running(200);
    for _ in 0..3 {
        tape.on(2).falls_asleep(1, false).sleep(SLEEP, 2 * MS, 0).pause(MS).woken(7).on(1).running(7).idle(7);
    }
    tape.on(2).woken(7).on(1).running(7).send(1, OK).idle(7);
    let wait = wait(&tape.summary());
    assert_eq!((wait.ns, wait.count, named(&wait.parts)), (9 * MS, 3, [3 * MS, 0, 6 * MS, 0, 0]));
    assert_eq!(wait.places, [Place { cause: slept(), stack: 1, ns: 6 * MS, count: 3 }]);
}

#[test]
fn one_task_explains_the_waits_of_several() {
    let mut tape = Tape::explained();
    tape.open(2).running(7).receive(1, GET).spawned(200).idle(7).running(8).receive(2, GET).idle(8);
    tape.on(2).running(200).sleep(SLEEP, 2 * MS, 0).woken(7).woken(8).terminal(200);
    tape.on(1).running(7).send(1, OK).idle(7).running(8).send(2, OK).idle(8);
    let summary = tape.summary();
    assert_eq!(of(&summary, 1).waits[0].places.len(), 1);
    // For the second one, the task is older than its request.
    let second = &of(&summary, 2).waits[0];
    assert_eq!((second.ns, second.parts.blocked, second.places.len()), (2 * MS, 2 * MS, 1));
}

#[test]
fn waits_lie_within_handle() {
    let mut tape = Tape::explained();
    // A wake before the request, and one after its answer.
    tape.running(7).idle(7).on(2).running(200).pause(MS).woken(7).on(1).running(7).receive(1, GET).send(1, OK);
    tape.idle(7).on(2).pause(MS).woken(7).idle(200).on(1).running(7).idle(7);
    assert!(of(&tape.summary(), 1).waits.is_empty());
    // A task that wakes itself does not wait either.
    let mut tape = Tape::explained();
    tape.running(7).receive(1, GET).woken(7).idle(7).pause(MS).running(7).send(1, OK).idle(7);
    assert!(of(&tape.summary(), 1).waits.is_empty());
}

#[test]
fn only_referenced_symbols_are_kept() {
    let mut tape = Tape::explained();
    tape.running(7).receive(1, GET).spawned(200).idle(7);
    tape.on(2).running(200).falls_asleep(5, false).sleep(SLEEP, MS, 0).woken(7).terminal(200);
    tape.on(1).running(7).send(1, OK).idle(7);
    tape.stack_frames(5, &[own("app::f", "src/main.rs", 3)]).stack_frames(6, &[own("app::g", "src/main.rs", 4)]);
    tape.task_type(1002, "app::work::{async_fn}").task_type(1000, "app::other");
    let summary = tape.summary();
    let explained = explained(&summary);
    assert_eq!(explained.stacks.keys().collect::<Vec<_>>(), [&5]);
    assert_eq!(&*explained.stacks[&5][0].function, "app::f");
    assert_eq!(
        explained.task_types.iter().map(|(of, name)| (*of, &**name)).collect::<Vec<_>>(),
        [(1002, "app::work::{async_fn}")]
    );
    assert_eq!(explained.unseen, "");
}
