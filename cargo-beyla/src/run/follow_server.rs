//! A server is followed: from its first instruction to its end, or to the end of the time that the user gives.

use std::ops::ControlFlow;
use std::os::fd::BorrowedFd;
use std::time::Instant;

use nix::sys::signal::Signal;

use super::clocks::monotonic_ns;
use super::exec_command::ExecCommand;
use super::listening::Listening;
use super::server::{Ending, Server};
use super::shutdown::Shutdown;
use super::state::RunState;
use super::workload::Workload;
use crate::config::settings::Settings;
use crate::error::Error;
use crate::launch::received::Received;
use crate::launch::running::listens_on;
use crate::launch::signals::stop_by;
use crate::launch::suspended::Stdout;
use crate::launch::user::InvokingUser;
use crate::report::run_info::Exit;
use crate::report::text::escape;
use cargo_beyla_core::event::{Event, Moment};
use cargo_beyla_core::model::connection::Endpoint;
use cargo_beyla_core::trace::Trace;

/// A server that is followed.
pub(crate) struct FollowServer<'a> {
    server: Server,
    settings: &'a Settings,
    exec: ExecCommand<'a>,
    shutdown: Shutdown,
    listening: Listening,
    started: Instant,
    ending: Option<Ending>,
    /// Whether the server ended by itself, and the command of `--exec` had not.
    cut_exec_short: bool,
}

impl<'a> FollowServer<'a> {
    /// A server that has just begun to run, or ran before. The command of `--exec` runs as `user`, with this `stdout`.
    pub(crate) fn new(server: Server, settings: &'a Settings, user: Option<&'a InvokingUser>, stdout: Stdout) -> Self {
        let command = settings.exec.as_ref().map(|exec| exec.value.as_os_str());
        Self {
            exec: ExecCommand::new(command, server.pid(), user, stdout),
            shutdown: Shutdown::new(server.own()),
            server,
            settings,
            listening: Listening::default(),
            started: Instant::now(),
            ending: None,
            cut_exec_short: false,
        }
    }

    /// Whether a signal of ours ended the server, and the user had not asked for that.
    pub(crate) fn was_stopped(&self) -> bool {
        self.exit().is_some_and(|exit| self.shutdown.explains(exit))
    }

    /// The exit code of `--exec`, if that has ended.
    pub(crate) fn exec_exit_code(&self) -> Option<u8> {
        self.exec.exit_code()
    }

    fn is_attached(&self) -> bool {
        self.server.own().is_none()
    }

    fn announce_listening(&mut self, run: &mut RunState) {
        let verb = if self.is_attached() { "Watching" } else { "Listening" };
        let on = if self.is_attached() { "" } else { "on " };
        let own = self.server.pid().as_raw() as u32;
        let status = run.status;
        self.listening.update(run.records.trace(), |listener| {
            let local = listener.local.to_string();
            status.say(verb, format_args!("{on}{} (pid {})", escape(&local), listener.pid.unwrap_or(own)));
        });
        if self.listening.elapsed().is_some() {
            run.observers.start_status_line();
        }
    }

    /// Notes that the server will close connections because it is asked to end. To be called before that: it may be quick.
    fn note_shutdown(&self, run: &mut RunState) {
        if !self.is_attached() {
            run.records.emit(&Event::Stopping(Moment { time_ns: monotonic_ns() }));
        }
    }

    /// Stops this process as the server has stopped, until somebody continues both.
    fn stop_with_server(&mut self, run: &mut RunState) {
        let paused = run.pause(|_| self.server.stop_with_it());
        self.started += paused;
        self.listening.resume(paused);
        self.shutdown.resume(paused);
    }

    fn look_at_deadlines(&mut self, run: &mut RunState) -> Result<(), Error> {
        self.shutdown.escalate(run.status);
        let Some(listening) = self.listening.elapsed() else {
            let timeout = self.settings.listen_timeout.value;
            if !run.has_failed() && self.started.elapsed() >= timeout {
                run.fail(Error::NeverListened { timeout });
                self.shutdown.begin();
            }
            return Ok(());
        };
        if self.listening.is_settled(run.records.trace()) {
            self.exec.start(run.records.trace().listening(), run.signals.guard())?;
        }
        let is_over = self.settings.duration.as_ref().is_some_and(|duration| listening >= duration.value);
        if (is_over || self.exec.is_over()) && !self.shutdown.has_begun() {
            self.note_shutdown(run);
            self.shutdown.begin();
        }
        Ok(())
    }
}

