//! What becomes of records: names for their addresses, the trace, and the recording.

use std::io::Write;
use std::ops::ControlFlow;

use super::backlog::Backlog;
use super::patient_writer::PatientWriter;
use super::symbolization::Symbolization;
use crate::error::Error;
use crate::report::recording::Recorder;
use crate::report::run_info::Exit;
use cargo_beyla_core::event::Event;
use cargo_beyla_core::trace::Trace;

/// Where records go, in the order in which they were made.
pub(crate) struct Analysis {
    trace: Trace,
    /// With `--explain`.
    symbolization: Option<Symbolization>,
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

impl Analysis {
    pub(crate) fn new(
        trace: Trace,
        symbolization: Option<Symbolization>,
        recorder: Option<Recorder<PatientWriter>>,
    ) -> Self {
        let mut analysis = Self { trace, symbolization: None, recording: Recording { recorder, failure: None } };
        if let Some(symbolization) = symbolization {
            analysis.record(&symbolization.beginning());
            analysis.symbolization = Some(symbolization);
        }
        analysis
    }

    /// What is known from the records so far.
    pub(crate) fn trace(&mut self) -> &mut Trace {
        &mut self.trace
    }

    /// Whether addresses must become names before their process ends.
    pub(crate) fn is_urgent(&self) -> bool {
        self.symbolization.is_some()
    }

    /// Takes records until `is_enough`, which is asked after each, or none is left.
    pub(crate) fn take(&mut self, backlog: &mut Backlog, is_enough: impl Fn() -> bool) {
        backlog.take(|record| {
            if let Ok(Some((event, _))) = Event::decode(record) {
                self.record(&event);
            }
            if is_enough() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
    }

    fn record(&mut self, event: &Event<'_>) {
        let Self { trace, symbolization, recording } = self;
        let mut take = |event: &Event<'_>| {
            trace.record(event);
            recording.write(event);
        };
        match symbolization {
            Some(symbolization) => symbolization.translate(event, &mut take),
            None => take(event),
        }
    }

    /// Records the names of all stacks and tasks. To be called after the last record.
    pub(crate) fn name(&mut self) {
        if let Some(symbolization) = self.symbolization.take() {
            symbolization.finish(|event| self.record(event));
        }
    }

    /// Ends the recording. Returns the trace, and what went wrong with the recording, if anything did.
    pub(crate) fn finish(self, ended_monotonic_ns: u64, exit: Option<Exit>) -> (Trace, Option<Error>) {
        (self.trace, self.recording.finish(ended_monotonic_ns, exit))
    }
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
