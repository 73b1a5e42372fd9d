//! The parts of `handle`.

use cargo_beyla_events::{NO_SYSTEM_CALL, UNKNOWN_SYSTEM_CALL};

use super::*;

#[test]
fn a_run_without_explain_explains_nothing() {
    let mut tape = Tape::with_connection();
    tape.running(7).receive(1, GET).sleep(SLEEP, 20 * MS, 0).sending(1).send(1, OK).idle(7);
    let summary = tape.summary();
    assert!(summary.explained.is_none() && summary.requests[0].explanation.is_none());
    assert_eq!(summary.routes[0].handle_mean, None);
}

#[test]
fn a_request_waits_is_scheduled_and_runs() {
    let mut tape = Tape::explained();
    tape.running(7).pause(100).receive(1, GET).pause(2 * MS).idle(7).pause(3 * MS);
    tape.on(2).woken(7).pause(MS).on(3).running(7).pause(4 * MS).send(1, OK).pause(MS).idle(7);
    assert_eq!(parts(&tape), [6 * MS + ENTRY, 0, 0, MS, 3 * MS]);
    let summary = tape.summary();
    assert_eq!(of(&summary, 1).unit, Unit::Task);
    let mean = [6 * MS + ENTRY, 0, 0, MS, 3 * MS].map(|ns| ns as f64);
    assert_eq!(summary.routes[0].handle_mean, Some(mean));
    assert!(of(&summary, 1).waits.is_empty(), "the wake came from I/O");
}

#[test]
fn off_the_cpu_in_a_poll() {
    let poll = |build: fn(&mut Tape) -> &mut Tape| {
        let mut tape = Tape::explained();
        build(tape.running(7).receive(1, GET).pause(MS)).pause(MS).send(1, OK).idle(7);
        parts(&tape)
    };
    let running = 2 * MS + ENTRY;
    assert_eq!(poll(|tape| tape.sleep(SLEEP, 5 * MS, 2 * MS)), [running, 2 * MS, 5 * MS, 0, 0]);
    assert_eq!(poll(|tape| tape.sleep(EPOLL, 5 * MS, 0)), [running, 0, 5 * MS, 0, 0]);
    assert_eq!(poll(|tape| tape.preempted(5 * MS)), [running, 5 * MS, 0, 0, 0]);
    assert_eq!(poll(|tape| tape.pause(5 * MS)), [running + 5 * MS, 0, 0, 0, 0]);
    let unseen = |tape: &mut Tape| {
        let begin = tape.now;
        tape.pause(5 * MS).off_cpu(begin, 0, UNKNOWN_SYSTEM_CALL);
    };
    let mut tape = Tape::explained();
    tape.running(7).receive(1, GET);
    unseen(&mut tape);
    tape.send(1, OK);
    assert_eq!(parts(&tape), [ENTRY, 0, 5 * MS, 0, 0]);
}

#[test]
fn places_by_cause_and_stack() {
    let mut tape = Tape::explained();
    tape.running(7).falls_asleep(9, false).sleep(SLEEP, MS, 0).receive(1, GET);
    tape.falls_asleep(1, false).sleep(SLEEP, 3 * MS, MS).falls_asleep(1, false).sleep(SLEEP, 2 * MS, 0);
    tape.falls_asleep(2, true).sleep(FUTEX, MS, 0).falls_asleep(3, false).sleep(NO_SYSTEM_CALL, 4 * MS, 0);
    tape.sleep(SLEEP, 500, 0).pause(5 * MS).sample(4).pause(MS).sample(4).send(1, OK);
    // The answer is under way, so this no longer belongs to `handle`.
    tape.falls_asleep(5, false).sleep(SLEEP, 9 * MS, 0).idle(7);
    let place = |cause, stack, ns, count| Place { cause, stack, ns, count };
    assert_eq!(
        of(&tape.summary(), 1).places,
        [
            place(slept(), 1, 5 * MS, 2),
            place(Cause::PageFault, 3, 4 * MS, 1),
            place(Cause::Running, 4, 2 * (1_000_000_000 / 997), 2),
            place(Cause::Lock, 2, MS, 1),
            place(slept(), 0, 500, 1),
        ]
    );
    assert_eq!(parts(&tape), [6 * MS + ENTRY, MS, 10 * MS + 500, 0, 0]);
}

