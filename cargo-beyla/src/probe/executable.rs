//! The server's executable, as far as the privileged side touches it.

use std::fs::File;
use std::io::{self, BufRead, Write};
use std::os::fd::AsRawFd;
use std::os::linux::fs::MetadataExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::{Deserialize, Serialize};

use super::task_probe::TaskProbe;

/// What the parent may send of executables, in bytes.
const RECEIVED_MAX: u64 = 4 * 1024 * 1024;

/// The functions of the async runtime that are probed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args, Serialize, Deserialize)]
pub struct Executables {
    /// The executables that they are in.
    #[arg(long = "executable")]
    pub paths: Vec<PathBuf>,
    /// A function: which executable it is in, and where in the file it begins.
    #[arg(long = "task-probe")]
    pub task_probes: Vec<TaskProbe>,
}

impl Executables {
    /// Sends them to the helper.
    ///
    /// # Errors
    /// If it has ended.
    pub fn send(&self, mut to: impl Write) -> io::Result<()> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        to.write_all(&line)
    }

    /// Waits for them; `None` if they will not come.
    ///
    /// # Errors
    /// If what comes is something else.
    pub fn receive(from: impl BufRead) -> io::Result<Option<Self>> {
        let mut line = Vec::new();
        from.take(RECEIVED_MAX).read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            return Ok(None);
        }
        Ok(Some(serde_json::from_slice(&line)?))
    }
}

/// Of `<sys/stat.h>`: set-user-ID and set-group-ID.
const SET_ID: u32 = 0o6000;

/// A file that the user who asked may have probes in.
///
/// A probe in the midst of an instruction changes what a program does. To those who own the file that is no
/// matter; a program that runs with the privilege of others is refused.
#[derive(Debug)]
pub struct Executable(File);

impl Executable {
    /// Opens it.
    ///
    /// # Errors
    /// If it cannot be opened, is no regular file, is set-user-ID or set-group-ID, or belongs to somebody else.
    pub fn open(path: &Path, asker: u32) -> io::Result<Self> {
        // Of a FIFO we would wait for the other end.
        let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
        let metadata = file.metadata()?;
        let refused = |why: &str| Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        if !metadata.is_file() {
            return refused("it is no regular file");
        }
        if metadata.st_mode() & SET_ID != 0 {
            return refused("it is set-user-ID or set-group-ID");
        }
        if asker != 0 && metadata.st_uid() != asker {
            return refused("it belongs to another user");
        }
        Ok(Self(file))
    }

    /// A path to this very file, whatever becomes of its name.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_sent_is_received() {
        let probe = "1:task_running@4711".parse().expect("a probe");
        let sent = Executables { paths: vec!["/a b".into(), "/c\n".into()], task_probes: vec![probe] };
        let mut line = Vec::new();
        sent.send(&mut line).expect("memory");
        assert_eq!(Executables::receive(&line[..]).expect("it is right"), Some(sent));
        assert_eq!(Executables::receive(&line[..line.len() - 1]).expect("it is cut short"), None);
        assert!(Executables::receive(&b"{}\n"[..]).is_err() && Executables::receive(&b"?\n"[..]).is_err());
    }

    #[test]
    fn only_ones_own_and_without_anothers_privilege() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("server");
        std::fs::write(&path, "x").expect("a file");
        let owner = std::fs::metadata(&path).expect("it is there").st_uid();
        let executable = Executable::open(&path, owner).expect("it is ours");
        assert_eq!(std::fs::read(executable.path()).expect("it is readable"), b"x");
        Executable::open(&path, 0).expect("root may");
        let refusal = |path: &Path, asker| Executable::open(path, asker).expect_err("refused").to_string();
        assert_eq!(refusal(&path, owner + 1), "it belongs to another user");
        assert_eq!(refusal(directory.path(), owner), "it is no regular file");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o4755)).expect("it is ours");
        assert_eq!(refusal(&path, 0), "it is set-user-ID or set-group-ID");
    }
}
