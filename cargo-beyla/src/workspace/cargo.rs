//! How cargo is called.

use std::ffi::OsString;
use std::process::{Command, Stdio};

use cargo_metadata::{Metadata, MetadataCommand};

use crate::cli::TargetArguments;
use crate::error::Error;

/// The cargo that called us, else the one that is found.
pub(super) fn program() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// What went wrong when cargo could not be started.
pub(super) fn not_found(source: std::io::Error) -> Error {
    Error::CargoNotFound { program: program().to_string_lossy().into_owned(), source }
}

/// The workspace's members; features play no part as long as dependencies are not asked for.
pub(super) fn metadata(arguments: &TargetArguments, prepare: &dyn Fn(&mut Command)) -> Result<Metadata, Error> {
    let mut query = MetadataCommand::new();
    query.cargo_path(program()).no_deps();
    if let Some(path) = &arguments.manifest_path {
        query.manifest_path(path);
    }
    let options = [(arguments.locked, "--locked"), (arguments.offline, "--offline")];
    query.other_options(
        options.into_iter().filter(|(wanted, _)| *wanted).map(|(_, option)| option.to_owned()).collect::<Vec<_>>(),
    );
    let mut command = query.cargo_command();
    prepare(&mut command);
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
