//! The records of a run: from the kernel's ring buffer, the probe helper and this process to the trace and the recording.

use std::io::Write;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};

use super::patient_writer::PatientWriter;
use super::symbolization::Symbolization;
use super::tls_libraries::TlsLibraries;
use crate::console::status::Status;
use crate::error::Error;
use crate::probe::client::Helper;
use crate::probe::ring_buffer::{DRAIN_INTERVAL, IDLE_INTERVAL, RingBuffer};
use crate::report::recording::Recorder;
use crate::report::run_info::Exit;
use cargo_beyla_core::event::{Event, Executed};
use cargo_beyla_core::trace::Trace;

/// Attached probes, and where their records go.
pub(crate) struct Records {
    helper: Helper,
    ring: RingBuffer,
    /// Whether there were records the last time.
    busy: bool,
    helper_ended: bool,
    symbolization: Option<Symbolization>,
    /// Absent where TLS is not read.
    libraries: Option<TlsLibraries>,
    /// Whether this process holds keys of others.
    holds_keys: bool,
    /// Why tasks that other tasks spawn are not seen, in a sentence.
    spawns_unseen: Option<&'static str>,
    /// Where the paths of executed programs begin that are relative.
    folders: Vec<PathBuf>,
    recording: Recording<PatientWriter>,
}

/// The file that every record is written to, if there is one.
struct Recording<W: Write> {
    recorder: Option<Recorder<W>>,
    /// Why it could not be written any further: the run goes on without it.
    failure: Option<Error>,
}

impl<W: Write> Recording<W> {
    fn write(&mut self, event: &Event<'_>) {
        if let Some(recorder) = &mut self.recorder
            && let Err(error) = recorder.record(event)
        {
            self.failure = Some(error);
            self.recorder = None;
        }
    }

    /// Ends it; returns why it is not whole, if it is not.
    fn finish(self, ended_monotonic_ns: u64, exit: Option<Exit>) -> Option<Error> {
        let Self { recorder, failure } = self;
        failure.or_else(|| recorder.and_then(|recorder| recorder.finish(ended_monotonic_ns, exit).err()))
    }
}

impl Records {
    /// Takes over a helper whose probes are attached. `folders` is where programs are executed.
    pub(crate) fn new(
        helper: Helper,
        ring: RingBuffer,
        symbolization: Option<Symbolization>,
        recorder: Option<Recorder<PatientWriter>>,
        folders: Vec<PathBuf>,
        libraries: Option<TlsLibraries>,
    ) -> Self {
        let recording = Recording { recorder, failure: None };
        Self {
            helper,
            ring,
            busy: false,
            helper_ended: false,
            symbolization,
            libraries,
            holds_keys: false,
            spawns_unseen: None,
            folders,
            recording,
        }
    }

    /// The same, where tasks that other tasks spawn are not seen for this reason.
    pub(crate) fn with_spawns_unseen(self, spawns_unseen: Option<&'static str>) -> Self {
        Self { spawns_unseen, ..self }
    }

    /// Emits what comes before the first record.
    pub(crate) fn begin(&mut self, trace: &mut Trace) {
        if let Some(symbolization) = self.symbolization.take() {
            self.emit(trace, &symbolization.beginning());
            self.symbolization = Some(symbolization);
        }
        if let Some(reason) = self.spawns_unseen {
            self.emit(trace, &Event::SpawnsUnseen(reason));
        }
    }

