//! The time between the start of the server and its end: one loop over records, signals and deadlines.

pub(super) mod explaining;
mod load;
pub(super) mod server;
mod stopping;

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use cargo_beyla_events::{Header, kind};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use zerocopy::IntoBytes;

use self::explaining::Explaining;
use self::load::Load;
use self::server::{Ending, Server};
use self::stopping::Stopping;
use super::clocks::monotonic_ns;
use super::exports::Takers;
use super::status::Status;
use crate::config::settings::Settings;
use crate::error::Error;
use crate::launch::signals::Signals;
use crate::launch::suspended::Stdout;
use crate::launch::user::InvokingUser;
use crate::probe::client::Helper;
use crate::probe::ring_buffer::RingBuffer;
use crate::report::live::{Live, LiveCounters};
use crate::report::recording::Recorder;
use crate::report::run_info::Exit;
use crate::request::model::Endpoint;
use crate::request::trace::Trace;
use crate::stream::event::Event;

/// How long records wait: the programs do not wake us for them. At a hundred thousand requests a second
/// the ring buffer is full after some 150 ms.
const PAUSE: Duration = Duration::from_millis(10);
/// The same while nothing happens, which is also how often deadlines are looked at.
const IDLE: Duration = Duration::from_millis(30);
/// After a Unix socket began to listen: a TCP port, if there will be one, does so by then.
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
    helper: Helper,
    ring: RingBuffer,
    /// Whether there were records the last time.
    busy: bool,
    helper_ended: bool,
    signals: Signals,
    trace: Trace,
    tape: Tape,
    explaining: Option<Explaining>,
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
        helper: Helper,
        ring: RingBuffer,
        signals: Signals,
        trace: Trace,
        recorder: Option<Recorder>,
        explaining: Option<Explaining>,
        settings: &'a Settings,
        user: Option<&'a InvokingUser>,
        stdout: Stdout,
        takers: &'a mut Takers,
        status: Status,
    ) -> Self {
        let pid = server.pid();
        Self {
            stopping: Stopping::new(server.own()),
            server,
            ending: None,
            helper,
            ring,
            busy: false,
            helper_ended: false,
            signals,
            trace,
            tape: Tape { recorder, failure: None },
            explaining,
            settings,
            load: Load::new(settings.exec.as_ref().map(|exec| exec.value.as_os_str()), pid, user, stdout),
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
        let Self { explaining, trace, tape, .. } = &mut self;
        if let Some(explaining) = explaining {
            explaining.begin(|event, record| {
                trace.record(event);
                tape.write(record);
            });
        }
        let exit = loop {
            self.wait()?;
            self.take_signals()?;
            match self.ending {
                Some(Ending::Ended(exit)) => break exit,
                Some(Ending::Left) => break None,
                None => {}
            }
            self.look_at_deadlines()?;
            self.draw();
            self.takers.offer(&mut self.trace);
        };
        let ended_monotonic_ns = monotonic_ns();
        self.load.stop();
        self.helper.stop();
        while !self.helper_ended {
            self.hear_helper()?;
        }
        self.take_records();
        // Killed, it may have taken the probes away a moment before the server's end.
        if !self.helper.wait().is_ok_and(|status| status.success()) {
            self.failure.get_or_insert(Error::HelperEnded);
        }
        if let Some(live) = self.live.take() {
            live.finish();
        }
        if let Some(explaining) = self.explaining.take() {
            explaining.finish(|event, record| {
                self.trace.record(event);
                self.tape.write(record);
            });
        }
        let recording = self.tape.finish(ended_monotonic_ns, exit);
        let listened = !self.trace.listening().is_empty() || self.server.own().is_none();
        if let Some(exit) = exit
            && self.failure.is_none()
            && !listened
            && !self.stopping.was_asked()
        {
            self.failure = Some(Error::EndedBeforeListening { status: describe(exit), cleanly: exit == Exit::Code(0) });
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
        // The ring buffer's descriptor is ready whenever a record waits. Under load one always does, and
        // what counts is to disturb the server seldom.
        let pause = if self.busy { PAUSE } else { IDLE };
        let timeout = PollTimeout::try_from(pause).unwrap_or(PollTimeout::ZERO);
        let told = {
            let mut waited_for = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
            if !self.helper_ended {
                waited_for.push(PollFd::new(self.helper.as_fd(), PollFlags::POLLIN));
            }
            if !self.busy {
                waited_for.push(PollFd::new(self.ring.as_fd(), PollFlags::POLLIN));
            }
            waited_for.extend(self.server.end().map(|end| PollFd::new(end, PollFlags::POLLIN)));
            match poll(&mut waited_for, timeout) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(errno) => return Err(Error::System { what: "waiting for records", source: errno.into() }),
            }
            let helper = waited_for.get(1).filter(|_| !self.helper_ended);
            helper.and_then(PollFd::revents).is_some_and(|events| !events.is_empty())
        };
        self.take_records();
        if told {
            self.hear_helper()?;
        }
        Ok(())
    }

    /// Takes what the kernel has recorded.
    fn take_records(&mut self) {
        let known = self.trace.listening().len();
        let Self { ring, trace, tape, explaining, .. } = self;
        let mut take = |event: &Event<'_>, record: &[u8]| {
            trace.record(event);
            tape.write(record);
        };
        self.busy = ring.drain(|record| {
            let Ok(Some((event, _))) = Event::decode(record) else { return };
            match explaining {
                Some(explaining) => explaining.translate(&event, record, &mut take),
                None => take(&event, record),
            }
        });
        self.tell_listening(known);
    }

    /// Takes what the helper has to say.
    fn hear_helper(&mut self) -> Result<(), Error> {
        // Here those come that listened before anybody watched.
        let known = self.trace.listening().len();
        let Self { helper, trace, tape, status, .. } = self;
        let more = helper.read(|record| {
            let Ok(Some((event, _))) = Event::decode(record) else { return };
            if let Event::Failed(message) = &event {
                status.warn(message);
            }
            trace.record(&event);
            tape.write(record);
        });
        self.helper_ended = !more.map_err(|source| Error::System { what: "reading from the probe helper", source })?;
        self.tell_listening(known);
        if self.helper_ended && self.running() {
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
        for endpoint in &new {
            self.listens(endpoint);
        }
    }

    fn listens(&mut self, endpoint: &Endpoint) {
        let verb = if self.server.own().is_some() { "Listening" } else { "Watching" };
        let on = if verb == "Listening" { "on " } else { "" };
        self.status.say(verb, format_args!("{on}{endpoint} (pid {})", self.server.pid()));
        if self.listening.is_none() {
            self.listening = Some(Instant::now());
            self.live = is_terminal().then(|| Live::start(true));
        }
    }

    fn take_signals(&mut self) -> Result<(), Error> {
        let failed = |source| Error::System { what: "reading signals", source };
        while let Some(received) = self.signals.next().map_err(failed)? {
            if received.signal == Signal::SIGCHLD {
                self.load.reap();
            } else {
                self.note_stopping();
                self.stopping.asked(received);
                self.load.stop();
            }
        }
        if self.running() && self.server.own().is_none() && self.stopping.has_begun() {
            self.ending = Some(Ending::Left);
        }
        Ok(())
    }

    /// What the server closes from now on, it closes because it is told to.
    fn note_stopping(&mut self) {
        if self.server.own().is_none() {
            return;
        }
        let header = Header {
            kind: kind::STOPPING,
            size: size_of::<Header>() as u32,
            time_ns: monotonic_ns(),
            ..Header::default()
        };
        self.trace.record(&Event::Stopping { time_ns: header.time_ns });
        self.tape.write(header.as_bytes());
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
        let tcp = self.trace.listening().iter().any(|endpoint| matches!(endpoint, Endpoint::Tcp(_)));
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

/// The recording, if one is wanted. A run goes on without it if it cannot be written any further.
struct Tape {
    recorder: Option<Recorder>,
    failure: Option<Error>,
}

impl Tape {
    fn write(&mut self, record: &[u8]) {
        if let Some(recorder) = &mut self.recorder
            && let Err(error) = recorder.write(record)
        {
            self.failure = Some(error);
            self.recorder = None;
        }
    }

    /// Ends it; what went wrong, if anything did.
    fn finish(self, ended_monotonic_ns: u64, exit: Option<Exit>) -> Option<Error> {
        self.failure.or(self.recorder?.finish(ended_monotonic_ns, exit).err())
    }
}

fn is_terminal() -> bool {
    std::io::IsTerminal::is_terminal(&std::io::stderr())
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
