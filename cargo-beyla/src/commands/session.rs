//! The time between the start of the server and its end: one loop over records, signals and deadlines.

pub(super) mod explaining;
mod load;
pub(super) mod probes;
pub(super) mod server;
mod stopping;

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags};
use nix::sys::signal::Signal;

use self::load::Load;
use self::probes::Probes;
use self::server::{Ending, Server};
use self::stopping::Stopping;
use super::clocks::{Pause, monotonic_ns};
use super::exports::Takers;
use super::status::Status;
use crate::config::settings::Settings;
use crate::error::Error;
use crate::launch::signals::{Received, Signals, stop_by};
use crate::launch::suspended::Stdout;
use crate::launch::user::InvokingUser;
use crate::report::live::{Live, LiveCounters};
use crate::report::run_info::Exit;
use cargo_beyla_core::event::{Event, Moment};
use cargo_beyla_core::model::connection::{Endpoint, Listener};
use cargo_beyla_core::trace::Trace;

/// After a Unix socket began to listen, or the server was given a socket that did: a TCP port of its own, if there will
/// be one, does so by then.
const TCP_MAY_FOLLOW: Duration = Duration::from_millis(300);

/// A run that is over.
#[derive(Debug)]
pub(super) struct End {
    /// All that was recorded.
    pub(super) trace: Trace,
    /// How the server ended; `None` if it goes on, or was not ours.
    pub(super) exit: Option<Exit>,
    /// Whether a signal of ours ended it, without the user's asking.
    pub(super) stopped: bool,
    /// The exit code of `--exec`.
    pub(super) command: Option<u8>,
    /// Why the run is a failure although the server has ended.
    pub(super) failure: Option<Error>,
    /// The end of the run by `CLOCK_MONOTONIC`.
    pub(super) ended_monotonic_ns: u64,
}

/// A run under way.
pub(super) struct Session<'a> {
    server: Server,
    ending: Option<Ending>,
    probes: Probes,
    signals: Signals,
    trace: Trace,
    settings: &'a Settings,
    load: Load<'a>,
    stopping: Stopping,
    takers: &'a mut Takers,
    live: Option<Live>,
    status: Status,
    started: Instant,
    /// When the first socket began to listen.
    listening: Option<Instant>,
    failure: Option<Error>,
}

