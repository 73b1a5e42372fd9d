//! `cargo beyla test`: builds the tests of a workspace, and runs each in a process of its own.

mod conflicts;
mod plan;
pub(super) mod probing;
mod progress;
mod session;

use std::collections::BTreeMap;
use std::fs::File;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use self::plan::Plan;
use self::probing::{Attaching, Loading};
use self::progress::Progress;
use self::session::{End, Session};
use super::exports::{self, Takers};
use super::report::show;
use super::run::show_config;
use super::status::Status;
use super::tracing::{Tracing, is_stdout, open_helper};
use super::verdicts::{Demands, annotate};
use crate::cli::test::{TestArguments, TestControl};
use crate::config::environment::Environment;
use crate::config::settings::Settings;
use crate::config::test_groups::TestGroup;
use crate::console::stream::Stream;
use crate::error::{BUDGET_BROKEN, Error, TESTS_FAILED};
use crate::export::exporter::Checked;
use crate::launch::runner::{Options, PlannedBinary, Runner};
use crate::launch::signals::Signals;
use crate::launch::suspended::Stdout;
use crate::launch::terminal;
use crate::launch::user::{self, InvokingUser};
use crate::probe::starting::Asking;
use crate::report::junit;
use crate::report::run_info::RunInfo;
use crate::workspace::tests::arguments::HarnessArguments;
use crate::workspace::tests::build::Compiled;
use crate::workspace::tests::{BuiltTests, TestWorkspace, is_part};
use cargo_beyla_core::analysis::suite::Within;
use cargo_beyla_core::model::summary::Summary;
use cargo_beyla_core::model::test::TestId;
use cargo_beyla_core::trace::TraceSettings;

/// What a shell adds to the number of the signal that ended a command.
const SIGNALLED: u8 = 128;