#[test]
fn a_wake_during_a_poll_schedules_the_next_one() {
    let mut tape = Tape::explained();
    tape.running(7).receive(1, GET).pause(MS).woken(7).pause(MS).idle(7).pause(3 * MS);
    tape.running(7).pause(MS).idle(7).pause(2 * MS).woken(7).running(7).send(1, OK);
    assert_eq!(parts(&tape), [3 * MS + ENTRY, 0, 0, 3 * MS, 2 * MS]);
}

#[test]
fn a_late_record_of_a_wake_does_not_count_again() {
    let mut tape = Tape::explained();
    tape.running(7).receive(1, GET).idle(7).pause(MS).on(2).running(7);
    tape.now -= 500;
    tape.on(3).woken(7);
    tape.now += 500;
    tape.on(2).pause(MS).idle(7).pause(MS).woken(7).running(7).send(1, OK);
    assert_eq!(parts(&tape), [MS + ENTRY, 0, 0, 0, 2 * MS]);
}

#[test]
fn a_late_record_of_the_end_of_a_poll_does_not_end_the_next() {
    let mut tape = Tape::explained();
    tape.running(7).receive(1, GET).pause(MS).woken(7).on(2).running(7);
    tape.now -= 500;
    tape.on(1).idle(7);
    tape.now += 500;
    tape.on(2).pause(MS).send(1, OK).idle(7);
    assert_eq!(parts(&tape), [2 * MS + ENTRY, 0, 0, 0, 0]);
}

#[test]
fn a_worker_polls_within_the_poll_of_its_loop() {
    let mut tape = Tape::explained();
    tape.spawned_blocking(900).running(900).pause(MS).running(7).receive(1, GET).pause(MS).idle(7).pause(MS);
    // The loop wakes tasks whose I/O is ready.
    tape.woken(7).running(7).send(1, OK).idle(7);
    assert_eq!(parts(&tape), [MS + ENTRY, 0, 0, 0, MS]);
    // The type shows that a task is a worker loop before that has polled anything.
    tape.on(2).spawned_blocking(901).running(901).on(1).running(7).receive(1, GET).idle(7).pause(MS);
    tape.on(2).woken(7).running(7).send(1, OK).idle(7);
    let second = of(&tape.summary(), 2);
    assert_eq!((named(&second.parts), second.waits), ([ENTRY, 0, 0, 0, MS], vec![]));
}

#[test]
fn a_thread_without_a_task_is_measured_itself() {
    let mut tape = Tape::explained();
    tape.receive(1, GET).pause(MS).sleep(EPOLL, 2 * MS, 500).sleep(FUTEX, MS, 0).falls_asleep(1, true);
    tape.sleep(FUTEX, 3 * MS, 0).sleep(SLEEP, 4 * MS, 0).sleep(NO_SYSTEM_CALL, MS, 0).preempted(700).send(1, OK);
    assert_eq!(parts(&tape), [MS + ENTRY, 1200, 8 * MS, 0, 3 * MS]);
    let explanation = of(&tape.summary(), 1);
    assert_eq!(explanation.unit, Unit::Thread);
    let places: Vec<_> = explanation.places.iter().map(|place| (place.cause, place.ns)).collect();
    assert_eq!(places, [(slept(), 4 * MS), (Cause::Lock, 3 * MS), (Cause::PageFault, MS)]);
    // The next request starts anew, whatever the thread did in between.
    tape.sleep(SLEEP, MS, 0).receive(1, GET).pause(MS).send(1, OK);
    let second = of(&tape.summary(), 2);
    assert_eq!((named(&second.parts), second.places.len()), ([MS + ENTRY, 0, 0, 0, 0], 0));
}

#[test]
fn another_thread_answers_while_the_receiver_sleeps() {
    let mut tape = Tape::explained();
    tape.on(1).receive(1, GET).falls_asleep(1, false);
    let begin = tape.now;
    tape.on(2).pause(MS).send(1, OK).on(1).off_cpu(begin, begin + 2 * MS, FUTEX);
    assert_eq!(parts(&tape), [0, 0, 0, 0, MS + ENTRY]);
}

