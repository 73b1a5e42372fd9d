//! One file, pipe or stream that a report goes to.
//!
//! It may be a pipe: then whoever reads it sees its end as soon as we close it, so it is opened once, at the start.

use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, Write};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::patient_writer::PatientWriter;
use crate::console::status::Status;
use crate::error::Error;

/// How often we look whether a pipe has a reader.
const LOOK: Duration = Duration::from_millis(20);

/// For how long a recording waits for a reader that takes nothing.
const STALLED: Duration = Duration::from_secs(5);

/// A recording is for the user alone: requests carry credentials.
const PRIVATE: u32 = 0o600;

/// When we say that we wait for a reader.
const PATIENCE: Duration = Duration::from_millis(200);

/// Where a report goes.
#[derive(Debug)]
pub(crate) struct OutputFile {
    /// As the user has given it.
    path: PathBuf,
    place: Place,
    /// The device and the inode of a file or a pipe. Two outputs with the same ones would destroy each other.
    identity: Option<(u64, u64)>,
    made: Option<Made>,
}

/// A file that was made to see whether it can be. It goes when this does.
#[derive(Debug)]
struct Made(PathBuf);

impl Drop for Made {
    fn drop(&mut self) {
        // One that cannot be removed will be overwritten.
        let _ = fs::remove_file(&self.0);
    }
}

#[derive(Debug)]
enum Place {
    /// A regular file, which is opened when there is something to write.
    File,
    /// Anything else, which is open from the start.
    Open(File),
}

impl OutputFile {
    /// Checks that `path` can be written, and opens it unless it is a regular file: what is in that stays until there is
    /// something to write. One that was not there is, until [`Self::settle`]. `-` is stdout. Waits until somebody reads a named pipe, and says so; signals end that wait.
    pub(crate) fn open(path: &Path, status: Status) -> Result<Self, Error> {
        Self::try_open(path, status).map_err(|source| failed(path, source))
    }

    fn try_open(path: &Path, status: Status) -> io::Result<Self> {
        let keep = |file: File| {
            let identity = identity(&file.metadata()?);
            Ok(Self { path: path.to_owned(), place: Place::Open(file), identity, made: None })
        };
        if let Some(number) = descriptor(path) {
            return keep(duplicate(number)?);
        }
        match fs::metadata(path) {
            Ok(found) if !found.is_file() && !found.is_dir() => {
                let file =
                    if found.file_type().is_fifo() { open_pipe(path, status)? } else { write_only().open(path)? };
                keep(file)
            }
            found => {
                let file = File::options().append(true).create(true).open(path)?;
                let identity = identity(&file.metadata()?);
                // The path may be a link.
                let made = if found.is_err() { Some(Made(path.canonicalize()?)) } else { None };
                Ok(Self { path: path.to_owned(), place: Place::File, identity, made })
            }
        }
    }

    /// Ends the check: everything is as it was before.
    pub(crate) fn settle(&mut self) {
        self.made = None;
    }

    /// As the user knows it.
    pub(crate) fn name(&self) -> &Path {
        name(&self.path)
    }

    /// Whether it is stdout.
    pub(crate) fn is_stdout(&self) -> bool {
        is_stdout(&self.path)
    }

    /// Whether both lead to the same file or pipe.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        (self.is_stdout() && other.is_stdout()) || (self.identity.is_some() && self.identity == other.identity)
    }

    /// Whether this is the file at `path`.
    pub(crate) fn is_at(&self, path: &Path) -> bool {
        let other = fs::metadata(path).ok().and_then(|found| identity(&found));
        self.identity.is_some() && self.identity == other
    }

    /// Begins what is written bit by bit while the run goes on: a file that was there is emptied, and a regular file is
    /// for its owner alone. A reader that takes nothing for seconds ends it: the run must not wait any longer.
    pub(crate) fn begin_recording(&self) -> Result<PatientWriter, Error> {
        let file = self.begin(Some(PRIVATE)).map_err(|source| failed(&self.path, source))?;
        Ok(PatientWriter::new(file, Some(STALLED)))
    }

    fn begin(&self, mode: Option<u32>) -> io::Result<File> {
        let Place::Open(file) = &self.place else {
            let mut options = File::options();
            let file = options.write(true).create(true).truncate(true).mode(mode.unwrap_or(0o666)).open(&self.path)?;
            if let Some(mode) = mode {
                // A file that was there before has its old permissions.
                file.set_permissions(Permissions::from_mode(mode))?;
            }
            return Ok(file);
        };
        file.try_clone()
    }

    /// Writes all of a report.
    pub(crate) fn write(&self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Error> {
        let written = self.begin(None).and_then(|file| write(&mut PatientWriter::new(file, None)));
        written.map_err(|source| failed(&self.path, source))
    }

    /// Gives a regular file to a user and a group.
    pub(crate) fn hand_over(&self, (user, group): (u32, u32)) {
        if matches!(self.place, Place::File) {
            // If that fails, the file stays root's, which the user will see.
            let _ = std::os::unix::fs::chown(&self.path, Some(user), Some(group));
        }
    }
}

