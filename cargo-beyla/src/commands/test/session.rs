//! The loop that runs the tests, from the first start to the last end.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

use super::progress::Progress;
use crate::error::Error;
use crate::launch::runner::{Happened, Runner};
use crate::launch::signals::Signals;

/// The loop turns at least so often.
const IDLE: Duration = Duration::from_millis(100);

/// The tests of a run, while they run.
pub(super) struct Session {
    runner: Runner,
    signals: Signals,
    progress: Progress,
    /// The first signal that asked for an end.
    stopped: Option<Signal>,
}

/// How the run went.
pub(super) struct End {
    /// Whether a test failed.
    pub(super) failed: bool,
    /// The signal that ended it before its time.
    pub(super) stopped: Option<Signal>,
}

impl Session {
    pub(super) fn new(runner: Runner, signals: Signals, progress: Progress) -> Self {
        Self { runner, signals, progress, stopped: None }
    }

    /// Runs them to their end, or to the user's.
    pub(super) fn run(mut self) -> Result<End, Error> {
        loop {
            for happened in self.runner.step(Instant::now())? {
                self.take_note(&happened);
            }
            if self.runner.is_over() {
                break;
            }
            self.wait()?;
            self.take_signals()?;
        }
        self.progress.finish(&self.runner);
        Ok(End { failed: self.progress.has_failures(), stopped: self.stopped })
    }

    /// Waits until there may be something to do.
    fn wait(&mut self) -> Result<(), Error> {
        let now = Instant::now();
        let due = self.runner.wake_at(now).map_or(IDLE, |at| at.saturating_duration_since(now).min(IDLE));
        // Rounded up: what is due in less than a millisecond is not due yet.
        let due = due + Duration::from_nanos(u64::from(!due.is_zero()) * 999_999);
        let timeout = PollTimeout::try_from(due).unwrap_or(PollTimeout::ZERO);
        let mut waited_for = [PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        match poll(&mut waited_for, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(errno) => Err(Error::System { what: "waiting for tests", source: errno.into() }),
        }
    }

    fn take_note(&mut self, happened: &Happened) {
        match happened {
            Happened::Started { test, pid: _, at: _ } => self.progress.started(&self.runner, *test),
            Happened::Ended { test, result, output, at: _, took, leaky } => {
                self.progress.ended(&self.runner, *test, *result, output, *took, *leaky);
            }
        }
    }

    fn take_signals(&mut self) -> Result<(), Error> {
        let failed = |source| Error::System { what: "reading signals", source };
        while let Some(received) = self.signals.next().map_err(failed)? {
            // That of a child's end has done its part by having woken us.
            if received.signal != Signal::SIGCHLD {
                // Tests have process groups of their own: what the terminal sends does not reach them.
                self.runner.stop(received.signal);
                self.stopped.get_or_insert(received.signal);
            }
        }
        Ok(())
    }
}
