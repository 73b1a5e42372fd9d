//! A program as cargo starts it.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

/// What it takes to start a program as `cargo run` and `cargo test` do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The executable: the built program, or the runner of cargo's configuration if there is one. A relative path begins
    /// in `folder`.
    pub path: PathBuf,
    /// Its arguments; the first is its own name.
    pub arguments: Vec<OsString>,
    /// Its whole environment.
    pub environment: Vec<(OsString, OsString)>,
    /// The folder that it starts in.
    pub folder: PathBuf,
    /// The runner of cargo's configuration, if there is one.
    pub runner: Option<String>,
}

impl Program {
    /// A command that starts it.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        if let Some((name, arguments)) = self.arguments.split_first() {
            command.arg0(name).args(arguments);
        }
        command.env_clear().envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.current_dir(&self.folder);
        command
    }
}