    /// Waits for the time of one interval of the ring buffer, `most` at most, or until one of `waited_for` is ready;
    /// returns whether the helper has something to say.
    pub(crate) fn wait<'a>(&'a self, mut waited_for: Vec<PollFd<'a>>, most: Duration) -> Result<bool, Error> {
        // The ring buffer's descriptor is ready whenever a record waits. Under load one always does, and
        // what counts is to disturb the server seldom.
        let pause = if self.busy { DRAIN_INTERVAL } else { IDLE_INTERVAL };
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
    pub(crate) fn drain(&mut self, trace: &mut Trace) {
        let Self { ring, symbolization, recording, folders, libraries, holds_keys, .. } = self;
        let mut take = |event: &Event<'_>| {
            trace.record(event);
            recording.write(event);
        };
        self.busy = ring.drain(|record| {
            let Ok(Some((event, _))) = Event::decode(record) else { return };
            if matches!(event, Event::Key(_)) && !*holds_keys {
                *holds_keys = true;
                keep_memory_private();
            }
            let program = match &event {
                Event::Executed(executed) => program(executed, folders),
                _ => None,
            };
            let event = match (event, &program) {
                (Event::Executed(executed), Some(path)) => Event::Executed(Executed { path, ..executed }),
                (event, _) => event,
            };
            if let Some(libraries) = libraries {
                libraries.note(&event);
            }
            match symbolization {
                Some(symbolization) => symbolization.translate(&event, &mut take),
                None => take(&event),
            }
        });
    }

    /// Has those libraries probed that the traced processes have mapped since.
    pub(crate) fn follow_libraries(&mut self) -> Result<(), Error> {
        let found = self.libraries.as_mut().filter(|_| !self.helper_ended).map(TlsLibraries::look).unwrap_or_default();
        if found.is_empty() { Ok(()) } else { self.helper.probe_keys(&found) }
    }

    /// Takes what the helper has to say.
    pub(crate) fn hear(&mut self, trace: &mut Trace, status: Status) -> Result<(), Error> {
        let Self { helper, recording, .. } = self;
        let more = helper.read(|event| {
            if let Event::Failed(message) = event {
                status.warn(message);
            }
            trace.record(event);
            recording.write(event);
        });
        self.helper_ended = !more.map_err(|source| Error::System { what: "reading from the probe helper", source })?;
        Ok(())
    }

    /// Whether the helper has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.helper_ended
    }

    /// Adds an event of this process.
    pub(crate) fn emit(&mut self, trace: &mut Trace, event: &Event<'_>) {
        trace.record(event);
        self.recording.write(event);
    }

    /// Takes the last records, and ends the helper; returns whether that ended as it should.
    pub(crate) fn stop(&mut self, trace: &mut Trace, status: Status) -> Result<bool, Error> {
        self.helper.stop();
        while !self.helper_ended {
            self.hear(trace, status)?;
        }
        self.drain(trace);
        let well = self.helper.wait().is_ok_and(|status| status.success());
        if let Some(symbolization) = self.symbolization.take() {
            symbolization.finish(|event| self.emit(trace, event));
        }
        Ok(well)
    }

    /// Ends the recording; returns what went wrong with it, if anything did.
    pub(crate) fn finish(self, ended_monotonic_ns: u64, exit: Option<Exit>) -> Option<Error> {
        self.recording.finish(ended_monotonic_ns, exit)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixtures;
    use cargo_beyla_core::event::Moment;
    use std::path::Path;

    /// A disk with room for this many bytes.
    struct Disk(usize);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            match bytes.len().min(self.0) {
                0 => Err(std::io::ErrorKind::StorageFull.into()),
                written => {
                    self.0 -= written;
                    Ok(written)
                }
            }
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What a recording of many events comes to on a disk of this size.
    fn recorded(room: usize) -> Option<Error> {
        let recorder = Recorder::new(Path::new("run.beyla"), Disk(room), &fixtures::run()).expect("it is buffered");
        let mut recording = Recording { recorder: Some(recorder), failure: None };
        for time_ns in 0..20_000 {
            recording.write(&Event::Stopping(Moment { time_ns }));
        }
        recording.finish(30_000, None)
    }

    #[test]
    fn a_recording_that_was_cut_short_is_a_failure_whenever_that_was() {
        let enough =
            (0..31).map(|shift| 1 << shift).find(|room| recorded(*room).is_none()).expect("some size is enough");
        assert!(enough > 400_000, "several times what is kept back: {enough}");
        // At the first write, at one in the middle, and at the very last byte.
        let least = {
            let (mut less, mut enough) = (enough / 2, enough);
            while enough - less > 1 {
                let middle = usize::midpoint(less, enough);
                if recorded(middle).is_none() { enough = middle } else { less = middle }
            }
            enough
        };
        for room in [0, 1, 100_000, least / 2, least - 40, least - 1] {
            let failure = recorded(room).unwrap_or_else(|| panic!("{room} of {least} bytes are not enough"));
            assert_eq!(failure.exit_code(), crate::error::USAGE);
            assert!(failure.to_string().starts_with("could not write run.beyla: "), "{failure}");
        }
    }
}
