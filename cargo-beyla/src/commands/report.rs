//! `cargo beyla report`: renders a recording as `run` would have.

use std::process::ExitCode;

use crate::cli::ReportArguments;
use crate::console::status::Status;
use crate::error::Error;
use crate::launch::user::InvokingUser;
use crate::report::recording::{Ending, Recording};
use crate::report::run_info::Seed;
use crate::report::run_report::RunReport;
use crate::run::options::load_settings;
use crate::run::outputs::{OutputPaths, Outputs, first_of};
use cargo_beyla_core::trace::{Trace, TraceSettings};

/// Renders the recording.
pub(super) fn report(arguments: &ReportArguments, status: Status) -> Result<ExitCode, Error> {
    let (settings, status) = load_settings(&arguments.settings(), None, status)?;
    let recording = Recording::open(&arguments.file)?;
    let outputs = Outputs::open(OutputPaths::of(&arguments.report), status)?;
    for (flag, output) in outputs.all() {
        if output.is_at(&arguments.file) {
            return Err(Error::SameOutput { flags: [flag, "the recording"], path: arguments.file.clone() });
        }
    }
    let report = replay(recording, settings.trace()?, status)?;
    let failures = outputs.show(&report, &settings, status);
    let user = InvokingUser::detect();
    outputs.hand_over(user.as_ref());
    outputs.open_page(user.as_ref(), status);
    first_of(failures, status)?;
    Ok(ExitCode::SUCCESS)
}

/// Takes the records of a recording as the run has taken them.
fn replay(mut recording: Recording, settings: TraceSettings, status: Status) -> Result<RunReport, Error> {
    let run = recording.run().clone();
    let mut trace = Trace::new(TraceSettings {
        seed: run.trace_seed.map(|Seed(seed)| seed),
        within: run.traced.followed(),
        architecture: run.architecture.unwrap_or(settings.architecture),
        ..settings
    });
    while let Some(event) = recording.next_event()? {
        trace.record(&event);
    }
    let exit = match recording.ending() {
        Some(Ending::Complete { exit, .. }) => *exit,
        Some(Ending::CutShort { reason }) => {
            status.warn(format_args!("the recording {reason}; what it holds up to there is shown"));
            None
        }
        None => None,
    };
    let ended_monotonic_ns = run.started_monotonic_ns.saturating_add(recording.duration_ns());
    let mut report = RunReport::new(run, trace.finish(ended_monotonic_ns), ended_monotonic_ns);
    report.exit = exit;
    Ok(report)
}
