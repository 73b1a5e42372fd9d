//! Builds the target, and finds its executable.

use std::ffi::OsString;
use std::io::{BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use cargo_metadata::{Artifact, Message, TargetKind as Cargo};

use super::cargo;
use super::environment::{self, Libraries};
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
    let mut command = command(selection, arguments);
    prepare(&mut command);
    let mut cargo = command.spawn().map_err(cargo::not_found)?;
    let output = read(&mut cargo, selection);
    let status = cargo.wait().map_err(|source| Error::System { what: "waiting for cargo", source })?;
    if !status.success() {
        return Err(Error::BuildFailed { status: status.to_string() });
    }
    let Output { executable, linked_paths, script_environment } = output?;
    let executable = executable.ok_or_else(|| Error::NoExecutable { target: selection.target.name.clone() })?;
    let libraries = Libraries { executable: &executable, kind: selection.target.kind, linked_paths: &linked_paths };
    let environment = environment::of_run(selection, &libraries, script_environment, &prepare);
    Ok(Built { executable, environment })
}

/// The same selection as `cargo run` makes of these arguments, so that the two share what is built.
fn command(selection: &Selection, arguments: &TargetArguments) -> Command {
    let TargetArguments {
        package,
        bin: _,
        example: _,
        release,
        profile,
        features,
        all_features,
        no_default_features,
        manifest_path,
        target_dir,
        locked,
        offline,
        jobs,
    } = arguments;
    let mut command = Command::new(cargo::program());
    // The server's stdin is the server's; the build has no claim on it.
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command.args(["build", "--message-format=json-render-diagnostics"]);
    command.arg(selection.target.kind.flag()).arg(&selection.target.name);
    for (flag, value) in [("--package", package), ("--profile", profile), ("--jobs", jobs)] {
        if let Some(value) = value {
            command.arg(flag).arg(value);
        }
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
    ];
    command.args(switches.into_iter().filter(|(_, wanted)| **wanted).map(|(flag, _)| flag));
    command
}

/// What is of use in cargo's messages.
#[derive(Default)]
struct Output {
    executable: Option<PathBuf>,
    /// Where build scripts have put libraries.
    linked_paths: Vec<String>,
    /// What the package's own build script set by `cargo::rustc-env`.
    script_environment: Vec<(String, String)>,
}

fn read(cargo: &mut Child, selection: &Selection) -> Result<Output, Error> {
    let mut output = Output::default();
    let Some(stdout) = cargo.stdout.take() else { return Ok(output) };
    for message in Message::parse_stream(BufReader::new(stdout)) {
        let message = message.map_err(|source| Error::System { what: "reading cargo's messages", source })?;
        match message {
            Message::CompilerArtifact(artifact) if is_selected(&artifact, selection) => {
                output.executable = artifact.executable.map(Into::into);
            }
            Message::BuildScriptExecuted(script) => {
                output.linked_paths.extend(script.linked_paths.iter().map(ToString::to_string));
                if script.package_id == selection.package.id {
                    output.script_environment = script.env;
                    output.script_environment.push(("OUT_DIR".to_owned(), script.out_dir.into_string()));
                }
            }
            // Compilers' and wrappers' own words; stdout may be the report's.
            Message::TextLine(line) => {
                // If nobody reads it, nobody misses it.
                let _ = writeln!(std::io::stderr(), "{line}");
            }
            _ => {}
        }
    }
    Ok(output)
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
