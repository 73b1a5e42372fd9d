//! The rules, each by itself; and all of them in runs whose truth is known.

mod simulation;

use super::*;

/// A task of the only process, on a thread of its own.
fn task(task: u64) -> Operator {
    Operator { process: 0, thread: 100 + task as u32, task }
}

fn thread(thread: u32) -> Operator {
    Operator { process: 0, thread, task: 0 }
}

#[expect(clippy::unnecessary_wraps, reason = "it is compared with what may be nothing")]
fn certain(request: u64) -> Option<CallOf> {
    Some(CallOf { request, certainty: Certainty::Certain })
}

#[expect(clippy::unnecessary_wraps, reason = "as above")]
fn likely(request: u64) -> Option<CallOf> {
    Some(CallOf { request, certainty: Certainty::Likely })
}

/// Who is called.
fn peer() -> Endpoint {
    Endpoint::Tcp(([127, 0, 0, 1], 9000).into())
}

/// A run whose time goes on by 10 ns with all that happens.
#[derive(Default)]
struct Run {
    attribution: Attribution,
    now: u64,
}

impl Run {
    fn tick(&mut self) -> u64 {
        self.now += 10;
        self.now
    }

    fn reads(&mut self, by: Operator, request: u64) -> &mut Self {
        let at = self.tick();
        self.attribution.read(request, by, false, None, at);
        self
    }

    fn reads_stream(&mut self, by: Operator, request: u64) -> &mut Self {
        let at = self.tick();
        self.attribution.read(request, by, true, None, at);
        self
    }

    fn answers(&mut self, by: Operator, request: u64) -> &mut Self {
        let at = self.tick();
        self.attribution.answered(request, by, at);
        self.attribution.ended(request, at);
        self
    }

    fn spawns(&mut self, parent: u64, child: u64) -> &mut Self {
        let at = self.tick();
        self.attribution.spawned(0, parent, child, at);
        self
    }

    fn opens(&mut self, by: Operator) -> CallConnection {
        let at = self.tick();
        self.attribution.opens(by, at)
    }

    fn begins(&mut self, connection: &mut CallConnection, by: Operator) -> CallStart {
        let at = self.tick();
        self.attribution
            .begins(connection, &NewCall { maker: by, summary: &"SELECT".into(), start_ns: at, begun_ns: at })
    }

    fn ends(&mut self, connection: &CallConnection, start: &CallStart) -> Option<CallOf> {
        let at = self.tick();
        self.attribution.ends(connection, &peer(), start, at)
    }

    /// A whole call.
    fn calls(&mut self, connection: &mut CallConnection, by: Operator) -> Option<CallOf> {
        let start = self.begins(connection, by);
        self.ends(connection, &start)
    }
}

#[test]
fn what_the_task_of_a_request_calls_is_the_requests_until_it_is_answered() {
    let mut run = Run::default();
    run.reads(task(5), 1).reads(task(6), 2);
    let mut pooled = run.opens(task(5));
    assert_eq!(run.calls(&mut pooled, task(5)), certain(1));
    assert_eq!(run.calls(&mut pooled, task(6)), certain(2));
    run.answers(task(5), 1).reads(task(7), 3);
    assert_eq!(run.calls(&mut pooled, task(5)), None);
    // The call of a request that is cancelled while it runs.
    let start = run.begins(&mut pooled, task(6));
    run.answers(Operator::default(), 2);
    assert_eq!(run.ends(&pooled, &start), certain(2));
}

#[test]
fn calls_at_the_same_time_are_the_requests_all_the_same() {
    let mut run = Run::default();
    run.reads(task(5), 1).reads(task(6), 2);
    let mut connections = [run.opens(task(5)), run.opens(task(5)), run.opens(task(6))];
    let makers = [task(5), task(5), task(6)];
    let starts: Vec<_> =
        connections.iter_mut().zip(makers).map(|(connection, maker)| run.begins(connection, maker)).collect();
    let found: Vec<_> = connections.iter().zip(&starts).rev().map(|(of, start)| run.ends(of, start)).collect();
    assert_eq!(found, [certain(2), certain(1), certain(1)]);
}

