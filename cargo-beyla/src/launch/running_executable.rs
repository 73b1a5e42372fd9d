//! The file that a process executes, which may no longer lie where it was started from.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What the kernel writes behind the path of a file that has lost it (`d_path` in `fs/d_path.c`).
const MARK: &[u8] = b" (deleted)";

/// The executable of a process that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningExecutable {
    /// The path that it was started from.
    pub path: PathBuf,
    /// A path that leads to the very file: the same, or where that leads elsewhere, one among those of the process.
    pub file: PathBuf,
    /// What has become of its path.
    pub fate: Fate,
}

/// What has become of the path of a file that is executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The file is there.
    Kept,
    /// Another file is there: it was built again.
    Replaced,
    /// Nothing is there.
    Removed,
}

impl RunningExecutable {
    /// What the process with this id executes.
    ///
    /// # Errors
    /// If there is no such process, or it is not ours to look at.
    pub fn of_process(pid: u32) -> io::Result<Self> {
        let file = PathBuf::from(format!("/proc/{pid}/exe"));
        let path = file.read_link()?;
        let is_there = is_same(&path, &file);
        match unmarked(&path) {
            // Its own name may end like this.
            Some(path) if !is_there => {
                let fate = if path.symlink_metadata().is_ok() { Fate::Replaced } else { Fate::Removed };
                Ok(Self { path, file, fate })
            }
            // In another mount namespace the path may lead elsewhere, or nowhere.
            _ => Ok(Self { file: if is_there { path.clone() } else { file }, path, fate: Fate::Kept }),
        }
    }

    /// What the user should know of it, if anything.
    pub fn remark(&self) -> Option<String> {
        let path = self.path.display();
        match self.fate {
            Fate::Kept => None,
            Fate::Replaced => Some(format!(
                "the server's executable has been replaced since it began: what runs is traced, not the newer file at {path}"
            )),
            Fate::Removed => {
                Some(format!("the server's executable is no longer at {path}: what runs is traced all the same"))
            }
        }
    }
}

/// Whether two paths lead to one file.
fn is_same(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| path.metadata().map(|metadata| (metadata.dev(), metadata.ino()));
    matches!((identity(one), identity(other)), (Ok(one), Ok(other)) if one == other)
}

/// The path that a file had before it lost it, if the kernel says so of it, or its own name ends like that.
pub fn unmarked(path: &Path) -> Option<PathBuf> {
    path.as_os_str().as_bytes().strip_suffix(MARK).map(|path| OsStr::from_bytes(path).into())
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    /// A process that executes a copy of `sleep` of this name, once it does.
    fn started(folder: &Path, name: &str) -> (Child, PathBuf) {
        let path = folder.join(name);
        // Another thread that starts a process may hold a file that is written by us open for a moment: so cp writes it.
        assert!(Command::new("cp").arg("/bin/sleep").arg(&path).status().expect("cp").success());
        let child = Command::new(&path).arg("100").spawn().expect("it is executable");
        (child, path)
    }

    fn ended(mut child: Child) {
        child.kill().expect("a child");
        child.wait().expect("a child");
    }

    #[test]
    fn the_file_that_runs_is_found_whatever_becomes_of_its_path() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path().canonicalize().expect("it is there");
        for name in ["server", "server (deleted)"] {
            let (child, path) = started(&folder, name);
            let pid = child.id();
            let exe = PathBuf::from(format!("/proc/{pid}/exe"));
            let executable = || RunningExecutable::of_process(pid).expect("it runs");
            let kept = RunningExecutable { path: path.clone(), file: path.clone(), fate: Fate::Kept };
            assert_eq!((executable(), executable().remark()), (kept, None));
            let original = std::fs::read(&path).expect("it is readable");
            std::fs::remove_file(&path).expect("it is ours");
            assert_eq!(executable(), RunningExecutable { path: path.clone(), file: exe.clone(), fate: Fate::Removed });
            std::fs::write(folder.join("newer"), "newer").expect("room");
            std::fs::rename(folder.join("newer"), &path).expect("the same folder");
            assert_eq!(executable(), RunningExecutable { path: path.clone(), file: exe.clone(), fate: Fate::Replaced });
            assert!(executable().remark().is_some_and(|remark| remark.ends_with(&*path.to_string_lossy())));
            assert_eq!(std::fs::read(executable().file).expect("it is readable"), original);
            ended(child);
            std::fs::remove_file(&path).expect("it is ours");
        }
    }

    #[test]
    fn a_file_that_was_renamed_has_its_new_path() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path().canonicalize().expect("it is there");
        let (child, path) = started(&folder, "server");
        let renamed = folder.join("old");
        std::fs::rename(&path, &renamed).expect("the same folder");
        let executable = RunningExecutable::of_process(child.id()).expect("it runs");
        assert_eq!(executable, RunningExecutable { path: renamed.clone(), file: renamed, fate: Fate::Kept });
        ended(child);
        assert!(RunningExecutable::of_process(u32::MAX).is_err());
    }
}
