//! `cargo beyla run`: builds the server, starts it, traces its requests, and summarises them.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::cli::RunArguments;
use crate::console::status::Status;
use crate::error::{BUDGET_BROKEN, Error};
use crate::launch::descriptors;
use crate::launch::foreground_child::ForegroundChild;
use crate::launch::signals::Signals;
use crate::launch::suspended::Suspended;
use crate::launch::user::{self, InvokingUser};
use crate::probe::starting::Asking;
use crate::report::run_info::{Exit, Traced};
use crate::run::criteria::Criteria;
use crate::run::follow_server::FollowServer;
use crate::run::options::{RunOptions, load_settings};
use crate::run::outputs::{OutputPaths, Outputs, print_settings};
use crate::run::reporting::ServerOutcome;
use crate::run::server::{Server, end_like};
use crate::run::setup::{Attaching, Subject, open_helper};
use crate::workspace::build::{self, Built};
use crate::workspace::select;

/// Runs the server under trace.
pub(super) fn run(arguments: &RunArguments, status: Status) -> Result<ExitCode, Error> {
    let user = InvokingUser::detect();
    let as_user = user::applying(user.as_ref());
    let selection = select::select(&arguments.target, as_user)?;
    let (settings, status) = load_settings(&arguments.settings(), Some(&selection.manifests), status)?;
    if arguments.export.show_config {
        return print_settings(&settings).map(|()| ExitCode::SUCCESS);
    }
    // Before the build, everything is checked that can be.
    let verdict = &arguments.verdict;
    let (save_baseline, baseline) = (verdict.save_baseline.as_deref(), verdict.baseline.as_deref());
    let criteria = Criteria::new(&settings, save_baseline, baseline, &selection.target_directory)?;
    let paths = OutputPaths { record: arguments.record.as_deref(), ..OutputPaths::of(&arguments.report) };
    let outputs = Outputs::open(paths, status)?;
    let options = RunOptions {
        settings: &settings,
        criteria: &criteria,
        outputs: &outputs,
        user: user.as_ref(),
        capture: arguments.capture,
        status,
    };
    let exports = options.check()?;
    let helper = open_helper(Asking::OnTerminal, status)?;
    if let Some(chosen) = &selection.target.chosen {
        status.say("Selected", chosen);
    }
    let Built { executable, mut start } =
        build::build(&selection, &arguments.target, &arguments.server_arguments, as_user)?;
    let waiting = |what: &str| status.say("Waiting", format_args!("for cargo: {what}"));
    if settings.explain.value.is_wanted() {
        // Probes go into the executable, so cargo must not build it once more in the meantime.
        start.wait(waiting)?;
    }

    let signals = Signals::guarded()?;
    let suspended = Suspended::fork(user.as_ref(), outputs.stdout())?;
    if settings.exec.is_none() {
        // Else the command gets them too.
        descriptors::close_unneeded();
    }
    let pid = suspended.pid().as_raw() as u32;
    let within = folders(&selection.target_directory, &executable);
    let traced = Traced::Server { pid, executable: executable.clone(), within };
    let subject =
        Subject::Process { pid, executable: executable.clone(), file: executable, runs: false, members: Vec::new() };
    let attaching = Attaching { traced, binaries: &[], sources: selection.sources, package: None, exports, signals };
    let ready = options.begin(helper, subject, attaching).and_then(|begun| {
        let no_program = || Error::NoExecutable { target: selection.target.name.clone() };
        let program = start.answer(waiting)?.into_iter().next_back().ok_or_else(no_program)?;
        Ok((begun, program))
    });
    let (begun, program) = match ready {
        Ok(ready) => ready,
        Err(error) => {
            suspended.abandon();
            return Err(error);
        }
    };
    if program.runner.is_some() {
        let words: Vec<_> = program.arguments.iter().map(|word| word.to_string_lossy()).collect();
        status.say("Running", format_args!("`{}`", words.join(" ")));
    }
    begun.run.signals.watch(suspended.pid());
    let server = Server::Own(ForegroundChild::new(suspended.release(program)?));

    let server = FollowServer::new(server, &settings, user.as_ref(), outputs.stdout());
    let outcome = options.follow(begun, server)?;
    Ok(end_like(exit(&outcome)))
}

/// The server's own failure comes first. If it ended as it was asked to, the command of `--exec` says whether the run was
/// a success, and then the budgets.
fn exit(outcome: &ServerOutcome) -> Exit {
    let ServerOutcome { exit, was_stopped, exec_exit_code, is_over_budget } = *outcome;
    match exit {
        Some(Exit::Signal(_)) if was_stopped => {}
        None | Some(Exit::Code(0)) => {}
        Some(failure) => return failure,
    }
    let codes = [exec_exit_code.unwrap_or(0), if is_over_budget { BUDGET_BROKEN } else { 0 }];
    Exit::Code(codes.into_iter().find(|code| *code != 0).unwrap_or(0).into())
}

/// The folders whose programs are followed if the server starts them.
fn folders(target_directory: &Path, executable: &Path) -> Vec<PathBuf> {
    // The kernel names the executable of a process by its path without symbolic links.
    let found = [Some(target_directory), executable.parent()].into_iter().flatten();
    let mut folders: Vec<PathBuf> = found.filter_map(|folder| folder.canonicalize().ok()).collect();
    folders.dedup();
    folders
}
