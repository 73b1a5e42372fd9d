//! The loop of every run: records, signals and deadlines, until the workload is over.

use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::time::Instant;

use nix::poll::{PollFd, PollFlags};

use super::clocks::monotonic_ns;
use super::observers::Observers;
use super::state::RunState;
use super::workload::Workload;
use crate::error::Error;
use cargo_beyla_core::trace::Trace;

/// A run under way, with what it traces.
pub(crate) struct RunLoop<W> {
    run: RunState,
    workload: W,
}

/// A run that is over.
pub(crate) struct Finished<W> {
    /// All that was recorded.
    pub(crate) trace: Trace,
    pub(crate) workload: W,
    /// They have seen every request; what they have collected is still to be taken.
    pub(crate) observers: Observers,
    /// Why the run is a failure although the workload is over; the first counts.
    pub(crate) failures: Vec<Error>,
    /// The end of the run by `CLOCK_MONOTONIC`.
    pub(crate) ended_monotonic_ns: u64,
}

impl<W: Workload> RunLoop<W> {
    /// For a workload that is about to begin, or runs already.
    pub(crate) fn new(run: RunState, workload: W) -> Self {
        Self { run, workload }
    }

    /// Runs the loop to the workload's end.
    pub(crate) fn run(mut self) -> Result<Finished<W>, Error> {
        self.follow()?;
        Ok(self.finish())
    }

    /// The loop alone. After an error, what was recorded until then is still there for [`Self::finish`].
    pub(crate) fn follow(&mut self) -> Result<(), Error> {
        self.workload.begin(&mut self.run);
        loop {
            self.wait()?;
            self.receive_signals()?;
            let step = self.workload.step(&mut self.run)?;
            self.run.observers.update(self.run.records.trace());
            if step == ControlFlow::Break(()) {
                return Ok(());
            }
        }
    }

    /// What is traced.
    pub(crate) fn workload_mut(&mut self) -> &mut W {
        &mut self.workload
    }

    /// Takes the probes away and the last records in.
    pub(crate) fn finish(self) -> Finished<W> {
        let Self { mut run, mut workload } = self;
        let ended_monotonic_ns = monotonic_ns();
        workload.ended(&mut run);
        match run.records.stop(run.status) {
            Ok(true) => {}
            // If it was killed, it may have taken the probes away a moment before the workload's end.
            Ok(false) => run.fail(Error::HelperEnded),
            Err(error) => run.fail(error),
        }
        workload.finish(&mut run, ended_monotonic_ns);
        run.records.catch_up();
        let failure = run.take_failure();
        let RunState { mut records, mut observers, .. } = run;
        observers.close(records.trace(), ended_monotonic_ns);
        let (trace, recording) = records.finish(ended_monotonic_ns, workload.exit());
        let failures = failure.into_iter().chain(recording).collect();
        Finished { trace, workload, observers, failures, ended_monotonic_ns }
    }

    /// Waits until there is something to do, and takes what the kernel and the helper have to say.
    fn wait(&mut self) -> Result<(), Error> {
        let Self { run, workload } = self;
        let mut waited_for = vec![PollFd::new(run.signals.as_fd(), PollFlags::POLLIN)];
        waited_for.extend(workload.end().map(|end| PollFd::new(end, PollFlags::POLLIN)));
        let helper_speaks = run.records.wait(waited_for, workload.patience(Instant::now()))?;
        run.records.follow_libraries()?;
        if helper_speaks {
            // It says which sockets listened before the probes were there, too.
            run.records.hear(run.status)?;
        }
        workload.recorded(run);
        if helper_speaks && run.records.has_ended() && !workload.has_ended() {
            let name = W::NAME;
            run.status
                .warn(format_args!("the probe helper has ended before the {name}: requests from here on are not seen"));
            run.fail(Error::HelperEnded);
        }
        Ok(())
    }

    fn receive_signals(&mut self) -> Result<(), Error> {
        let failed = |source| Error::System { what: "reading signals", source };
        while let Some(received) = self.run.signals.next().map_err(failed)? {
            self.workload.receive(&received, &mut self.run);
        }
        Ok(())
    }
}
