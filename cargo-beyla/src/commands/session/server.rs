//! The process that is traced: started by us, or one that ran before.

use std::os::fd::{AsFd, BorrowedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::launch::running::Running;
use crate::report::run_info::Exit;

/// The process that is traced.
#[derive(Debug)]
pub(in crate::commands) enum Server {
    /// Started by us: the run ends with it.
    Own(Pid),
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
            Self::Own(pid) | Self::Running(Running { pid, .. }) => *pid,
        }
    }

    /// The process to be told to end when the run is over.
    pub(super) fn own(&self) -> Option<Pid> {
        match self {
            Self::Own(pid) => Some(*pid),
            Self::Running(_) => None,
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
    pub(super) fn ending(&self) -> Option<Ending> {
        match self {
            Self::Own(pid) => match waitpid(*pid, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(_, code)) => Some(Ending::Ended(Some(Exit::Code(code)))),
                Ok(WaitStatus::Signaled(_, signal, _)) => Some(Ending::Ended(Some(Exit::Signal(signal as i32)))),
                _ => None,
            },
            Self::Running(running) => {
                let mut end = [PollFd::new(running.end.as_fd(), PollFlags::POLLIN)];
                poll(&mut end, PollTimeout::ZERO).is_ok_and(|ready| ready > 0).then_some(Ending::Ended(None))
            }
        }
    }
}
