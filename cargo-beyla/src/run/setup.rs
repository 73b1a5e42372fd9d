//! The set-up of a run: the probes are loaded and attached, and what observes the run is started.

use std::num::NonZeroU32;
use std::os::linux::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::analysis::Analysis;
use super::clocks;
use super::libraries::Libraries;
use super::observers::Observers;
use super::options::RunOptions;
use super::output_file::OutputFile;
use super::record_source::RecordSource;
use super::records::Records;
use super::state::RunState;
use super::symbolization::Symbolization;
use crate::config::explain::Explain;
use crate::config::settings::Settings;
use crate::console::status::Status;
use crate::error::Error;
use crate::export::checked::Checked;
use crate::export::exporter::Exporter;
use crate::export::settings::Resource;
use crate::launch::signals::Signals;
use crate::launch::test_runner::plan::PlannedBinary;
use crate::launch::user::invoking_uid;
use crate::probe::client::{self, Attached, Helper};
use crate::probe::executable::{Executables, TaskVariable};
use crate::probe::library_probe::LibraryProbes;
use crate::probe::request::ProbeArguments;
use crate::probe::starting::Asking;
use crate::report::recording::Recorder;
use crate::report::run_info::{RunInfo, Seed, Traced};
use crate::symbols::library_functions::{self, LibraryFunctions};
use crate::symbols::needed;
use crate::symbols::resolver::Symbols;
use crate::symbols::task_probes::{self, TaskProbes};
use crate::workspace::sources::Sources;
use cargo_beyla_core::event::Event;
use cargo_beyla_core::model::system_call::Architecture;
use cargo_beyla_core::trace::{Trace, TraceSettings};

/// Whose connections and tasks the probes see.
pub(crate) enum Subject {
    /// One process, and what it starts.
    Process {
        pid: u32,
        executable: PathBuf,
        /// A path that leads to the executable, if another was built in its place since it was started.
        file: PathBuf,
        /// Whether it has executed its program already.
        runs: bool,
        /// The processes that it has started already.
        members: Vec<u32>,
    },
    /// What this process starts from [`RunOptions::attach`] on.
    Children,
}

/// A process that is traced.
struct Process {
    pid: u32,
    /// See [`Subject::Process`].
    executable: PathBuf,
    file: PathBuf,
    runs: bool,
    members: Vec<u32>,
}

/// A helper that loads its programs into the kernel, while we may do something else.
pub(crate) struct Loading {
    helper: Helper,
    /// The traced process, if it is one and there already.
    process: Option<Process>,
    /// The time that this has taken us.
    took: Duration,
}

/// What is known of the run once its programs are built.
pub(crate) struct Attaching<'a> {
    pub(crate) traced: Traced,
    /// The binaries that this process will start.
    pub(crate) binaries: &'a [PlannedBinary],
    pub(crate) sources: Sources,
    /// The package whose tests run, if it is one alone.
    pub(crate) package: Option<String>,
    /// What is exported; nothing was sent yet.
    pub(crate) exports: Option<Checked>,
    pub(crate) signals: Signals,
}

/// The probes are attached.
pub(crate) struct Begun {
    pub(crate) run: RunState,
    pub(crate) info: RunInfo,
}

/// Starts a helper, which is privileged and waits for orders. Best started when the user is about to wait for something
/// anyway: sudo may ask for a password.
pub(crate) fn open_helper(asking: Asking, status: Status) -> Result<Helper, Error> {
    client::open(asking, |warning| status.warn(warning))
}

