//! `cargo beyla test`: builds the tests of a workspace, and runs each in a process of its own.

mod plan;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use self::plan::Plan;
use crate::cli::test::{TestArguments, TestControl};
use crate::config::test_groups::TestGroup;
use crate::console::status::Status;
use crate::error::{BUDGET_BROKEN, Error, SIGNALLED, TESTS_FAILED};
use crate::launch::signals::Signals;
use crate::launch::suspended::Stdout;
use crate::launch::terminal;
use crate::launch::test_runner::TestRunner;
use crate::launch::test_runner::plan::{PlannedBinary, TestOptions};
use crate::launch::user::{self, InvokingUser};
use crate::probe::starting::Asking;
use crate::report::run_info::Traced;
use crate::report::units::counted;
use crate::run::criteria::Criteria;
use crate::run::options::{RunOptions, load_settings};
use crate::run::outputs::{OutputPaths, Outputs, first_of, print_settings};
use crate::run::reporting::Judged;
use crate::run::run_loop::RunLoop;
use crate::run::setup::{Attaching, Begun, Subject, open_helper};
use crate::run::test_progress::TestProgress;
use crate::run::test_suite::TestSuite;
use crate::workspace::test_workspace::arguments::HarnessArguments;
use crate::workspace::test_workspace::build::Compiled;
use crate::workspace::test_workspace::{BuiltTests, TestWorkspace, is_part};

/// Runs the tests.
pub(super) fn test(arguments: &TestArguments, status: Status) -> Result<ExitCode, Error> {
    let TestArguments { target, filter, run, harness_arguments, .. } = arguments;
    let user = InvokingUser::detect();
    let as_user = user::applying(user.as_ref());
    let workspace = TestWorkspace::read(target, as_user)?;
    let (settings, status) = load_settings(&arguments.settings(), Some(&workspace.manifests), status)?;
    if arguments.export.show_config {
        return print_settings(&settings).map(|()| ExitCode::SUCCESS);
    }
    // Before the build, everything is checked that can be. A harness of the user's own may know other arguments.
    let harness = match HarnessArguments::parse(filter.as_deref(), harness_arguments) {
        Err(error) if !workspace.has_custom_harness() => return Err(error),
        parsed => parsed,
    };
    let verdict = &arguments.verdict;
    let (save_baseline, baseline) = (verdict.save_baseline.as_deref(), verdict.baseline.as_deref());
    let criteria = Criteria::new(&settings, save_baseline, baseline, &workspace.target_directory(target))?;
    let paths = OutputPaths {
        record: arguments.record.as_deref(),
        junit: arguments.junit.as_deref(),
        ..OutputPaths::of(&arguments.report)
    };
    // With --no-run nothing is written.
    let outputs = if run.no_run { Outputs::default() } else { Outputs::open(paths, status)? };
    let options = RunOptions {
        settings: &settings,
        criteria: &criteria,
        outputs: &outputs,
        user: user.as_ref(),
        capture: arguments.capture,
        status,
    };
    let exports = options.check()?;
    let loading = if run.no_run {
        None
    } else {
        // Before the build: sudo may ask for a password, and the programs load in the meantime.
        Some(options.load(open_helper(Asking::OnTerminal, status)?, Subject::Children)?)
    };
    let compiled = workspace.compile(target, run.jobs.map(NonZeroUsize::get), as_user)?;
    let Some(loading) = loading else {
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
    let groups: Vec<&TestGroup> = settings.test_groups.iter().map(|group| &group.value).collect();
    let as_user = user::impersonating(user.as_ref());
    let Plan { binaries, ignored, left_out } =
        Plan::make(built.binaries, &harness, arguments, &groups, cpus.get(), as_user)?;
    let all_run = !is_part(target) && !harness.choose();
    if left_out > 0 {
        let tests = counted(left_out as u64, "test");
        status.warn(format_args!("no test runs: TESTNAME and the arguments after `--` leave out all {tests}"));
    }
    warn_of_empty(&groups, &binaries, all_run, status);

    // Before there are threads, and processes that stay behind if we are killed.
    let signals = Signals::guarded()?;
    let test_options = TestOptions {
        groups: groups.iter().map(|group| group.max_threads).collect(),
        user: user.clone(),
        guard: signals.guard().cloned(),
        ..test_options(&arguments.run, &harness, cpus, outputs.stdout())
    };
    let progress = TestProgress::new(status, &harness, &test_options, ignored, outputs.junit.is_some());
    let package = workspace.package().map(str::to_owned);
    let within = within(&built.target_directory, &binaries);
    let traced = Traced::Tests { workspace: workspace.sources.root.clone(), within };
    let attaching = Attaching { traced, binaries: &binaries, sources: workspace.sources, package, exports, signals };
    let Begun { run, info } = options.attach(loading, attaching)?;
    let suite = TestSuite::new(TestRunner::new(binaries, test_options), progress);
    let finished = RunLoop::new(run, suite).run()?;

    // Budgets about tests that did not run cannot be judged.
    let is_partial = |suite: &TestSuite| !all_run || suite.has_failures() || suite.stopped().is_some();
    report(&options, options.judge(finished, info, is_partial))
}

/// Reports, and keeps the baseline if all tests have passed.
fn report(options: &RunOptions<'_>, judged: Judged<TestSuite>) -> Result<ExitCode, Error> {
    let RunOptions { criteria, user, status, .. } = *options;
    let Judged { mut report, samples, workload: mut suite, observers, mut failures, .. } = judged;
    report.test_outputs = suite.take_outputs();
    let written = options.show(&report);
    suite.summarise();
    observers.finish(status);
    let (failed, stopped) = (suite.has_failures(), suite.stopped());
    let is_whole = failures.is_empty() && stopped.is_none();
    failures.extend(written);
    if is_whole {
        if failed || report.summary.tests.is_empty() {
            criteria.warn_unsaved("not all tests have passed, or none ran", status);
        } else {
            failures.extend(criteria.save(&samples, &report.run, user, status).err());
        }
    }
    first_of(failures, status)?;
    Ok(exit_code(failed, report.verdicts.fails(), stopped))
}

/// Warns of test groups whose filter matches no test, which is usually a misspelled filter.
fn warn_of_empty(groups: &[&TestGroup], binaries: &[PlannedBinary], all_run: bool, status: Status) {
    // The tests of a binary without a list may be in any of them.
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

/// Says which packages have doc tests, which are left to cargo.
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

/// The folders whose programs are followed. With `build.build-dir`, test binaries are not in the target directory.
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

/// How the tests run: where flags say nothing, the variables of the standard harness do.
fn test_options(run: &TestControl, harness: &HarnessArguments, cpus: NonZeroUsize, stdout: Stdout) -> TestOptions {
    let TestControl { jobs, no_fail_fast, no_run: _, timeout, repeat } = *run;
    let variable = |name| std::env::var(name).ok();
    let nocapture = harness.nocapture || variable("RUST_TEST_NOCAPTURE").is_some_and(|value| value != "0");
    let at_a_time = if nocapture {
        // The output of tests that run at the same time could not be told apart.
        NonZeroUsize::MIN
    } else {
        let threads = || variable("RUST_TEST_THREADS").and_then(|value| value.parse().ok());
        harness.test_threads.or(jobs).or_else(threads).unwrap_or(cpus)
    };
    TestOptions {
        at_a_time,
        groups: Vec::new(),
        timeout,
        fail_fast: !no_fail_fast,
        rounds: repeat.unwrap_or(NonZeroUsize::MIN),
        inherited: nocapture.then_some(stdout),
        user: None,
        in_our_group: terminal::is_there(),
        guard: None,
    }
}
