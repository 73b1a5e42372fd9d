//! Findings.

use super::*;
use crate::event_builder::{library, own};

/// A request of 1 ms, handled by the task with this number; `poll` happens in its poll.
fn request(
    events: &mut EventBuilder,
    task: u64,
    head: &str,
    poll: impl FnOnce(&mut EventBuilder) -> &mut EventBuilder,
) {
    events.running(task).receive(1, head).pause(MS);
    poll(events);
    events.send(1, OK).idle(task).pause(MS);
}

#[test]
fn a_healthy_run_has_no_findings() {
    let mut events = EventBuilder::explained();
    for n in 0..2000u64 {
        events.on(1).running(7).receive(1, GET).pause(200_000).preempted(50_000).spawned_blocking(900).idle(7);
        events.on(2).running(900).sleep(SLEEP, 30 * MS, 0).woken(7).terminal(900).pause(20_000);
        events.on(1).running(7).falls_asleep(1, true).sleep(FUTEX, 10_000, 0).send(1, OK).idle(7).pause(n * 100);
    }
    let summary = events.summary_keeping(10);
    assert_eq!(found(&summary), []);
    assert_eq!(explained(&summary).requests_not_opened, 0);
    assert!(summary.requests.iter().all(|request| request.explanation.is_some()));
}

#[test]
fn blocking_calls_by_route_and_place() {
    let mut events = EventBuilder::explained();
    for n in 0..4u64 {
        request(&mut events, 7, GET, |events| {
            // Twice in one request, from two stacks of the same function.
            events.falls_asleep(1, false).sleep(SLEEP, 10 * MS, 0).falls_asleep(2, false).sleep(SLEEP, (10 + n) * MS, 0)
        });
    }
    request(&mut events, 7, GET, |events| events.sleep(SLEEP, 10 * MS - 1, 0));
    request(&mut events, 7, GET_B, |events| events.falls_asleep(3, false).sleep(SLEEP, 12 * MS, 0));
    events.stack_frames(1, &[library("std::thread::sleep"), own("app::f", "src/main.rs", 3)]);
    events.stack_frames(2, &[library("other"), own("app::f", "src/main.rs", 3)]);
    events.stack_frames(3, &[own("app::f", "src/main.rs", 4)]);
    let summary = events.summary();
    let route = |route: &str| Some(format!("GET {route}"));
    assert_eq!(
        found(&summary),
        [
            (FindingKind::BlockingCall, route("/a"), 5, 5, 86 * MS, 13 * MS),
            (FindingKind::BlockingCall, route("/b"), 1, 1, 12 * MS, 12 * MS),
        ]
    );
    let place = explained(&summary).findings[0].place.expect("a place");
    assert_eq!((place.cause, place.stack, place.count), (slept(), 2, 8));
}

#[test]
fn short_calls_that_together_hold_a_worker_up() {
    let mut events = EventBuilder::explained();
    request(&mut events, 7, GET, |events| {
        for _ in 0..5 {
            events.falls_asleep(1, false).sleep(SLEEP, 2 * MS, 0);
        }
        events.falls_asleep(2, false).sleep(SLEEP, MS, 0)
    });
    // These are still short together.
    request(&mut events, 7, GET_B, |events| {
        for _ in 0..4 {
            events.falls_asleep(1, false).sleep(SLEEP, 2 * MS, 0);
        }
        events
    });
    events
        .stack_frames(1, &[own("app::query", "src/main.rs", 3)])
        .stack_frames(2, &[own("app::other", "src/main.rs", 9)]);
    let summary = events.summary();
    assert_eq!(found(&summary), [(FindingKind::BlockingCall, Some("GET /a".to_owned()), 1, 1, 10 * MS, 2 * MS)]);
    assert_eq!(explained(&summary).findings[0].place.map(|place| place.stack), Some(1));
}

#[test]
fn a_poll_that_never_ends() {
    let mut events = EventBuilder::explained();
    events.running(7).receive(1, GET).falls_asleep(1, false).sleep(SLEEP, 50 * MS, 0);
    let summary = events.summary();
    assert_eq!(found(&summary), [(FindingKind::BlockingCall, Some("GET /a".to_owned()), 1, 1, 50 * MS, 50 * MS)]);
}