impl RunOptions<'_> {
    /// Loads and attaches the probes at once.
    pub(crate) fn begin(&self, helper: Helper, subject: Subject, attaching: Attaching<'_>) -> Result<Begun, Error> {
        let loading = self.load(helper, subject)?;
        self.attach(loading, attaching)
    }

    /// Has the helper load its programs.
    pub(crate) fn load(&self, mut helper: Helper, subject: Subject) -> Result<Loading, Error> {
        let began = Instant::now();
        let settings = self.settings;
        let (process, runs, members) = match subject {
            Subject::Process { pid, executable, file, runs, members } => {
                (Some(Process { pid, executable, file, runs, members: members.clone() }), runs, members)
            }
            Subject::Children => (None, false, Vec::new()),
        };
        helper.trace(&ProbeArguments {
            pid: process.as_ref().map_or_else(std::process::id, |process| process.pid),
            children: process.is_none(),
            attach: runs,
            members,
            capture: self.capture,
            explain: settings.explain.value,
            long_poll_ns: settings.block_threshold.value.as_nanos() as u64,
            overhead_budget: settings.overhead_budget.value,
            tls: settings.tls.value,
        })?;
        Ok(Loading { helper, process, took: began.elapsed() })
    }

    /// Attaches the probes, and starts what is exported. To be called once the server was forked, which wants a process
    /// of one thread, and once signals are blocked, as the thread of the exporter inherits that.
    pub(crate) fn attach(&self, loading: Loading, attaching: Attaching<'_>) -> Result<Begun, Error> {
        let Self { settings, criteria, outputs, user: _, capture: _, status } = *self;
        let Loading { mut helper, process, took } = loading;
        let pid = process.as_ref().map(|process| process.pid);
        let Attaching { traced, binaries, sources, package, exports, signals } = attaching;
        let began = Instant::now();
        let explain = settings.explain.value;
        let samples = criteria.collector();
        let seed = exports.as_ref().filter(|exports| exports.has_traces()).map(|_| draw_seed()).transpose()?;
        let trace = Trace::new(TraceSettings {
            within: traced.followed(),
            export: Observers::want_requests(settings, exports.is_some(), samples.is_some()),
            seed: seed.map(|Seed(seed)| seed),
            ..settings.trace()?
        });
        // While the helper loads its programs.
        let followed = traced.followed().map(|within| within.folders).unwrap_or_default();
        let wanted = Wanted { explain, keys: settings.tls.value, folders: followed };
        let programs = match process {
            Some(process) => Programs::of_process(&wanted, process),
            None => Programs::of_binaries(&wanted, binaries),
        };
        helper.begin(&programs.executables)?;
        let mut folders = Vec::new();
        if pid.is_none() {
            folders.extend(binaries.iter().map(|binary| binary.program.folder.clone()).chain([sources.root.clone()]));
            folders.dedup();
        }
        let Programs { expected, mut unseen, libraries, spawns_unseen, calls_unseen, executables: _, looked_into: _ } =
            programs;
        // While the helper attaches.
        let symbols = explain.is_wanted().then(|| {
            let mut symbols = Symbols::new(sources.root, sources.crates);
            for (executable, file) in &expected {
                symbols.expect(executable, file);
            }
            symbols
        });
        let Attached { capture, ring, unseen: unseen_by_helper } = helper.wait_until_ready()?;
        unseen.extend(unseen_by_helper);
        status.say("Attached", format_args!("probes in {} ms", (took + began.elapsed()).as_millis()));
        let (started_unix_ns, started_monotonic_ns) = clocks::now();
        let info = RunInfo {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            traced,
            started_unix_ns,
            started_monotonic_ns,
            capture,
            architecture: Some(Architecture::HERE),
            trace_seed: seed,
        };
        let recorder = |file: &OutputFile| Recorder::new(file.name(), file.begin_recording()?, &info);
        let recorder = outputs.record.as_ref().map(recorder).transpose()?;
        let symbolization = symbols.map(|symbols| Symbolization::new(symbols, pid, explain, &unseen));
        let source = RecordSource::new(helper, ring, folders, libraries);
        let mut records = Records::new(source, Analysis::new(trace, symbolization, recorder));
        if let Some(reason) = spawns_unseen {
            records.emit(&Event::SpawnsUnseen(reason));
        }
        if let Some(reason) = calls_unseen {
            records.emit(&Event::CallsUnseen(reason));
        }
        let exporter = exports.map(|exports| start_exporter(exports, package, settings, &info, status)).transpose()?;
        let observers = Observers::new(settings, &info, exporter, samples)?;
        Ok(Begun { run: RunState::new(records, signals, observers, status), info })
    }
}

fn start_exporter(
    exports: Checked,
    package: Option<String>,
    settings: &Settings,
    run: &RunInfo,
    status: Status,
) -> Result<Exporter, Error> {
    if let Some(url) = exports.prometheus_url() {
        status.say("Serving", format_args!("metrics at {url}"));
    }
    Exporter::start(exports, &Resource::of(settings, package, run), run)
}

/// Draws a number that no other run has.
fn draw_seed() -> Result<Seed, Error> {
    let mut seed = [0; 16];
    let flags = rustix::rand::GetRandomFlags::empty();
    rustix::rand::getrandom(&mut seed, flags)
        .map_err(|errno| Error::System { what: "drawing a random number", source: errno.into() })?;
    Ok(Seed(u128::from_ne_bytes(seed)))
}

/// What is to be found in programs.
struct Wanted {
    /// What this needs.
    explain: Explain,
    /// Where keys for TLS are set up.
    keys: bool,
    /// Libraries of programs in these folders are looked into as well.
    folders: Vec<PathBuf>,
}

