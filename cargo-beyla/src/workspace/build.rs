//! Builds the target, and finds its executable.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use cargo_metadata::{Artifact, TargetKind as Cargo};

use super::cargo;
use super::messages;
use super::select::Selection;
use super::start::{self, Asked};
use super::target::TargetKind;
use super::target_runner::Questions;
use crate::cli::options::TargetArguments;
use crate::error::Error;

/// A target that is built.
#[derive(Debug)]
pub struct Built {
    /// Its executable.
    pub executable: PathBuf,
    /// How `cargo run` would start it.
    pub start: Asked,
}

/// Builds the selected target, and asks how `cargo run` would start it with these arguments; cargo's progress and
/// diagnostics go to stderr as they always do.
///
/// `prepare` has the last word on cargo's command, for one that must run as another user.
pub fn build(
    selection: &Selection,
    arguments: &TargetArguments,
    server_arguments: &[OsString],
    prepare: impl Fn(&mut Command),
) -> Result<Built, Error> {
    let questions = Questions::ask(&arguments.build.cargo_config, &prepare);
    let mut build = command("build", selection, arguments);
    build.arg(messages::FORMAT);
    let artifacts = messages::of_build(build, &prepare)?;
    let executable = artifacts.iter().rev().find(|artifact| is_selected(artifact, selection));
    let executable: PathBuf = executable
        .and_then(|artifact| artifact.executable.clone())
        .ok_or_else(|| Error::NoExecutable { target: selection.target.name.clone() })?
        .into();
    let arguments = TargetArguments { build: start::without_runners(&arguments.build), ..arguments.clone() };
    let start = start::ask(command("run", selection, &arguments), server_arguments, questions.answer(), &prepare)?;
    Ok(Built { executable, start })
}

/// The same selection as `cargo run` makes of these arguments, so that the two share what is built.
fn command(subcommand: &str, selection: &Selection, arguments: &TargetArguments) -> Command {
    let TargetArguments { package, bin: _, example: _, build, jobs } = arguments;
    let mut command = Command::new(cargo::program());
    command.arg(subcommand).arg(selection.target.kind.flag()).arg(&selection.target.name);
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
