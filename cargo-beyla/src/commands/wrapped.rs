//! `cargo-beyla __runner`: runs a binary in the place of cargo or cargo-nextest, and traces what it and what it starts
//! serve.
//!
//! Whatever keeps us from tracing is no reason not to run it: then it is executed as if we were not there.

mod invocation;
mod watching;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use self::invocation::Invocation;
use self::watching::{End, Watching};
use super::report::terminal_options;
use super::status::{Status, write};
use super::test::probing::{Attaching, Loading};
use crate::cli::Capture;
use crate::cli::runner::RunnerArguments;
use crate::config::environment::Environment;
use crate::config::settings::Settings;
use crate::config::values::LogLevel;
use crate::error::Error;
use crate::launch::signals;
use crate::launch::signals::Signals;
use crate::launch::suspended::{Stdout, Suspended};
use crate::probe::client;
use crate::probe::starting::Asking;
use crate::report::run_info::{Exit, RunInfo, Traced};
use crate::report::verdicts::Verdicts;
use crate::report::{json, terminal};
use crate::workspace::sources::Sources;
use cargo_beyla_core::analysis::suite::Within;
use cargo_beyla_core::trace::{Trace, TraceSettings};

/// What a shell adds to the number of the signal that ended a command.
const SIGNALLED: u8 = 128;

/// The variable that names a folder for JSON reports, one a process.
const JSON: &str = "BEYLA_RUNNER_JSON";

/// Runs the binary, and ends as it does.
pub(super) fn run(arguments: &RunnerArguments, status: Status) -> Result<ExitCode, Error> {
    let invocation = Invocation::of(&arguments.command)?;
    // Whoever asks for the names of tests reads every byte of the answer.
    if invocation.lists_tests() {
        return Err(invocation.execute());
    }
    match Prepared::begin(&invocation, status) {
        Ok(prepared) => prepared.run(&invocation),
        Err(error) => {
            status.warn(format_args!("{} is not traced: {error}", invocation.binary()));
            let failed = |source| Error::System { what: "unblocking signals", source };
            signals::restore_mask().map_err(failed)?;
            Err(invocation.execute())
        }
    }
}

/// Probes are attached, and the binary has not begun.
struct Prepared {
    settings: Settings,
    watching: Watching,
    info: RunInfo,
    executable: PathBuf,
    status: Status,
}

impl Prepared {
    fn begin(invocation: &Invocation, status: Status) -> Result<Self, Error> {
        let settings = Settings::of_runner(&Environment::of_process())?;
        let status = Status { level: settings.log_level.value, ..status };
        let planned = invocation.planned()?;
        // Its warnings would stand in the output of each test.
        let helper = client::open(Asking::Never, |_| ())?;
        // Before there are threads.
        let signals =
            Signals::guarded().map_err(|source| Error::System { what: "opening a signal descriptor", source })?;
        let loading = Loading::start(&settings, Capture::Auto, helper)?;
        let within = Invocation::within(&planned.executable, &planned.spawns);
        let explain = settings.explain.value;
        let sources = if explain { Sources::around(&planned.executable) } else { Sources::default() };
        let (probes, info) = loading.attach(Attaching {
            binaries: std::slice::from_ref(&planned),
            within: within.clone(),
            sources,
            record: None,
            seed: None,
            // How long that took is of no interest, time and again.
            status: Status { level: status.level.max(LogLevel::Warn), ..status },
        })?;
        let executable = planned.executable;
        let followed = Within { folders: within, itself: false };
        let trace = Trace::new(TraceSettings { within: Some(followed), ..settings.trace()? });
        Ok(Self { settings, watching: Watching::new(probes, trace, signals, status), info, executable, status })
    }

    /// Starts it, and reports when it has ended.
    fn run(self, invocation: &Invocation) -> Result<ExitCode, Error> {
        let Self { settings, watching, mut info, executable, status } = self;
        let started = Suspended::fork(None, Stdout::Inherited)?;
        watching.guard(started.pid());
        let pid = started.release(invocation.program()?)?;
        info.traced = Traced::Server { pid: pid.as_raw() as u32, executable, within: Vec::new() };
        let test = invocation.test();
        let End { exit, trace, ended_monotonic_ns } = watching.follow(pid, invocation.binary(), test.as_deref());
        let summary = trace.finish(ended_monotonic_ns);
        let duration_ns = info.duration_ns(&summary, ended_monotonic_ns);
        if summary.totals.requests > 0 && status.level <= LogLevel::Info {
            let title = [Some(invocation.binary()), test.as_deref()];
            let title: Vec<&str> = title.into_iter().flatten().collect();
            write(format!("\n{}", terminal::brief(&summary, &title.join(" "), &terminal_options(&settings, status))));
        }
        if let Some(folder) = std::env::var_os(JSON).filter(|folder| !folder.is_empty()) {
            let path = Path::new(&folder).join(invocation.file_name(pid.as_raw() as u32));
            let written = std::fs::create_dir_all(&folder).and_then(|()| File::create(&path));
            let written = written
                .and_then(|file| json::write(&summary, &info, duration_ns, Some(exit), &Verdicts::default(), file));
            if let Err(source) = written {
                // The verdict is the binary's.
                status.warn(Error::File { verb: "write", path, source });
            }
        }
        Ok(ended_like(exit))
    }
}

/// Ends this process by the signal that has ended the other, or says its exit code.
fn ended_like(exit: Exit) -> ExitCode {
    match exit {
        Exit::Code(code) => ExitCode::from(code as u8),
        Exit::Signal(signal) => {
            signals::end_by(signal);
            ExitCode::from(SIGNALLED.saturating_add(signal as u8))
        }
    }
}
