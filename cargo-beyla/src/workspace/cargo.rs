//! How cargo is called.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use cargo_metadata::{Metadata, MetadataCommand};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{getpid, getppid};

use crate::cli::options::BuildOptions;
use crate::error::Error;

/// The cargo that called us, or else the one in PATH.
pub(super) fn program() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// What went wrong when cargo could not be started.
pub(super) fn not_found(source: std::io::Error) -> Error {
    Error::CargoNotFound { program: program().to_string_lossy().into_owned(), source }
}

/// Which workspace, and what cargo may do to know it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Query<'a> {
    pub(super) manifest_path: Option<&'a Path>,
    pub(super) locked: bool,
    pub(super) offline: bool,
    /// Settings for cargo, as its `--config` takes them.
    pub(super) config: &'a [String],
}

impl<'a> Query<'a> {
    /// The workspace that the options of a build name.
    pub(super) fn of(options: &'a BuildOptions) -> Self {
        let BuildOptions { manifest_path, locked, offline, frozen, cargo_config, .. } = options;
        Self {
            manifest_path: manifest_path.as_deref(),
            locked: *locked || *frozen,
            offline: *offline || *frozen,
            config: cargo_config,
        }
    }
}

/// Gives settings to a command of cargo's.
pub(super) fn configure(settings: &[String], command: &mut Command) {
    for setting in settings {
        command.arg("--config").arg(setting);
    }
}

/// Leaves out of the environment what `cargo run` and `cargo test` tell a program of its package. To cargo it means
/// nothing, but build scripts that look at it, as `ring`'s does, would run again whenever we were started in another way.
pub(super) fn leave_out_package(command: &mut Command) {
    for variable in std::env::vars_os().map(|(name, _)| name).filter(|name| is_of_package(name)) {
        command.env_remove(variable);
    }
}

pub(super) fn is_of_package(variable: &OsStr) -> bool {
    let variable = variable.to_string_lossy();
    ["CARGO_MANIFEST_", "CARGO_PKG_"].iter().any(|prefix| variable.starts_with(prefix))
}

/// Has the kernel kill cargo when we end, in whatever way. To be called last: a change of the user undoes it.
pub(super) fn end_with_us(command: &mut Command) {
    let own = getpid();
    let bind = move || {
        set_pdeathsig(Signal::SIGKILL)?;
        // We may have ended before.
        if getppid() == own { Ok(()) } else { Err(io::ErrorKind::Interrupted.into()) }
    };
    // SAFETY: system calls.
    unsafe { command.pre_exec(bind) };
}

/// Says to a command of cargo's how to build.
pub(super) fn apply(options: &BuildOptions, command: &mut Command) {
    let BuildOptions {
        release,
        profile,
        features,
        all_features,
        no_default_features,
        manifest_path,
        target_dir,
        locked,
        offline,
        frozen,
        ignore_rust_version,
        cargo_config,
    } = options;
    configure(cargo_config, command);
    if let Some(profile) = profile {
        command.arg("--profile").arg(profile);
    }
    for (flag, value) in [("--manifest-path", manifest_path), ("--target-dir", target_dir)] {
        if let Some(value) = value {
            command.arg(flag).arg(value);
        }
    }
    for features in features {
        command.arg("--features").arg(features);
    }
    let switches = [
        ("--release", release),
        ("--all-features", all_features),
        ("--no-default-features", no_default_features),
        ("--locked", locked),
        ("--offline", offline),
        ("--frozen", frozen),
        ("--ignore-rust-version", ignore_rust_version),
    ];
    command.args(switches.into_iter().filter(|(_, wanted)| **wanted).map(|(flag, _)| flag));
}

/// The workspace's members, without dependencies, so that features make no difference.
pub(super) fn metadata(wanted: Query<'_>, prepare: &dyn Fn(&mut Command)) -> Result<Metadata, Error> {
    let Query { manifest_path, locked, offline, config } = wanted;
    let mut query = MetadataCommand::new();
    query.cargo_path(program()).no_deps();
    if let Some(path) = manifest_path {
        query.manifest_path(path);
    }
    let options = [(locked, "--locked"), (offline, "--offline")];
    query.other_options(
        options.into_iter().filter(|(wanted, _)| *wanted).map(|(_, option)| option.to_owned()).collect::<Vec<_>>(),
    );
    let mut command = query.cargo_command();
    configure(config, &mut command);
    prepare(&mut command);
    end_with_us(&mut command);
    let output = command.stdin(Stdio::null()).output().map_err(not_found)?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr);
        let message = message.trim();
        return Err(Error::Metadata(message.strip_prefix("error: ").unwrap_or(message).to_owned()));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    // The answer is one line; a wrapper around cargo may have printed others.
    let answer = text.lines().find(|line| line.starts_with('{')).unwrap_or_default();
    MetadataCommand::parse(answer).map_err(|error| Error::Metadata(error.to_string()))
}
