//! `cargo-beyla __probe`: the only part that runs with privilege.
//!
//! It takes a process id and nothing else, writes raw records to stdout, and ends with the traced
//! process, or when its stdin closes, which it does when the parent ends in whatever way.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::linux::fs::MetadataExt;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use cargo_beyla_events::{Header, Lost, kind};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigHandler, Signal, signal};
use zerocopy::IntoBytes;

use super::programs::{Programs, ProgramsError};
use super::records::{Records, message};
use crate::cli::ProbeArguments;
use crate::error::UNSUPPORTED;

/// How long records may wait while there is traffic, and while there is none.
const BUSY: Duration = Duration::from_millis(10);
const IDLE: Duration = Duration::from_millis(50);
/// Between the first listening socket and the end of capture by system calls, where TCP does not need
/// it: a server that also listens on a Unix socket does so by then.
const LISTENING_SETTLES: Duration = Duration::from_millis(200);
/// How often the counts of lost records are looked at.
const COUNT_EVERY: Duration = Duration::from_secs(1);

/// Why the helper gave up.
#[derive(Debug, thiserror::Error)]
enum HelperError {
    #[error("process {pid} belongs to another user (uid {owner}), and only your own may be traced")]
    NotYours { pid: u32, owner: u32 },
    #[error("there is no process {pid}: {source}")]
    NoProcess { pid: u32, source: io::Error },
    #[error(transparent)]
    Programs(#[from] ProgramsError),
    #[error("{0}")]
    System(#[from] io::Error),
}

/// Runs the helper to its end.
pub fn run(arguments: &ProbeArguments) -> ExitCode {
    ignore_terminal_signals();
    match trace(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The parent shows it; if it is gone, nobody is left to tell.
            let mut output = io::stdout();
            let _ = output.write_all(&message(kind::FAILED, &error.to_string())).and_then(|()| output.flush());
            ExitCode::from(UNSUPPORTED)
        }
    }
}

/// ^C is for the server; the records of its last moments are still to come.
fn ignore_terminal_signals() {
    for ignored in [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGHUP] {
        // SAFETY: no handler of ours is installed.
        let _ = unsafe { signal(ignored, SigHandler::SigIgn) };
    }
}

fn trace(arguments: &ProbeArguments) -> Result<(), HelperError> {
    let pid = arguments.pid;
    let no_process = |source: io::Error| HelperError::NoProcess { pid, source };
    let process = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw)
        .ok_or_else(|| no_process(io::ErrorKind::NotFound.into()))?;
    let process = rustix::process::pidfd_open(process, rustix::process::PidfdFlags::empty())
        .map_err(|errno| no_process(errno.into()))?;
    check_owner(pid)?;

    let mut programs = Programs::attach(arguments.capture, pid_namespace()?, pid)?;
    let ring = programs.take_ring_buffer()?;
    // `io::stdout()` would hold back what does not end with a line feed.
    let output = std::fs::File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let mut records = Records::new(ring, output);
    let way = if programs.uses_socket_tracepoints() { "socket" } else { "syscalls" };
    records.write(&message(kind::READY, way))?;

    let mut listening_since: Option<Instant> = None;
    let mut counted = Instant::now();
    let mut wait = IDLE;
    loop {
        let stdin = io::stdin();
        let mut waited_for = [
            PollFd::new(stdin.as_fd(), PollFlags::POLLIN),
            PollFd::new(process.as_fd(), PollFlags::POLLIN),
            PollFd::new(records.ring().as_fd(), PollFlags::POLLIN),
        ];
        let timeout = PollTimeout::try_from(wait).unwrap_or(PollTimeout::ZERO);
        match poll(&mut waited_for, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(io::Error::from(errno).into()),
        }
        let over = waited_for[..2].iter().any(|fd| fd.revents().is_some_and(|events| !events.is_empty()));

        let noticed = records.pass_on()?;
        wait = if noticed.records > 0 { BUSY } else { IDLE };
        if noticed.executed {
            // Its program may be set-uid.
            check_owner(pid)?;
        }
        if noticed.listening_unix {
            listening_since = None;
            programs.set_system_calls(true)?;
        } else if noticed.listening.is_some() {
            listening_since = Some(Instant::now());
        }
        if programs.uses_socket_tracepoints()
            && listening_since.is_some_and(|since| since.elapsed() >= LISTENING_SETTLES)
        {
            listening_since = None;
            programs.set_system_calls(false)?;
        }
        if over || counted.elapsed() >= COUNT_EVERY {
            counted = Instant::now();
            records.write(lost(&programs).as_bytes())?;
        }
        if over {
            return Ok(());
        }
    }
}

fn lost(programs: &Programs) -> Lost {
    let (records, connections) = programs.lost().unwrap_or_default();
    Lost {
        header: Header {
            kind: kind::LOST,
            size: size_of::<Lost>() as u32,
            ..Header::default()
        },
        records,
        connections,
        skipped: programs.skipped(),
    }
}

/// Refuses a process that does not belong to the user who asked.
fn check_owner(pid: u32) -> Result<(), HelperError> {
    let asker = super::privilege::invoking_uid();
    let status = match procfs::process::Process::new(pid as i32).and_then(|process| process.status()) {
        Ok(status) => status,
        Err(source) => {
            return Err(HelperError::NoProcess { pid, source: io::Error::other(source) });
        }
    };
    match [status.ruid, status.euid, status.suid].into_iter().find(|uid| asker != 0 && *uid != asker) {
        Some(owner) => Err(HelperError::NotYours { pid, owner }),
        None => Ok(()),
    }
}

/// Device, in the kernel's own encoding, and inode of our PID namespace.
fn pid_namespace() -> io::Result<(u64, u64)> {
    let metadata = std::fs::metadata("/proc/self/ns/pid")?;
    let device = metadata.st_dev();
    // The kernel's dev_t has 20 bits for the minor number (include/linux/kdev_t.h).
    let kernel = u64::from(rustix::fs::major(device)) << 20 | u64::from(rustix::fs::minor(device));
    Ok((kernel, metadata.st_ino()))
}
