//! The server's executable, as far as the privileged side touches it.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::linux::fs::MetadataExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::any_path;
use super::library_probe::LibraryProbes;
use super::task_probe::TaskProbe;

/// What the parent has found of the async runtime in the programs that are traced.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Executables {
    /// The executables.
    #[serde(with = "any_path::several")]
    pub paths: Vec<PathBuf>,
    /// A function: which executable it is in, and where in the file it begins.
    pub task_probes: Vec<TaskProbe>,
    /// Where threads keep the task at hand.
    pub task_variables: Vec<TaskVariable>,
    /// Where keys for TLS are set up, and the functions of SQLite.
    pub library_probes: Vec<LibraryProbes>,
}

/// Where each thread of a program keeps the id of the task that it polls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskVariable {
    /// The executable, by its place in [`Executables::paths`].
    pub executable: usize,
    /// Its place.
    pub place: TaskIdPlace,
}

/// A place in what each thread of a program has for itself, in bytes from the thread pointer on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskIdPlace {
    /// There.
    At(i64),
    /// In a variable that begins there and has this size, in bytes; the kernel side finds out where.
    Within {
        /// Where the variable begins.
        begin: i64,
        /// Its size.
        size: u64,
    },
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
        Self::open_of(path, |owner| asker == 0 || owner == asker)
    }

    /// Opens one that is to be probed in a process of the user's alone: what goes wrong there goes wrong for the user,
    /// who may change that process in other ways too. It may be the system's.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_mapped(path: &Path, asker: u32) -> io::Result<Self> {
        Self::open_of(path, |owner| asker == 0 || owner == asker || owner == 0)
    }

    fn open_of(path: &Path, may_own: impl Fn(u32) -> bool) -> io::Result<Self> {
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
        if !may_own(metadata.st_uid()) {
            return refused("it belongs to another user");
        }
        Ok(Self(file))
    }

    /// What the kernel side knows it by: the number of its inode, and its size in bytes.
    ///
    /// # Errors
    /// If the system does not tell.
    pub fn identity(&self) -> io::Result<[u64; 2]> {
        let metadata = self.0.metadata()?;
        Ok([metadata.st_ino(), metadata.st_size()])
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
        let mapped =
            |path: &Path| Executable::open_mapped(path, owner + 1).map(drop).map_err(|error| error.to_string());
        assert_eq!(mapped(Path::new("/proc/version")), Ok(()), "it is root's");
        if owner != 0 {
            assert_eq!(mapped(&path), Err("it belongs to another user".to_owned()));
        }
        assert_eq!(refusal(directory.path(), owner), "it is no regular file");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o4755)).expect("it is ours");
        assert_eq!(refusal(&path, 0), "it is set-user-ID or set-group-ID");
    }
}
