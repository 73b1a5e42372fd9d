//! A build by cargo, and what is of use in its messages.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::BufReader;
use std::process::{Child, Command, Stdio};

use cargo_metadata::{Artifact, Message, PackageId};

use super::cargo;
use crate::console::stream::Stream;
use crate::error::Error;

/// The message format that leaves diagnostics to stderr, rendered as cargo always does.
pub(super) const FORMAT: &str = "--message-format=json-render-diagnostics";

/// What a build has told.
#[derive(Default)]
pub(super) struct Messages {
    /// What was built and can be executed.
    pub(super) artifacts: Vec<Artifact>,
    /// Where build scripts have put libraries.
    pub(super) linked_paths: Vec<String>,
    /// What each package's own build script set by `cargo::rustc-env`, and its `OUT_DIR`.
    script_environments: HashMap<PackageId, Vec<(String, String)>>,
}

impl Messages {
    /// What the build script of a package has set for it.
    pub(super) fn script_environment(&self, package: &PackageId) -> &[(String, String)] {
        self.script_environments.get(package).map_or(&[], Vec::as_slice)
    }
}

/// Runs cargo to its end; its progress and diagnostics go to stderr as they always do.
///
/// `prepare` has the last word on cargo's command, for one that must run as another user.
pub(super) fn of_build(mut command: Command, prepare: &dyn Fn(&mut Command)) -> Result<Messages, Error> {
    // Nobody's stdin is the build's to read.
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    for variable in std::env::vars_os().map(|(name, _)| name).filter(|name| is_of_package(name)) {
        command.env_remove(variable);
    }
    prepare(&mut command);
    let mut cargo = command.spawn().map_err(cargo::not_found)?;
    let messages = read(&mut cargo);
    let status = cargo.wait().map_err(|source| Error::System { what: "waiting for cargo", source })?;
    if !status.success() {
        return Err(Error::BuildFailed { status: status.to_string() });
    }
    messages
}

/// Whether `cargo run` and `cargo test` tell a program of its package by this variable. To a build it means nothing, but
/// build scripts that look at it, as `ring`'s does, would run again whenever we were started in another way.
fn is_of_package(variable: &OsStr) -> bool {
    let variable = variable.to_string_lossy();
    ["CARGO_MANIFEST_", "CARGO_PKG_"].iter().any(|prefix| variable.starts_with(prefix))
}

fn read(cargo: &mut Child) -> Result<Messages, Error> {
    let mut messages = Messages::default();
    let Some(stdout) = cargo.stdout.take() else { return Ok(messages) };
    for message in Message::parse_stream(BufReader::new(stdout)) {
        let message = message.map_err(|source| Error::System { what: "reading cargo's messages", source })?;
        match message {
            Message::CompilerArtifact(artifact) if artifact.executable.is_some() => messages.artifacts.push(artifact),
            Message::BuildScriptExecuted(script) => {
                messages.linked_paths.extend(script.linked_paths.iter().map(ToString::to_string));
                let mut environment = script.env;
                environment.push(("OUT_DIR".to_owned(), script.out_dir.into_string()));
                messages.script_environments.insert(script.package_id, environment);
            }
            // Compilers' and wrappers' own words; stdout may be the report's.
            Message::TextLine(line) => {
                Stream::Stderr.say(line + "\n");
            }
            _ => {}
        }
    }
    Ok(messages)
}
