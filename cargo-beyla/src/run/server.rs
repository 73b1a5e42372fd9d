//! The server that is traced: started by us, or one that ran before.

use std::os::fd::{AsFd, BorrowedFd};
use std::process::ExitCode;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;
use rustix::process::WaitStatus;

use crate::error::SIGNALLED;
use crate::launch::foreground_child::ForegroundChild;
use crate::launch::received::Received;
use crate::launch::running::Running;
use crate::launch::signals;
use crate::report::run_info::Exit;

/// The server that is traced.
#[derive(Debug)]
pub(crate) enum Server {
    /// Started by us: the run ends with it.
    Own(ForegroundChild),
    /// It ran before, and goes on when the run is over.
    Running(Running),
}

/// How the run came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The server ended, like this if it was ours.
    Ended(Option<Exit>),
    /// The server goes on.
    Left,
}

impl Server {
    pub(crate) fn pid(&self) -> Pid {
        match self {
            Self::Own(child) => child.pid(),
            Self::Running(Running { pid, .. }) => *pid,
        }
    }

    /// The process, if it was started by us: it must end when the run is over.
    pub(crate) fn own(&self) -> Option<Pid> {
        match self {
            Self::Own(child) => Some(child.pid()),
            Self::Running(_) => None,
        }
    }

    /// Sends it a signal that was sent to us alone, if it was started by us.
    pub(crate) fn pass_on(&mut self, received: &Received) {
        if let Self::Own(child) = self {
            child.pass_on(received);
        }
    }

    /// Whether it was started by us and has sent this, itself or by what it has started.
    pub(crate) fn has_sent(&self, received: &Received) -> bool {
        matches!(self, Self::Own(child) if child.has_sent(received))
    }

    /// Whether it has stopped because of a signal that we received as well.
    pub(crate) fn wants_to_stop(&self) -> bool {
        matches!(self, Self::Own(child) if child.wants_to_stop())
    }

    /// Stops this process as it has stopped; returns when somebody continues us.
    pub(crate) fn stop_with_it(&mut self) {
        if let Self::Own(child) = self {
            child.stop();
        }
    }

    /// A descriptor that is ready to be read once it has ended, if no signal says so.
    pub(crate) fn end(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Own(_) => None,
            Self::Running(running) => Some(running.end.as_fd()),
        }
    }

    /// Its end, if it has ended.
    pub(crate) fn ending(&mut self) -> Option<Ending> {
        match self {
            Self::Own(child) => match child.ended() {
                Ok(status) => status.map(|status| Ending::Ended(Some(exit(status)))),
                // Somebody else has waited for it, so nobody can know how it ended.
                Err(_) => Some(Ending::Ended(None)),
            },
            Self::Running(running) => {
                let mut end = [PollFd::new(running.end.as_fd(), PollFlags::POLLIN)];
                poll(&mut end, PollTimeout::ZERO).is_ok_and(|ready| ready > 0).then_some(Ending::Ended(None))
            }
        }
    }
}

/// Ends this process by the signal that has ended the other, or returns its exit code.
pub(crate) fn end_like(exit: Exit) -> ExitCode {
    match exit {
        Exit::Code(code) => ExitCode::from(code as u8),
        Exit::Signal(signal) => {
            signals::end_by(signal);
            ExitCode::from(SIGNALLED.saturating_add(signal as u8))
        }
    }
}

/// How a process ended that was waited for.
pub(crate) fn exit(status: WaitStatus) -> Exit {
    let signal = || Exit::Signal(status.terminating_signal().unwrap_or_default());
    status.exit_status().map_or_else(signal, Exit::Code)
}