#[test]
fn whoever_wakes_the_task_of_a_stream_it_serves_that_one_alone() {
    let mut run = Run::default();
    run.reads_stream(task(5), 1).reads_stream(task(5), 2).spawns(5, 20).spawns(5, 21).spawns(20, 30);
    // Whoever wakes it: a task that it has spawned and waits for, or one that works for another request.
    let works_for = |run: &mut Run, task: u64| {
        let key = TaskKey { process: 0, task };
        run.attribution.tasks.asked(key);
        run.attribution.tasks.works_for(key)
    };
    assert_eq!(works_for(&mut run, 20), Some(WorksFor { request: 1, is_sure: true }));
    assert_eq!(works_for(&mut run, 21), Some(WorksFor { request: 2, is_sure: true }));
    assert_eq!(works_for(&mut run, 30), Some(WorksFor { request: 1, is_sure: false }));
}

#[test]
fn a_spawned_task_works_for_its_spawners_request_and_for_a_moment_longer() {
    let mut run = Run::default();
    run.reads(task(5), 1).reads(task(6), 2).spawns(5, 20).spawns(20, 21);
    let mut pooled = run.opens(task(6));
    assert_eq!(run.calls(&mut pooled, task(6)), certain(2));
    assert_eq!(run.calls(&mut pooled, task(20)), certain(1));
    assert_eq!(run.calls(&mut pooled, task(21)), certain(1));
    run.answers(task(5), 1).reads(task(7), 3);
    assert_eq!(run.calls(&mut pooled, task(20)), likely(1));
    run.now += AFTERWARDS_NS;
    assert_eq!(run.calls(&mut pooled, task(20)), None);
    // What a task spawns that works on no request is nobody's.
    run.spawns(5, 22).spawns(99, 23);
    assert_eq!((run.calls(&mut pooled, task(22)), run.calls(&mut pooled, task(23))), (None, None));
}

#[test]
fn a_driver_is_no_child_of_the_request_that_opened_its_connection() {
    let mut run = Run::default();
    run.reads(task(5), 1).reads(task(6), 2);
    // The connection is opened by the request's task, or by one that this has spawned.
    let mut driven = run.opens(task(5));
    run.spawns(5, 20);
    assert_eq!(run.calls(&mut driven, task(20)), None);
    run.spawns(6, 30);
    let mut in_background = run.opens(task(30));
    run.spawns(30, 31);
    assert_eq!(run.calls(&mut in_background, task(31)), None);
    // Once no other request is open, its calls can only be of the one that is.
    run.answers(task(5), 1);
    assert_eq!(run.calls(&mut driven, task(20)), certain(2));
    // Who uses a connection after others is no driver.
    run.reads(task(5), 3).spawns(5, 40);
    let mut pooled = run.opens(task(5));
    run.spawns(5, 41);
    assert_eq!((run.calls(&mut pooled, task(5)), run.calls(&mut pooled, task(41))), (certain(3), certain(3)));
}

#[test]
fn the_only_request_that_is_open_when_a_call_begins_made_it() {
    let mut run = Run::default();
    let mut driven = run.opens(task(3));
    run.reads(task(5), 1);
    assert_eq!(run.calls(&mut driven, task(9)), certain(1));
    let start = run.begins(&mut driven, task(9));
    // Such as one that the process sends itself with the call.
    run.reads(task(6), 2);
    assert_eq!(run.calls(&mut driven, task(9)), None);
    run.answers(task(6), 2);
    assert_eq!(run.ends(&driven, &start), certain(1));
    // One that is cancelled while it waits.
    let start = run.begins(&mut driven, task(9));
    run.answers(task(5), 1);
    assert_eq!(run.ends(&driven, &start), likely(1));
    // Something else uses this connection, and perhaps asks others for the same.
    assert_eq!(run.calls(&mut driven, task(9)), None);
    run.reads(task(5), 3);
    assert_eq!(run.calls(&mut driven, task(9)), None);
    let mut other = run.opens(task(3));
    assert_eq!(run.calls(&mut other, task(10)), likely(3));
}