/// The functions of tokio in the programs that are traced, and those of libraries.
#[derive(Default)]
struct Programs {
    executables: Executables,
    /// The programs whose symbols will be needed, each with a path that leads to it.
    expected: Vec<(PathBuf, PathBuf)>,
    /// Why tasks cannot be told apart, in sentences.
    unseen: Vec<String>,
    libraries: Option<Libraries>,
    /// The files in which functions of libraries were looked for, of all processes or of one.
    looked_into: Vec<(Option<NonZeroU32>, PathBuf)>,
    /// Why tasks that other tasks spawn are not seen, in a sentence.
    spawns_unseen: Option<&'static str>,
    /// Which calls are not seen, and why, in a sentence.
    calls_unseen: Option<&'static str>,
}

impl Programs {
    fn of_process(wanted: &Wanted, process: Process) -> Self {
        let Process { pid, executable, file, runs, members } = process;
        let mut programs = Self::default();
        let unseen = programs.add(wanted, file.clone());
        programs.unseen.extend(unseen);
        if !runs {
            for path in needed::libraries(&file) {
                programs.add_library(wanted, path, NonZeroU32::new(pid));
            }
        }
        let processes = [&[pid], &members[..]].concat();
        let mut libraries = Libraries::new(wanted.keys, &programs.looked_into, processes, wanted.folders.clone());
        if runs {
            // What is mapped is probed from the beginning.
            programs.executables.library_probes.extend(libraries.look());
        }
        programs.libraries = Some(libraries);
        programs.expected = vec![(executable, file)];
        programs
    }

    /// Adds the functions of libraries that a file has: in all processes, or in one alone.
    fn add_library(&mut self, wanted: &Wanted, path: PathBuf, process: Option<NonZeroU32>) {
        let LibraryFunctions { probes, unseen } = library_functions::find_in_file(&path, wanted.keys);
        self.calls_unseen = self.calls_unseen.or(unseen);
        self.looked_into.push((process, path.clone()));
        if !probes.is_empty() {
            self.executables.library_probes.push(LibraryProbes { path, process, probes });
        }
    }

    /// Those in all that tests may execute.
    fn of_binaries(wanted: &Wanted, binaries: &[PlannedBinary]) -> Self {
        let own = binaries.iter().map(|binary| binary.executable.clone());
        let spawned = binaries.iter().flat_map(|binary| binary.spawns.iter().cloned());
        let mut paths: Vec<PathBuf> = own.chain(spawned).collect();
        paths.sort_unstable();
        paths.dedup();
        let mut programs = Self::default();
        let mut reason = None;
        for path in paths {
            // A program without these functions has no tasks as a rule: a test that blocks on a future spawns none.
            let unseen = programs.add(wanted, path);
            reason = reason.or(unseen);
        }
        let looked_into = &programs.looked_into;
        programs.libraries = Some(Libraries::new(wanted.keys, looked_into, [], wanted.folders.clone()));
        programs.expected = programs.executables.paths.iter().map(|path| (path.clone(), path.clone())).collect();
        programs.unseen.extend(reason.filter(|_| programs.executables.task_probes.is_empty()));
        programs
    }

    /// Adds the functions of a program; returns why it has none.
    fn add(&mut self, wanted: &Wanted, path: PathBuf) -> Option<String> {
        // One that is another user's may only be probed in a process of the user's own: see `Libraries`.
        if path.metadata().is_ok_and(|metadata| [metadata.st_uid(), 0].contains(&invoking_uid())) {
            self.add_library(wanted, path.clone(), None);
        }
        let TaskProbes { places, spawns, ids, unseen, spawns_unseen } = task_probes::find(&path);
        self.spawns_unseen = self.spawns_unseen.or(spawns_unseen);
        let (places, unseen) = match wanted.explain {
            Explain::Always => (places, unseen),
            Explain::Never => (spawns, unseen),
            Explain::Auto => {
                let places = if places.is_empty() { spawns } else { places };
                // The scheduler tells which task a thread polls.
                (places, unseen.filter(|_| ids.is_empty()))
            }
        };
        if places.is_empty() && ids.is_empty() {
            return unseen;
        }
        let Executables { paths, task_probes, task_variables, .. } = &mut self.executables;
        let executable = paths.len();
        task_probes.extend(places.into_iter().map(|probe| probe.of_executable(executable)));
        task_variables.extend(ids.into_iter().map(|place| TaskVariable { executable, place }));
        paths.push(path);
        unseen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_seeds_are_alike() {
        assert_ne!(draw_seed().expect("random"), draw_seed().expect("random"));
    }
}
