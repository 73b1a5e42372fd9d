//! `cargo beyla attach`: traces the requests of a server that already runs. It goes on untouched.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::cli::AttachArguments;
use crate::config::settings::Settings;
use crate::console::status::Status;
use crate::error::{BUDGET_BROKEN, Error};
use crate::launch::running::{Running, Wanted, descendants};
use crate::launch::running_executable::RunningExecutable;
use crate::launch::signals::Signals;
use crate::launch::user::InvokingUser;
use crate::probe::starting::Asking;
use crate::report::run_info::Traced;
use crate::run::criteria::Criteria;
use crate::run::follow_server::FollowServer;
use crate::run::options::{RunOptions, load_settings};
use crate::run::outputs::{OutputPaths, Outputs, print_settings};
use crate::run::server::Server;
use crate::run::setup::{Attaching, Subject, open_helper};
use crate::workspace::sources::Sources;

/// Watches the server until the user has seen enough, or it ends.
pub(super) fn attach(arguments: &AttachArguments, status: Status) -> Result<ExitCode, Error> {
    let (settings, status) = load_settings(&arguments.settings(), None, status)?;
    if arguments.export.show_config {
        return print_settings(&settings).map(|()| ExitCode::SUCCESS);
    }
    let running = find(arguments, &settings)?;
    if let Some(remark) = running.executable.remark() {
        status.warn(remark);
    }
    let user = InvokingUser::detect();
    let criteria = Criteria::of_settings(&settings);
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

    let signals = Signals::guarded()?;
    let RunningExecutable { path: executable, file, .. } = running.executable.clone();
    let pid = running.pid.as_raw() as u32;
    let traced = Traced::Server { pid, executable: executable.clone(), within: folders(&executable) };
    let sources = Sources::around(&executable);
    let subject = Subject::Process { pid, executable, file, runs: true, members: descendants(pid) };
    let attaching = Attaching { traced, binaries: &[], sources, package: None, exports, signals };
    let begun = options.begin(helper, subject, attaching)?;

    let server = FollowServer::new(Server::Running(running), &settings, user.as_ref(), outputs.stdout());
    let outcome = options.follow(begun, server)?;
    let over_budget = if outcome.is_over_budget { BUDGET_BROKEN } else { 0 };
    Ok(ExitCode::from(outcome.exec_exit_code.filter(|code| *code != 0).unwrap_or(over_budget)))
}

/// The folders whose programs are followed if the server has started them, or will: its own executable, and what cargo
/// has built beside that.
fn folders(executable: &Path) -> Vec<PathBuf> {
    let target = executable.ancestors().skip(1).find(|folder| folder.join("CACHEDIR.TAG").is_file());
    [Some(executable), target].into_iter().flatten().map(Path::to_owned).collect()
}

/// Finds the server by the flags, or by the settings.
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
