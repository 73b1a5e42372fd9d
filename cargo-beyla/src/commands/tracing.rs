//! What `run` and `attach` have in common: a process is watched to its end, or to the user's, and reported.

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::clocks;
use super::exports::{self, Takers};
use super::report::show;
use super::session::explaining::Explaining;
use super::session::probes::Probes;
use super::session::server::Server;
use super::session::{End, Session};
use super::status::Status;
use super::verdicts::{Demands, annotate};
use crate::cli::Capture;
use crate::config::settings::Settings;
use crate::error::Error;
use crate::export::exporter::Checked;
use crate::launch::signals::Signals;
use crate::launch::suspended::Stdout;
use crate::launch::user::InvokingUser;
use crate::probe::client::{self, Attached, Helper};
use crate::probe::executable::Executables;
use crate::probe::request::ProbeArguments;
use crate::probe::starting::Asking;
use crate::report::recording::Recorder;
use crate::report::run_info::{Exit, RunInfo, Seed, Traced};
use crate::symbols::resolver::Symbols;
use crate::symbols::task_probes;
use crate::workspace::sources::Sources;
use cargo_beyla_core::model::system_call::Architecture;
use cargo_beyla_core::trace::Trace;

/// What the user wants of it.
#[derive(Clone, Copy)]
pub(super) struct Tracing<'a> {
    pub(super) settings: &'a Settings,
    pub(super) demands: &'a Demands,
    pub(super) json: Option<&'a Path>,
    pub(super) record: Option<&'a Path>,
    pub(super) junit: Option<&'a Path>,
    pub(super) capture: Capture,
    pub(super) user: Option<&'a InvokingUser>,
    pub(super) status: Status,
}

/// A process and its executable.
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) executable: PathBuf,
    /// A path that leads to the executable, where its own leads to another that was built since.
    pub(super) file: PathBuf,
    /// It has executed its program already.
    pub(super) runs: bool,
    /// What it has started already.
    pub(super) members: Vec<u32>,
    /// Of what it starts, programs in these folders are followed.
    pub(super) within: Vec<PathBuf>,
}

/// The probes are attached.
pub(super) struct Begun {
    probes: Probes,
    info: RunInfo,
    takers: Takers,
}

/// How it went.
pub(super) struct Outcome {
    /// How the server ended, if it was ours.
    pub(super) exit: Option<Exit>,
    /// Whether we told it to, without the user's asking.
    pub(super) stopped: bool,
    /// The exit code of `--exec`.
    pub(super) command: Option<u8>,
    /// Whether a budget is broken.
    pub(super) over_budget: bool,
}

