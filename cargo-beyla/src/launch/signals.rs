//! Signals as events that can be waited for.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, raise, sigaction};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// A signal that has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Which.
    pub signal: Signal,
    /// Whether a key of the terminal sent it, and so to every process in its foreground.
    pub from_terminal: bool,
}

/// Those that ask for an end.
const ENDING: [Signal; 4] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];

/// SIGINT, SIGTERM, SIGHUP, SIGQUIT and SIGCHLD of this process, no longer delivered otherwise.
#[derive(Debug)]
pub struct Signals {
    fd: SignalFd,
}

impl Signals {
    /// Blocks them and opens the descriptor.
    pub fn open() -> io::Result<Self> {
        let set = all();
        let before = set.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        BEFORE.get_or_init(|| before);
        Ok(Self { fd: SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)? })
    }

    /// The next signal, if one has come.
    pub fn next(&self) -> io::Result<Option<Received>> {
        let Some(info) = self.fd.read_signal()? else { return Ok(None) };
        let signal = Signal::try_from(info.ssi_signo as i32)?;
        // The terminal driver sends in the kernel's name.
        Ok(Some(Received { signal, from_terminal: info.ssi_code == libc::SI_KERNEL }))
    }

    /// Whether a signal has come that asks for an end.
    pub fn ask_for_end(&self) -> bool {
        std::iter::from_fn(|| self.next().ok().flatten()).any(|received| ENDING.contains(&received.signal))
    }
}

/// The signals that were blocked before [`Signals::open`].
static BEFORE: OnceLock<SigSet> = OnceLock::new();

/// The mask that this process was started with.
pub fn inherited_mask() -> io::Result<SigSet> {
    BEFORE.get().map_or_else(|| Ok(SigSet::thread_get_mask()?), |before| Ok(*before))
}

/// Has the signals that ask for an end do what they do to any process: where the server has ended and the
/// report is written, nothing is left to put in order first.
pub fn deliver() -> io::Result<()> {
    let set: SigSet = ENDING.into_iter().collect();
    Ok(set.thread_unblock()?)
}

/// Ends this process by a signal that has ended another in its place, so that whoever waits for it sees the same.
/// Returns if the signal does not end a process.
pub fn end_by(signal: i32) {
    // The core is the other's, if there is one.
    let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Core, none);
    // SAFETY: the default action is no handler, and the set is one of this function's own, which is made before it is
    // used. A number that is no signal's is refused by each of them.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), signal);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, set.as_ptr(), std::ptr::null_mut());
        libc::raise(signal);
    }
}

fn all() -> SigSet {
    ENDING.into_iter().chain([Signal::SIGCHLD]).collect()
}

/// Starts a process that has none of them blocked: it would inherit that.
///
/// To reset them in the child, between fork and exec, would take a whole fork, which is slow for a process as large
/// as ours; what [`std::process::Command`] does without one is fast. So they are let through in this thread for as
/// long as `spawn` takes. One that asks for an end and comes just then is kept, and is there to be read afterwards.
/// A SIGCHLD may be lost: whoever starts processes looks after those that he has once more when this has returned.
pub fn none_blocked<T>(spawn: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let blocked = SigSet::thread_get_mask()?;
    if !ENDING.into_iter().any(|signal| blocked.contains(signal)) {
        return spawn();
    }
    let keep = SigAction::new(SigHandler::Handler(keep), SaFlags::SA_RESTART, SigSet::empty());
    let mut before = Vec::with_capacity(ENDING.len());
    for signal in ENDING {
        // SAFETY: the handler does nothing but an atomic operation.
        before.push((signal, unsafe { sigaction(signal, &keep) }?));
    }
    all().thread_unblock()?;
    let spawned = spawn();
    blocked.thread_set_mask()?;
    for (signal, action) in before {
        // SAFETY: the action is the one that was there.
        unsafe { sigaction(signal, &action) }?;
    }
    let kept = KEPT.swap(0, Ordering::Relaxed);
    for signal in ENDING.into_iter().filter(|signal| kept & bit(*signal as i32) != 0) {
        // Blocked again, it waits for its reader.
        raise(signal)?;
    }
    spawned
}

/// The signals that came while none was blocked.
static KEPT: AtomicU32 = AtomicU32::new(0);

extern "C" fn keep(signal: libc::c_int) {
    KEPT.fetch_or(bit(signal), Ordering::Relaxed);
}

fn bit(signal: i32) -> u32 {
    1 << (signal as u32 % u32::BITS)
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn blocked_in_child() -> u64 {
        let output = none_blocked(|| Command::new("grep").args(["^SigBlk:", "/proc/self/status"]).output()).unwrap();
        let line = String::from_utf8(output.stdout).unwrap();
        u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap()
    }

    /// One test: the handlers are the process's.
    #[test]
    fn what_is_started_has_no_signal_blocked_and_none_that_asks_for_an_end_is_lost() {
        let signals = Signals::open().unwrap();
        assert_eq!(blocked_in_child(), 0);
        let received = || signals.next().unwrap().map(|received| received.signal);
        while received().is_some() {}
        none_blocked(|| Ok(raise(Signal::SIGTERM)?)).unwrap();
        assert_eq!(received(), Some(Signal::SIGTERM));
        assert_eq!(received(), None);
        raise(Signal::SIGCHLD).unwrap();
        assert!(!signals.ask_for_end());
        raise(Signal::SIGINT).unwrap();
        assert!(signals.ask_for_end());
        assert!(!signals.ask_for_end());
        assert!(SigSet::thread_get_mask().unwrap().contains(Signal::SIGINT));
        all().thread_unblock().unwrap();
        assert_eq!(blocked_in_child(), 0);
    }
}
