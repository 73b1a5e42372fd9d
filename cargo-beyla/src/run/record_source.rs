//! Where the records of a run come from: the kernel's ring buffer and the probe helper.

use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::Duration;

use cargo_beyla_events::kind;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};

use super::backlog::{Backlog, kind_of};
use super::libraries::Libraries;
use crate::console::status::Status;
use crate::error::Error;
use crate::probe::client::Helper;
use crate::probe::ring_buffer::{DRAIN_INTERVAL, IDLE_INTERVAL, RingBuffer};
use cargo_beyla_core::event::{Event, Executed};

/// Attached probes.
pub(crate) struct RecordSource {
    helper: Helper,
    ring: RingBuffer,
    /// Whether there were records the last time.
    busy: bool,
    helper_ended: bool,
    /// Absent where TLS is not read.
    libraries: Option<Libraries>,
    /// Whether this process holds keys of others.
    holds_keys: bool,
    /// Where the paths of executed programs begin that are relative.
    folders: Vec<PathBuf>,
}

impl RecordSource {
    /// Takes over a helper whose probes are attached. `folders` is where programs are executed.
    pub(crate) fn new(helper: Helper, ring: RingBuffer, folders: Vec<PathBuf>, libraries: Option<Libraries>) -> Self {
        Self { helper, ring, busy: false, helper_ended: false, libraries, holds_keys: false, folders }
    }

    /// Waits for the time of one interval of the ring buffer, `most` at most, or until one of `waited_for` is ready;
    /// returns whether the helper has something to say. `is_busy` is whether records are being analysed meanwhile.
    pub(crate) fn wait<'a>(
        &'a self,
        mut waited_for: Vec<PollFd<'a>>,
        most: Duration,
        is_busy: bool,
    ) -> Result<bool, Error> {
        let is_busy = is_busy || self.busy;
        // The ring buffer's descriptor is ready whenever a record waits. Under load one always does, and
        // what counts is to disturb the server seldom.
        let pause = if is_busy { DRAIN_INTERVAL } else { IDLE_INTERVAL };
        // Rounded up: what is due in less than a millisecond is not due yet.
        let pause = Duration::from_millis(pause.min(most).as_micros().div_ceil(1000) as u64);
        let timeout = PollTimeout::try_from(pause).unwrap_or(PollTimeout::ZERO);
        if !is_busy {
            waited_for.push(PollFd::new(self.ring.as_fd(), PollFlags::POLLIN));
        }
        if !self.helper_ended {
            waited_for.push(PollFd::new(self.helper.as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut waited_for, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(Error::System { what: "waiting for records", source: errno.into() }),
        }
        let helper = waited_for.last().filter(|_| !self.helper_ended);
        Ok(helper.and_then(PollFd::revents).is_some_and(|events| !events.is_empty()))
    }

    /// Takes what the kernel has recorded.
    pub(crate) fn drain(&mut self, backlog: &mut Backlog) {
        let Self { ring, folders, libraries, holds_keys, .. } = self;
        self.busy = ring.drain(|record| match kind_of(record) {
            // While the process is still there.
            Some(kind::EXECUTED) => {
                let Ok(Some((Event::Executed(executed), _))) = Event::decode(record) else { return };
                let path = program(&executed, folders);
                let path = path.as_deref().unwrap_or(executed.path);
                let event = Event::Executed(Executed { path, ..executed });
                if let Some(libraries) = libraries {
                    libraries.note(&event);
                }
                backlog.push_event(&event);
            }
            kind => {
                if kind == Some(kind::KEY) && !*holds_keys {
                    *holds_keys = true;
                    keep_memory_private();
                }
                backlog.push(record);
            }
        });
    }

    /// Has those libraries probed that the traced processes have mapped since.
    pub(crate) fn follow_libraries(&mut self) -> Result<(), Error> {
        let found = self.libraries.as_mut().filter(|_| !self.helper_ended).map(Libraries::look).unwrap_or_default();
        if found.is_empty() { Ok(()) } else { self.helper.probe_libraries(&found) }
    }

    /// Takes what the helper has to say.
    pub(crate) fn hear(&mut self, backlog: &mut Backlog, status: Status) -> Result<(), Error> {
        let more = self.helper.read(|event| {
            if let Event::Failed(message) = event {
                status.warn(message);
            }
            backlog.push_event(event);
        });
        self.helper_ended = !more.map_err(|source| Error::System { what: "reading from the probe helper", source })?;
        Ok(())
    }

    /// Whether the helper has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.helper_ended
    }

    /// Ends the helper, and takes the last records; returns whether it ended as it should.
    pub(crate) fn stop(&mut self, backlog: &mut Backlog, status: Status) -> Result<bool, Error> {
        self.helper.stop();
        while !self.helper_ended {
            self.hear(backlog, status)?;
        }
        self.drain(backlog);
        Ok(self.helper.wait().is_ok_and(|status| status.success()))
    }
}

/// Keeps what this process holds out of core dumps, and from other processes of the user. (The ring buffer's memory is in
/// none anyway.)
fn keep_memory_private() {
    // It cannot fail with this value; and there is nothing better to do.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

/// The program that a process executes, by a path without symbolic links that holds in any folder. If the process has
/// ended, or is in another namespace, the path as it was given must do, which may be relative to any of `folders`.
fn program(executed: &Executed<'_>, folders: &[PathBuf]) -> Option<String> {
    let running = std::fs::read_link(format!("/proc/{}/exe", executed.pid)).ok();
    // Joined to a folder, an absolute path stays what it is.
    let found = running.or_else(|| folders.iter().find_map(|folder| folder.join(executed.path).canonicalize().ok()))?;
    found.into_os_string().into_string().ok()
}
