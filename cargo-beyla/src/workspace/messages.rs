//! A build by cargo, and what is of use in its messages.

use std::io::BufReader;
use std::process::{Child, Command, Stdio};

use cargo_metadata::{Artifact, Message};

use super::cargo;
use crate::console::stream::Stream;
use crate::error::Error;

/// The message format that leaves diagnostics to stderr, rendered as cargo always does.
pub(super) const FORMAT: &str = "--message-format=json-render-diagnostics";

/// Runs cargo to its end, and returns what it has built that can be executed; its progress and diagnostics go to stderr
/// as they always do.
///
/// `prepare` has the last word on cargo's command, for one that must run as another user.
pub(super) fn of_build(mut command: Command, prepare: &dyn Fn(&mut Command)) -> Result<Vec<Artifact>, Error> {
    // Nobody's stdin is the build's to read.
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    cargo::leave_out_package(&mut command);
    prepare(&mut command);
    cargo::end_with_us(&mut command);
    let mut cargo = command.spawn().map_err(cargo::not_found)?;
    let artifacts = read(&mut cargo);
    let status = cargo.wait().map_err(|source| Error::System { what: "waiting for cargo", source })?;
    if !status.success() {
        return Err(Error::BuildFailed { status: status.to_string() });
    }
    artifacts
}

fn read(cargo: &mut Child) -> Result<Vec<Artifact>, Error> {
    let mut artifacts = Vec::new();
    let Some(stdout) = cargo.stdout.take() else { return Ok(artifacts) };
    for message in Message::parse_stream(BufReader::new(stdout)) {
        let message = message.map_err(|source| Error::System { what: "reading cargo's messages", source })?;
        match message {
            Message::CompilerArtifact(artifact) if artifact.executable.is_some() => artifacts.push(artifact),
            // Compilers' and wrappers' own words; stdout may be the report's.
            Message::TextLine(line) => {
                Stream::Stderr.say(line + "\n");
            }
            _ => {}
        }
    }
    Ok(artifacts)
}
