//! The probe helper and what it and the kernel tell, on its way to the trace and the recording.

use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::super::status::Status;
use super::explaining::Explaining;
use crate::error::Error;
use crate::probe::client::Helper;
use crate::probe::ring_buffer::RingBuffer;
use crate::report::recording::Recorder;
use crate::report::run_info::Exit;
use cargo_beyla_core::event::{Event, Executed};
use cargo_beyla_core::trace::Trace;

/// How long records wait: the programs do not wake us for them. At a hundred thousand requests a second
/// the ring buffer is full after some 150 ms.
const PAUSE: Duration = Duration::from_millis(10);
/// The same while nothing happens, which is also how often deadlines are looked at.
const IDLE: Duration = Duration::from_millis(30);

/// Attached probes.
pub(in crate::commands) struct Probes {
    helper: Helper,
    ring: RingBuffer,
    /// Whether there were records the last time.
    busy: bool,
    helper_ended: bool,
    explaining: Option<Explaining>,
    recorder: Option<Recorder>,
    /// Where the programs are executed of which several are traced.
    folders: Vec<PathBuf>,
    /// Why the recording could not be written any further: a run goes on without it.
    failure: Option<Error>,
}

impl Probes {
    /// Takes over a helper that is ready.
    pub(in crate::commands) fn new(
        helper: Helper,
        ring: RingBuffer,
        explaining: Option<Explaining>,
        recorder: Option<Recorder>,
    ) -> Self {
        let folders = Vec::new();
        Self { helper, ring, busy: false, helper_ended: false, explaining, recorder, folders, failure: None }
    }

    /// With the folders in which programs are executed, where several are traced.
    pub(in crate::commands) fn within(self, folders: Vec<PathBuf>) -> Self {
        Self { folders, ..self }
    }

    /// Tells what comes before the first record.
    pub(in crate::commands) fn begin(&mut self, trace: &mut Trace) {
        if let Some(explaining) = self.explaining.take() {
            explaining.begin(|event| self.tell(trace, event));
            self.explaining = Some(explaining);
        }
    }

    /// Waits until there is something to take, here or from what else is `waited_for`, or for as long as nobody need
    /// look, `most` at most; whether the helper has something to say.
    pub(in crate::commands) fn wait<'a>(
        &'a self,
        mut waited_for: Vec<PollFd<'a>>,
        most: Duration,
    ) -> Result<bool, Error> {
        // The ring buffer's descriptor is ready whenever a record waits. Under load one always does, and
        // what counts is to disturb the server seldom.
        let pause = if self.busy { PAUSE } else { IDLE };
        // Rounded up: what is due in less than a millisecond is not due yet.
        let pause = Duration::from_millis(pause.min(most).as_micros().div_ceil(1000) as u64);
        let timeout = PollTimeout::try_from(pause).unwrap_or(PollTimeout::ZERO);
        if !self.busy {
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
    pub(in crate::commands) fn take(&mut self, trace: &mut Trace) {
        let Self { ring, explaining, recorder, failure, folders, .. } = self;
        let mut tell = |event: &Event<'_>| {
            trace.record(event);
            write(recorder, failure, event);
        };
        self.busy = ring.drain(|record| {
            let Ok(Some((event, _))) = Event::decode(record) else { return };
            let program = match &event {
                Event::Executed(executed) => program(executed, folders),
                _ => None,
            };
            let event = match (event, &program) {
                (Event::Executed(executed), Some(path)) => Event::Executed(Executed { path, ..executed }),
                (event, _) => event,
            };
            match explaining {
                Some(explaining) => explaining.translate(&event, &mut tell),
                None => tell(&event),
            }
        });
    }

    /// Takes what the helper has to say.
    pub(in crate::commands) fn hear(&mut self, trace: &mut Trace, status: Status) -> Result<(), Error> {
        let Self { helper, recorder, failure, .. } = self;
        let more = helper.read(|event| {
            if let Event::Failed(message) = event {
                status.warn(message);
            }
            trace.record(event);
            write(recorder, failure, event);
        });
        self.helper_ended = !more.map_err(|source| Error::System { what: "reading from the probe helper", source })?;
        Ok(())
    }

    /// Whether the helper has said its last.
    pub(in crate::commands) fn has_ended(&self) -> bool {
        self.helper_ended
    }

    /// Tells an event of our own.
    pub(in crate::commands) fn tell(&mut self, trace: &mut Trace, event: &Event<'_>) {
        trace.record(event);
        write(&mut self.recorder, &mut self.failure, event);
    }

    /// Takes what is left, and ends the helper; whether that ended as it should.
    pub(in crate::commands) fn stop(&mut self, trace: &mut Trace, status: Status) -> Result<bool, Error> {
        self.helper.stop();
        while !self.helper_ended {
            self.hear(trace, status)?;
        }
        self.take(trace);
        let well = self.helper.wait().is_ok_and(|status| status.success());
        if let Some(explaining) = self.explaining.take() {
            explaining.finish(|event| self.tell(trace, event));
        }
        Ok(well)
    }

    /// Ends the recording; what went wrong with it, if anything did.
    pub(in crate::commands) fn finish(self, ended_monotonic_ns: u64, exit: Option<Exit>) -> Option<Error> {
        self.failure.or(self.recorder?.finish(ended_monotonic_ns, exit).err())
    }
}

/// What a process executes, by a path that no change of folder or link has made another. Of one that has ended or is in
/// another namespace, the path as it was given must do, which may be relative to any of `folders`.
fn program(executed: &Executed<'_>, folders: &[PathBuf]) -> Option<String> {
    let running = std::fs::read_link(format!("/proc/{}/exe", executed.pid)).ok();
    // An absolute path takes the place of the folder.
    let found = running.or_else(|| folders.iter().find_map(|folder| folder.join(executed.path).canonicalize().ok()))?;
    found.into_os_string().into_string().ok()
}

fn write(recorder: &mut Option<Recorder>, failure: &mut Option<Error>, event: &Event<'_>) {
    if let Some(open) = recorder
        && let Err(error) = open.record(event)
    {
        *failure = Some(error);
        *recorder = None;
    }
}
