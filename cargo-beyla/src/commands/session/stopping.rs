//! How the server is told to end: as the user would, then less kindly.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpgid};

use super::super::status::Status;
use crate::launch::running::descendants;
use crate::report::run_info::Exit;

/// What it is told, and how long it has before it is told the next. ^C is what developers' servers
/// know; some also wait for their clients.
const STEPS: [(Signal, Duration); 3] = [
    (Signal::SIGINT, Duration::from_secs(5)),
    (Signal::SIGTERM, Duration::from_secs(5)),
    (Signal::SIGKILL, Duration::MAX),
];

/// Whether, by whom and how far the server was told to end.
#[derive(Debug)]
pub(super) struct Stopping {
    /// `None` if it is not ours to end.
    server: Option<Pid>,
    /// Signals that the user has sent, by terminal or by kill(1).
    asked: u32,
    /// Our own step, and since when.
    step: Option<(usize, Instant)>,
}

impl Stopping {
    pub(super) fn new(server: Option<Pid>) -> Self {
        Self { server, asked: 0, step: None }
    }

    /// The user wants an end, and the server has been told. The first time it is the server's to act; the second time
    /// it is killed.
    pub(super) fn asked(&mut self) {
        self.asked += 1;
        if self.asked > 1 {
            self.send(Signal::SIGKILL);
        }
    }

    /// All was paused for so long.
    pub(super) fn resume(&mut self, paused: Duration) {
        if let Some((_, since)) = &mut self.step {
            *since += paused;
        }
    }

    /// Whether the user wants it to end.
    pub(super) fn was_asked(&self) -> bool {
        self.asked > 0
    }

    /// Whether the server was told to end, by anyone.
    pub(super) fn has_begun(&self) -> bool {
        self.step.is_some() || self.asked > 0
    }

    /// Tells the server to end, the first time that it is called.
    pub(super) fn stop(&mut self) {
        if !self.has_begun() {
            self.step = Some((0, Instant::now()));
            self.send_to_all(STEPS[0].0);
        }
    }

    /// Takes the next step if the server has had its time.
    pub(super) fn escalate(&mut self, status: Status) {
        let Some((step, since)) = self.step.filter(|_| self.server.is_some()) else { return };
        let (signal, patience) = STEPS[step];
        if since.elapsed() < patience {
            return;
        }
        let (next, _) = STEPS[step + 1];
        status.warn(format_args!("the server has not ended {} s after {signal}, sending {next}", patience.as_secs()));
        self.step = Some((step + 1, Instant::now()));
        self.send_to_all(next);
    }

    /// Whether the server ended by a signal of ours, which the user has not asked for. It may also have crashed on its
    /// own a moment before.
    pub(super) fn explains(&self, exit: Exit) -> bool {
        let sent = self.step.filter(|_| self.asked == 0).map_or(&[][..], |(step, _)| &STEPS[..=step]);
        sent.iter().any(|(signal, _)| exit == Exit::Signal(*signal as i32))
    }

    /// As ^C does on a terminal: the server gets it, and what it has started that has stayed in its process group.
    fn send_to_all(&self, signal: Signal) {
        let Some(server) = self.server else { return };
        let group = getpgid(Some(server));
        // Before the server has ended, while it is known whose they are.
        let started = descendants(server.as_raw() as u32).into_iter().map(|pid| Pid::from_raw(pid as i32));
        let started: Vec<Pid> = started.filter(|pid| group.is_ok() && getpgid(Some(*pid)) == group).collect();
        self.send(signal);
        for pid in started {
            // It may have ended by itself.
            let _ = kill(pid, signal);
        }
    }

    fn send(&self, signal: Signal) {
        if let Some(server) = self.server {
            // It may have ended by itself.
            let _ = kill(server, signal);
        }
    }
}