impl Workload for FollowServer<'_> {
    const NAME: &'static str = "server";

    fn end(&self) -> Option<BorrowedFd<'_>> {
        self.server.end()
    }

    fn recorded(&mut self, run: &mut RunState) {
        self.announce_listening(run);
    }

    /// Under `cargo run` every signal is for the server. So it is here; but one by which the user asks for an end is for us
    /// as well. A server that ends its whole group asks nothing of us.
    fn receive(&mut self, received: &Received, run: &mut RunState) {
        if received.is(Signal::SIGCHLD) {
            self.exec.reap(run.signals.guard());
            return;
        }
        let ends =
            (received.asks_for_end() && !self.server.has_sent(received)) || (self.is_attached() && received.is_hangup);
        if ends {
            self.note_shutdown(run);
        }
        self.server.pass_on(received);
        if ends {
            self.shutdown.request(received);
            self.exec.stop();
        } else if received.asks_to_stop() || received.is(Signal::SIGCONT) {
            self.exec.forward(received);
            if received.asks_to_stop() && self.is_attached() {
                run.observers.suspend();
                stop_by(received.signal);
            }
        }
    }

    fn has_ended(&mut self) -> bool {
        self.ending = self.ending.or_else(|| self.server.ending());
        self.ending.is_some()
    }

    fn step(&mut self, run: &mut RunState) -> Result<ControlFlow<()>, Error> {
        if !self.has_ended() {
            if self.server.wants_to_stop() {
                self.stop_with_server(run);
            } else if self.is_attached() && self.shutdown.has_begun() {
                self.ending = Some(Ending::Left);
            }
        }
        match self.ending {
            Some(Ending::Ended(_)) if self.is_attached() => {
                run.status.say("Server", format_args!("with pid {} has ended", self.server.pid()));
                Ok(ControlFlow::Break(()))
            }
            Some(Ending::Ended(_) | Ending::Left) => Ok(ControlFlow::Break(())),
            None => {
                self.look_at_deadlines(run)?;
                Ok(ControlFlow::Continue(()))
            }
        }
    }

    fn ended(&mut self, run: &mut RunState) {
        if let Some(child) = self.server.own() {
            run.signals.forget(child);
            self.cut_exec_short = !self.shutdown.has_begun() && !self.exec.ends_soon(run.signals.guard());
        }
        self.exec.stop();
    }

    fn finish(&mut self, run: &mut RunState, _ended_monotonic_ns: u64) {
        self.announce_listening(run);
        let never_listened = run.records.trace().listening().is_empty() && !self.is_attached();
        if let Some(exit) = self.exit()
            && never_listened
            && !self.shutdown.was_requested()
        {
            run.fail(Error::EndedBeforeListening {
                status: describe(exit),
                cleanly: exit == Exit::Code(0),
                prometheus: self.settings.prometheus.as_ref().map(|prometheus| prometheus.address.value),
            });
        } else if let Some(exit) = self.exit()
            && self.cut_exec_short
        {
            let early = Error::EndedBeforeExec { status: describe(exit), successor: successor(run.records.trace()) };
            if exit == Exit::Code(0) {
                run.fail(early);
            } else {
                // The exit code is the server's own.
                run.status.warn(early);
            }
        } else if !self.shutdown.has_begun()
            && self.exit() == Some(Exit::Code(0))
            && let Some(successor) = successor(run.records.trace())
        {
            run.status.warn(format_args!("the server has ended, and {successor}: what that serves is not seen"));
        }
    }

    fn exit(&self) -> Option<Exit> {
        match self.ending {
            Some(Ending::Ended(exit)) => exit,
            Some(Ending::Left) | None => None,
        }
    }
}

/// The process that listens where a server did that has ended, as in `process 7 (server) listens on 127.0.0.1:8080`.
fn successor(trace: &Trace) -> Option<String> {
    let (mut tcp, mut unix) = (Vec::new(), Vec::new());
    for listener in trace.listening() {
        match &listener.local {
            Endpoint::Tcp(address) => tcp.push(*address),
            Endpoint::Unix(path) => unix.push(path.as_str()),
        }
    }
    let (pid, name) = listens_on(&tcp, &unix)?;
    let place = trace.listening().first()?.local.to_string();
    Some(format!("process {pid} ({}) listens on {}", escape(&name), escape(&place)))
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
