//! Builds the target, and finds its executable.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::{Artifact, TargetKind as Cargo};

use super::cargo;
use super::environment::{Libraries, Shared};
use super::messages;
use super::select::{Selection, TargetKind};
use crate::cli::TargetArguments;
use crate::error::Error;

/// A target that is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// Its executable.
    pub executable: PathBuf,
    /// What `cargo run` would add to the environment of the executable, or change in it.
    pub environment: Vec<(OsString, OsString)>,
}

/// Builds the selected target; cargo's progress and diagnostics go to stderr as they always do.
///
/// `prepare` has the last word on cargo's command, for one that must run as another user.
pub fn build(
    selection: &Selection,
    arguments: &TargetArguments,
    prepare: impl Fn(&mut Command),
) -> Result<Built, Error> {
    let messages = messages::of_build(command(selection, arguments), &prepare)?;
    let executable = messages.artifacts.iter().rev().find(|artifact| is_selected(artifact, selection));
    let executable: PathBuf = executable
        .and_then(|artifact| artifact.executable.clone())
        .ok_or_else(|| Error::NoExecutable { target: selection.target.name.clone() })?
        .into();
    let libraries =
        Libraries { root: output_folder(&executable, selection.target.kind), linked_paths: &messages.linked_paths };
    let script = messages.script_environment(&selection.package.id);
    let environment = Shared::read(&prepare).environment(&selection.package, &libraries, script);
    Ok(Built { executable, environment })
}

/// The folder of the profile that the executable was built with.
fn output_folder(executable: &Path, kind: TargetKind) -> Option<&Path> {
    let parent = executable.parent();
    match kind {
        TargetKind::Bin => parent,
        TargetKind::Example => parent.and_then(Path::parent),
    }
}

/// The same selection as `cargo run` makes of these arguments, so that the two share what is built.
fn command(selection: &Selection, arguments: &TargetArguments) -> Command {
    let TargetArguments { package, bin: _, example: _, build, jobs } = arguments;
    let mut command = Command::new(cargo::program());
    command.args(["build", messages::FORMAT]);
    command.arg(selection.target.kind.flag()).arg(&selection.target.name);
    for (flag, value) in [("--package", package), ("--jobs", jobs)] {
        if let Some(value) = value {
            command.arg(flag).arg(value);
        }
    }
    cargo::apply(build, &mut command);
    command
}

fn is_selected(artifact: &Artifact, selection: &Selection) -> bool {
    let kind = match selection.target.kind {
        TargetKind::Bin => Cargo::Bin,
        TargetKind::Example => Cargo::Example,
    };
    artifact.package_id == selection.package.id
        && artifact.target.name == selection.target.name
        && artifact.target.is_kind(kind)
}

#[cfg(test)]
#[path = "build_tests.rs"]
mod tests;
