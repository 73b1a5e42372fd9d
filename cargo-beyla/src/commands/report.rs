//! `cargo beyla report`: renders a recording as `run` would have.

use std::process::ExitCode;

use super::status::{Status, write};
use crate::cli::{ReportArguments, ReportOptions};
use crate::error::Error;
use crate::report::recording::{Ending, Recording};
use crate::report::run_info::{Exit, RunInfo, Seed};
use crate::report::terminal::TerminalOptions;
use crate::report::{json, terminal};
use crate::request::route::RouteTable;
use crate::request::summary::Summary;
use crate::request::trace::{Trace, TraceSettings};
use crate::stream::event::Event;

/// Width of the report where no terminal tells another.
const DEFAULT_WIDTH: usize = 120;

/// Renders the recording.
pub(super) fn report(arguments: &ReportArguments, status: Status) -> Result<ExitCode, Error> {
    let mut recording = Recording::open(&arguments.file)?;
    let settings = settings(&arguments.report)?;
    let mut trace = Trace::new(TraceSettings { seed: recording.run().trace_seed.map(|Seed(seed)| seed), ..settings });
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
    show(&summary, &run, duration_ns, exit, &arguments.report, status)?;
    Ok(ExitCode::SUCCESS)
}

/// What the core must know of the options.
pub(super) fn settings(options: &ReportOptions) -> Result<TraceSettings, Error> {
    let settings = TraceSettings::new(RouteTable::new(&options.routes)?, options.max_requests);
    Ok(TraceSettings { block_threshold: options.block_threshold, ..settings })
}

/// Prints the summary on stderr, and writes the JSON report where it is wanted.
pub(super) fn show(
    summary: &Summary,
    run: &RunInfo,
    duration_ns: u64,
    exit: Option<Exit>,
    options: &ReportOptions,
    status: Status,
) -> Result<(), Error> {
    let terminal_width = terminal_size::terminal_size_of(std::io::stderr()).map(|(width, _)| usize::from(width.0));
    let terminal = TerminalOptions {
        slowest: options.slowest,
        color: status.color,
        width: terminal_width.unwrap_or(DEFAULT_WIDTH),
    };
    write(&format!("\n{}", terminal::render(summary, run, duration_ns, exit, &terminal)));
    let Some(path) = &options.json else { return Ok(()) };
    let failed = |source| Error::File { verb: "write", path: path.clone(), source };
    if path.as_os_str() == "-" {
        return json::write(summary, run, duration_ns, exit, std::io::stdout().lock()).map_err(failed);
    }
    let file = std::fs::File::create(path).map_err(failed)?;
    json::write(summary, run, duration_ns, exit, file).map_err(failed)
}
