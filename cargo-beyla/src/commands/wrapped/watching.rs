//! The time between the start of the binary and its end.

use std::os::fd::AsFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use rustix::process::{WaitOptions, waitpid};

use super::super::clocks::{Pause, monotonic_ns};
use super::super::session::probes::Probes;
use super::super::session::server::exit;
use super::super::status::Status;
use crate::error::Error;
use crate::launch::signals::Signals;
use crate::launch::stand_in::StandIn;
use crate::report::run_info::Exit;
use cargo_beyla_core::event::{Event, TestEnded, TestStarted};
use cargo_beyla_core::model::test::{TestId, TestResult};
use cargo_beyla_core::trace::Trace;

/// The probes, before and while the binary runs.
pub(super) struct Watching {
    probes: Probes,
    trace: Trace,
    signals: Signals,
    status: Status,
}

/// The binary has ended.
pub(super) struct End {
    pub(super) exit: Exit,
    pub(super) trace: Trace,
    pub(super) ended_monotonic_ns: u64,
}

impl Watching {
    pub(super) fn new(probes: Probes, trace: Trace, signals: Signals, status: Status) -> Self {
        Self { probes, trace, signals, status }
    }

    /// Has a process killed if we are, with all that it has started.
    pub(super) fn guard(&self, pid: Pid) {
        self.signals.watch(pid);
    }

    /// Watches the process to its end; `test` is what it runs, if that is one test.
    pub(super) fn follow(mut self, pid: Pid, binary: &str, test: Option<&str>) -> End {
        self.probes.begin(&mut self.trace);
        if let Some(name) = test {
            let (time_ns, pid) = (monotonic_ns(), pid.as_raw() as u32);
            let started = TestStarted { time_ns, test: TestId(0), pid, round: 0, binary, name };
            self.trace.record(&Event::TestStarted(started));
        }
        let exit = self.watch(pid).unwrap_or_else(|error| {
            self.status.warn(format_args!("requests from here on are not seen: {error}"));
            wait(pid)
        });
        self.signals.forget(pid);
        let ended_monotonic_ns = monotonic_ns();
        match self.probes.stop(&mut self.trace, self.status) {
            Ok(true) => {}
            Ok(false) => self.status.warn("the probe helper has ended before the tests: requests may be missing"),
            Err(error) => self.status.warn(error),
        }
        if test.is_some() {
            let result = match exit {
                Exit::Code(0) => TestResult::Passed,
                Exit::Code(code) => TestResult::Failed(code),
                Exit::Signal(signal) => TestResult::Killed(signal),
            };
            let ended = TestEnded { time_ns: ended_monotonic_ns, test: TestId(0), result: Some(result), reason: "" };
            self.trace.record(&Event::TestEnded(ended));
        }
        End { exit, trace: self.trace, ended_monotonic_ns }
    }

    fn watch(&mut self, pid: Pid) -> Result<Exit, Error> {
        let mut binary = StandIn::new(pid);
        loop {
            let waited_for = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
            let told = self.probes.wait(waited_for, Duration::MAX)?;
            self.probes.take(&mut self.trace);
            if told {
                self.probes.hear(&mut self.trace, self.status)?;
            }
            let failed = |source| Error::System { what: "reading signals", source };
            // Whatever is sent to us is meant for it, and we are nobody.
            while let Some(received) = self.signals.next().map_err(failed)? {
                if !received.is(Signal::SIGCHLD) {
                    binary.pass_on(&received);
                }
            }
            let failed = |source| Error::System { what: "waiting for the binary", source };
            if let Some(status) = binary.ended().map_err(failed)? {
                return Ok(exit(status));
            }
            if binary.wants_to_stop() {
                let pause = Pause::begin();
                binary.stop();
                let (_, paused) = pause.end();
                self.probes.tell(&mut self.trace, &Event::Paused(paused));
            }
        }
    }
}

/// Waits for the end of a child, and for nothing else.
fn wait(pid: Pid) -> Exit {
    match waitpid(rustix::process::Pid::from_raw(pid.as_raw()), WaitOptions::empty()) {
        Ok(Some((_, status))) => exit(status),
        // Somebody else has waited for it: nobody knows any more.
        Ok(None) | Err(_) => Exit::Code(i32::from(crate::error::USAGE)),
    }
}
