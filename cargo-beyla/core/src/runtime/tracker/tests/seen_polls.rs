//! `--explain=auto`: polls without a probe, and windows with probes.

use super::*;
use crate::model::explanation::Tier;
use crate::runtime::tracker::off_cpu::SAMPLE_NS;

/// A run in which task 7 serves connection 1.
fn seen() -> EventBuilder {
    let mut events = EventBuilder::new();
    events.explain_by_sight().open(1).in_task(7);
    events
}

#[test]
fn sleeps_and_the_want_of_a_cpu_are_exact_and_all_else_waits() {
    let mut events = seen();
    events.receive(1, GET).pause(MS).falls_asleep(1, false).sleep(SLEEP, 20 * MS, 2 * MS).pause(3 * MS);
    events.preempted(4 * MS).pause(MS).send(1, OK);
    assert_eq!(parts(&events), [0, 6 * MS, 20 * MS, 0, 5 * MS + ENTRY]);
    let summary = events.summary();
    let Explanation { tier, unit, places, waits, .. } = of(&summary, 1);
    assert_eq!((tier, unit, waits), (Tier::Seen, Unit::Task, Vec::new()));
    assert_eq!(places, [Place { cause: slept(), stack: 1, ns: 20 * MS, count: 1 }]);
    let route = Some("GET /a".to_owned());
    assert_eq!(found(&summary), [(FindingKind::BlockingCall, route, 1, 1, 20 * MS, 20 * MS)]);
}

#[test]
fn what_sleeps_inside_the_send_call_belongs_to_the_response() {
    let mut events = seen();
    events.receive(1, GET).pause(MS);
    let begin = events.now + 10;
    events.pause(10).preempted(2 * MS).pause(MS).preempted(MS).send_begun_at(1, OK, begin);
    assert_eq!(parts(&events), [0, 0, 0, 0, MS + ENTRY]);
}

/// A tick of the sampler stands for all the time since the one before it, but not for what came before the request.
#[test]
fn a_tick_says_nothing_of_the_time_before_the_request() {
    let mut events = seen();
    events.in_task(3).spawns(7).in_task(7).pause(300_000).receive(1, GET).pause(200_000).tick().pause(100_000);
    events.send(1, OK);
    assert_eq!(parts(&events), [200_000, 0, 0, 0, 100_000 + ENTRY]);
}

/// A worker sleeps in a task of the pool. If its beginning was not seen, nothing tells it from others.
#[test]
fn a_worker_without_work_blocks_nothing() {
    let mut events = seen();
    for _ in 0..5 {
        events.on(2).in_task(1).falls_asleep(1, false).sleep(FUTEX, 500 * MS, 0);
    }
    events.on(1).in_task(7).receive(1, GET).send(1, OK);
    let summary = events.summary();
    assert!(found(&summary).is_empty(), "{:?}", found(&summary));
    assert_eq!(parts(&events), [0, 0, 0, 0, ENTRY]);
}

/// Computes for as many ticks of the sampler; the first comes at once.
fn compute(events: &mut EventBuilder, ticks: u64) {
    for tick in 0..ticks {
        events.pause(SAMPLE_NS).tick();
        if tick > 10 {
            events.sample(4);
        }
    }
}

#[test]
fn ticks_one_after_the_other_are_one_poll() {
    let mut events = seen();
    events.receive(1, GET);
    compute(&mut events, 15);
    // The thread loses its CPU in between, and a tick is late.
    events.preempted(5 * MS);
    compute(&mut events, 15);
    events.pause(SAMPLE_NS / 2).send(1, OK);
    let ran = 30 * SAMPLE_NS;
    assert_eq!(parts(&events), [ran, 5 * MS, 0, 0, SAMPLE_NS / 2 + ENTRY]);
    let route = Some("GET /a".to_owned());
    assert_eq!(found(&events.summary()), [(FindingKind::CpuBoundPoll, route, 1, 1, ran, ran)]);
}

