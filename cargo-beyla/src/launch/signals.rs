//! Signals as events that can be waited for.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// A signal that has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Which.
    pub signal: Signal,
    /// Whether a key of the terminal sent it, and so to every process in its foreground.
    pub from_terminal: bool,
}

/// SIGINT, SIGTERM, SIGHUP, SIGQUIT and SIGCHLD of this process, no longer delivered otherwise.
#[derive(Debug)]
pub struct Signals {
    fd: SignalFd,
}

impl Signals {
    /// Blocks them and opens the descriptor.
    pub fn open() -> io::Result<Self> {
        let mut set = SigSet::empty();
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGCHLD] {
            set.add(signal);
        }
        set.thread_block()?;
        Ok(Self { fd: SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)? })
    }

    /// The next signal, if one has come.
    pub fn next(&self) -> io::Result<Option<Received>> {
        let Some(info) = self.fd.read_signal()? else { return Ok(None) };
        let signal = Signal::try_from(info.ssi_signo as i32)?;
        // The terminal driver sends in the kernel's name.
        Ok(Some(Received { signal, from_terminal: info.ssi_code == libc::SI_KERNEL }))
    }
}

/// Has the signals that ask for an end do what they do to any process: where the server has ended and the
/// report is written, nothing is left to put in order first.
pub fn deliver() -> io::Result<()> {
    let mut set = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT] {
        set.add(signal);
    }
    Ok(set.thread_unblock()?)
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