/// Runs the tests.
pub(super) fn test(arguments: &TestArguments, status: Status) -> Result<ExitCode, Error> {
    let TestArguments { target, filter, run, harness_arguments, .. } = arguments;
    let user = InvokingUser::detect();
    let as_user = user::applying(user.as_ref());
    let workspace = TestWorkspace::read(target, as_user)?;
    let settings = Settings::of_test(arguments, &Environment::of_process(), &workspace.manifests)?;
    let status = Status { level: settings.log_level.value, ..status };
    for warning in &settings.warnings {
        status.warn(warning);
    }
    if arguments.export.show_config {
        return show_config(&settings);
    }
    // What can be found wrong before the build is. A harness of the user's own may know other arguments.
    let harness = match HarnessArguments::parse(filter.as_deref(), harness_arguments) {
        Err(error) if !workspace.has_custom_harness() => return Err(error),
        parsed => parsed,
    };
    let demands = Demands::new(&settings, &arguments.verdict, &workspace.target_directory(target))?;
    let tracing = Tracing {
        settings: &settings,
        demands: &demands,
        json: arguments.report.json.as_deref(),
        record: arguments.record.as_deref(),
        junit: arguments.junit.as_deref(),
        capture: arguments.capture,
        user: user.as_ref(),
        status,
    };
    exports::warn(&settings, status);
    let checked = Checked::new(&exports::settings(&settings)?)?;
    let traced = if run.no_run {
        None
    } else {
        tracing.check_files()?;
        // Before the build: sudo may ask for a password.
        Some(Loading::start(&settings, arguments.capture, open_helper(Asking::OnTerminal, status)?)?)
    };
    let compiled = workspace.compile(target, run.jobs.map(NonZeroUsize::get), as_user)?;
    let Some(loading) = traced else {
        for (id, executable) in compiled.executables()? {
            status.say("Executable", format_args!("{id} ({})", executable.display()));
        }
        return Ok(ExitCode::SUCCESS);
    };
    let built = start(compiled, as_user, status)?;
    say_doc_tests(&workspace.doc_tests(target), status);
    let harness =
        if built.binaries.iter().any(|binary| binary.harness) { harness? } else { harness.unwrap_or_default() };
    let cpus = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let target_directory = built.target_directory;
    let groups: Vec<&TestGroup> = settings.test_groups.iter().map(|group| &group.value).collect();
    let as_user = user::impersonating(user.as_ref());
    let Plan { binaries, ignored } = Plan::make(built.binaries, &harness, arguments, &groups, cpus.get(), as_user)?;
    let all_run = !is_part(target) && !harness.choose();
    warn_of_empty(&groups, &binaries, all_run, status);
    // Before there are threads, and what may stay behind if we are killed.
    let signals = Signals::guarded().map_err(|source| Error::System { what: "opening a signal descriptor", source })?;
    let options = options(arguments, &harness, cpus, &groups, user.clone(), &signals);
    let progress = Progress::new(status, &harness, &options, ignored, arguments.junit.is_some());

    let within = within(&target_directory, &binaries);
    let followed = Within { folders: within.clone(), itself: false };
    let trace_settings = TraceSettings { within: Some(followed), ..settings.trace()? };
    let one_by_one = demands.collector().is_some();
    let (trace, seed) = exports::trace(trace_settings, checked.as_ref(), settings.trace_printer.value, one_by_one)?;
    let package = workspace.package().map(str::to_owned);
    let (probes, info) = loading.attach(Attaching {
        binaries: &binaries,
        within,
        sources: workspace.sources,
        record: arguments.record.as_deref(),
        seed,
        status,
    })?;
    let start = |checked| exports::start(checked, package, &settings, &info, status);
    let exporter = checked.map(start).transpose()?;
    let mut takers = Takers::new(exporter, demands.collector(), &settings, &info)?;
    let runner = Runner::new(binaries, options);
    let End { mut trace, mut progress, runner, stopped, failure, ended_monotonic_ns } =
        Session::new(runner, signals, progress, probes, trace, &mut takers, status).run()?;
    takers.close(&mut trace, ended_monotonic_ns);
    let summary = trace.finish(ended_monotonic_ns);
    let duration_ns = info.duration_ns(&summary, ended_monotonic_ns);
    // What was not run cannot be matched.
    let partial = !all_run || progress.has_failures() || stopped.is_some();
    let (verdicts, samples) = demands.judge(&summary, takers.take_samples(), partial, status);
    // A report that cannot be written keeps nothing else from being told.
    let mut written = show(&summary, &info, duration_ns, None, &verdicts, &settings, tracing.json, status);
    if let Some(path) = &arguments.junit {
        written = written.and(write_junit(path, &summary, &info, duration_ns, &progress.outputs()));
    }
    tracing.hand_over_files();
    annotate(&summary, &verdicts);
    progress.finish(&runner);
    takers.finish(status);
    if failure.is_none() && stopped.is_none() {
        if progress.has_failures() || summary.tests.is_empty() {
            demands.warn_unsaved("not all tests have passed, or none ran", status);
        } else {
            demands.save(&samples, &info, user.as_ref(), status)?;
        }
    }
    match failure.or(written.err()) {
        Some(error) => Err(error),
        None => Ok(exit_code(progress.has_failures(), verdicts.fails(), stopped)),
    }
}

/// Warns of test groups whose filter matches no test, which is usually a misspelled filter.
fn warn_of_empty(groups: &[&TestGroup], binaries: &[PlannedBinary], all_run: bool, status: Status) {
    // What a binary without a list has may be in any of them.
    if !all_run || binaries.iter().any(|binary| binary.unlisted.is_some()) {
        return;
    }
    for (place, group) in groups.iter().enumerate() {
        let mut tests = binaries.iter().flat_map(|binary| &binary.tests);
        if !tests.any(|test| test.groups.contains(&place)) {
            status.warn(format_args!("the test group `{}` matches no test", group.name.escape_debug()));
        }
    }
}

