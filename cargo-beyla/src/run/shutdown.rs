//! How the server is asked to end: by the signal that a user would send, then by harder ones.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpgid};

use crate::console::status::Status;
use crate::launch::received::{EndRequests, Received};
use crate::launch::running::descendants;
use crate::report::run_info::Exit;

/// The signals, and how long the server has before the next one. Developers' servers know ^C, and some wait for their
/// clients before they end.
const STEPS: [(Signal, Duration); 3] = [
    (Signal::SIGINT, Duration::from_secs(5)),
    (Signal::SIGTERM, Duration::from_secs(5)),
    (Signal::SIGKILL, Duration::MAX),
];

/// Who has asked the server to end, and which signals we have sent for that.
#[derive(Debug)]
pub(crate) struct Shutdown {
    /// `None` if it is not ours to end.
    server: Option<Pid>,
    /// What the user has asked.
    requests: EndRequests,
    /// The step that we have taken, and when.
    step: Option<(usize, Instant)>,
}

impl Shutdown {
    pub(crate) fn new(server: Option<Pid>) -> Self {
        Self { server, requests: EndRequests::default(), step: None }
    }

    /// The user has asked for an end, and the server knows. It has its time; when the user insists, it is killed. What a
    /// further SIGTERM means is for the server to say.
    pub(crate) fn request(&mut self, received: &Received) {
        if self.requests.add(received, Instant::now()) && !received.is(Signal::SIGTERM) {
            self.send(Signal::SIGKILL);
        }
    }

    /// Everything was stopped for this time.
    pub(crate) fn resume(&mut self, paused: Duration) {
        if let Some((_, since)) = &mut self.step {
            *since += paused;
        }
    }

    /// Whether the user has asked for an end.
    pub(crate) fn was_requested(&self) -> bool {
        self.requests.any()
    }

    /// Whether anyone has asked the server to end.
    pub(crate) fn has_begun(&self) -> bool {
        self.step.is_some() || self.requests.any()
    }

    /// Tells the server to end, unless somebody has done so.
    pub(crate) fn begin(&mut self) {
        if !self.has_begun() {
            self.step = Some((0, Instant::now()));
            self.send_to_all(STEPS[0].0);
        }
    }

    /// Takes the next step if the server has had its time.
    pub(crate) fn escalate(&mut self, status: Status) {
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

    /// Whether one of our signals explains how the server ended, and the user had not asked for its end.
    pub(crate) fn explains(&self, exit: Exit) -> bool {
        let sent = self.step.filter(|_| !self.requests.any()).map_or(&[][..], |(step, _)| &STEPS[..=step]);
        sent.iter().any(|(signal, _)| exit == Exit::Signal(*signal as i32))
    }

    /// Sends a signal as ^C on a terminal does: to the server, and to what it has started in its process group.
    fn send_to_all(&self, signal: Signal) {
        let Some(server) = self.server else { return };
        let group = getpgid(Some(server));
        // Once the server has ended, nobody knows which processes it had started.
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
