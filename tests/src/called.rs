//! Servers that a traced server calls, each with a record of its own of what it was asked: the truth from outside.

pub mod postgres;
pub mod prices;
pub mod redis;

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

/// The user `nobody`, and its group.
const NOBODY: u32 = 65534;

/// A command that runs as an ordinary user, since Postgres refuses root, in a folder that is that user's.
fn as_user(program: impl AsRef<std::ffi::OsStr>, folder: &Path) -> Command {
    let mut command = Command::new(program);
    // SAFETY: no arguments, and it cannot fail.
    if unsafe { libc::geteuid() } == 0 {
        std::os::unix::fs::chown(folder, Some(NOBODY), Some(NOBODY)).expect("root may");
        command.uid(NOBODY).gid(NOBODY);
    }
    command.current_dir(folder);
    command
}
