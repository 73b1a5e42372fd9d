//! What the helper makes of its own process before it serves, and where that is.

use std::io;
use std::os::linux::fs::MetadataExt;

use nix::sys::signal::{SigHandler, Signal, signal};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The open files that suffice to trace.
const FILES: u64 = 4096;

/// The kernel takes its time to verify the programs, during which nobody looks at stdin.
pub(super) fn end_with_parent() {
    // Under sudo the parent is sudo, and stdin is all there is.
    let _ = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL);
}

/// Whoever sends a signal to all of the name, or of a control group, means the server and its tracer; the records of its
/// last moments are still to come, and the end of stdin is what ends us.
pub(super) fn ignore_signals() {
    const OTHERS: [Signal; 14] = [
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGTERM,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGALRM,
        Signal::SIGVTALRM,
        Signal::SIGPROF,
        Signal::SIGIO,
        Signal::SIGPWR,
        Signal::SIGTSTP,
        Signal::SIGTTIN,
        Signal::SIGTTOU,
    ];
    for ignored in OTHERS {
        // SAFETY: no handler of ours is installed.
        let _ = unsafe { signal(ignored, SigHandler::SigIgn) };
    }
}

/// Raises the limits under which it would load and attach too little.
pub(super) fn raise_limits() {
    raise_memory_limit();
    raise_file_limit();
}

/// Before Linux 5.11, BPF maps count as locked memory, and most users may lock only little.
fn raise_memory_limit() {
    let Rlimit { current: _, maximum } = getrlimit(Resource::Memlock);
    for raised in [None, maximum] {
        if setrlimit(Resource::Memlock, Rlimit { current: raised, maximum: raised }).is_ok() {
            return;
        }
    }
}

/// Each map, program and probe is an open file, and the limit is the user's.
fn raise_file_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let enough = maximum.map(|maximum| maximum.max(FILES));
    for maximum in [enough, maximum] {
        // To raise the hard limit as well is a privilege.
        if current.is_none() || setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok() {
            return;
        }
    }
}

/// Device, in the kernel's own encoding, and inode of our PID namespace.
pub(super) fn pid_namespace() -> io::Result<(u64, u64)> {
    let metadata = std::fs::metadata("/proc/self/ns/pid")?;
    let device = metadata.st_dev();
    // The kernel's dev_t has 20 bits for the minor number (include/linux/kdev_t.h).
    let kernel = u64::from(rustix::fs::major(device)) << 20 | u64::from(rustix::fs::minor(device));
    Ok((kernel, metadata.st_ino()))
}
