//! `cargo-beyla __runner`: runs a binary in the place of cargo or cargo-nextest, and traces what it and what it starts
//! serve.
//!
//! Whatever keeps us from tracing is no reason not to run it: then it is executed as if we were not there.

mod invocation;

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use self::invocation::Invocation;
use crate::cli::runner::RunnerArguments;
use crate::config::capture::Capture;
use crate::config::environment::Environment;
use crate::config::flags::Flags;
use crate::config::settings::Settings;
use crate::config::source::Setting;
use crate::config::values::TracePrinter;
use crate::console::status::LogLevel;
use crate::console::status::{Status, write};
use crate::error::Error;
use crate::launch::descriptors;
use crate::launch::signals::{self, Signals};
use crate::launch::suspended::{Stdout, Suspended};
use crate::probe::client;
use crate::probe::starting::Asking;
use crate::report::run_info::Traced;
use crate::report::run_report::RunReport;
use crate::report::{json, terminal};
use crate::run::criteria::Criteria;
use crate::run::options::RunOptions;
use crate::run::outputs::{Outputs, terminal_options};
use crate::run::run_loop::{Finished, RunLoop};
use crate::run::server::end_like;
use crate::run::setup::{Attaching, Begun, Subject};
use crate::run::test_binary::TestBinary;
use crate::workspace::sources::Sources;

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
    begun: Begun,
    executable: PathBuf,
    status: Status,
}

impl Prepared {
    fn begin(invocation: &Invocation, status: Status) -> Result<Self, Error> {
        let mut settings = Settings::load(&Flags::default(), &Environment::of_process(), None)?;
        // Whoever has started us reads the binary's output alone.
        settings.trace_printer = Setting::default_of(TracePrinter::Disabled);
        let status = Status { level: settings.log_level.value, ..status };
        let planned = invocation.planned()?;
        // The helper's warnings would stand in the output of each test.
        let helper = client::open(Asking::Never, |_| ())?;
        // Before there are threads.
        let signals = Signals::guarded()?;
        let criteria = Criteria::default();
        let options = RunOptions {
            settings: &settings,
            criteria: &criteria,
            outputs: &Outputs::default(),
            user: None,
            capture: Capture::Auto,
            // How long attaching took is of no interest, time and again.
            status: Status { level: status.level.max(LogLevel::Warn), ..status },
        };
        let loading = options.load(helper, Subject::Children)?;
        let within = Invocation::within(&planned.executable, &planned.spawns);
        let sources =
            if settings.explain.value.is_wanted() { Sources::around(&planned.executable) } else { Sources::default() };
        let traced = Traced::Tests { workspace: sources.root.clone(), within };
        let binaries = std::slice::from_ref(&planned);
        let begun =
            options.attach(loading, Attaching { traced, binaries, sources, package: None, exports: None, signals })?;
        Ok(Self { settings, begun, executable: planned.executable, status })
    }

    /// Starts the binary, and reports when it has ended.
    fn run(self, invocation: &Invocation) -> Result<ExitCode, Error> {
        let Self { settings, begun: Begun { run, mut info }, executable, status } = self;
        let suspended = Suspended::fork(None, Stdout::Inherited)?;
        descriptors::close_unneeded();
        run.signals.watch(suspended.pid());
        let pid = suspended.release(invocation.program()?)?;
        info.traced = Traced::Server { pid: pid.as_raw() as u32, executable, within: Vec::new() };
        let binary = TestBinary::new(pid, invocation.binary(), invocation.test());
        let mut running = RunLoop::new(run, binary);
        if let Err(error) = running.follow() {
            status.warn(format_args!("requests from here on are not seen: {error}"));
            running.workload_mut().wait();
        }
        let Finished { trace, workload, failures, ended_monotonic_ns, .. } = running.finish();
        for failure in failures {
            match failure {
                Error::HelperEnded => {
                    status.warn("the probe helper has ended before the tests: requests may be missing");
                }
                error => status.warn(error),
            }
        }
        let mut report = RunReport::new(info, trace.finish(ended_monotonic_ns), ended_monotonic_ns);
        report.exit = Some(workload.exit_status());
        if report.summary.totals.requests > 0 && status.level <= LogLevel::Info {
            let title = [Some(invocation.binary().to_owned()), invocation.test()];
            let title: Vec<String> = title.into_iter().flatten().collect();
            let brief = terminal::brief(&report, &title.join(" "), &terminal_options(&settings, status));
            write(format!("\n{brief}"));
        }
        if let Some(folder) = std::env::var_os(JSON).filter(|folder| !folder.is_empty()) {
            write_json(&report, &folder, &invocation.file_name(pid.as_raw() as u32), status);
        }
        Ok(end_like(workload.exit_status()))
    }
}

/// Writes the JSON report of one process. If that fails, the exit code stays the binary's.
fn write_json(report: &RunReport, folder: &OsStr, name: &str, status: Status) {
    let path = Path::new(folder).join(name);
    let file = std::fs::create_dir_all(folder).and_then(|()| File::create(&path));
    if let Err(source) = file.and_then(|file| json::write(report, file)) {
        status.warn(Error::File { verb: "write", path, source });
    }
}