impl Tracing<'_> {
    /// Fails now rather than after the run.
    pub(super) fn check_files(&self) -> Result<(), Error> {
        if [self.json, self.junit].into_iter().all(|path| path.is_some_and(is_stdout)) {
            return Err(Error::OneStdout);
        }
        self.files().try_for_each(check_writable)
    }

    /// Where the output goes of what we start.
    pub(super) fn stdout(&self) -> Stdout {
        if self.json.is_some_and(is_stdout) { Stdout::ToStderr } else { Stdout::Inherited }
    }

    /// Attaches the probes, and starts what is exported; `seed` gives requests their places in traces.
    pub(super) fn begin(
        &self,
        process: Process,
        sources: Sources,
        mut helper: Helper,
        exports: Option<Checked>,
        seed: Option<Seed>,
    ) -> Result<Begun, Error> {
        let Process { pid, executable, file, runs, members, within } = process;
        let began = Instant::now();
        let explain = self.settings.explain.value;
        let found = explain.then(|| task_probes::find(&file));
        let arguments = ProbeArguments {
            pid,
            children: false,
            attach: runs,
            members,
            capture: self.capture,
            explain: explain.then_some(self.settings.block_threshold.value.as_nanos() as u64),
            executables: Executables {
                paths: explain.then(|| file.clone()).into_iter().collect(),
                task_probes: found.iter().flat_map(|found| found.places.clone()).collect(),
            },
        };
        helper.trace(&arguments)?;
        // While the helper attaches.
        let symbols = explain.then(|| {
            let mut symbols = Symbols::new(sources.root, sources.crates);
            symbols.expect(&executable, &file);
            symbols
        });
        let Attached { capture, ring, unseen } = helper.wait_until_ready()?;
        self.status.say("Attached", format_args!("probes in {} ms", began.elapsed().as_millis()));
        let (started_unix_ns, started_monotonic_ns) = clocks::now();
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let traced = Traced::Server { pid, executable, within };
        let info = RunInfo {
            version,
            traced,
            started_unix_ns,
            started_monotonic_ns,
            capture,
            architecture: Some(Architecture::HERE),
            trace_seed: seed,
        };
        let recorder = self.record.map(|path| Recorder::create(path, &info)).transpose()?;
        let explaining = symbols.map(|symbols| {
            let unseen: Vec<String> = found.and_then(|found| found.unseen).into_iter().chain(unseen).collect();
            Explaining::new(symbols, Some(pid), &unseen)
        });
        let start = |checked| exports::start(checked, None, self.settings, &info, self.status);
        let exporter = exports.map(start).transpose()?;
        let takers = Takers::new(exporter, self.demands.collector(), self.settings, &info)?;
        let probes = Probes::new(helper, ring, explaining, recorder);
        Ok(Begun { probes, info, takers })
    }

    /// Watches the process, and reports.
    pub(super) fn follow(
        &self,
        server: Server,
        begun: Begun,
        trace: Trace,
        signals: Signals,
    ) -> Result<Outcome, Error> {
        let Begun { probes, info, mut takers } = begun;
        let (settings, status) = (self.settings, self.status);
        let stdout = self.stdout();
        let End { mut trace, exit, stopped, command, failure, ended_monotonic_ns } =
            Session::new(server, probes, signals, trace, settings, self.user, stdout, &mut takers, status).run()?;
        takers.close(&mut trace, ended_monotonic_ns);
        let listened = !trace.listening().is_empty();
        let summary = trace.finish(ended_monotonic_ns);
        let duration_ns = info.duration_ns(&summary, ended_monotonic_ns);
        let (verdicts, samples) = self.demands.judge(&summary, takers.take_samples(), false, status);
        let seen = listened || summary.totals.requests > 0;
        // A report that cannot be written keeps nothing else from being told.
        let mut written = Ok(());
        if seen {
            written = show(&summary, &info, duration_ns, exit, &verdicts, settings, self.json, status);
            annotate(&summary, &verdicts);
        }
        takers.finish(status);
        if seen && failure.is_none() {
            self.demands.save(&samples, &info, self.user, status)?;
        }
        self.hand_over_files();
        failure.or(written.err()).map_or(Ok(Outcome { exit, stopped, command, over_budget: verdicts.fails() }), Err)
    }

    /// Gives the files that were written to the user who typed sudo.
    pub(super) fn hand_over_files(&self) {
        let Some(user) = self.user else { return };
        let (uid, gid) = user.owner();
        for path in self.files() {
            // Then it stays root's, which the user will see.
            let _ = std::os::unix::fs::chown(path, Some(uid), Some(gid));
        }
    }

    /// The files that are written.
    fn files(&self) -> impl Iterator<Item = &Path> {
        self.json.into_iter().chain(self.record).chain(self.junit).filter(|path| !is_stdout(path))
    }
}

/// A helper that is privileged and waits for what is asked of it. Best started when the user is about to wait for
/// something anyway: sudo may ask for a password.
pub(super) fn open_helper(asking: Asking, status: Status) -> Result<Helper, Error> {
    client::open(asking, |warning| status.warn(warning))
}

/// Whether a report goes to stdout.
pub(super) fn is_stdout(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Leaves everything as it was.
fn check_writable(path: &Path) -> Result<(), Error> {
    let existed = path.exists();
    let opened = std::fs::File::options().append(true).create(true).open(path);
    opened.map_err(|source| Error::File { verb: "write", path: path.to_owned(), source })?;
    if !existed {
        // What cannot be removed will be overwritten.
        let _ = std::fs::remove_file(path);
    }
    Ok(())
}
