//! A start without a fork of ours.
//!
//! The child of a fork must copy the tables of all our memory, which takes longer than many a test. `posix_spawn` does
//! not; unlike [`Command`], which uses it too, we can have it start a process with no signal blocked, though we block
//! them all. The price is that nothing else can be arranged between the two: for another user it takes a fork.

use std::ffi::{CString, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::unistd::Pid;

use super::suspended::{c_string, environment_block};
use super::user::InvokingUser;

/// A program to start, with nothing to read on its standard input.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spawn<'a> {
    /// The path of the executable.
    pub(super) program: &'a Path,
    /// Its arguments, without its name.
    pub(super) arguments: &'a [OsString],
    /// What is added to our environment, or changed in it.
    pub(super) environment: &'a [(OsString, OsString)],
    /// Where it runs.
    pub(super) folder: &'a Path,
    /// Its standard output.
    pub(super) stdout: BorrowedFd<'a>,
    /// Its standard error.
    pub(super) stderr: BorrowedFd<'a>,
    /// Whether it leads a process group of its own.
    pub(super) own_group: bool,
    /// Whose process it is.
    pub(super) user: Option<&'a InvokingUser>,
}

impl Spawn<'_> {
    /// Starts it. It must be waited for.
    pub(super) fn start(&self) -> io::Result<Pid> {
        match self.user {
            None => self.spawn(),
            Some(user) => self.fork(user),
        }
    }

    fn spawn(&self) -> io::Result<Pid> {
        let program = c_string(self.program.as_os_str())?;
        let folder = c_string(self.folder.as_os_str())?;
        let arguments: Vec<CString> = std::iter::once(self.program.as_os_str())
            .chain(self.arguments.iter().map(OsString::as_os_str))
            .map(c_string)
            .collect::<io::Result<_>>()?;
        let environment = environment_block(self.environment, None)?;
        let pointers = |texts: &[CString]| -> Vec<*mut libc::c_char> {
            texts.iter().map(|text| text.as_ptr().cast_mut()).chain([std::ptr::null_mut()]).collect()
        };
        let (argv, envp) = (pointers(&arguments), pointers(&environment));
        let attributes = Attributes::new(self.own_group)?;
        let actions = Actions::new(&folder, self.stdout, self.stderr)?;
        let mut pid = 0;
        // SAFETY: all texts and both arrays end in null and outlive the call, which returns once the program is
        // executed; attributes and actions were made by their own functions.
        let failed = unsafe {
            libc::posix_spawn(
                &raw mut pid,
                program.as_ptr(),
                &raw const actions.0,
                &raw const attributes.0,
                argv.as_ptr(),
                envp.as_ptr(),
            )
        };
        check(failed)?;
        Ok(Pid::from_raw(pid))
    }

    fn fork(&self, user: &InvokingUser) -> io::Result<Pid> {
        let stdio = |fd: BorrowedFd<'_>| fd.try_clone_to_owned().map(Stdio::from);
        let mut command = Command::new(self.program);
        command.args(self.arguments).current_dir(self.folder).stdin(Stdio::null());
        command.stdout(stdio(self.stdout)?).stderr(stdio(self.stderr)?);
        if self.own_group {
            command.process_group(0);
        }
        user.apply(&mut command);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        // SAFETY: a system call.
        unsafe { command.pre_exec(|| Ok(sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?)) };
        Ok(Pid::from_raw(command.spawn()?.id() as i32))
    }
}

/// Of those functions that return an error's number.
fn check(failed: libc::c_int) -> io::Result<()> {
    if failed == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(failed)) }
}

/// No signal blocked, and SIGPIPE, which Rust's runtime ignores, as it is by default.
struct Attributes(libc::posix_spawnattr_t);

impl Attributes {
    fn new(own_group: bool) -> io::Result<Self> {
        let mut attributes = MaybeUninit::uninit();
        let (empty, default) = (SigSet::empty(), SigSet::from(Signal::SIGPIPE));
        // SAFETY: the first call makes what the others change; the sets outlive the calls.
        unsafe {
            check(libc::posix_spawnattr_init(attributes.as_mut_ptr()))?;
            let mut attributes = Self(attributes.assume_init());
            let mut flags = libc::POSIX_SPAWN_SETSIGMASK | libc::POSIX_SPAWN_SETSIGDEF;
            check(libc::posix_spawnattr_setsigmask(&raw mut attributes.0, empty.as_ref()))?;
            check(libc::posix_spawnattr_setsigdefault(&raw mut attributes.0, default.as_ref()))?;
            if own_group {
                flags |= libc::POSIX_SPAWN_SETPGROUP;
                check(libc::posix_spawnattr_setpgroup(&raw mut attributes.0, 0))?;
            }
            check(libc::posix_spawnattr_setflags(&raw mut attributes.0, flags as libc::c_short))?;
            Ok(attributes)
        }
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: it was made by its own function.
        unsafe { libc::posix_spawnattr_destroy(&raw mut self.0) };
    }
}

/// The folder and the standard streams.
struct Actions(libc::posix_spawn_file_actions_t);

impl Actions {
    fn new(folder: &CString, stdout: BorrowedFd<'_>, stderr: BorrowedFd<'_>) -> io::Result<Self> {
        let mut actions = MaybeUninit::uninit();
        // SAFETY: the first call makes what the others change; these copy the texts, and the descriptors are open.
        unsafe {
            check(libc::posix_spawn_file_actions_init(actions.as_mut_ptr()))?;
            let mut actions = Self(actions.assume_init());
            let these = &raw mut actions.0;
            check(libc::posix_spawn_file_actions_addchdir_np(these, folder.as_ptr()))?;
            check(libc::posix_spawn_file_actions_addopen(these, 0, c"/dev/null".as_ptr(), libc::O_RDONLY, 0))?;
            check(libc::posix_spawn_file_actions_adddup2(these, stdout.as_raw_fd(), 1))?;
            check(libc::posix_spawn_file_actions_adddup2(these, stderr.as_raw_fd(), 2))?;
            Ok(actions)
        }
    }
}

impl Drop for Actions {
    fn drop(&mut self) {
        // SAFETY: it was made by its own function.
        unsafe { libc::posix_spawn_file_actions_destroy(&raw mut self.0) };
    }
}
