//! A binary is run in the place of cargo or cargo-nextest, and traced.

use std::ops::ControlFlow;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use rustix::process::{WaitOptions, waitpid};

use super::clocks::monotonic_ns;
use super::server::exit;
use super::state::RunState;
use super::workload::Workload;
use crate::error::Error;
use crate::launch::foreground_child::ForegroundChild;
use crate::launch::received::Received;
use crate::report::run_info::Exit;
use cargo_beyla_core::event::{Event, TestEnded, TestStarted};
use cargo_beyla_core::model::test::{TestId, TestResult};

/// The only test of the run, if there is one.
const TEST: TestId = TestId(0);

/// A binary that runs.
pub(crate) struct TestBinary {
    child: ForegroundChild,
    /// What reports call it.
    name: String,
    /// What it runs, if that is one test.
    test: Option<String>,
    exit: Option<Exit>,
}

impl TestBinary {
    /// A process that was just started.
    pub(crate) fn new(pid: Pid, name: &str, test: Option<String>) -> Self {
        Self { child: ForegroundChild::new(pid), name: name.to_owned(), test, exit: None }
    }

    /// How it ended; that nobody could see it is a failure.
    pub(crate) fn exit_status(&self) -> Exit {
        self.exit.unwrap_or(Exit::Code(i32::from(crate::error::USAGE)))
    }

    /// Waits for its end, and for nothing else.
    pub(crate) fn wait(&mut self) {
        let child = rustix::process::Pid::from_raw(self.child.pid().as_raw());
        // If somebody else has waited for it, nobody can know how it ended.
        self.exit = waitpid(child, WaitOptions::empty()).ok().flatten().map(|(_, status)| exit(status));
    }
}

impl Workload for TestBinary {
    const NAME: &'static str = "tests";

    fn begin(&mut self, run: &mut RunState) {
        if let Some(test) = &self.test {
            let pid = self.child.pid().as_raw() as u32;
            let time_ns = monotonic_ns();
            let started = TestStarted { time_ns, test: TEST, pid, round: 0, binary: &self.name, name: test };
            run.records.emit(&Event::TestStarted(started));
        }
    }

    /// Every signal is for the binary: whoever started us knows nothing of us.
    fn receive(&mut self, received: &Received, _run: &mut RunState) {
        if !received.is(Signal::SIGCHLD) {
            self.child.pass_on(received);
        }
    }

    fn has_ended(&mut self) -> bool {
        self.exit.is_some()
    }

    fn step(&mut self, run: &mut RunState) -> Result<ControlFlow<()>, Error> {
        let failed = |source| Error::System { what: "waiting for the binary", source };
        self.exit = self.child.ended().map_err(failed)?.map(exit);
        if self.exit.is_some() {
            return Ok(ControlFlow::Break(()));
        }
        if self.child.wants_to_stop() {
            run.pause(|_| self.child.stop());
        }
        Ok(ControlFlow::Continue(()))
    }

    fn ended(&mut self, run: &mut RunState) {
        run.signals.forget(self.child.pid());
    }

    fn finish(&mut self, run: &mut RunState, ended_monotonic_ns: u64) {
        if self.test.is_none() {
            return;
        }
        let result = match self.exit_status() {
            Exit::Code(0) => TestResult::Passed,
            Exit::Code(code) => TestResult::Failed(code),
            Exit::Signal(signal) => TestResult::Killed(signal),
        };
        let ended = TestEnded { time_ns: ended_monotonic_ns, test: TEST, result: Some(result), reason: "" };
        run.records.emit(&Event::TestEnded(ended));
    }

    fn exit(&self) -> Option<Exit> {
        self.exit
    }
}