/// Opens a named pipe once it has a reader.
fn open_pipe(path: &Path, status: Status) -> io::Result<File> {
    let (began, mut said) = (Instant::now(), false);
    loop {
        match write_only().open(path) {
            // No reader (fifo(7)).
            Err(error) if error.raw_os_error() == Some(libc::ENXIO) => {
                if !said && began.elapsed() >= PATIENCE {
                    status.say("Waiting", format_args!("for somebody to read the pipe {}", path.display()));
                    said = true;
                }
                std::thread::sleep(LOOK);
            }
            opened => return opened,
        }
    }
}

/// No open waits for somebody at the other end, and a terminal does not become ours.
fn write_only() -> fs::OpenOptions {
    let mut options = File::options();
    options.write(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    options
}

fn is_stdout(path: &Path) -> bool {
    descriptor(path) == Some(libc::STDOUT_FILENO)
}

/// The descriptor of this process that a path names. To open its path again would fail on a socket, and lose a file's
/// position.
fn descriptor(path: &Path) -> Option<RawFd> {
    match path.to_str()? {
        "-" | "/dev/stdout" => Some(libc::STDOUT_FILENO),
        "/dev/stderr" => Some(libc::STDERR_FILENO),
        path => {
            let number = path.strip_prefix("/dev/fd/").or_else(|| path.strip_prefix("/proc/self/fd/"))?;
            number.bytes().all(|byte| byte.is_ascii_digit()).then(|| number.parse().ok())?
        }
    }
}

fn duplicate(number: RawFd) -> io::Result<File> {
    // SAFETY: the call takes any number, and fails where that is no open descriptor.
    let copy = Errno::result(unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 0) })?;
    // SAFETY: the descriptor was opened just now, and belongs to nobody else.
    let file = File::from(unsafe { OwnedFd::from_raw_fd(copy) });
    if access(&file)? == OFlag::O_RDONLY {
        return Err(io::Error::other("it is open for reading alone"));
    }
    if number == libc::STDOUT_FILENO && was_closed(&file)? {
        return Err(io::Error::other("it is closed, or leads nowhere"));
    }
    Ok(file)
}

fn access(file: &File) -> io::Result<OFlag> {
    Ok(OFlag::from_bits_truncate(fcntl(file, FcntlArg::F_GETFL)?) & OFlag::O_ACCMODE)
}

/// Whether this is what takes the place of a standard stream that was closed: the standard library, cargo's or ours,
/// opens `/dev/null` for reading and writing then. A redirection to `/dev/null` opens it for writing.
fn was_closed(file: &File) -> io::Result<bool> {
    let null = fs::metadata("/dev/null")?;
    let found = file.metadata()?;
    let is_null = found.file_type().is_char_device() && found.rdev() == null.rdev();
    Ok(is_null && access(file)? == OFlag::O_RDWR)
}

/// `None` of what several may write to: terminals, `/dev/null`.
fn identity(found: &Metadata) -> Option<(u64, u64)> {
    let is_one = found.is_file() || found.file_type().is_fifo() || found.file_type().is_socket();
    is_one.then(|| (found.dev(), found.ino()))
}

/// What messages call a path.
fn name(path: &Path) -> &Path {
    if is_stdout(path) { Path::new("stdout") } else { path }
}

