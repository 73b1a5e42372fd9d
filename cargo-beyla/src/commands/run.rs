//! `cargo beyla run`: builds the server, starts it, traces its requests, and summarises them.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::exports;
use super::session::server::Server;
use super::status::Status;
use super::tracing::{Outcome, Process, Tracing, open_helper};
use super::verdicts::Demands;
use crate::cli::RunArguments;
use crate::config::environment::Environment;
use crate::config::settings::Settings;
use crate::console::stream::Stream;
use crate::error::{BUDGET_BROKEN, Error};
use crate::export::exporter::Checked;
use crate::launch::signals::Signals;
use crate::launch::stand_in::StandIn;
use crate::launch::suspended::Suspended;
use crate::launch::user::{self, InvokingUser};
use crate::probe::starting::Asking;
use crate::report::run_info::Exit;
use crate::workspace::build::{self, Built};
use crate::workspace::select;
use cargo_beyla_core::analysis::suite::Within;
use cargo_beyla_core::trace::TraceSettings;

/// What a shell adds to the number of the signal that ended a command.
const SIGNALLED: u8 = 128;

/// Runs the server under trace.
pub(super) fn run(arguments: &RunArguments, status: Status) -> Result<ExitCode, Error> {
    let RunArguments { target, report: options, record, capture, server_arguments, .. } = arguments;
    let user = InvokingUser::detect();
    let as_user = user::applying(user.as_ref());
    let selection = select::select(target, as_user)?;
    let settings = Settings::of_run(arguments, &Environment::of_process(), Some(&selection.manifests))?;
    let status = Status { level: settings.log_level.value, ..status };
    for warning in &settings.warnings {
        status.warn(warning);
    }
    if arguments.export.show_config {
        return show_config(&settings);
    }
    let demands = Demands::new(&settings, &arguments.verdict, &selection.target_directory)?;
    let samples = demands.collector().is_some();
    let tracing = Tracing {
        settings: &settings,
        demands: &demands,
        json: options.json.as_deref(),
        record: record.as_deref(),
        junit: None,
        capture: *capture,
        user: user.as_ref(),
        status,
    };
    // What can be found wrong before the build is.
    exports::warn(&settings, status);
    let checked = Checked::new(&exports::settings(&settings)?)?;
    let trace_settings = settings.trace()?;
    tracing.check_files()?;
    let helper = open_helper(Asking::OnTerminal, status)?;
    if let Some(chosen) = &selection.target.chosen {
        status.say("Selected", chosen);
    }
    let Built { executable, mut start } = build::build(&selection, target, server_arguments, as_user)?;
    let waiting = |what: &str| status.say("Waiting", format_args!("for cargo: {what}"));
    if settings.explain.value {
        // Probes go into the executable, which cargo must not build once more meanwhile.
        start.wait(waiting)?;
    }

    let signals = Signals::guarded().map_err(|source| Error::System { what: "opening a signal descriptor", source })?;
    let server = Suspended::fork(user.as_ref(), tracing.stdout())?;
    let within = folders(&selection.target_directory, &executable);
    let trace_settings =
        TraceSettings { within: Some(Within { folders: within.clone(), itself: true }), ..trace_settings };
    let (trace, seed) = exports::trace(trace_settings, checked.as_ref(), settings.trace_printer.value, samples)?;
    let (pid, file) = (server.pid().as_raw() as u32, executable.clone());
    let process = Process { pid, executable, file, runs: false, members: Vec::new(), within };
    let begun = tracing.begin(process, selection.sources, helper, checked, seed);
    let ready = begun.and_then(|begun| {
        let no_program = || Error::NoExecutable { target: selection.target.name.clone() };
        let program = start.answer(waiting)?.into_iter().next_back().ok_or_else(no_program)?;
        Ok((begun, program))
    });
    let (begun, program) = match ready {
        Ok(ready) => ready,
        Err(error) => {
            server.abandon();
            return Err(error);
        }
    };
    if program.runner.is_some() {
        let words: Vec<_> = program.arguments.iter().map(|word| word.to_string_lossy()).collect();
        status.say("Running", format_args!("`{}`", words.join(" ")));
    }
    signals.watch(server.pid());
    let server = Server::Own(StandIn::new(server.release(program)?));
    let Outcome { exit, stopped, command, over_budget } = tracing.follow(server, begun, trace, signals)?;
    let own = match exit {
        None => 0,
        Some(Exit::Signal(_)) if stopped => 0,
        Some(Exit::Code(code)) => code as u8,
        Some(Exit::Signal(signal)) => SIGNALLED.saturating_add(signal as u8),
    };
    // The server ended as it was told to; whether the run was one is for the command to say, and then for the budgets.
    let codes = [own, command.unwrap_or(0), if over_budget { BUDGET_BROKEN } else { 0 }];
    Ok(ExitCode::from(codes.into_iter().find(|code| *code != 0).unwrap_or(0)))
}

/// Where the programs lie that are followed if the server starts them.
fn folders(target_directory: &Path, executable: &Path) -> Vec<PathBuf> {
    // The kernel names the executable of a process by its path without symbolic links.
    let found = [Some(target_directory), executable.parent()].into_iter().flatten();
    let mut folders: Vec<PathBuf> = found.filter_map(|folder| folder.canonicalize().ok()).collect();
    folders.dedup();
    folders
}

/// Prints the settings, and nothing else on stdout.
pub(super) fn show_config(settings: &Settings) -> Result<ExitCode, Error> {
    let written = Stream::Stdout.write_all(crate::config::show::show(settings).as_bytes());
    match written {
        // The reader has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(source) => Err(Error::System { what: "writing to stdout", source }),
        Ok(()) => Ok(ExitCode::SUCCESS),
    }
}