impl<'a> Session<'a> {
    /// Takes over a server that has just begun to run, or ran before.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn new(
        server: Server,
        probes: Probes,
        signals: Signals,
        trace: Trace,
        settings: &'a Settings,
        user: Option<&'a InvokingUser>,
        stdout: Stdout,
        takers: &'a mut Takers,
        status: Status,
    ) -> Self {
        let pid = server.pid();
        let load = Load::new(
            settings.exec.as_ref().map(|exec| exec.value.as_os_str()),
            pid,
            user,
            stdout,
            signals.guard().cloned(),
        );
        Self {
            stopping: Stopping::new(server.own()),
            server,
            ending: None,
            probes,
            signals,
            trace,
            settings,
            load,
            takers,
            live: None,
            status,
            started: Instant::now(),
            listening: None,
            failure: None,
        }
    }

    /// Follows the server to its end and the helper to its last record.
    pub(super) fn run(mut self) -> Result<End, Error> {
        self.probes.begin(&mut self.trace);
        let exit = loop {
            self.wait()?;
            self.take_signals()?;
            match self.ending {
                Some(Ending::Ended(exit)) => {
                    if self.server.own().is_none() {
                        self.status.say("Ended", format_args!("the server (pid {}), by itself", self.server.pid()));
                    }
                    break exit;
                }
                Some(Ending::Left) => break None,
                None => {}
            }
            self.look_at_deadlines()?;
            self.draw();
            self.takers.offer(&mut self.trace);
        };
        let ended_monotonic_ns = monotonic_ns();
        if let Some(child) = self.server.own() {
            self.signals.forget(child);
        }
        self.load.stop();
        let known = self.trace.listening().len();
        // Killed, it may have taken the probes away a moment before the server's end.
        if !self.probes.stop(&mut self.trace, self.status)? {
            self.failure.get_or_insert(Error::HelperEnded);
        }
        self.tell_listening(known);
        if let Some(live) = self.live.take() {
            live.finish();
        }
        let recording = self.probes.finish(ended_monotonic_ns, exit);
        let listened = !self.trace.listening().is_empty() || self.server.own().is_none();
        if let Some(exit) = exit
            && self.failure.is_none()
            && !listened
            && !self.stopping.was_asked()
        {
            self.failure = Some(Error::EndedBeforeListening {
                status: describe(exit),
                cleanly: exit == Exit::Code(0),
                prometheus: self.settings.prometheus.as_ref().map(|prometheus| prometheus.address.value),
            });
        }
        Ok(End {
            trace: self.trace,
            exit,
            stopped: exit.is_some_and(|exit| self.stopping.explains(exit)),
            command: self.load.exit_code(),
            failure: self.failure.or(recording),
            ended_monotonic_ns,
        })
    }

    fn wait(&mut self) -> Result<(), Error> {
        let mut waited_for = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        waited_for.extend(self.server.end().map(|end| PollFd::new(end, PollFlags::POLLIN)));
        let told = self.probes.wait(waited_for, Duration::MAX)?;
        let known = self.trace.listening().len();
        self.probes.take(&mut self.trace);
        if told {
            // Here those come that listened before anybody watched.
            self.probes.hear(&mut self.trace, self.status)?;
        }
        self.tell_listening(known);
        if told && self.probes.has_ended() && self.running() {
            self.status.warn("the probe helper has ended before the server: requests from here on are not seen");
            self.failure = Some(Error::HelperEnded);
        }
        Ok(())
    }

    /// Whether the server still runs and is watched. The helper may notice its end before we have.
    fn running(&mut self) -> bool {
        self.ending = self.ending.or_else(|| self.server.ending());
        self.ending.is_none()
    }

    /// Tells of the sockets that are new; the kernel may tell once more of one that is known.
    fn tell_listening(&mut self, known: usize) {
        let new = self.trace.listening()[known..].to_vec();
        for listener in &new {
            self.listens(listener);
        }
    }

    fn listens(&mut self, listener: &Listener) {
        let verb = if self.server.own().is_some() { "Listening" } else { "Watching" };
        let on = if verb == "Listening" { "on " } else { "" };
        let pid = listener.pid.unwrap_or(self.server.pid().as_raw() as u32);
        self.status.say(verb, format_args!("{on}{} (pid {pid})", listener.local));
        if self.listening.is_none() {
            self.listening = Some(Instant::now());
            self.live = Some(Live::start(true));
        }
    }

    fn take_signals(&mut self) -> Result<(), Error> {
        let failed = |source| Error::System { what: "reading signals", source };
        while let Some(received) = self.signals.next().map_err(failed)? {
            if received.is(Signal::SIGCHLD) {
                self.load.reap();
            } else {
                self.take_signal(&received);
            }
        }
        if self.running() {
            if self.server.wants_to_stop() {
                self.stop_with_server();
            } else if self.server.own().is_none() && self.stopping.has_begun() {
                self.ending = Some(Ending::Left);
            }
        }
        Ok(())
    }

    /// Under `cargo run` all signals were the server's. So they are here, but for the wish for an end, which is ours too.
    fn take_signal(&mut self, received: &Received) {
        let is_own = self.server.own().is_some();
        let ends = received.asks_for_end() || (!is_own && received.is_hangup);
        if ends {
            // First: the server may be quick.
            self.note_stopping();
        }
        self.server.pass_on(received);
        if ends {
            self.stopping.asked();
            self.load.stop();
        } else if received.asks_to_stop() || received.is(Signal::SIGCONT) {
            self.load.hand_on(received);
            if received.asks_to_stop() && !is_own {
                self.suspend_live();
                stop_by(received.signal);
            }
        }
    }

    /// Stops as the server has. What passes until somebody has both go on is no time of the run.
    fn stop_with_server(&mut self) {
        self.suspend_live();
        let pause = Pause::begin();
        self.server.stop_with_it();
        let (paused, interval) = pause.end();
        self.probes.tell(&mut self.trace, &Event::Paused(interval));
        self.started += paused;
        self.listening = self.listening.map(|listening| listening + paused);
        self.stopping.resume(paused);
        if let Some(live) = &mut self.live {
            live.resume(paused);
        }
    }

    fn suspend_live(&mut self) {
        if let Some(live) = &mut self.live {
            live.suspend();
        }
    }

    /// What the server closes from now on, it closes because it is told to.
    fn note_stopping(&mut self) {
        if self.server.own().is_none() {
            return;
        }
        self.probes.tell(&mut self.trace, &Event::Stopping(Moment { time_ns: monotonic_ns() }));
    }

    fn look_at_deadlines(&mut self) -> Result<(), Error> {
        self.stopping.escalate(self.status);
        let Some(listening) = self.listening else {
            if self.failure.is_none() && self.started.elapsed() >= self.settings.listen_timeout.value {
                self.failure = Some(Error::NeverListened { timeout: self.settings.listen_timeout.value });
                self.stopping.stop();
            }
            return Ok(());
        };
        let is_tcp = |listener: &Listener| matches!(listener.local, Endpoint::Tcp(_)) && !listener.before;
        let tcp = self.trace.listening().iter().any(is_tcp);
        if tcp || listening.elapsed() >= TCP_MAY_FOLLOW {
            self.load.start(self.trace.listening())?;
        }
        let over = self.settings.duration.as_ref().is_some_and(|duration| listening.elapsed() >= duration.value);
        if (over || self.load.is_over()) && !self.stopping.has_begun() {
            // First: the server may be quick.
            self.note_stopping();
            self.stopping.stop();
        }
        Ok(())
    }

    fn draw(&mut self) {
        if let Some(live) = &mut self.live {
            live.update(|| {
                let now = self.trace.live(monotonic_ns());
                LiveCounters { requests: now.requests, errors: now.errors, p99_ns: now.p99_ns }
            });
        }
    }
}

fn describe(exit: Exit) -> String {
    match exit {
        Exit::Code(code) => format!("it ended with exit code {code}"),
        Exit::Signal(number) => match Signal::try_from(number) {
            Ok(signal) => format!("it was killed by {signal}"),
            Err(_) => format!("it was killed by signal {number}"),
        },
    }
}