#[test]
fn pipelined_requests_share_the_time_of_their_task() {
    let mut tape = Tape::explained();
    tape.running(7).receive(1, [GET, GET, GET].concat()).falls_asleep(1, false).sleep(SLEEP, MS, 0).send(1, OK);
    tape.falls_asleep(2, false).sleep(SLEEP, 2 * MS, 0).send(1, [OK, OK].concat()).idle(7);
    let summary = tape.summary();
    let all: Vec<_> = (1..=3).map(|id| named(&of(&summary, id).parts)).collect();
    let rest = [30, 0, 3 * MS, 0, 0];
    assert_eq!(all, [[ENTRY, 0, MS, 0, 0], rest, rest]);
    let places = |id| of(&summary, id).places.iter().map(|place| (place.stack, place.ns)).collect::<Vec<_>>();
    assert_eq!((places(1), places(2)), (vec![(1, MS)], vec![(2, 2 * MS), (1, MS)]));
    assert_eq!(places(2), places(3));
}

#[test]
fn interim_responses_and_heads_in_pieces() {
    let mut tape = Tape::explained();
    tape.running(7).receive(1, GET).pause(MS).send(1, "HTTP/1.1 100 Continue\r\n\r\n");
    tape.falls_asleep(1, false).sleep(SLEEP, 2 * MS, 0).send(1, &OK[..9]);
    tape.falls_asleep(2, false).sleep(SLEEP, 3 * MS, 0).send(1, &OK[9..20]).pause(MS).send(1, &OK[20..]).idle(7);
    assert_eq!(parts(&tape), [MS + ENTRY + 20, 0, 2 * MS, 0, 0]);
    let stacks: Vec<_> = of(&tape.summary(), 1).places.iter().map(|place| place.stack).collect();
    assert_eq!(stacks, [1]);
    // The rest of one comes with the next.
    let mut tape = Tape::explained();
    tape.running(7).receive(1, [GET, GET].concat()).send(1, &OK[..9]).pause(MS).send(1, [&OK[9..], OK].concat());
    let summary = tape.summary();
    assert_eq!([1, 2].map(|id| of(&summary, id).parts.running), [ENTRY, MS + 20 + ENTRY]);
}

#[test]
fn a_late_record_of_a_spawn() {
    let mut tape = Tape::explained();
    tape.running(7).receive(1, GET).on(2).running(900);
    tape.now -= 5;
    tape.on(1).spawned_blocking(900).idle(7);
    tape.now += 5;
    tape.on(2).sleep(SLEEP, 20 * MS, 0).woken(7).terminal(900).on(1).running(7).send(1, OK).idle(7);
    let summary = tape.summary();
    assert_eq!(of(&summary, 1).waits[0].on, Awaited::BlockingPool);
    assert_eq!(told(&summary), []);
}

#[test]
fn an_address_is_used_again_before_the_record_of_the_last_end() {
    let mut tape = Tape::explained();
    tape.on(2).running(7).pause(100).on(1).spawned(7).running(7);
    tape.now -= 50;
    tape.on(2).terminal(7);
    tape.now += 50;
    tape.on(1).receive(1, GET).pause(MS).send(1, OK).idle(7);
    assert_eq!(parts(&tape), [MS + ENTRY, 0, 0, 0, 0]);
    assert_eq!(of(&tape.summary(), 1).unit, Unit::Task);
}

#[test]
fn the_record_of_the_end_of_a_poll_is_lost() {
    let mut tape = Tape::explained();
    tape.running(7).receive(1, GET).pause(MS).running(8).sleep(SLEEP, 2 * MS, 0).idle(8).woken(7).pause(MS);
    tape.running(7).send(1, OK);
    assert_eq!(parts(&tape), [MS + ENTRY, 0, 0, MS, 2 * MS]);
}

#[test]
fn a_lost_record_of_an_end_on_the_pool_makes_no_worker_loop() {
    let mut tape = Tape::explained();
    tape.on(2).spawned_blocking(900).running(900).spawned_blocking(901).running(901).terminal(901);
    tape.on(1).running(7).receive(1, GET).spawned_blocking(902).idle(7).on(2).running(902).pause(MS).woken(7);
    tape.terminal(902).on(1).running(7).send(1, OK).idle(7);
    assert_eq!(of(&tape.summary(), 1).waits[0].on, Awaited::BlockingPool);
}

