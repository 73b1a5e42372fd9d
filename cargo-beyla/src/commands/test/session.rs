//! The loop that runs the tests and takes what the probes tell, from the first start to the last end.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags};
use nix::sys::signal::Signal;

use super::super::clocks::{Pause, monotonic_ns};
use super::super::exports::Takers;
use super::super::session::probes::Probes;
use super::super::status::Status;
use super::progress::Progress;
use crate::error::Error;
use crate::launch::runner::{Happened, Runner, TestName};
use crate::launch::signals::{Received, Signals, stop_by};
use cargo_beyla_core::event::{Event, TestEnded, TestStarted};
use cargo_beyla_core::model::test::{TestId, TestResult};
use cargo_beyla_core::trace::Trace;

/// The tests of a run, while they run.
pub(super) struct Session<'a> {
    runner: Runner,
    signals: Signals,
    progress: Progress,
    probes: Probes,
    trace: Trace,
    takers: &'a mut Takers,
    status: Status,
    /// The first signal that asked for an end.
    stopped: Option<i32>,
    failure: Option<Error>,
}

/// How the run went.
pub(super) struct End {
    /// All that was recorded.
    pub(super) trace: Trace,
    /// What was said while it went.
    pub(super) progress: Progress,
    /// The tests.
    pub(super) runner: Runner,
    /// The signal that ended it before its time.
    pub(super) stopped: Option<i32>,
    /// Why the run is a failure although its tests have ended.
    pub(super) failure: Option<Error>,
    /// The end of the run by `CLOCK_MONOTONIC`.
    pub(super) ended_monotonic_ns: u64,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        runner: Runner,
        signals: Signals,
        progress: Progress,
        probes: Probes,
        trace: Trace,
        takers: &'a mut Takers,
        status: Status,
    ) -> Self {
        Self { runner, signals, progress, probes, trace, takers, status, stopped: None, failure: None }
    }

    /// Runs them to their end, or to the user's.
    pub(super) fn run(mut self) -> Result<End, Error> {
        self.probes.begin(&mut self.trace);
        self.progress.begin();
        loop {
            let mut happened = Vec::new();
            let stepped = self.runner.step(Instant::now(), &mut happened);
            // Whose process it is must be known before records of it are taken.
            let (started, ended): (Vec<_>, Vec<_>) =
                happened.iter().partition(|happened| matches!(happened, Happened::Started { .. }));
            for happened in [started, ended].into_iter().flatten() {
                self.take_note(happened);
            }
            self.takers.offer(&mut self.trace);
            if let Err(error) = stepped {
                // What was measured until now is reported all the same.
                self.failure.get_or_insert(error);
                break;
            }
            self.progress.remind(&self.runner);
            if self.runner.is_over() {
                break;
            }
            self.wait()?;
            self.take_signals()?;
        }
        let ended_monotonic_ns = monotonic_ns();
        self.progress.end();
        if !self.probes.stop(&mut self.trace, self.status)? {
            self.failure.get_or_insert(Error::HelperEnded);
        }
        let Self { runner, progress, probes, trace, stopped, failure, .. } = self;
        let recording = probes.finish(ended_monotonic_ns, None);
        Ok(End { trace, progress, runner, stopped, failure: failure.or(recording), ended_monotonic_ns })
    }

    /// Waits until there may be something to do, and takes what the probes tell.
    fn wait(&mut self) -> Result<(), Error> {
        let now = Instant::now();
        let due = self.runner.wake_at(now).map_or(Duration::MAX, |at| at.saturating_duration_since(now));
        let waited_for = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        let told = self.probes.wait(waited_for, due)?;
        self.probes.take(&mut self.trace);
        if told {
            self.probes.hear(&mut self.trace, self.status)?;
            if self.probes.has_ended() && self.failure.is_none() {
                self.status.warn("the probe helper has ended before the tests: requests from here on are not seen");
                self.failure = Some(Error::HelperEnded);
            }
        }
        Ok(())
    }

    fn take_note(&mut self, happened: &Happened) {
        match happened {
            Happened::Started { test, pid, at } => {
                self.tell_start(*test, *pid, *at);
                self.progress.started(&self.runner, *test);
            }
            Happened::Ended { test, result, output, at, took, leaky } => {
                // All that its processes did is told before their end is.
                self.probes.take(&mut self.trace);
                self.tell_end(*test, *result, *at);
                let requests = self.trace.requests_of(*test);
                self.progress.ended(&self.runner, *test, *result, output, *took, requests, *leaky);
            }
        }
    }

    fn tell_start(&mut self, test: TestId, pid: u32, at: Instant) {
        let Some(TestName { binary, name, round, unlisted: _ }) = self.runner.name(test) else { return };
        let started = TestStarted { time_ns: monotonic_of(at), test, pid, round, binary, name };
        self.probes.tell(&mut self.trace, &Event::TestStarted(started));
    }

    fn tell_end(&mut self, test: TestId, result: TestResult, at: Instant) {
        let reason = self.runner.name(test).and_then(|name| name.unlisted).unwrap_or_default();
        let ended = TestEnded { time_ns: monotonic_of(at), test, result: Some(result), reason };
        self.probes.tell(&mut self.trace, &Event::TestEnded(ended));
    }

    fn take_signals(&mut self) -> Result<(), Error> {
        let failed = |source| Error::System { what: "reading signals", source };
        while let Some(received) = self.signals.next().map_err(failed)? {
            if received.is(Signal::SIGCHLD) {
                // It has done its part by having woken us.
            } else if received.asks_for_end() || received.is_hangup {
                self.runner.stop(&received);
                self.stopped.get_or_insert(received.signal);
            } else if received.asks_to_stop() {
                self.pause(&received);
            } else if received.is(Signal::SIGCONT) {
                self.runner.pass_on_to_all(&received);
            } else {
                self.runner.pass_on(&received);
            }
        }
        Ok(())
    }

    /// Stops with all tests. What passes until somebody has us go on is no time of theirs.
    fn pause(&mut self, received: &Received) {
        let pause = Pause::begin();
        self.runner.pass_on_to_all(received);
        if !stop_by(received.signal) {
            // Nobody could have continued us, so nobody will continue them.
            self.runner.send_to_all(Signal::SIGCONT as i32);
        }
        let (paused, interval) = pause.end();
        self.probes.tell(&mut self.trace, &Event::Paused(interval));
        self.runner.resume(paused);
        self.progress.resume(paused);
    }
}

/// A moment of the past by the clock of the records, which [`Instant`] counts by as well.
fn monotonic_of(at: Instant) -> u64 {
    monotonic_ns().saturating_sub(at.elapsed().as_nanos() as u64)
}
