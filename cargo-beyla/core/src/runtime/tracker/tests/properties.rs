//! Properties that hold for any events in any order: the parts sum to `handle` (see [`crate::tape`]).

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::tape::summary_of;

use super::*;

/// An event on a thread, some time after the previous one.
#[derive(Clone, Debug)]
struct Step {
    thread: u32,
    pause: u64,
    /// The clock steps back before.
    back: u64,
    /// Its record is lost.
    lost: bool,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Task(u16, u64, u64),
    OffCpu(u64, u64, i32),
    Stack(u16, u32, bool),
    Sending(u64),
    SendBlocked(u64),
    Receive(u64, usize),
    Send(u64, usize),
    Close(u64, u8),
}

fn what() -> impl Strategy<Value = What> {
    let length = || prop_oneof![3 => Just(usize::MAX), 1 => 0..80usize];
    prop_oneof![
        8 => (1..7u16, prop_oneof![1..6u64, Just(900u64)], 0..3u64).prop_map(|(flags, task, vtable)| What::Task(flags, task, vtable)),
        4 => (0..20 * MS, 0..25 * MS, select(vec![SLEEP, EPOLL, FUTEX, -1, -2, i32::MAX, i32::MIN]))
            .prop_map(|(length, woken, call)| What::OffCpu(length, woken, call)),
        2 => (1..3u16, 0..4u32, any::<bool>()).prop_map(|(flags, stack, lock)| What::Stack(flags, stack, lock)),
        1 => (1..3u64).prop_map(What::Sending),
        1 => (1..3u64).prop_map(What::SendBlocked),
        4 => (1..3u64, length()).prop_map(|(connection, length)| What::Receive(connection, length)),
        4 => (1..3u64, length()).prop_map(|(connection, length)| What::Send(connection, length)),
        1 => (1..3u64, 0..4u8).prop_map(|(connection, how)| What::Close(connection, how)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let pause = prop_oneof![3 => 0..2000u64, 1 => 0..15 * MS];
    let back = prop_oneof![8 => Just(0u64), 1 => 0..2000u64, 1 => 0..20 * MS];
    (1..4u32, pause, back, proptest::bool::weighted(0.05), what()).prop_map(|(thread, pause, back, lost, what)| Step {
        thread,
        pause,
        back,
        lost,
        what,
    })
}

fn tape_of(steps: &[Step]) -> Tape {
    let mut tape = Tape::explained();
    tape.open(2);
    for Step { thread, pause, back, lost, what } in steps {
        tape.now = tape.now.saturating_sub(*back);
        tape.on(*thread).pause(*pause);
        let before = tape.bytes.len();
        let cut = |text: &'static str, length: usize| &text[..text.len().min(length)];
        match *what {
            What::Task(flags, task, vtable) => tape.task(flags, task, vtable),
            What::OffCpu(length, woken, call) => {
                let begin = tape.now;
                tape.now += length;
                tape.off_cpu(begin, if woken > length { 0 } else { begin + woken }, call)
            }
            What::Stack(flags, stack, lock) => tape.unwound(flags, stack, lock),
            What::Sending(connection) => tape.sending(connection),
            What::SendBlocked(connection) => tape.send_blocked(connection),
            What::Receive(connection, length) => tape.receive(connection, cut(GET, length)),
            What::Send(connection, length) => tape.send(connection, cut(OK, length)),
            What::Close(connection, 0) => tape.client_closes(connection),
            What::Close(connection, 1) => tape.server_closes(connection),
            What::Close(connection, 2) => tape.over(connection),
            What::Close(connection, _) => tape.reset(connection),
        };
        if *lost {
            tape.bytes.truncate(before);
        }
    }
    tape
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_parts_sum_to_handle_whatever_happens(steps in vec(step(), 0..150), now in prop_oneof![3 => Just(None), 1 => any::<u64>().prop_map(Some)]) {
        let tape = tape_of(&steps);
        let (summary, rest) = summary_of(&tape.bytes, now.unwrap_or(tape.now + 10), usize::MAX);
        prop_assert!(rest.is_empty());
        let explained = explained(&summary);
        let with_handle = |request: &&std::sync::Arc<crate::model::request::Request>| {
            request.boundaries.phases().handle.is_some_and(|handle| handle > 0)
        };
        let opened = summary.requests.iter().filter(with_handle).filter(|request| request.explanation.is_some()).count();
        let all = summary.requests.iter().filter(with_handle).count();
        prop_assert_eq!(all - opened, explained.requests_not_opened as usize);
        for finding in &explained.findings {
            prop_assert!(finding.count <= finding.of && finding.count > 0, "{finding:?}");
            prop_assert!(finding.max_ns <= finding.total_ns, "{finding:?}");
        }
    }

    #[test]
    fn requests_are_opened_if_all_records_come_in_order(mut steps in vec(step(), 0..150)) {
        for step in &mut steps {
            (step.lost, step.back) = (false, 0);
        }
        let summary = tape_of(&steps).summary();
        prop_assert_eq!(explained(&summary).requests_not_opened, 0);
    }

    #[test]
    fn damaged_records_do_no_harm(
        steps in vec(step(), 1..60),
        damage in vec((any::<proptest::sample::Index>(), any::<u8>()), 1..30),
        now in any::<u64>(),
    ) {
        let mut tape = tape_of(&steps);
        for (place, byte) in damage {
            let place = place.index(tape.bytes.len());
            tape.bytes[place] = byte;
        }
        summary_of(&tape.bytes, now, 5);
    }
}
