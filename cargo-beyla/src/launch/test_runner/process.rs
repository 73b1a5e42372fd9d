//! The process of one test, and what it leaves behind.

use std::io;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use rustix::process::{WaitOptions, WaitStatus, waitpid};

use super::output::TestOutput;
use super::plan::{PlannedBinary, PlannedTest, TestEnd, TestOptions};
use crate::console::stream::Stream;
use crate::error::Error;
use crate::launch::process_tree::{Grouping, ProcessTree};
use crate::launch::spawn::Spawn;
use crate::launch::suspended::Stdout;
use cargo_beyla_core::model::test::{TestId, TestResult};

/// What was done to stop a test that takes too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stopped {
    Not,
    /// It was asked to end.
    Asked(Instant),
    Killed,
}

/// A test that runs.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) test: TestId,
    pub(super) started: Instant,
    pub(super) tree: ProcessTree,
    output: TestOutput,
    stopped: Stopped,
    /// For how long everything was stopped since then.
    paused: Duration,
}

/// A test that has ended, while processes that it has started still run.
#[derive(Debug)]
pub(super) struct Left {
    pub(super) at: Instant,
    tree: ProcessTree,
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
        options: &TestOptions,
    ) -> Result<Self, Error> {
        let failed = |source| Error::Launch { executable: binary.program.path.clone(), source };
        let output = match options.inherited {
            None => TestOutput::create().map_err(failed)?,
            Some(_) => TestOutput::none(),
        };
        let (stdout, stderr) = match (output.fd(), options.inherited) {
            (Some(fd), _) => (fd, fd),
            (None, Some(Stdout::ToStderr)) => (Stream::Stderr.fd(), Stream::Stderr.fd()),
            (None, Some(Stdout::Inherited) | None) => (Stream::Stdout.fd(), Stream::Stderr.fd()),
        };
        let grouping = options.grouping(test);
        let spawn = Spawn {
            program: &binary.program,
            arguments: &planned.arguments,
            variable: grouping.mark(),
            stdout,
            stderr,
            own_group: grouping == Grouping::ProcessGroup,
            user: options.user.as_ref(),
        };
        let started = Instant::now();
        let tree = ProcessTree { root: spawn.start().map_err(failed)?, grouping };
        if let Some(guard) = &options.guard {
            guard.watch(tree);
        }
        Ok(Self { test, started, tree, output, stopped: Stopped::Not, paused: Duration::ZERO })
    }

    pub(super) fn pid(&self) -> u32 {
        self.tree.root.as_raw() as u32
    }

    /// Ends it for good.
    pub(super) fn kill(&mut self) {
        self.tree.kill();
        // It is gone in a moment, and nobody is left to ask how.
        let _ = wait(self.tree.root, WaitOptions::empty());
    }

    /// How it has ended, if it has.
    pub(super) fn has_ended(&mut self) -> io::Result<Option<TestResult>> {
        let status = wait(self.tree.root, WaitOptions::NOHANG)?;
        Ok(status.map(|status| if self.stopped == Stopped::Not { result(status) } else { TestResult::TimedOut }))
    }

    /// Stops it if it takes too long.
    pub(super) fn enforce(&mut self, timeout: Option<Duration>, grace: Duration, now: Instant) {
        if self.deadline(timeout, grace).is_none_or(|deadline| now < deadline) {
            return;
        }
        self.stopped = match self.stopped {
            Stopped::Not => {
                self.tree.send(Signal::SIGTERM as i32);
                self.tree.send(Signal::SIGCONT as i32);
                Stopped::Asked(now)
            }
            Stopped::Asked(_) | Stopped::Killed => {
                self.tree.kill();
                Stopped::Killed
            }
        };
    }

    /// When it is next to be stopped.
    pub(super) fn deadline(&self, timeout: Option<Duration>, grace: Duration) -> Option<Instant> {
        match self.stopped {
            Stopped::Not => self.started.checked_add(timeout?)?.checked_add(self.paused),
            Stopped::Asked(since) => Some(since + grace),
            Stopped::Killed => None,
        }
    }

    /// Everything was stopped for this time.
    pub(super) fn resume(&mut self, paused: Duration) {
        self.paused += paused;
        if let Stopped::Asked(since) = &mut self.stopped {
            *since += paused;
        }
    }

    /// The processes that it has left behind now that it has ended; its end, if there are none.
    pub(super) fn into_left(self, result: TestResult, now: Instant) -> Result<Left, TestEnd> {
        let left = Left {
            at: now,
            tree: self.tree,
            test: self.test,
            result,
            took: now.saturating_duration_since(self.started).saturating_sub(self.paused),
            output: self.output,
        };
        if left.is_there() { Ok(left) } else { Err(left.into_ended(false)) }
    }
}

impl Left {
    /// Whether anyone is left.
    pub(super) fn is_there(&self) -> bool {
        self.tree.lives()
    }

    pub(super) fn kill(&self) {
        self.tree.kill();
    }

    pub(super) fn root(&self) -> Pid {
        self.tree.root
    }

    pub(super) fn into_ended(self, leaky: bool) -> TestEnd {
        let Self { at, tree: _, test, result, output, took } = self;
        TestEnd { test, result, output, at, took, leaky }
    }
}

/// Waits for a child, and for no other.
fn wait(pid: Pid, options: WaitOptions) -> io::Result<Option<WaitStatus>> {
    Ok(waitpid(rustix::process::Pid::from_raw(pid.as_raw()), options)?.map(|(_, status)| status))
}

fn result(status: WaitStatus) -> TestResult {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(0), _) => TestResult::Passed,
        (Some(code), _) => TestResult::Failed(code),
        (None, signal) => TestResult::Killed(signal.unwrap_or_default()),
    }
}
