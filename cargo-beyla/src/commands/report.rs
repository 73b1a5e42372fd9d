//! `cargo beyla report`: renders a recording as `run` would have.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use super::status::Status;
use super::tracing::is_stdout;
use crate::cli::ReportArguments;
use crate::config::environment::Environment;
use crate::config::settings::Settings;
use crate::console::stream::Stream;
use crate::error::Error;
use crate::report::recording::{Ending, Recording};
use crate::report::run_info::{Exit, RunInfo, Seed, Traced};
use crate::report::terminal::TerminalOptions;
use crate::report::verdicts::Verdicts;
use crate::report::{json as report_json, terminal};
use cargo_beyla_core::analysis::suite::Within;
use cargo_beyla_core::model::summary::Summary;
use cargo_beyla_core::trace::{Trace, TraceSettings};

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
    let mut trace_settings = TraceSettings { seed, within, ..settings.trace()? };
    if let Some(architecture) = recording.run().architecture {
        trace_settings.architecture = architecture;
    }
    let mut trace = Trace::new(trace_settings);
    while let Some(event) = recording.next_event()? {
        trace.record(&event);
    }
    let ended_monotonic_ns = recording.run().started_monotonic_ns.saturating_add(recording.duration_ns());
    let exit = match recording.ending() {
        Some(Ending::Complete { exit, .. }) => *exit,
        Some(Ending::CutShort { reason }) => {
            status.warn(format_args!("the recording {reason}; what it holds up to there is shown"));
            None
        }
        None => None,
    };
    let run = recording.run().clone();
    let summary = trace.finish(ended_monotonic_ns);
    let duration_ns = run.duration_ns(&summary, ended_monotonic_ns);
    let json = arguments.report.json.as_deref();
    show(&summary, &run, duration_ns, exit, &Verdicts::default(), &settings, json, status)?;
    Ok(ExitCode::SUCCESS)
}

/// How the terminal takes it.
pub(super) fn terminal_options(settings: &Settings, status: Status) -> TerminalOptions {
    let width = terminal_size::terminal_size_of(Stream::Stderr).map(|(width, _)| usize::from(width.0));
    TerminalOptions { slowest: settings.slowest.value, color: status.color, width }
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
    let text = format!("\n{}", terminal::render(summary, run, duration_ns, exit, verdicts, &terminal));
    let shown = Stream::Stderr.write_all(text.as_bytes());
    let shown = shown.map_err(|source| Error::System { what: "writing the report to stderr", source });
    // Whoever does not read the one report may read the other.
    let Some(path) = json else { return shown };
    let write = |writer: &mut dyn std::io::Write| report_json::write(summary, run, duration_ns, exit, verdicts, writer);
    let written = if is_stdout(path) {
        write(&mut Stream::Stdout)
    } else {
        std::fs::File::create(path).and_then(|mut file| write(&mut file))
    };
    written.map_err(|source| Error::File { verb: "write", path: path.to_owned(), source }).and(shown)
}
