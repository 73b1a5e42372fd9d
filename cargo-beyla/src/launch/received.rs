//! A signal that this process has received.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::Pid;

/// The signals that ask a process to end.
pub(super) const ENDING: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGQUIT];

/// The signals that ask a process to stop until it is continued.
pub(super) const STOPPING: [Signal; 3] = [Signal::SIGTSTP, Signal::SIGTTIN, Signal::SIGTTOU];

/// One wish may come as two signals: `timeout` of GNU sends one to its child and one to the group. What comes later than
/// this after the first is another wish.
const SAME_WISH: Duration = Duration::from_millis(500);

/// A signal that this process has received.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// Its number, that of a real-time signal included.
    pub signal: i32,
    /// Whether it was sent to all of our process group, and not to us alone.
    pub reached_group: bool,
    /// Whether it says that our terminal is gone.
    pub is_hangup: bool,
    /// The process that has sent it; `None` if that is the kernel, or of another PID namespace.
    pub sender: Option<Pid>,
    /// Whether the kernel has sent it, as it does for a key of the terminal.
    pub(super) by_kernel: bool,
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
        let (sender, by_kernel) = (Some(Pid::this()), false);
        Self { signal: signal as i32, reached_group: false, is_hangup: false, sender, by_kernel, value: None }
    }

    /// A signal that a key of the terminal has sent to our group.
    #[cfg(test)]
    pub(super) fn by_key(signal: Signal) -> Self {
        Self { reached_group: true, sender: None, by_kernel: true, ..Self::alone(signal) }
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

/// The signals by which the user has asked for an end.
#[derive(Debug, Default)]
pub struct EndRequests {
    first: Option<Instant>,
}

impl EndRequests {
    /// Whether there was any.
    pub fn any(&self) -> bool {
        self.first.is_some()
    }

    /// Adds one that has come `now`. Returns whether the user insists: it is not the first wish once more. That is certain of
    /// a key that is pressed again, and of a signal that comes clearly later.
    pub fn add(&mut self, received: &Received, now: Instant) -> bool {
        let Some(first) = self.first else {
            self.first = Some(now);
            return false;
        };
        let is_key = received.by_kernel && received.asks_for_end();
        is_key || now.saturating_duration_since(first) >= SAME_WISH
    }
}

/// Sends a signal, be it one that has no name, to a process that may have ended.
pub(super) fn send(pid: Pid, signal: i32) {
    // SAFETY: two numbers.
    unsafe { libc::kill(pid.as_raw(), signal) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wish_may_come_twice_and_a_key_is_pressed_twice() {
        let began = Instant::now();
        let later = |milliseconds| began + Duration::from_millis(milliseconds);
        let (alone, key) = (Received::alone(Signal::SIGTERM), Received::by_key(Signal::SIGINT));
        let hangup = Received { signal: libc::SIGHUP, is_hangup: true, ..key };
        for (second, after, insists) in [
            (alone, 0, false),
            (alone, 3, false),
            (alone, 499, false),
            (alone, 500, true),
            (hangup, 3, false),
            (key, 3, true),
        ] {
            for first in [alone, key] {
                let mut requests = EndRequests::default();
                assert!(!requests.any() && !requests.add(&first, began) && requests.any());
                assert_eq!(requests.add(&second, later(after)), insists, "{second:?} {after}");
            }
        }
    }
}
