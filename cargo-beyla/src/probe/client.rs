//! The parent's end of the probe helper.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStdin};

use serde::Serialize;

use super::channel;
use super::executable::Executables;
use super::library_probe::LibraryProbes;
use super::privilege::{Prospects, Way, checks};
use super::request::{self, ProbeArguments, Request};
use super::requirements::check::Check;
use super::requirements::facts::Facts;
use super::requirements::require;
use super::ring_buffer::RingBuffer;
use super::starting::{self, Asking, Greeted, ended_without_a_word, failure};
use crate::error::Error;
use cargo_beyla_core::event::Event;

/// A running helper. Dropping it closes its stdin, at which it ends.
#[derive(Debug)]
pub struct Helper {
    child: Child,
    stdin: Option<ChildStdin>,
    channel: UnixStream,
    /// What the helper has written and no whole record is yet.
    pending: Vec<u8>,
    /// What the privileged process sees of the machine and of itself.
    pub facts: Facts,
    /// Whether sudo had to ask for a password.
    pub asked: bool,
}

/// What a helper that has attached every probe says.
#[derive(Debug)]
pub struct Attached {
    /// How bytes are captured: `socket` or `syscalls`.
    pub capture: String,
    /// Where the records come in.
    pub ring: RingBuffer,
    /// What `--explain` cannot see, in sentences.
    pub unseen: Vec<String>,
}

/// Finds a way to privilege, and starts a helper that has all that tracing takes; `warn` gets what the user should
/// know beside, before sudo may ask.
///
/// # Errors
/// The first thing that is missing, before anybody waits for something.
pub fn open(asking: Asking, warn: impl FnMut(Check)) -> Result<Helper, Error> {
    let prospects = Prospects::gather();
    prospects.warnings().into_iter().for_each(warn);
    let way = prospects.way();
    require(&checks(&prospects.expected(&way), &way))?;
    let helper = match &way {
        Ok(way) => Helper::start(way, asking)?,
        Err(lack) => return Err(lack.to_error()),
    };
    require(&checks(&helper.facts, &way))?;
    Ok(helper)
}

impl Helper {
    /// Starts a helper, and waits until it says how things stand.
    ///
    /// # Errors
    /// If it does not come about, in sudo's own words where it is sudo that refuses.
    pub fn start(way: &Way, asking: Asking) -> Result<Self, Error> {
        let Greeted { child, stdin, channel, facts, asked } = starting::start(way, asking)?;
        Ok(Self { child, stdin, channel, pending: Vec::new(), facts, asked })
    }

    /// Has it trace.
    ///
    /// # Errors
    /// If it could not be told.
    pub fn trace(&mut self, arguments: &ProbeArguments) -> Result<(), Error> {
        self.tell(&Request::Trace(arguments.clone()))
    }

    /// Has it load and attach every program, and let go of them again. Returns how bytes are captured where the user does
    /// not say how, as in [`Attached::capture`].
    ///
    /// # Errors
    /// What failed.
    pub fn try_all(mut self) -> Result<String, Error> {
        self.tell(&Request::Try)?;
        let Attached { capture, .. } = self.wait_until_ready()?;
        // It is no longer of interest how it ends.
        let _ = self.wait();
        Ok(capture)
    }

    fn tell(&mut self, what: &impl Serialize) -> Result<(), Error> {
        match self.stdin.as_mut().map(|stdin| request::send(what, stdin)) {
            // It has ended, and has said why.
            Some(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Some(Err(source)) => Err(Error::System { what: "writing to the probe helper", source }),
            None | Some(Ok(())) => Ok(()),
        }
    }

    /// Has a helper attach its probes that was started for what this process starts, before what these are for was built.
    pub fn begin(&mut self, executables: &Executables) -> Result<(), Error> {
        self.tell(executables)
    }

    /// Has it probe more files, which processes have mapped.
    ///
    /// # Errors
    /// If it could not be told.
    pub fn probe_libraries(&mut self, found: &[LibraryProbes]) -> Result<(), Error> {
        self.tell(&found)
    }

    /// Waits until every probe is attached.
    pub fn wait_until_ready(&mut self) -> Result<Attached, Error> {
        let failed = |source| Error::System { what: "reading from the probe helper", source };
        let (message, ring) = channel::receive_first(&self.channel).map_err(failed)?;
        let ready = match Event::decode(&message) {
            Ok(Some((Event::Ready(text), _))) => text.to_owned(),
            Ok(Some((Event::Failed(message), _))) => return Err(failure(message)),
            _ => {
                return Err(ended_without_a_word(self.wait().map_err(failed)?));
            }
        };
        let mut lines = ready.lines();
        let (Some((capture, size)), Some(ring)) = (lines.next().and_then(|first| first.split_once(' ')), ring) else {
            return Err(failure("the probe helper is of another version"));
        };
        let size = size.parse().map_err(|_| failure("the probe helper is of another version"))?;
        let ring =
            RingBuffer::open(ring, size).map_err(|source| Error::System { what: "mapping the ring buffer", source })?;
        Ok(Attached { capture: capture.to_owned(), ring, unseen: lines.map(str::to_owned).collect() })
    }

    /// Reads what the helper has written, waiting if nothing is there, and shows each event to `take`; `false` at the end.
    ///
    /// # Errors
    /// If it could not be read.
    pub fn read(&mut self, mut take: impl FnMut(&Event<'_>)) -> io::Result<bool> {
        let mut buffer = [0; 4096];
        let count = loop {
            match self.channel.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The helper was killed with our messages unread.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => break 0,
                other => break other?,
            }
        };
        self.pending.extend_from_slice(&buffer[..count]);
        let mut taken = 0;
        while let Ok(Some((event, size))) = Event::decode(&self.pending[taken..]) {
            take(&event);
            taken += size;
        }
        self.pending.drain(..taken);
        Ok(count > 0)
    }

    /// Tells the helper to say its last and to end; its output then comes to an end.
    pub fn stop(&mut self) {
        self.stdin = None;
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// If it could not be waited for.
    pub fn wait(&mut self) -> io::Result<std::process::ExitStatus> {
        self.stdin = None;
        self.child.wait()
    }
}

impl AsFd for Helper {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}