/// Says whose doc tests are left out.
fn say_doc_tests(packages: &[impl std::fmt::Display], status: Status) {
    if let [first, others @ ..] = packages {
        let more = if others.is_empty() { String::new() } else { format!(" and {} more", others.len()) };
        status.say("Leaving", format_args!("the doc tests of {first}{more} to `cargo test --doc`"));
    }
}

/// Asks cargo how it starts the tests.
fn start(compiled: Compiled<'_>, as_user: impl Fn(&mut Command), status: Status) -> Result<BuiltTests, Error> {
    let built = compiled.start(|what| status.say("Waiting", format_args!("for cargo: {what}")), as_user)?;
    if let Some(runner) = built.binaries.iter().find_map(|binary| binary.program.runner.as_ref()) {
        status.say("Running", format_args!("tests through `{runner}`"));
    }
    Ok(built)
}

/// Writes the report for CI; `-` is stdout.
fn write_junit(
    path: &Path,
    summary: &Summary,
    info: &RunInfo,
    duration_ns: u64,
    outputs: &BTreeMap<TestId, String>,
) -> Result<(), Error> {
    let written = if is_stdout(path) {
        junit::write(summary, info, duration_ns, outputs, Stream::Stdout)
    } else {
        File::create(path).and_then(|file| junit::write(summary, info, duration_ns, outputs, file))
    };
    written.map_err(|source| Error::File { verb: "write", path: path.to_owned(), source })
}

/// Where the programs lie that are followed. With `build.build-dir`, test binaries are not in the target directory.
fn within(target_directory: &Path, binaries: &[PlannedBinary]) -> Vec<PathBuf> {
    let of_profile =
        |binary: &PlannedBinary| Some(binary.executable.canonicalize().ok()?.parent()?.parent()?.to_owned());
    let mut folders: Vec<PathBuf> = binaries.iter().filter_map(of_profile).collect();
    folders.push(target_directory.to_owned());
    folders.sort_unstable();
    folders.dedup();
    folders
}

fn exit_code(failed: bool, over_budget: bool, stopped: Option<i32>) -> ExitCode {
    match stopped {
        Some(signal) => ExitCode::from(SIGNALLED.saturating_add(signal as u8)),
        None if failed => ExitCode::from(TESTS_FAILED),
        None if over_budget => ExitCode::from(BUDGET_BROKEN),
        None => ExitCode::SUCCESS,
    }
}

/// How the tests run: what flags do not say is said by the variables that the standard harness knows.
fn options(
    arguments: &TestArguments,
    harness: &HarnessArguments,
    cpus: NonZeroUsize,
    groups: &[&TestGroup],
    user: Option<InvokingUser>,
    signals: &Signals,
) -> Options {
    let TestControl { jobs, no_fail_fast, no_run: _, timeout, repeat } = arguments.run;
    let variable = |name| std::env::var(name).ok();
    let nocapture = harness.nocapture || variable("RUST_TEST_NOCAPTURE").is_some_and(|value| value != "0");
    let inherited = nocapture.then(|| {
        let reports = [&arguments.report.json, &arguments.junit];
        let stdout_is_the_reports = reports.into_iter().flatten().any(|path| is_stdout(path));
        if stdout_is_the_reports { Stdout::ToStderr } else { Stdout::Inherited }
    });
    let at_a_time = if nocapture {
        // The output of several at a time is nobody's.
        NonZeroUsize::MIN
    } else {
        let threads = || variable("RUST_TEST_THREADS").and_then(|value| value.parse().ok());
        harness.test_threads.or(jobs).or_else(threads).unwrap_or(cpus)
    };
    let rounds = repeat.unwrap_or(NonZeroUsize::MIN);
    let groups = groups.iter().map(|group| group.max_threads).collect();
    let (in_our_group, guard) = (terminal::is_there(), signals.guard().cloned());
    Options { at_a_time, groups, timeout, fail_fast: !no_fail_fast, rounds, inherited, user, in_our_group, guard }
}
