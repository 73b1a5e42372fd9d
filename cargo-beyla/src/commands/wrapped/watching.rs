//! The time between the start of the binary and its end.

use std::os::fd::AsFd;
use std::time::Duration;

use cargo_beyla_events::{Header, TestEnded, TestStarted};
use nix::poll::{PollFd, PollFlags};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpgrp, getpid};
use rustix::process::{WaitOptions, WaitStatus, waitpid};

use super::super::clocks::monotonic_ns;
use super::super::session::probes::Probes;
use super::super::status::Status;
use crate::error::Error;
use crate::launch::signals::Signals;
use crate::report::run_info::Exit;
use crate::request::suite::TestResult;
use crate::request::trace::Trace;
use crate::stream::event::Event;

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

    /// Watches the process to its end; `test` is what it runs, if that is one test.
    pub(super) fn follow(mut self, pid: Pid, binary: &str, test: Option<&str>) -> End {
        self.probes.begin(&mut self.trace);
        if let Some(name) = test {
            let header = Header { time_ns: monotonic_ns(), ..Header::default() };
            let started = TestStarted { header, test: 0, pid: pid.as_raw() as u32, round: 0, reserved: 0 };
            self.trace.record(&Event::TestStarted { started, binary, name });
        }
        let exit = self.watch(pid).unwrap_or_else(|error| {
            self.status.warn(format_args!("requests from here on are not seen: {error}"));
            wait(pid)
        });
        let ended_monotonic_ns = monotonic_ns();
        match self.probes.stop(&mut self.trace, self.status) {
            Ok(true) => {}
            Ok(false) => self.status.warn("the probe helper has ended before the tests: requests may be missing"),
            Err(error) => self.status.warn(error),
        }
        if test.is_some() {
            let (result, code) = match exit {
                Exit::Code(0) => TestResult::Passed,
                Exit::Code(code) => TestResult::Failed(code),
                Exit::Signal(signal) => TestResult::Killed(signal),
            }
            .to_record();
            let header = Header { time_ns: ended_monotonic_ns, ..Header::default() };
            let ended = TestEnded { header, test: 0, result, code, reserved: 0 };
            self.trace.record(&Event::TestEnded { ended, reason: "" });
        }
        End { exit, trace: self.trace, ended_monotonic_ns }
    }

    fn watch(&mut self, pid: Pid) -> Result<Exit, Error> {
        loop {
            let waited_for = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
            let told = self.probes.wait(waited_for, Duration::MAX)?;
            self.probes.take(&mut self.trace);
            if told {
                self.probes.hear(&mut self.trace, self.status)?;
            }
            self.pass_signals_on(pid)?;
            if let Some(exit) = ended(pid, WaitOptions::NOHANG)? {
                return Ok(exit);
            }
        }
    }

    /// What the terminal sends, the process gets as well; and so it does what cargo-nextest sends, which is to the
    /// process group that we then lead. All else is meant for us, and we are nobody.
    fn pass_signals_on(&self, pid: Pid) -> Result<(), Error> {
        let failed = |source| Error::System { what: "reading signals", source };
        while let Some(received) = self.signals.next().map_err(failed)? {
            if received.signal != Signal::SIGCHLD && !received.from_terminal && getpgrp() != getpid() {
                // It was not waited for: the number is its own. It may have ended.
                let _ = kill(pid, received.signal);
            }
        }
        Ok(())
    }
}

/// How a child has ended, if it has.
fn ended(pid: Pid, options: WaitOptions) -> Result<Option<Exit>, Error> {
    let waited = waitpid(rustix::process::Pid::from_raw(pid.as_raw()), options);
    let waited = waited.map_err(|errno| Error::System { what: "waiting for the binary", source: errno.into() })?;
    Ok(waited.and_then(|(_, status)| exit(status)))
}

/// Waits for the end of a child, and for nothing else.
fn wait(pid: Pid) -> Exit {
    loop {
        match ended(pid, WaitOptions::empty()) {
            Ok(Some(exit)) => return exit,
            Ok(None) => {}
            // Somebody else has waited for it: nobody knows any more.
            Err(_) => return Exit::Code(i32::from(crate::error::USAGE)),
        }
    }
}

fn exit(status: WaitStatus) -> Option<Exit> {
    let code = status.exit_status().map(Exit::Code);
    code.or_else(|| status.terminating_signal().map(Exit::Signal))
}