#[test]
fn a_process_that_calls_itself_may_be_a_test() {
    let mut run = Run::default();
    run.reads(task(5), 1);
    let mut of_test = run.opens(task(3));
    let mut of_request = run.opens(task(5));
    run.spawns(5, 20);
    assert_eq!(run.calls(&mut of_test, task(9)), certain(1));
    run.attribution.accepted(0, &peer());
    assert_eq!(run.calls(&mut of_test, task(9)), None);
    assert_eq!(run.calls(&mut of_request, task(20)), certain(1));
    // That is another process.
    let mut run = Run::default();
    run.attribution.accepted(7, &peer());
    run.reads(task(5), 1);
    let mut elsewhere = run.opens(task(3));
    assert_eq!(run.calls(&mut elsewhere, task(9)), certain(1));
}

#[test]
fn the_only_request_is_that_of_its_process() {
    let mut run = Run::default();
    let of = |process: u32, task: u64| Operator { process, ..super::tests::task(task) };
    run.reads(of(1, 5), 1).reads(of(2, 5), 2);
    for (process, request) in [(1, 1), (2, 2)] {
        let mut driven = run.opens(of(process, 9));
        assert_eq!(run.calls(&mut driven, of(process, 9)), certain(request));
    }
}

#[test]
fn the_tasks_of_streams_have_the_requests_in_their_order() {
    let mut run = Run::default();
    run.reads_stream(task(5), 1).reads_stream(task(5), 2).spawns(5, 20).spawns(5, 21);
    let mut pooled = run.opens(task(20));
    assert_eq!(run.calls(&mut pooled, task(21)), certain(2));
    assert_eq!(run.calls(&mut pooled, task(20)), certain(1));
    assert_eq!(run.calls(&mut pooled, task(5)), None);
}

#[test]
fn a_thread_that_serves_one_request_at_a_time_makes_its_calls() {
    let mut run = Run::default();
    let mut pooled = run.opens(thread(50));
    run.reads(thread(1), 1).reads(thread(2), 2);
    assert_eq!(run.calls(&mut pooled, thread(2)), likely(2));
    for request in 3..=20 {
        run.reads(thread(3), request).answers(thread(3), request);
    }
    assert_eq!(run.calls(&mut pooled, thread(2)), certain(2));
    assert_eq!(run.calls(&mut pooled, thread(3)), None);
    // Threads that answer each other's requests work on them by turns, as those of an async runtime do.
    run.reads(thread(4), 30).answers(thread(1), 2);
    assert_eq!(run.calls(&mut pooled, thread(1)), None);
}

#[test]
fn threads_say_nothing_where_there_are_tasks_or_several_requests_on_one() {
    let mut run = Run::default();
    let mut pooled = run.opens(thread(50));
    run.reads(thread(1), 1).reads(thread(1), 2);
    assert_eq!(run.calls(&mut pooled, thread(1)), None);
    let mut run = Run::default();
    run.reads(thread(1), 1).reads(task(5), 2);
    assert_eq!(run.calls(&mut pooled, thread(1)), None);
}

#[test]
fn what_is_remembered_of_requests_is_bounded() {
    let mut run = Run::default();
    for request in 1..=2 * ENDED_MAX as u64 {
        let child = 10_000 + request;
        run.reads(task(5), request).spawns(5, child).answers(task(5), request);
        assert!(!run.attribution.is_under_way(request));
    }
    assert_eq!(run.attribution.requests.len(), ENDED_MAX);
}
