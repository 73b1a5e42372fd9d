//! The tests of a workspace run, from the first start to the last end.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::clocks::monotonic_ns;
use super::state::RunState;
use super::test_progress::TestProgress;
use super::workload::Workload;
use crate::error::Error;
use crate::launch::received::Received;
use crate::launch::signals::stop_by;
use crate::launch::test_runner::TestRunner;
use crate::launch::test_runner::plan::{TestEvent, TestName};
use cargo_beyla_core::event::{Event, TestEnded, TestStarted};
use cargo_beyla_core::model::test::TestId;

/// Tests, while they run.
pub(crate) struct TestSuite {
    runner: TestRunner,
    progress: TestProgress,
    /// The first signal that asked for an end.
    stopped: Option<i32>,
}

impl TestSuite {
    pub(crate) fn new(runner: TestRunner, progress: TestProgress) -> Self {
        Self { runner, progress, stopped: None }
    }

    /// Whether a test failed.
    pub(crate) fn has_failures(&self) -> bool {
        self.progress.has_failures()
    }

    /// The first signal that asked for an end before all tests had ended.
    pub(crate) fn stopped(&self) -> Option<i32> {
        self.stopped
    }

    /// What failed tests have printed, as far as it was kept.
    pub(crate) fn take_outputs(&mut self) -> BTreeMap<TestId, String> {
        self.progress.outputs()
    }

    /// Says how the tests went, and names those that failed.
    pub(crate) fn summarise(&self) {
        self.progress.finish(&self.runner);
    }

    fn note(&mut self, event: &TestEvent, run: &mut RunState) {
        match event {
            TestEvent::Started { test, pid, at } => {
                if let Some(TestName { binary, name, round, unlisted: _ }) = self.runner.name(*test) {
                    let (test, pid, time_ns) = (*test, *pid, monotonic_of(*at));
                    run.records.emit(&Event::TestStarted(TestStarted { time_ns, test, pid, round, binary, name }));
                }
                self.progress.started(&self.runner, *test);
            }
            TestEvent::Ended(ended) => {
                // What its processes did comes before its end.
                run.records.read();
                let reason = self.runner.name(ended.test).and_then(|name| name.unlisted).unwrap_or_default();
                let (time_ns, test, result) = (monotonic_of(ended.at), ended.test, Some(ended.result));
                run.records.emit(&Event::TestEnded(TestEnded { time_ns, test, result, reason }));
                run.records.catch_up();
                self.progress.ended(&self.runner, ended, run.records.trace().requests_of(ended.test));
            }
        }
    }

    /// Stops with all tests until somebody continues us.
    fn stop_with_tests(&mut self, received: &Received, run: &mut RunState) {
        let paused = run.pause(|_| {
            self.runner.pass_on_to_all(received);
            if !stop_by(received.signal) {
                // Nobody could continue us, so nobody would continue them.
                self.runner.send_to_all(Signal::SIGCONT as i32);
            }
        });
        self.runner.resume(paused);
        self.progress.resume(paused);
    }
}

impl Workload for TestSuite {
    const NAME: &'static str = "tests";

    fn begin(&mut self, _run: &mut RunState) {
        self.progress.begin();
    }

    fn patience(&self, now: Instant) -> Duration {
        self.runner.wake_at(now).map_or(Duration::MAX, |at| at.saturating_duration_since(now))
    }

    fn receive(&mut self, received: &Received, run: &mut RunState) {
        if received.is(Signal::SIGCHLD) {
            // It has woken the loop, which is all that it is for.
        } else if ends_tests(received) {
            self.runner.stop(received);
            self.stopped.get_or_insert(received.signal);
        } else if received.asks_to_stop() {
            self.stop_with_tests(received, run);
        } else if received.is(Signal::SIGCONT) {
            self.runner.pass_on_to_all(received);
        } else {
            self.runner.pass_on(received);
        }
    }

    fn has_ended(&mut self) -> bool {
        self.runner.is_over()
    }

    fn step(&mut self, run: &mut RunState) -> Result<ControlFlow<()>, Error> {
        let mut events = Vec::new();
        let stepped = self.runner.step(Instant::now(), &mut events);
        // Which test a process belongs to must be known before records of it are taken.
        let (started, ended): (Vec<_>, Vec<_>) =
            events.iter().partition(|event| matches!(event, TestEvent::Started { .. }));
        for event in [started, ended].into_iter().flatten() {
            self.note(event, run);
        }
        if let Err(error) = stepped {
            // What was measured until now is reported all the same.
            run.fail(error);
            return Ok(ControlFlow::Break(()));
        }
        self.progress.remind(&self.runner);
        Ok(if self.runner.is_over() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    fn ended(&mut self, run: &mut RunState) {
        self.progress.end();
        // ^C reaches the last test and us at the same time. We may have seen the test's end before our own signal.
        while self.has_failures()
            && let Ok(Some(received)) = run.signals.next()
        {
            if ends_tests(&received) {
                self.stopped.get_or_insert(received.signal);
            }
        }
    }
}

fn ends_tests(received: &Received) -> bool {
    received.asks_for_end() || received.is_hangup
}

/// A moment of the past by the clock of the records, which [`Instant`] counts by as well.
fn monotonic_of(at: Instant) -> u64 {
    monotonic_ns().saturating_sub(at.elapsed().as_nanos() as u64)
}