#[test]
fn polls_that_compute_for_long() {
    let mut events = EventBuilder::explained();
    for n in 0..3u32 {
        request(&mut events, 7, GET, |events| {
            events.pause(9 * MS).sample(1).sample(2 + n).sample(2 + n).preempted(5 * MS)
        });
    }
    request(&mut events, 7, GET, |events| events.pause(8 * MS).preempted(5 * MS));
    for stack in 2..5 {
        events.stack_frames(stack, &[own("app::spin", "src/main.rs", stack)]);
    }
    let summary = events.summary();
    // The send calls belong to the polls.
    let each = 10 * MS + 20;
    let route = Some("GET /a".to_owned());
    let longest = explained(&summary).findings[0].max_ns;
    assert!((each..each + 50).contains(&longest), "{longest}");
    assert_eq!(found(&summary), [(FindingKind::CpuBoundPoll, route, 3, 4, 3 * longest, longest)]);
}

#[test]
fn a_task_without_requests_must_not_block_and_the_pool_and_threads_may() {
    let mut events = EventBuilder::explained();
    events.running(7).sleep(SLEEP, 20 * MS, 0).idle(7);
    events.spawned_blocking(900).running(900).sleep(SLEEP, 30 * MS, 0).pause(30 * MS).terminal(900);
    // The record of this task's spawn is lost, but its type is known.
    events.running(901).sleep(SLEEP, 30 * MS, 0).terminal(901);
    events.receive(1, GET).sleep(SLEEP, 40 * MS, 0).pause(40 * MS).send(1, OK);
    assert_eq!(found(&events.summary()), [(FindingKind::BlockingCall, None, 1, 1, 20 * MS, 20 * MS)]);
}

#[test]
fn long_or_frequent_waits_for_locks() {
    fn lock(events: &mut EventBuilder, ns: u64) -> &mut EventBuilder {
        events.falls_asleep(1, true).sleep(FUTEX, ns, 0)
    }
    let route = || Some("GET /a".to_owned());
    let mut events = EventBuilder::explained();
    request(&mut events, 7, GET, |events| lock(events, 12 * MS));
    events.receive(1, GET);
    lock(&mut events, 15 * MS);
    events.send(1, OK);
    assert_eq!(found(&events.summary()), [(FindingKind::LockContention, route(), 2, 2, 27 * MS, 15 * MS)]);
    // The poll that waited is to blame for the delays of other requests.
    let mut events = EventBuilder::explained();
    events.open(2);
    for _ in 0..3 {
        events.running(7).receive(1, GET).idle(7).on(2).woken(7).on(1).running(8).receive(2, GET_B);
        lock(&mut events, 20 * MS).send(2, OK).idle(8).running(7).send(1, OK).idle(7);
    }
    let summary = events.summary();
    let kinds: Vec<_> = explained(&summary).findings.iter().map(|one| (one.kind, one.delayed[0].count)).collect();
    assert_eq!(kinds, [(FindingKind::LockContention, 3)]);
    // Each wait is short, but they take half of all time.
    let many = |count: u32, busy| {
        let mut events = EventBuilder::explained();
        for _ in 0..count {
            request(&mut events, 7, GET, |events| lock(events.pause(busy), MS));
        }
        found(&events.summary())
    };
    assert_eq!(many(100, 0), [(FindingKind::LockContention, route(), 100, 100, 100 * MS, MS)]);
    assert_eq!(many(99, 0), [], "it is no more than 99 ms");
    assert_eq!(many(100, 8 * MS - ENTRY).len(), 1);
    assert_eq!(many(100, 8 * MS - ENTRY + 1), [], "it is less than a tenth");
}