#[test]
fn many_short_requests_are_no_long_poll() {
    let mut events = seen();
    for _ in 0..100 {
        events.receive(1, GET).pause(SAMPLE_NS).tick().send(1, OK);
    }
    let summary = events.summary();
    assert!(found(&summary).is_empty(), "{:?}", found(&summary));
    assert_eq!(named(&of(&summary, 1).parts), [SAMPLE_NS, 0, 0, 0, ENTRY]);
}

#[test]
fn what_a_seen_poll_holds_up_is_named() {
    let mut events = seen();
    events.open(2).receive(1, GET).falls_asleep(1, false);
    let arrived = events.now + MS;
    events.sleep(SLEEP, 30 * MS, 0).send(1, OK);
    events.in_task(8).receive_late(2, GET_B, arrived).send(2, OK);
    let summary = events.summary();
    let delays = of(&summary, 2).delays;
    assert!(matches!(&delays[..], [delay] if delay.ns == 29 * MS), "{delays:?}");
    assert_eq!(explained(&summary).findings[0].delayed.len(), 1);
}

#[test]
fn a_request_within_a_window_is_known_exactly() {
    let mut events = seen();
    events.window_opens().running(7).receive(1, GET).pause(MS).idle(7).pause(MS).woken(7).pause(MS);
    events.running(7).pause(MS).send(1, OK).idle(7);
    assert_eq!(parts(&events), [2 * MS + ENTRY, 0, 0, MS, MS]);
    assert_eq!(of(&events.summary(), 1).tier, Tier::Probed);
}

/// At its edges a window invents neither blocked nor waiting time, and no request that spans one is exact.
#[test]
fn a_request_that_spans_an_edge_is_as_outside_of_windows() {
    let mut events = seen();
    events.receive(1, GET).pause(MS).window_opens().pause(MS).woken(7).pause(MS).running(7).pause(MS).send(1, OK);
    assert_eq!(parts(&events), [MS + ENTRY, 0, 0, 0, 3 * MS]);
    assert_eq!(of(&events.summary(), 1).tier, Tier::Seen);

    let mut events = seen();
    events.window_opens().running(7).receive(1, GET).pause(MS).window_closes().pause(5 * MS);
    // Records of probes that are not yet taken out.
    events.idle(7).running(9).pause(MS).in_task(7).sleep(SLEEP, 2 * MS, 0).send(1, OK);
    assert_eq!(parts(&events), [0, 0, 2 * MS, 0, 7 * MS + ENTRY]);
    assert_eq!(of(&events.summary(), 1).tier, Tier::Seen);
}

/// The tracker hears of the end of a window before it has read the ends of polls that came earlier.
#[test]
fn a_window_that_closes_makes_no_poll_long() {
    let mut events = seen();
    events.window_opens().running(7).receive(1, GET).send(1, OK).pause(50 * MS).window_closes();
    events.receive(1, GET).send(1, OK);
    let summary = events.summary();
    assert!(found(&summary).is_empty(), "{:?}", found(&summary));
}

#[test]
fn a_poll_is_the_thread_s_word_where_the_end_of_another_was_not_told() {
    let mut events = seen();
    events
        .open(2)
        .window_opens()
        .in_task(8)
        .running(8)
        .in_task(7)
        .receive(1, GET)
        .pause(MS)
        .sleep(SLEEP, 2 * MS, 0)
        .send(1, OK);
    assert_eq!(parts(&events), [0, 0, 2 * MS, 0, MS + ENTRY]);
}

#[test]
fn threads_without_tasks_are_known_as_with_probes() {
    let mut events = seen();
    events.in_task(0).receive(1, GET).pause(MS).falls_asleep(1, false).sleep(SLEEP, 3 * MS, MS).send(1, OK);
    assert_eq!(parts(&events), [MS + ENTRY, MS, 3 * MS, 0, 0]);
    assert_eq!(of(&events.summary(), 1).unit, Unit::Thread);
}