#[test]
fn a_client_that_has_closed_and_is_answered_or_not() {
    let mut tape = Tape::explained();
    tape.running(7).receive(1, GET).pause(MS).client_closes(1).sleep(SLEEP, 2 * MS, 0);
    let mut answered = Tape::explained();
    answered.running(7).receive(1, GET).pause(MS).client_closes(1).sleep(SLEEP, 2 * MS, 0).send(1, OK).over(1);
    assert_eq!(parts(&answered), [MS + 10 + ENTRY, 0, 2 * MS, 0, 0]);
    tape.terminal(7).server_closes(1).over(1);
    assert_eq!(parts(&tape), [MS + 10, 0, 0, 0, 0]);
}

#[test]
fn a_send_that_finds_no_room_is_tried_again() {
    let mut tape = Tape::explained();
    tape.running(7).receive(1, GET).pause(MS).sending(1).send_blocked(1).idle(7).pause(2 * MS);
    tape.woken(7).running(7).send(1, OK).idle(7);
    assert_eq!(parts(&tape), [MS + ENTRY, 0, 0, 0, 2 * MS]);
}

#[test]
fn requests_without_an_answer() {
    let mut tape = Tape::explained();
    tape.running(7).receive(1, GET).pause(MS).idle(7).pause(MS).client_closes(1).over(1);
    assert_eq!(parts(&tape), [MS, 0, 0, 0, MS + 10]);
    // The task was dropped before, and another has its address.
    let mut tape = Tape::explained();
    tape.running(7).receive(1, GET).pause(MS).terminal(7).pause(MS).running(7).pause(MS).reset(1);
    assert_eq!(parts(&tape), [MS, 0, 0, 0, 2 * MS + 10]);
    // The run ends 10 ns later.
    let mut tape = Tape::explained();
    tape.running(7).receive(1, GET).pause(MS);
    assert_eq!(parts(&tape), [MS + 10, 0, 0, 0, 0]);
}

#[test]
fn what_cannot_be_opened_is_counted() {
    let mut tape = Tape::explained();
    tape.running(7).receive(1, GET).pause(MS);
    // The begin of the send call is lost.
    tape.explained = false;
    tape.send(1, OK).idle(7);
    let summary = tape.summary();
    assert!(summary.requests[0].explanation.is_none());
    assert_eq!(explained(&summary).requests_not_opened, 1);
    // A request without such a phase does not count.
    let mut tape = Tape::explained();
    tape.receive(1, "POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n").pause(MS).over(1);
    assert_eq!(explained(&tape.summary()).requests_not_opened, 0);
}

#[test]
fn an_answer_before_the_request_is_whole() {
    let mut tape = Tape::explained();
    tape.running(7).receive(1, "POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n").sleep(SLEEP, 2 * MS, 0);
    tape.receive(1, "abc").pause(MS).idle(7).pause(MS).running(7).send(1, OK).idle(7).over(1);
    assert_eq!(parts(&tape), [MS + ENTRY, 0, 0, 0, MS]);
    assert_eq!(of(&tape.summary(), 1).places, []);
}

#[test]
fn another_table_of_functions_is_another_task() {
    let mut tape = Tape::explained();
    tape.running(7).receive(1, GET).pause(MS).idle(7).on(2).task(cargo_beyla_events::task::RUNNING, 7, 5);
    tape.pause(MS).on(1).send(1, OK);
    assert_eq!(parts(&tape), [MS, 0, 0, 0, MS + ENTRY]);
}

#[test]
fn system_calls_are_those_of_the_machine_that_traced() {
    // `epoll_pwait` and `clock_nanosleep` on aarch64, `pipe` and `getgroups` on x86_64.
    let mut tape = Tape::explained();
    tape.receive(1, GET).sleep(22, 5 * MS, 0).sleep(115, 4 * MS, 0).send(1, OK);
    for (architecture, expected, names) in [
        (Architecture::Aarch64, [ENTRY, 0, 4 * MS, 0, 5 * MS], vec!["clock_nanosleep"]),
        (Architecture::X86_64, [ENTRY, 0, 9 * MS, 0, 0], vec!["pipe", "getgroups"]),
    ] {
        let explanation = of(&tape.summary_on(architecture), 1);
        assert_eq!((explanation.unit, named(&explanation.parts)), (Unit::Thread, expected));
        let name = |place: &Place| match place.cause {
            Cause::SystemCall(call) => call.to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!(explanation.places.iter().map(name).collect::<Vec<_>>(), names);
    }
}
