//! The probes on what tests start: loaded while cargo builds, attached before the first test begins.

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::super::clocks;
use super::super::session::explaining::Explaining;
use super::super::session::probes::Probes;
use super::super::status::Status;
use crate::cli::Capture;
use crate::config::settings::Settings;
use crate::error::Error;
use crate::launch::runner::PlannedBinary;
use crate::probe::client::{Attached, Helper};
use crate::probe::executable::Executables;
use crate::probe::request::ProbeArguments;
use crate::report::recording::Recorder;
use crate::report::run_info::{RunInfo, Seed, Traced};
use crate::symbols::resolver::Symbols;
use crate::symbols::task_probes::{self, TaskProbes};
use crate::workspace::sources::Sources;
use cargo_beyla_core::model::system_call::Architecture;

/// A helper that loads its programs.
pub(in crate::commands) struct Loading {
    helper: Helper,
    explain: bool,
}

/// What a run of tests is attached with.
pub(in crate::commands) struct Attaching<'a> {
    pub(in crate::commands) binaries: &'a [PlannedBinary],
    /// The folders whose programs are followed.
    pub(in crate::commands) within: Vec<PathBuf>,
    pub(in crate::commands) sources: Sources,
    pub(in crate::commands) record: Option<&'a Path>,
    pub(in crate::commands) seed: Option<Seed>,
    pub(in crate::commands) status: Status,
}

impl Loading {
    /// Has the helper load. It traces what this process starts from [`Self::attach`] on.
    pub(in crate::commands) fn start(settings: &Settings, capture: Capture, mut helper: Helper) -> Result<Self, Error> {
        let explain = settings.explain.value;
        let arguments = ProbeArguments {
            pid: std::process::id(),
            children: true,
            attach: false,
            members: Vec::new(),
            capture,
            explain: explain.then_some(settings.block_threshold.value.as_nanos() as u64),
            executables: Executables::default(),
        };
        helper.trace(&arguments)?;
        Ok(Self { helper, explain })
    }

    /// Attaches the probes.
    pub(in crate::commands) fn attach(self, attaching: Attaching<'_>) -> Result<(Probes, RunInfo), Error> {
        let Self { mut helper, explain } = self;
        let Attaching { binaries, within, sources, record, seed, status } = attaching;
        let began = Instant::now();
        let (executables, mut unseen) =
            if explain { executables(binaries) } else { <(Executables, Vec<String>)>::default() };
        helper.begin(&executables)?;
        // While the helper attaches.
        let symbols = explain.then(|| {
            let mut symbols = Symbols::new(sources.root.clone(), sources.crates);
            executables.paths.iter().for_each(|executable| symbols.expect(executable, executable));
            symbols
        });
        let attached = helper.wait_until_ready()?;
        let Attached { capture, ring, unseen: unseen_by_helper } = attached;
        unseen.extend(unseen_by_helper);
        status.say("Attached", format_args!("probes in {} ms", began.elapsed().as_millis()));
        let (started_unix_ns, started_monotonic_ns) = clocks::now();
        let info = RunInfo {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            traced: Traced::Tests { workspace: sources.root.clone(), within },
            started_unix_ns,
            started_monotonic_ns,
            capture,
            architecture: Some(Architecture::HERE),
            trace_seed: seed,
        };
        let mut folders: Vec<PathBuf> = binaries.iter().map(|binary| binary.program.folder.clone()).collect();
        folders.push(sources.root);
        folders.dedup();
        let recorder = record.map(|path| Recorder::create(path, &info)).transpose()?;
        let explaining = symbols.map(|symbols| Explaining::new(symbols, None, &unseen));
        Ok((Probes::new(helper, ring, explaining, recorder).within(folders), info))
    }
}

/// The functions of tokio in all that tests may execute, and what there is none of.
fn executables(binaries: &[PlannedBinary]) -> (Executables, Vec<String>) {
    let own = binaries.iter().map(|binary| binary.executable.clone());
    let spawned = binaries.iter().flat_map(|binary| binary.spawns.iter().cloned());
    let mut paths: Vec<PathBuf> = own.chain(spawned).collect();
    paths.sort_unstable();
    paths.dedup();
    let mut executables = Executables::default();
    let mut reason = None;
    for path in paths {
        let TaskProbes { places, unseen } = task_probes::find(&path);
        if places.is_empty() {
            // As a rule it has no tasks: a test that blocks on a future spawns none.
            reason = reason.or(unseen);
            continue;
        }
        let executable = executables.paths.len();
        executables.task_probes.extend(places.into_iter().map(|probe| probe.of_executable(executable)));
        executables.paths.push(path);
    }
    let unseen = reason.filter(|_| executables.paths.is_empty());
    (executables, unseen.into_iter().collect())
}
