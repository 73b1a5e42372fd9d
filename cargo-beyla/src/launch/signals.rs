//! Signals as events that can be waited for, and whether each has reached the server too.
//!
//! Under `cargo run` there is one process, since cargo becomes the server: a signal to it reaches the server once. Here
//! the server is a process of its own beside us, usually in the same process group. A signal to the whole group, as the
//! terminal sends it, reaches the server too; a signal to our process alone must be passed on. The kernel does not say
//! which of the two it was. A [`Guard`] finds out: it is in our group and receives what the group receives.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;

use super::guard::Guard;
use super::process_tree::{Grouping, ProcessTree};
use super::received::{ENDING, Received, STOPPING};
use super::terminal;
use crate::error::Error;

/// The signals that are never blocked: the first two cannot be, and the others report faults of our own.
const FAULTS: [Signal; 8] = [
    Signal::SIGKILL,
    Signal::SIGSTOP,
    Signal::SIGSEGV,
    Signal::SIGBUS,
    Signal::SIGFPE,
    Signal::SIGILL,
    Signal::SIGTRAP,
    Signal::SIGSYS,
];

/// A signal that is sent to a group comes to all of its processes within microseconds of each other.
const GROUP_SETTLES: Duration = Duration::from_millis(1);

/// All signals of this process but those of its own faults, no longer delivered otherwise.
#[derive(Debug)]
pub struct Signals {
    fd: SignalFd,
    guard: Option<Arc<Guard>>,
    /// Whether a hangup ends us: there was a terminal, and the hangup is not ignored (nohup).
    hangup_ends: bool,
}

impl Signals {
    /// Blocks the signals and opens the descriptor. Threads that begin later inherit that; there must be none yet.
    pub fn open() -> io::Result<Self> {
        let set = all();
        let before = set.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        BEFORE.get_or_init(|| before);
        let fd = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        Ok(Self { fd, guard: None, hangup_ends: terminal::is_there() && !is_ignored(Signal::SIGHUP) })
    }

    /// The same with a guard in our process group.
    pub fn guarded() -> Result<Self, Error> {
        let failed = |source| Error::System { what: "opening a signal descriptor", source };
        let mut signals = Self::open().map_err(failed)?;
        // It inherits that the signals are blocked: nothing that is sent to the group ends it.
        signals.guard = Some(Arc::new(Guard::start().map_err(failed)?));
        Ok(signals)
    }

    /// The guard, if there is one.
    pub fn guard(&self) -> Option<&Arc<Guard>> {
        self.guard.as_ref()
    }

    /// Makes the guard kill a child, with all that it has started, if we end before [`Self::forget`].
    pub fn watch(&self, child: Pid) {
        if let Some(guard) = &self.guard {
            guard.watch(ProcessTree { root: child, grouping: Grouping::Descendants });
        }
    }

    /// The child has ended.
    pub fn forget(&self, child: Pid) {
        if let Some(guard) = &self.guard {
            guard.forget(child);
        }
    }

    /// The next signal, if one has come.
    pub fn next(&self) -> io::Result<Option<Received>> {
        while let Some(info) = self.fd.read_signal()? {
            let signal = info.ssi_signo as i32;
            // A write of ours found no reader, and has returned an error for it.
            if info.ssi_pid == std::process::id() && signal == Signal::SIGPIPE as i32 {
                continue;
            }
            // The terminal's driver sends in the kernel's name, and to whole groups.
            let by_kernel = info.ssi_code == libc::SI_KERNEL;
            let child = signal == Signal::SIGCHLD as i32;
            return Ok(Some(Received {
                signal,
                reached_group: !child && (by_kernel || self.reached_group(signal, info.ssi_pid)),
                is_hangup: signal == Signal::SIGHUP as i32 && self.hangup_ends && !terminal::is_there(),
                sender: i32::try_from(info.ssi_pid).ok().filter(|pid| *pid > 0 && !by_kernel).map(Pid::from_raw),
                by_kernel,
                value: (info.ssi_code == libc::SI_QUEUE).then_some(info.ssi_ptr as usize),
            }));
        }
        Ok(None)
    }

    fn reached_group(&self, signal: i32, sender: u32) -> bool {
        let Some(guard) = &self.guard else { return false };
        std::thread::sleep(GROUP_SETTLES);
        guard.was_sent(signal, sender)
    }

