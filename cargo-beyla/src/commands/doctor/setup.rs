//! `cargo beyla doctor --setup` and `--undo`: the helper that alone has capabilities comes and goes.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use nix::unistd::{Gid, Group, Uid, getgid};

use crate::console::status::Status;
use crate::error::{Error, UNSUPPORTED, USAGE};
use crate::launch::user::InvokingUser;
use crate::probe::client::Helper;
use crate::probe::installed::{self, FOLDER, Installed, PROGRAM, UNDO};
use crate::probe::privilege::{Prospects, Way};
use crate::probe::starting::Asking;

/// How both programs come to be of one build.
const BUILD: &str = "`cargo install` brings both programs; in a clone, `cargo build -p cargo-beyla --bins` builds both";

/// Installs the helper, through sudo if need be, and tries it.
pub(super) fn install(group: Option<&str>, status: Status) -> Result<ExitCode, Error> {
    let failed = |reason: String, hint: Option<String>| Error::Setup { verb: "install", reason, hint };
    if Prospects::gather().own.user_namespace {
        return Err(failed("this is a user namespace, whose root is none of the machine".into(), None));
    }
    let named = group.is_some();
    let group = group_of(group)?;
    let name = installed::name_of(group);
    if let Some(present) = installed::group().filter(|present| !named && *present != group) {
        let present = installed::name_of(present);
        return Err(failed(
            format!("there is one, for the group {present}"),
            Some(format!(
                "--group {present} renews it, --group {name} takes it over, and a group of all users serves all"
            )),
        ));
    }
    let program = program()?;
    if !Uid::effective().is_root() {
        status.say("Asking", format_args!("sudo to install {FOLDER}/{PROGRAM} for the group {name}"));
        let code = through_sudo(&["--setup", "--group", &name], "install")?;
        return if code == ExitCode::SUCCESS { try_it(named, status) } else { Ok(code) };
    }
    if let Installed::Unusable { found, .. } = Installed::look() {
        status.say("Replacing", found);
    }
    // It is what we take it for.
    Helper::start(&Way::Installed(program.clone()), Asking::Never)
        .map_err(|error| failed(format!("{}: {error}", program.display()), Some(BUILD.into())))?;
    let path = installed::install(&program, group).map_err(|error| {
        failed(format!("{FOLDER}: {error}"), Some("it takes root, and a file system with capabilities".into()))
    })?;
    status.say("Installed", path.display());
    status.say("Rights", "CAP_BPF and CAP_PERFMON; it traces processes of the user who starts it, and no others");
    status.say("For", format_args!("the group {name}; only root can change it"));
    status.say("Undo", format_args!("with `{UNDO}`"));
    Ok(ExitCode::SUCCESS)
}

/// Takes it away, through sudo if need be.
pub(super) fn remove(status: Status) -> Result<ExitCode, Error> {
    if !Path::new(FOLDER).exists() {
        status.say("Nothing", format_args!("is installed in {FOLDER}"));
        return Ok(ExitCode::SUCCESS);
    }
    if !Uid::effective().is_root() {
        status.say("Asking", format_args!("sudo to remove {FOLDER}"));
        return through_sudo(&["--undo"], "remove");
    }
    let removed = installed::remove().map_err(|error| Error::Setup {
        verb: "remove",
        reason: format!("{FOLDER}: {error}"),
        hint: None,
    })?;
    for path in removed {
        status.say("Removed", path.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// The group that may execute it: as named, or the primary one of the user who asks.
fn group_of(name: Option<&str>) -> Result<Gid, Error> {
    let failed = |reason: String, hint: &str| Err(Error::Setup { verb: "install", reason, hint: Some(hint.into()) });
    let Some(name) = name else {
        let user = InvokingUser::detect().map(|user| Gid::from_raw(user.owner().1));
        return match user {
            Some(group) => Ok(group),
            None if Uid::effective().is_root() => {
                failed("root needs none".into(), "say whose it shall be, with --group GROUP")
            }
            None => Ok(getgid()),
        };
    };
    let by_number = || Some(Gid::from_raw(name.parse().ok()?));
    match Group::from_name(name).ok().flatten().map(|group| group.gid).or_else(by_number) {
        Some(group) => Ok(group),
        None => failed(format!("there is no group {name}"), "`id -Gn` lists your groups"),
    }
}

/// The helper's program, as it was built with ours.
fn program() -> Result<PathBuf, Error> {
    let own = std::env::current_exe().map_err(|source| Error::System { what: "finding our own program", source })?;
    let program = own.with_file_name(PROGRAM);
    if program.is_file() {
        return Ok(program);
    }
    Err(Error::Setup {
        verb: "install",
        reason: format!("{} is not there, which cargo builds and installs beside {}", program.display(), own.display()),
        hint: Some(BUILD.into()),
    })
}

/// Runs ourselves as root. Sudo says itself what it has to say.
fn through_sudo(flags: &[&str], verb: &'static str) -> Result<ExitCode, Error> {
    let own = std::env::current_exe().map_err(|source| Error::System { what: "finding our own program", source })?;
    let status = Command::new("sudo")
        .args(["-p", "[sudo] password for %p, to set up the probe helper: ", "--"])
        .arg(&own)
        .args(["beyla", "doctor"])
        .args(flags)
        .status();
    let as_root = || Some(format!("as root: {} doctor {}", own.display(), flags.join(" ")));
    let failed = |reason: String| Err(Error::Setup { verb, reason, hint: as_root() });
    match status {
        Ok(status) if status.success() => Ok(ExitCode::SUCCESS),
        // We have said why ourselves.
        Ok(status) if status.code().is_some_and(|code| [UNSUPPORTED, USAGE].map(i32::from).contains(&code)) => {
            Ok(ExitCode::from(UNSUPPORTED))
        }
        Ok(_) => failed("it takes root, and sudo refuses for the reason that it gives above".into()),
        Err(source) => failed(format!("it takes root, and sudo cannot be started: {source}")),
    }
}

/// Starts the installed helper as a run does, and has it load everything; if it is for others, it need not be of use
/// to the user who asked.
fn try_it(for_others: bool, status: Status) -> Result<ExitCode, Error> {
    let prospects = Prospects::gather();
    match (prospects.way().map_err(|lack| lack.to_error())?, &prospects.installed) {
        (way @ Way::Installed(_), _) => {
            Helper::start(&way, Asking::Never)?.try_all()?;
            status.say("Tried", "every program was loaded, without sudo");
            Ok(ExitCode::SUCCESS)
        }
        (_, Installed::Unusable { found, cure }) => {
            status.warn(format_args!("{found}: {cure}"));
            Ok(if for_others { ExitCode::SUCCESS } else { ExitCode::from(UNSUPPORTED) })
        }
        // This process has privilege of its own.
        (_, Installed::Ready(_) | Installed::Absent) => Ok(ExitCode::SUCCESS),
    }
}
