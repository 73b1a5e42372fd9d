//! The process that is traced: started by us, or one that ran before.

use std::os::fd::{AsFd, BorrowedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;
use rustix::process::WaitStatus;

use crate::launch::running::Running;
use crate::launch::signals::Received;
use crate::launch::stand_in::StandIn;
use crate::report::run_info::Exit;

/// The process that is traced.
#[derive(Debug)]
pub(in crate::commands) enum Server {
    /// Started by us: the run ends with it.
    Own(StandIn),
    /// It ran before, and goes on when nobody watches any more.
    Running(Running),
}

/// How the time that is watched came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The server ended, like this if it was ours.
    Ended(Option<Exit>),
    /// The server goes on.
    Left,
}

impl Server {
    pub(super) fn pid(&self) -> Pid {
        match self {
            Self::Own(child) => child.pid(),
            Self::Running(Running { pid, .. }) => *pid,
        }
    }

    /// The process to be told to end when the run is over.
    pub(super) fn own(&self) -> Option<Pid> {
        match self {
            Self::Own(child) => Some(child.pid()),
            Self::Running(_) => None,
        }
    }

    /// Sends it what has come to us alone, if it was started by us. One that ran before goes on untouched.
    pub(super) fn pass_on(&mut self, received: &Received) {
        if let Self::Own(child) = self {
            child.pass_on(received);
        }
    }

    /// Whether it has stopped, as we were asked to as well.
    pub(super) fn wants_to_stop(&self) -> bool {
        matches!(self, Self::Own(child) if child.wants_to_stop())
    }

    /// Stops us as it has stopped; returns when somebody has us go on.
    pub(super) fn stop_with_it(&mut self) {
        if let Self::Own(child) = self {
            child.stop();
        }
    }

    /// Ready to be read once it has ended, if no signal tells that.
    pub(super) fn end(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Own(_) => None,
            Self::Running(running) => Some(running.end.as_fd()),
        }
    }

    /// Its end, if it has ended.
    pub(super) fn ending(&mut self) -> Option<Ending> {
        match self {
            Self::Own(child) => match child.ended() {
                Ok(status) => status.map(|status| Ending::Ended(Some(exit(status)))),
                // Somebody else has waited for it: how it ended nobody knows any more.
                Err(_) => Some(Ending::Ended(None)),
            },
            Self::Running(running) => {
                let mut end = [PollFd::new(running.end.as_fd(), PollFlags::POLLIN)];
                poll(&mut end, PollTimeout::ZERO).is_ok_and(|ready| ready > 0).then_some(Ending::Ended(None))
            }
        }
    }
}

/// How a process has ended that was waited for.
pub(in crate::commands) fn exit(status: WaitStatus) -> Exit {
    let signal = || Exit::Signal(status.terminating_signal().unwrap_or_default());
    status.exit_status().map_or_else(signal, Exit::Code)
}
