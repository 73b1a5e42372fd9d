//! The process of one test, and what it leaves behind.

use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::output::TestOutput;
use super::{Happened, Options, PlannedBinary, PlannedTest};
use crate::error::Error;
use crate::launch::signals;
use crate::launch::suspended::Stdout;
use crate::request::suite::{TestId, TestResult};

/// How far a test was stopped that takes too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stopped {
    Not,
    /// It was told to end.
    Told(Instant),
    Killed,
}

/// A test that runs.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) test: TestId,
    pub(super) started: Instant,
    child: Child,
    output: TestOutput,
    stopped: Stopped,
}

/// A test that has ended, and whose process group has not.
#[derive(Debug)]
pub(super) struct Left {
    pub(super) at: Instant,
    group: Pid,
    test: TestId,
    result: TestResult,
    output: TestOutput,
    took: Duration,
}

impl Running {
    pub(super) fn start(
        test: TestId,
        binary: &PlannedBinary,
        planned: &PlannedTest,
        options: &Options,
    ) -> Result<Self, Error> {
        let failed = |source| Error::Launch { executable: binary.program.path.clone(), source };
        let mut command = binary.program.command();
        command.args(&planned.arguments).stdin(Stdio::null()).process_group(0);
        let output = match options.inherited {
            None => {
                let output = TestOutput::create().map_err(failed)?;
                let (stdout, stderr) = output.ends().map_err(failed)?;
                command.stdout(stdout).stderr(stderr);
                output
            }
            Some(Stdout::Inherited) => TestOutput::none(),
            Some(Stdout::ToStderr) => {
                command.stdout(io::stderr());
                TestOutput::none()
            }
        };
        if let Some(user) = &options.user {
            user.impersonate(&mut command);
        }
        let started = Instant::now();
        let child = signals::none_blocked(|| command.spawn()).map_err(failed)?;
        Ok(Self { test, started, child, output, stopped: Stopped::Not })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn group(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    /// Sends a signal to it and all that it has started.
    pub(super) fn send(&self, signal: Signal) {
        // As long as it was not waited for, the number is its own. It may have ended.
        let _ = killpg(self.group(), signal);
    }

    /// Ends it for good.
    pub(super) fn kill(&mut self) {
        self.send(Signal::SIGKILL);
        // It is gone in a moment, and nobody is left to ask how.
        let _ = self.child.wait();
    }

    /// How it has ended, if it has.
    pub(super) fn has_ended(&mut self) -> io::Result<Option<TestResult>> {
        let status = self.child.try_wait()?;
        Ok(status.map(|status| if self.stopped == Stopped::Not { result(status) } else { TestResult::TimedOut }))
    }

    /// Stops it if it takes too long.
    pub(super) fn enforce(&mut self, timeout: Option<Duration>, grace: Duration, now: Instant) {
        if self.deadline(timeout, grace).is_none_or(|deadline| now < deadline) {
            return;
        }
        let (signal, stopped) = match self.stopped {
            Stopped::Not => (Signal::SIGTERM, Stopped::Told(now)),
            Stopped::Told(_) | Stopped::Killed => (Signal::SIGKILL, Stopped::Killed),
        };
        self.send(signal);
        self.stopped = stopped;
    }

    /// When it is next to be stopped.
    pub(super) fn deadline(&self, timeout: Option<Duration>, grace: Duration) -> Option<Instant> {
        match self.stopped {
            Stopped::Not => self.started.checked_add(timeout?),
            Stopped::Told(since) => Some(since + grace),
            Stopped::Killed => None,
        }
    }

    /// What is left of one that has ended: others of its process group, or nothing but the news of it.
    pub(super) fn into_left(self, result: TestResult, now: Instant) -> Result<Left, Happened> {
        let left = Left {
            at: now,
            group: self.group(),
            test: self.test,
            result,
            took: now.saturating_duration_since(self.started),
            output: self.output,
        };
        if left.is_there() { Ok(left) } else { Err(left.into_ended(false)) }
    }
}

impl Left {
    /// Whether anyone is left in the group. Its number is given to nobody else as long as there is.
    pub(super) fn is_there(&self) -> bool {
        // Those that have become another user's count as well.
        killpg(self.group, None) != Err(Errno::ESRCH) && self.lives()
    }

    /// Whether one of them has not ended. In a container whose first process waits for nobody, those that have ended
    /// stay for ever.
    fn lives(&self) -> bool {
        let Ok(mut processes) = procfs::process::all_processes() else { return true };
        processes.any(|process| {
            let stat = process.and_then(|process| process.stat());
            stat.is_ok_and(|stat| stat.pgrp == self.group.as_raw() && !matches!(stat.state, 'Z' | 'X'))
        })
    }

    pub(super) fn kill(&self) {
        // They may have ended by themselves.
        let _ = killpg(self.group, Signal::SIGKILL);
    }

    pub(super) fn into_ended(self, leaky: bool) -> Happened {
        let Self { at, group: _, test, result, output, took } = self;
        Happened::Ended { test, result, output, at, took, leaky }
    }
}

fn result(status: ExitStatus) -> TestResult {
    match (status.code(), status.signal()) {
        (Some(0), _) => TestResult::Passed,
        (Some(code), _) => TestResult::Failed(code),
        (None, signal) => TestResult::Killed(signal.unwrap_or_default()),
    }
}