    /// Whether a signal has come that asks for an end. If one asks to stop, this process stops.
    pub fn ask_for_end(&self) -> bool {
        let mut asked = false;
        while let Ok(Some(received)) = self.next() {
            asked |= received.asks_for_end() || received.is_hangup;
            if received.asks_to_stop() {
                stop_by(received.signal);
            }
        }
        asked
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Signals {
    /// Signals that stop a process do so again, as nobody reads them any more. The others stay blocked, so that the rest
    /// of our work is not interrupted.
    fn drop(&mut self) {
        let _ = STOPPING.into_iter().collect::<SigSet>().thread_unblock();
    }
}

/// Whether whoever started us has children's ends ignored.
static CHILDREN_IGNORED: AtomicBool = AtomicBool::new(false);

/// Has the kernel keep how our children end until we ask, whatever whoever started us wanted.
pub fn heed_children() {
    if is_ignored(Signal::SIGCHLD) {
        CHILDREN_IGNORED.store(true, Ordering::Relaxed);
        set_children(libc::SIG_DFL);
    }
}

/// Undoes [`heed_children`], for a program that is to start as we did.
pub(super) fn restore_children() {
    if CHILDREN_IGNORED.load(Ordering::Relaxed) {
        set_children(libc::SIG_IGN);
    }
}

fn set_children(action: libc::sighandler_t) {
    // SAFETY: neither action is a handler.
    unsafe { libc::signal(libc::SIGCHLD, action) };
}

/// Has signals as they were at our start, for a program that takes our place.
/// Whether signals that ask for an end may wait for somebody to read them: [`Signals::open`] was called.
pub fn are_blocked() -> bool {
    BEFORE.get().is_some()
}

/// Blocks what was blocked at our start and nothing else, for a program that takes our place.
pub fn restore_mask() -> io::Result<()> {
    restore_children();
    Ok(inherited_mask()?.thread_set_mask()?)
}

/// The signals that were blocked before [`Signals::open`].
static BEFORE: OnceLock<SigSet> = OnceLock::new();

/// The mask that this process was started with.
pub fn inherited_mask() -> io::Result<SigSet> {
    BEFORE.get().map_or_else(|| Ok(SigSet::thread_get_mask()?), |before| Ok(*before))
}

/// Lets the signals that ask for an end do what they do to any process: once the server has ended and the report is
/// written, nothing has to be put in order first.
pub fn deliver() -> io::Result<()> {
    let set: SigSet = ENDING.into_iter().chain([Signal::SIGHUP]).collect();
    Ok(set.thread_unblock()?)
}

/// Stops this process by `signal`, and returns when it is continued. Returns whether it was stopped at all: the kernel
/// does not stop a process whose group nobody could continue.
pub fn stop_by(signal: i32) -> bool {
    let Ok(signal) = Signal::try_from(signal) else { return false };
    let set = SigSet::from(signal);
    if set.thread_unblock().is_err() {
        return false;
    }
    // Delivered before this returns: no other thread takes it.
    let _ = nix::sys::signal::kill(Pid::this(), signal);
    // It can't fail: it has just gone well.
    let _ = set.thread_block();
    is_pending(Signal::SIGCONT)
}

fn is_pending(signal: Signal) -> bool {
    let mut set = SigSet::empty();
    // SAFETY: the set is one of this function's own, as long as the C library wants it.
    unsafe {
        let raw: *mut libc::sigset_t = std::ptr::from_mut(&mut set).cast();
        libc::sigpending(raw);
        libc::sigismember(raw, signal as i32) == 1
    }
}

fn is_ignored(signal: Signal) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: nothing is set, and what was is written into a structure of this function's own.
    unsafe {
        libc::sigaction(signal as i32, std::ptr::null(), action.as_mut_ptr()) == 0
            && action.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

/// Ends this process by a signal that has ended another in its place, so that whoever waits for it sees the same.
/// Returns if the signal does not end a process.
pub fn end_by(signal: i32) {
    // If there is a core dump, the other process has written it.
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

/// The signals that [`Signals`] blocks.
pub(super) fn all() -> SigSet {
    let mut set = SigSet::all();
    for signal in FAULTS {
        set.remove(signal);
    }
    set
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::raise;

    use super::*;

    /// One test: what is blocked is the thread's, and the descriptor the process's.
    #[test]
    fn all_that_is_not_a_fault_of_ours_is_read() {
        let signals = Signals::open().unwrap();
        let received = || signals.next().unwrap().map(|received| received.signal);
        while received().is_some() {}
        let real_time = libc::SIGRTMIN() + 3;
        // SAFETY: a number of a signal that is blocked.
        unsafe { libc::raise(real_time) };
        for signal in [Signal::SIGUSR1, Signal::SIGHUP, Signal::SIGALRM, Signal::SIGWINCH, Signal::SIGTERM] {
            raise(signal).unwrap();
        }
        let mut all: Vec<i32> = std::iter::from_fn(received).collect();
        all.sort_unstable();
        assert_eq!(all, [libc::SIGHUP, libc::SIGUSR1, libc::SIGALRM, libc::SIGTERM, libc::SIGWINCH, real_time]);
        raise(Signal::SIGPIPE).unwrap();
        raise(Signal::SIGCHLD).unwrap();
        raise(Signal::SIGUSR2).unwrap();
        assert!(!signals.ask_for_end());
        raise(Signal::SIGINT).unwrap();
        assert!(signals.ask_for_end());
        assert!(!signals.ask_for_end());
        let mask = SigSet::thread_get_mask().unwrap();
        assert!(mask.contains(Signal::SIGTSTP) && !mask.contains(Signal::SIGSEGV));
        drop(signals);
        let mask = SigSet::thread_get_mask().unwrap();
        assert!(mask.contains(Signal::SIGUSR1) && !mask.contains(Signal::SIGTSTP));
        SigSet::empty().thread_set_mask().unwrap();
    }
}
