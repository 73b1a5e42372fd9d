//! `cargo beyla attach`: traces the requests of a server that already runs. It goes on untouched.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::exports;
use super::run::show_config;
use super::session::server::Server;
use super::status::Status;
use super::tracing::{Process, Tracing, open_helper};
use super::verdicts::Demands;
use crate::cli::AttachArguments;
use crate::config::environment::Environment;
use crate::config::settings::Settings;
use crate::error::{BUDGET_BROKEN, Error};
use crate::export::exporter::Checked;
use crate::launch::running::{Running, Wanted, descendants};
use crate::launch::running_executable::RunningExecutable;
use crate::launch::signals::Signals;
use crate::launch::user::InvokingUser;
use crate::probe::starting::Asking;
use crate::workspace::sources::Sources;
use cargo_beyla_core::analysis::suite::Within;
use cargo_beyla_core::trace::TraceSettings;

/// Watches the server until the user has seen enough, or it ends.
pub(super) fn attach(arguments: &AttachArguments, status: Status) -> Result<ExitCode, Error> {
    let settings = Settings::of_attach(arguments, &Environment::of_process())?;
    let status = Status { level: settings.log_level.value, ..status };
    for warning in &settings.warnings {
        status.warn(warning);
    }
    if arguments.export.show_config {
        return show_config(&settings);
    }
    let running = find(arguments, &settings)?;
    if let Some(remark) = running.executable.remark() {
        status.warn(remark);
    }
    let user = InvokingUser::detect();
    let demands = Demands::of_settings(&settings);
    let tracing = Tracing {
        settings: &settings,
        demands: &demands,
        json: arguments.report.json.as_deref(),
        record: arguments.record.as_deref(),
        junit: None,
        capture: arguments.capture,
        user: user.as_ref(),
        status,
    };
    exports::warn(&settings, status);
    let checked = Checked::new(&exports::settings(&settings)?)?;
    let RunningExecutable { path, file, .. } = running.executable.clone();
    let within = folders(&path);
    let trace_settings =
        TraceSettings { within: Some(Within { folders: within.clone(), itself: true }), ..settings.trace()? };
    let (trace, seed) = exports::trace(trace_settings, checked.as_ref(), settings.trace_printer.value, false)?;
    tracing.check_files()?;
    let helper = open_helper(Asking::OnTerminal, status)?;
    let signals = Signals::guarded().map_err(|source| Error::System { what: "opening a signal descriptor", source })?;
    let pid = running.pid.as_raw() as u32;
    let sources = Sources::around(&path);
    let process = Process { pid, executable: path, file, runs: true, members: descendants(pid), within };
    let begun = tracing.begin(process, sources, helper, checked, seed)?;
    let outcome = tracing.follow(Server::Running(running), begun, trace, signals)?;
    let over_budget = if outcome.over_budget { BUDGET_BROKEN } else { 0 };
    Ok(ExitCode::from(outcome.command.filter(|code| *code != 0).unwrap_or(over_budget)))
}

/// What is followed if the server has started it, or will: other processes of its program, and what cargo has built
/// beside that.
fn folders(executable: &Path) -> Vec<PathBuf> {
    let target = executable.ancestors().skip(1).find(|folder| folder.join("CACHEDIR.TAG").is_file());
    [Some(executable), target].into_iter().flatten().map(Path::to_owned).collect()
}

/// By flag, or by what the settings say of it.
fn find(arguments: &AttachArguments, settings: &Settings) -> Result<Running, Error> {
    let executable = settings.executable_name.as_ref().map(|pattern| &pattern.value);
    let ports = settings.open_port.as_ref().map(|ports| &ports.value);
    match (arguments.server.pid, arguments.server.port) {
        (Some(pid), _) => Running::with_pid(pid),
        (None, Some(port)) => Running::find(Wanted { ports: Some(&port.into()), executable: None }),
        (None, None) if ports.is_some() || executable.is_some() => Running::find(Wanted { ports, executable }),
        (None, None) => Err(Error::Attach {
            message: "no server is named".into(),
            hint: "name it with --pid or --port, or with open_port or executable_name in the file of --config".into(),
        }),
    }
}
