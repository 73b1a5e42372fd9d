//! The end of a run: it is judged, and reported.

use super::follow_server::FollowServer;
use super::observers::Observers;
use super::options::RunOptions;
use super::outputs::annotate;
use super::run_loop::{Finished, RunLoop};
use super::setup::Begun;
use super::workload::Workload;
use crate::error::Error;
use crate::report::run_info::{Exit, RunInfo};
use crate::report::run_report::RunReport;
use cargo_beyla_core::analysis::baseline::samples::Samples;

/// A run that was judged and is still to be reported.
pub(crate) struct Judged<W> {
    pub(crate) report: RunReport,
    /// What a baseline keeps of it.
    pub(crate) samples: Samples,
    pub(crate) workload: W,
    pub(crate) observers: Observers,
    pub(crate) failure: Option<Error>,
    /// Whether a socket of the server listened.
    listened: bool,
}

/// How the run of a server went.
pub(crate) struct ServerOutcome {
    /// How the server ended, if it was started by us.
    pub(crate) exit: Option<Exit>,
    /// Whether a signal of ours ended it, and the user had not asked for that.
    pub(crate) was_stopped: bool,
    /// The exit code of `--exec`.
    pub(crate) exec_exit_code: Option<u8>,
    /// Whether a budget is broken.
    pub(crate) is_over_budget: bool,
}

impl RunOptions<'_> {
    /// Judges a run that is over; of one that was partial, budgets may match nothing.
    pub(crate) fn judge<W: Workload>(
        &self,
        finished: Finished<W>,
        info: RunInfo,
        is_partial: impl FnOnce(&W) -> bool,
    ) -> Judged<W> {
        let Finished { trace, workload, mut observers, failure, ended_monotonic_ns } = finished;
        let listened = !trace.listening().is_empty();
        let mut report = RunReport::new(info, trace.finish(ended_monotonic_ns), ended_monotonic_ns);
        report.exit = workload.exit();
        let samples = observers.take_samples();
        let (verdicts, samples) = self.criteria.judge(&report.summary, samples, is_partial(&workload), self.status);
        report.verdicts = verdicts;
        Judged { report, samples, workload, observers, failure, listened }
    }

    /// Writes all reports; the first failure, if one could not be written. That keeps nothing else from being reported.
    pub(crate) fn show(&self, report: &RunReport) -> Result<(), Error> {
        let written = self.outputs.show(report, self.settings, self.status);
        annotate(report);
        written
    }

    /// Follows a server to its end, or to the end of the run, and reports.
    pub(crate) fn follow(&self, begun: Begun, server: FollowServer<'_>) -> Result<ServerOutcome, Error> {
        let Begun { run, info } = begun;
        let finished = RunLoop::new(run, server).run()?;
        let Judged { report, samples, workload, observers, failure, listened } = self.judge(finished, info, |_| false);
        let is_seen = listened || report.summary.totals.requests > 0;
        let written = if is_seen { self.show(&report) } else { Ok(()) };
        self.outputs.hand_over();
        observers.finish(self.status);
        if is_seen && failure.is_none() {
            self.criteria.save(&samples, &report.run, self.outputs.user, self.status)?;
        }
        if let Some(failure) = failure {
            return Err(failure);
        }
        written.map(|()| ServerOutcome {
            exit: report.exit,
            was_stopped: workload.was_stopped(),
            exec_exit_code: workload.exec_exit_code(),
            is_over_budget: report.verdicts.fails(),
        })
    }
}
