//! A signal that this process has received.

use nix::sys::signal::Signal;
use nix::unistd::Pid;

/// The signals that ask a process to end.
pub(super) const ENDING: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGQUIT];

/// The signals that ask a process to stop until it is continued.
pub(super) const STOPPING: [Signal; 3] = [Signal::SIGTSTP, Signal::SIGTTIN, Signal::SIGTTOU];

/// A signal that this process has received.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// Its number, that of a real-time signal included.
    pub signal: i32,
    /// Whether it was sent to all of our process group, and not to us alone.
    pub reached_group: bool,
    /// Whether it says that our terminal is gone.
    pub is_hangup: bool,
    /// What sigqueue(3) has sent with it.
    pub(super) value: Option<usize>,
}

impl Received {
    /// Whether it is `signal`.
    pub fn is(&self, signal: Signal) -> bool {
        self.signal == signal as i32
    }

    /// Whether it asks for an end.
    pub fn asks_for_end(&self) -> bool {
        ENDING.iter().any(|signal| self.is(*signal))
    }

    /// Whether it asks to stop until a SIGCONT comes.
    pub fn asks_to_stop(&self) -> bool {
        STOPPING.iter().any(|signal| self.is(*signal))
    }

    /// A signal that was sent to us alone.
    #[cfg(test)]
    pub(super) fn alone(signal: Signal) -> Self {
        Self { signal: signal as i32, reached_group: false, is_hangup: false, value: None }
    }

    /// Sends the same to a process, which may have ended.
    pub fn send_to(&self, pid: Pid) {
        match self.value {
            // SAFETY: a number of a process, one of a signal, and a value that is not looked at.
            Some(value) => unsafe {
                libc::sigqueue(pid.as_raw(), self.signal, libc::sigval { sival_ptr: value as *mut _ });
            },
            None => send(pid, self.signal),
        }
    }
}

/// Sends a signal, which may be a real-time signal, to a process that may have ended.
pub(super) fn send(pid: Pid, signal: i32) {
    // SAFETY: two numbers.
    unsafe { libc::kill(pid.as_raw(), signal) };
}