fn failed(path: &Path, source: io::Error) -> Error {
    Error::File { verb: "write", path: name(path).to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::symlink;
    use std::thread;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;
    use crate::console::status::LogLevel;

    const STATUS: Status = Status { color: false, level: LogLevel::Error };

    fn open(path: &Path) -> Result<OutputFile, Error> {
        OutputFile::open(path, STATUS)
    }

    fn settled(path: &Path) -> OutputFile {
        let mut file = open(path).unwrap();
        file.settle();
        file
    }

    #[test]
    fn the_check_leaves_a_file_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let [new, old, link] = ["new", "old", "link"].map(|name| folder.path().join(name));
        fs::write(&old, "old").unwrap();
        symlink(folder.path().join("nowhere"), &link).unwrap();
        for path in [&new, &old, &link] {
            open(path).unwrap();
        }
        assert_eq!(fs::read_to_string(&old).unwrap(), "old");
        assert!(!new.exists() && !folder.path().join("nowhere").exists() && link.is_symlink());
        for path in [folder.path(), Path::new("/nowhere/file"), Path::new("/dev/fd/999")] {
            let error = open(path).unwrap_err().to_string();
            assert!(error.starts_with(&format!("could not write {}: ", path.display())), "{error}");
        }
        open(&old).unwrap().write(|file| file.write_all(b"new")).unwrap();
        assert_eq!(fs::read_to_string(&old).unwrap(), "new");
    }

    #[test]
    fn a_recording_is_readable_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.beyla");
        for _ in 0..2 {
            settled(&path).begin_recording().unwrap().write_all(b"secret").unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, PRIVATE);
            assert_eq!(fs::read_to_string(&path).unwrap(), "secret");
            fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        }
    }

    #[test]
    fn two_paths_to_one_file_are_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let [file, hard, soft, other] = ["file", "hard", "soft", "other"].map(|name| folder.path().join(name));
        symlink(&file, &soft).unwrap();
        // Also where nothing is there yet.
        let is_same = |a: &Path, b: &Path| {
            let (a, b) = (open(a).unwrap(), open(b).unwrap());
            a.is_same(&b)
        };
        assert!(is_same(&file, &file) && is_same(&file, &soft) && !is_same(&file, &other));
        fs::write(&file, "").unwrap();
        fs::hard_link(&file, &hard).unwrap();
        assert!(is_same(&file, &hard) && is_same(&hard, &soft) && !is_same(&file, &other));
        let null = Path::new("/dev/null");
        assert!(!is_same(null, null), "nothing is lost there");
        assert!(open(&file).unwrap().is_at(&soft) && !open(&file).unwrap().is_at(null));
    }

    #[test]
    fn a_pipe_is_opened_once_and_waits_for_its_reader() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        mkfifo(&path, Mode::S_IRWXU).unwrap();
        let reader = thread::spawn({
            let path = path.clone();
            move || {
                thread::sleep(Duration::from_millis(100));
                let mut read = String::new();
                // To the first end that it meets.
                File::open(path).unwrap().read_to_string(&mut read).unwrap();
                read
            }
        });
        let pipe = open(&path).unwrap();
        thread::sleep(Duration::from_millis(50));
        // More than a pipe holds.
        let report = "x".repeat(300_000);
        pipe.write(|file| file.write_all(report.as_bytes())).unwrap();
        drop(pipe);
        assert_eq!(reader.join().unwrap(), report);
    }

    #[test]
    fn full_devices_and_closed_streams_are_errors() {
        let full = open(Path::new("/dev/full")).unwrap();
        let error = full.write(|file| file.write_all(b"x")).unwrap_err().to_string();
        assert!(error.starts_with("could not write /dev/full: "), "{error}");
        let null = |read| File::options().read(read).write(true).open("/dev/null").unwrap();
        assert!(was_closed(&null(true)).unwrap() && !was_closed(&null(false)).unwrap());
        assert_eq!(name(Path::new("-")), Path::new("stdout"));
        assert_eq!(descriptor(Path::new("/dev/fd/63")), Some(63));
        assert_eq!(descriptor(Path::new("/dev/fd/../x")), None);
    }
}
