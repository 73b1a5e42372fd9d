//! The child that the user takes us for, as cargo would have become it: signals to us are meant for it, and when it stops,
//! we stop.

use std::io;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use rustix::process::{WaitOptions, WaitStatus, waitpid};

use super::processes::descends_from;
use super::received::Received;
use super::signals::stop_by;

/// The child that the user takes us for.
#[derive(Clone, Copy, Debug)]
pub struct ForegroundChild {
    child: Pid,
    /// The signal that has asked us to stop.
    asked_to_stop: Option<i32>,
    is_stopped: bool,
}

impl ForegroundChild {
    /// For a child that nobody has waited for yet.
    pub fn new(child: Pid) -> Self {
        Self { child, asked_to_stop: None, is_stopped: false }
    }

    /// The child.
    pub fn pid(&self) -> Pid {
        self.child
    }

    /// Whether the child, or what it has started, has sent this.
    pub fn has_sent(&self, received: &Received) -> bool {
        received
            .sender
            .is_some_and(|sender| sender == self.child || descends_from(sender.as_raw(), self.child.as_raw()))
    }

    /// Sends the child what has come to us alone; it has got the rest itself. What it sends to its parent is for us, who
    /// do nothing about it.
    pub fn pass_on(&mut self, received: &Received) {
        if !received.reached_group && self.has_sent(received) {
            return;
        }
        if received.asks_to_stop() {
            self.asked_to_stop = Some(received.signal);
        } else if received.is(Signal::SIGCONT) {
            self.asked_to_stop = None;
        }
        if !received.reached_group {
            received.send_to(self.child);
        }
    }

    /// How the child has ended, if it has.
    ///
    /// # Errors
    /// If it cannot be waited for, because somebody else has.
    pub fn ended(&mut self) -> io::Result<Option<WaitStatus>> {
        let child = rustix::process::Pid::from_raw(self.child.as_raw());
        let options = WaitOptions::NOHANG | WaitOptions::UNTRACED | WaitOptions::CONTINUED;
        while let Some((_, status)) = waitpid(child, options)? {
            if status.exited() || status.signaled() {
                return Ok(Some(status));
            }
            self.is_stopped = status.stopped();
        }
        Ok(None)
    }

    /// Whether the child has stopped because of a signal that we received as well.
    pub fn wants_to_stop(&self) -> bool {
        self.is_stopped && self.asked_to_stop.is_some()
    }

    /// Stops this process as the child has stopped; returns when somebody continues us.
    pub fn stop(&mut self) {
        if let Some(signal) = self.asked_to_stop.take() {
            stop_by(signal);
        }
    }
}
