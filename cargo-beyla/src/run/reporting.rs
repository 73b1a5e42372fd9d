//! The end of a run: it is judged, and reported.

use super::follow_server::FollowServer;
use super::observers::Observers;
use super::options::RunOptions;
use super::outputs::{annotate, first_of};
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
    /// Why the run is a failure, whatever it has measured; the first counts.
    pub(crate) failures: Vec<Error>,
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
        let Finished { trace, workload, mut observers, failures, ended_monotonic_ns } = finished;
        let listened = !trace.listening().is_empty();
        let mut report = RunReport::new(info, trace.finish(ended_monotonic_ns), ended_monotonic_ns);
        report.exit = workload.exit();
        let samples = observers.take_samples();
        let (verdicts, samples) = self.criteria.judge(&report.summary, samples, is_partial(&workload), self.status);
        report.verdicts = verdicts;
        Judged { report, samples, workload, observers, failures, listened }
    }

    /// Writes all reports; returns why some could not be written. That keeps nothing else from being reported.
    pub(crate) fn show(&self, report: &RunReport) -> Vec<Error> {
        let failures = self.outputs.show(report, self.settings, self.status);
        annotate(report);
        self.outputs.hand_over(self.user);
        self.outputs.open_page(self.user, self.status);
        failures
    }

    /// Follows a server to its end, or to the end of the run, and reports.
    pub(crate) fn follow(&self, begun: Begun, server: FollowServer<'_>) -> Result<ServerOutcome, Error> {
        let Begun { run, info } = begun;
        let finished = RunLoop::new(run, server).run()?;
        let Judged { report, samples, workload, observers, mut failures, listened } =
            self.judge(finished, info, |_| false);
        let is_seen = listened || report.summary.totals.requests > 0;
        let written = if is_seen { self.show(&report) } else { Vec::new() };
        observers.finish(self.status);
        let saved = if is_seen && failures.is_empty() {
            self.criteria.save(&samples, &report.run, self.user, self.status)
        } else {
            Ok(())
        };
        failures.extend(written.into_iter().chain(saved.err()));
        first_of(failures, self.status)?;
        Ok(ServerOutcome {
            exit: report.exit,
            was_stopped: workload.was_stopped(),
            exec_exit_code: workload.exec_exit_code(),
            is_over_budget: report.verdicts.fails(),
        })
    }
}
