//! The installed helper: a program of its own, the only one with file capabilities.
//!
//! It lies where root alone can write, is named by version, and whoever may execute it has probes without sudo. What
//! it accepts is as little as through sudo: processes of the user who started it, as the kernel knows that user.

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, Gid, Group, access};
use rustix::fs::{StatVfsMountFlags, XattrFlags, fsetxattr, getxattr, statvfs};

use super::VERSION;
use super::requirements::facts::Capabilities;

/// The command that installs it.
pub const SETUP: &str = "cargo beyla doctor --setup";
/// The command that takes it away.
pub const UNDO: &str = "cargo beyla doctor --undo";

/// What it is called where cargo builds and installs it, beside `cargo-beyla`.
pub const PROGRAM: &str = "beyla-probe";
/// Where it is installed.
pub const FOLDER: &str = "/usr/local/libexec/cargo-beyla";

/// Owner all, group read and execute, others nothing.
const MODE: u32 = 0o750;
/// Group and others may write.
const WRITABLE: u32 = 0o022;

/// Where the kernel looks for a file's capabilities (`XATTR_NAME_CAPS`).
const ATTRIBUTE: &str = "security.capability";
/// `VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE` of `<linux/capability.h>`.
const REVISION: u32 = 0x0200_0001;

/// What was found of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Installed {
    /// Nothing.
    Absent,
    /// It can be used.
    Ready(PathBuf),
    /// Something is there that is of no use.
    Unusable {
        /// What is wrong with it.
        found: String,
        /// The line that mends it.
        cure: String,
    },
}

impl Installed {
    /// Looks for the one of our own version.
    pub fn look() -> Self {
        Self::look_in(Path::new(FOLDER), 0)
    }

    /// `owner` is the user who must own it.
    fn look_in(folder: &Path, owner: u32) -> Self {
        let path = folder.join(file_name(VERSION));
        let unusable = |what: &str| Self::Unusable {
            found: format!("{} is not used: {what}", path.display()),
            cure: SETUP.to_owned(),
        };
        let metadata = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return match others(folder).first() {
                    Some(other) => Self::Unusable {
                        found: format!(
                            "the installed helper, {}, is of another version than this {VERSION}",
                            other.display()
                        ),
                        cure: SETUP.to_owned(),
                    },
                    None => Self::Absent,
                };
            }
            Err(error) => return unusable(&error.to_string()),
        };
        if !metadata.is_file() || metadata.uid() != owner || metadata.mode() & WRITABLE != 0 {
            return unusable("it is no file that root alone can write");
        }
        if !capabilities(&path).suffice() {
            return unusable("it does not have its capabilities, which a copy or a change of the file loses");
        }
        if statvfs(&path).is_ok_and(|system| system.f_flag.contains(StatVfsMountFlags::NOSUID)) {
            return Self::Unusable {
                found: format!("{} is not used: its file system is mounted nosuid", path.display()),
                cure: format!("mount -o remount,suid what holds {}", folder.display()),
            };
        }
        if access(&path, AccessFlags::X_OK).is_err() {
            let group = name_of(Gid::from_raw(metadata.gid()));
            return Self::Unusable {
                found: format!("{} is not used: it is for the group {group}", path.display()),
                cure: format!("sudo usermod -aG {group} \"$USER\", and log in anew"),
            };
        }
        Self::Ready(path)
    }
}

/// The group that may execute what is installed.
pub fn group() -> Option<Gid> {
    let metadata = fs::symlink_metadata(Path::new(FOLDER).join(file_name(VERSION))).ok()?;
    Some(Gid::from_raw(metadata.gid()))
}

/// Copies the program `from` to where it is looked for, for `group`, with its capabilities; returns where that is.
///
/// Until it is complete nobody can execute it, and what was there before goes on to be found.
///
/// # Errors
/// If this process may not, or something else than a folder of root's is in its place.
pub fn install(from: &Path, group: Gid) -> io::Result<PathBuf> {
    let folder = Path::new(FOLDER);
    make_folder(folder)?;
    let path = folder.join(file_name(VERSION));
    let new = folder.join(format!(".{}.new", std::process::id()));
    let result = copy(from, &new, group).and_then(|()| fs::rename(&new, &path));
    if result.is_err() {
        // Without capabilities and closed to others, it is no more than litter.
        let _ = fs::remove_file(&new);
    }
    result?;
    // The fewer programs with capabilities lie about the better.
    for other in others(folder) {
        fs::remove_file(other)?;
    }
    Ok(path)
}

/// Takes away whatever of it is there; returns what that was.
///
/// # Errors
/// If this process may not.
pub fn remove() -> io::Result<Vec<PathBuf>> {
    let folder = Path::new(FOLDER);
    let mut found = others(folder);
    let own = folder.join(file_name(VERSION));
    if own.symlink_metadata().is_ok() {
        found.push(own);
    }
    for path in &found {
        fs::remove_file(path)?;
    }
    match fs::remove_dir(folder) {
        // What else is in it is not ours.
        Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty) => Err(error),
        _ => Ok(found),
    }
}

fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    if let Some(parent) = folder.parent() {
        builder.recursive(true).mode(0o755).create(parent)?;
    }
    match builder.recursive(false).create(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    // Somebody else may have been there first.
    let metadata = fs::symlink_metadata(folder)?;
    if !metadata.is_dir() || metadata.uid() != 0 || metadata.mode() & WRITABLE != 0 {
        return Err(io::Error::new(ErrorKind::PermissionDenied, "it is no folder that root alone can write"));
    }
    // The umask may have closed it to those who are to find the helper.
    fs::set_permissions(folder, Permissions::from_mode(0o755))
}

fn copy(from: &Path, to: &Path, group: Gid) -> io::Result<()> {
    let mut source = File::open(from)?;
    let mut target = File::options().write(true).create_new(true).mode(0o600).open(to)?;
    io::copy(&mut source, &mut target)?;
    // A change of the owner takes capabilities away, so they come last.
    fchown(&target, Some(0), Some(group.as_raw()))?;
    target.set_permissions(Permissions::from_mode(MODE))?;
    fsetxattr(&target, ATTRIBUTE, &attribute(), XattrFlags::empty())?;
    target.sync_all()
}

/// The two capabilities, permitted and effective, as `struct vfs_cap_data` has them.
fn attribute() -> [u8; 20] {
    // Both have numbers from 32 on: they stand in the second pair of permitted and inheritable ones.
    let permitted = 1 << (Capabilities::BPF - 32) | 1 << (Capabilities::PERFMON - 32);
    let words: [u32; 5] = [REVISION, 0, 0, permitted, 0];
    let mut bytes = [0; 20];
    for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

/// Those that a file gives to whoever executes it.
fn capabilities(path: &Path) -> Capabilities {
    // Of revision 3, which names a user namespace as well, no more than the beginning is looked at.
    let mut bytes = [0; 24];
    let length = getxattr(path, ATTRIBUTE, &mut bytes[..]).unwrap_or(0);
    let word = |at: usize| {
        let bytes = bytes[..length].get(4 * at..4 * at + 4)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    };
    let effective = word(0).is_some_and(|revision| revision & 1 != 0);
    let has = |number: u32| effective && word(3).is_some_and(|permitted| permitted & 1 << (number - 32) != 0);
    Capabilities { bpf: has(Capabilities::BPF), perfmon: has(Capabilities::PERFMON), sys_admin: false }
}

fn file_name(version: &str) -> String {
    format!("{PROGRAM}-{version}")
}

/// The helpers of other versions.
fn others(folder: &Path) -> Vec<PathBuf> {
    let own = file_name(VERSION);
    let prefix = file_name("");
    let is_other = |name: &str| name.starts_with(&prefix) && name != own;
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let mut found: Vec<PathBuf> =
        entries.filter(|entry| entry.file_name().to_str().is_some_and(is_other)).map(|entry| entry.path()).collect();
    found.sort_unstable();
    found
}

/// The name of a group, or its number if it has none.
pub fn name_of(group: Gid) -> String {
    Group::from_gid(group).ok().flatten().map_or_else(|| group.to_string(), |group| group.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `Installed::look_in` says it, without the folder.
    fn look(folder: &Path, owner: u32) -> String {
        match Installed::look_in(folder, owner) {
            Installed::Absent => "absent".into(),
            Installed::Ready(_) => "ready".into(),
            Installed::Unusable { found, cure } => format!("{found}; {cure}").replace(&*folder.to_string_lossy(), ""),
        }
    }

    #[test]
    fn what_is_there_is_judged() {
        let folder = tempfile::tempdir().expect("a folder");
        let own = fs::metadata(folder.path()).expect("it is there").uid();
        assert_eq!(look(folder.path(), own), "absent");

        fs::write(folder.path().join("beyla-probe-0.0.0"), "old").expect("a file");
        let said = look(folder.path(), own);
        assert!(said.starts_with("the installed helper, /beyla-probe-0.0.0, is of another version"), "{said}");
        assert!(said.ends_with(SETUP), "{said}");

        let path = folder.path().join(file_name(VERSION));
        fs::write(&path, "new").expect("a file");
        fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("it is ours");
        assert!(look(folder.path(), own).contains("does not have its capabilities"));
        assert!(look(folder.path(), own + 1).contains("no file that root alone can write"));
        fs::set_permissions(&path, Permissions::from_mode(0o775)).expect("it is ours");
        assert!(look(folder.path(), own).contains("no file that root alone can write"));
    }

    #[test]
    fn the_attribute_is_what_setcap_writes() {
        // setcap cap_bpf,cap_perfmon+ep FILE; getfattr -e hex -n security.capability FILE
        let expected = [1, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(attribute(), expected);
    }
}