#[test]
fn tasks_that_wait_for_a_worker() {
    let saturated = |count: usize, wait| {
        let mut events = EventBuilder::explained();
        for n in 0..count {
            let wait = if n < 3 { wait } else { 0 };
            events.running(7).receive(1, GET).idle(7).woken(7).pause(wait).running(7).send(1, OK).idle(7);
        }
        found(&events.summary())
    };
    assert_eq!(saturated(3, 10 * MS), [(FindingKind::RuntimeSaturated, None, 3, 3, 30 * MS, 10 * MS)]);
    assert_eq!(saturated(300, 10 * MS).len(), 1);
    assert_eq!(saturated(301, 10 * MS), []);
    assert_eq!(saturated(2, 10 * MS), []);
    assert_eq!(saturated(3, 10 * MS - 1), []);
    // A long poll is to blame.
    let mut events = EventBuilder::explained();
    events.open(2);
    for _ in 0..3 {
        events.running(7).receive(1, GET).idle(7).on(2).woken(7).on(1);
        events.running(8).receive(2, GET_B).sleep(SLEEP, 20 * MS, 0).send(2, OK).idle(8).running(7).send(1, OK).idle(7);
    }
    let summary = events.summary();
    assert_eq!(found(&summary), [(FindingKind::BlockingCall, Some("GET /b".into()), 3, 3, 60 * MS, 20 * MS)]);
    let delayed = &explained(&summary).findings[0].delayed;
    assert_eq!((delayed.len(), &*delayed[0].route, delayed[0].count), (1, "/a", 3));
}

#[test]
fn threads_that_want_a_cpu() {
    let mut events = EventBuilder::explained();
    for _ in 0..3 {
        request(&mut events, 7, GET, |events| events.preempted(11 * MS));
    }
    assert_eq!(found(&events.summary()), [(FindingKind::CpuSaturated, None, 3, 3, 33 * MS, 11 * MS)]);
}

#[test]
fn clients_that_take_their_time_before_they_send_accuse_nobody() {
    let of_clients = |idle, unread| {
        let mut events = EventBuilder::explained();
        for connection in 2..5 {
            events.open_by_receive(connection, GET, idle, unread).send(connection, OK);
        }
        found(&events.summary())
    };
    assert_eq!(of_clients(300 * MS, 20_000), []);
    let accept_wait = (FindingKind::AcceptWait, None, 3, 4, 3 * 200 * MS, 200 * MS);
    assert_eq!(of_clients(10_000, 200 * MS - 10_000), [accept_wait]);
}

#[test]
fn connections_that_wait_to_be_accepted() {
    let mut events = EventBuilder::explained();
    for connection in 2..5 {
        events.open_after(connection, 10 * MS).receive(connection, GET).send(connection, OK);
    }
    assert_eq!(found(&events.summary()), [(FindingKind::AcceptWait, None, 3, 4, 30 * MS, 10 * MS)]);
    // The only thread was blocked.
    let mut events = EventBuilder::explained();
    for connection in 2..5 {
        events.running(7).receive(1, GET).sleep(SLEEP, 20 * MS, 0).send(1, OK).idle(7);
        events.now -= 15 * MS;
        events.open_after(connection, 15 * MS).running(8).receive(connection, GET).send(connection, OK).terminal(8);
    }
    let kinds: Vec<_> = found(&events.summary()).into_iter().map(|(kind, ..)| kind).collect();
    assert_eq!(kinds, [FindingKind::BlockingCall]);
}

#[test]
fn slow_clients() {
    let post = "POST /up HTTP/1.1\r\nContent-Length: 4\r\n\r\nab";
    let mut events = EventBuilder::explained();
    events.receive(1, post).pause(100 * MS).receive(1, "cd").send(1, OK);
    let read = 100 * MS + 20;
    assert_eq!(found(&events.summary()), [(FindingKind::SlowUpload, Some("POST /up".into()), 1, 1, read, read)]);
    // The bytes were there all the time, and the server did not read them.
    let mut events = EventBuilder::explained();
    events.receive(1, post);
    let then = events.now;
    events.pause(100 * MS).receive_late(1, "cd", then + MS).send(1, OK);
    assert_eq!(found(&events.summary()), []);
    // The rest of the response is sent once there is room.
    let mut events = EventBuilder::explained();
    events.receive(1, GET).send(1, &OK[..OK.len() - 1]).send_blocked(1).pause(100 * MS).send(1, &OK[OK.len() - 1..]);
    let respond = 100 * MS + 30;
    assert_eq!(found(&events.summary()), [(FindingKind::SlowReader, Some("GET /a".into()), 1, 1, respond, respond)]);
    // The server itself was slow.
    let mut events = EventBuilder::explained();
    events.receive(1, GET).send(1, &OK[..OK.len() - 1]).pause(100 * MS).send(1, &OK[OK.len() - 1..]);
    assert_eq!(found(&events.summary()), []);
}
