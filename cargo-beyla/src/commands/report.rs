//! `cargo beyla report`: renders a recording as `run` would have.

use std::path::Path;
use std::process::ExitCode;

use super::status::{Status, write};
use crate::cli::ReportArguments;
use crate::config::environment::Environment;
use crate::config::settings::Settings;
use crate::error::Error;
use crate::report::recording::{Ending, Recording};
use crate::report::run_info::{Exit, RunInfo, Seed, Traced};
use crate::report::terminal::TerminalOptions;
use crate::report::verdicts::Verdicts;
use crate::report::{json as report_json, terminal};
use crate::request::suite::Within;
use crate::request::summary::Summary;
use crate::request::trace::{Trace, TraceSettings};
use crate::stream::event::Event;

/// Width of the report where no terminal tells another.
const DEFAULT_WIDTH: usize = 120;

/// Renders the recording.
pub(super) fn report(arguments: &ReportArguments, status: Status) -> Result<ExitCode, Error> {
    let settings = Settings::of_report(arguments, &Environment::of_process())?;
    let status = Status { level: settings.log_level.value, ..status };
    for warning in &settings.warnings {
        status.warn(warning);
    }
    let mut recording = Recording::open(&arguments.file)?;
    let seed = recording.run().trace_seed.map(|Seed(seed)| seed);
    let within = match &recording.run().traced {
        // Recordings that do not tell are of one process alone.
        Traced::Server { within, .. } if within.is_empty() => None,
        Traced::Server { within, .. } => Some(Within { folders: within.clone(), itself: true }),
        Traced::Tests { within, .. } => Some(Within { folders: within.clone(), itself: false }),
    };
    let mut trace = Trace::new(TraceSettings { seed, within, ..settings.trace()? });
    while let Some(record) = recording.next_record()? {
        // A record that its own size belies says nothing; those beside it are whole.
        if let Ok(Some((event, _))) = Event::decode(record) {
            trace.record(&event);
        }
    }
    let duration_ns = recording.duration_ns();
    let exit = match recording.ending() {
        Some(Ending::Complete { exit, .. }) => *exit,
        Some(Ending::CutShort { reason }) => {
            status.warn(format_args!("the recording {reason}; what it holds up to there is shown"));
            None
        }
        None => None,
    };
    let run = recording.run().clone();
    let summary = trace.finish(run.started_monotonic_ns.saturating_add(duration_ns));
    let json = arguments.report.json.as_deref();
    show(&summary, &run, duration_ns, exit, &Verdicts::default(), &settings, json, status)?;
    Ok(ExitCode::SUCCESS)
}

/// How the terminal takes it.
pub(super) fn terminal_options(settings: &Settings, status: Status) -> TerminalOptions {
    let width = terminal_size::terminal_size_of(std::io::stderr()).map(|(width, _)| usize::from(width.0));
    TerminalOptions { slowest: settings.slowest.value, color: status.color, width: width.unwrap_or(DEFAULT_WIDTH) }
}

/// Prints the summary on stderr, and writes the JSON report where it is wanted.
#[allow(clippy::too_many_arguments)]
pub(super) fn show(
    summary: &Summary,
    run: &RunInfo,
    duration_ns: u64,
    exit: Option<Exit>,
    verdicts: &Verdicts,
    settings: &Settings,
    json: Option<&Path>,
    status: Status,
) -> Result<(), Error> {
    let terminal = terminal_options(settings, status);
    write(&format!("\n{}", terminal::render(summary, run, duration_ns, exit, verdicts, &terminal)));
    let Some(path) = json else { return Ok(()) };
    let failed = |source| Error::File { verb: "write", path: path.to_owned(), source };
    if path.as_os_str() == "-" {
        return report_json::write(summary, run, duration_ns, exit, verdicts, std::io::stdout().lock()).map_err(failed);
    }
    let file = std::fs::File::create(path).map_err(failed)?;
    report_json::write(summary, run, duration_ns, exit, verdicts, file).map_err(failed)
}
