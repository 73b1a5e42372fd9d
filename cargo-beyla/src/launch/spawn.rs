//! A start without a fork of ours.
//!
//! A fork copies the page tables of all our memory, which takes longer than many tests do. `posix_spawn` does not.
//! [`Command`] uses it too, but cannot start a process with the signal mask that we were started with, as we block all
//! signals. `posix_spawn` cannot change the user, so for another user we fork.

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::Stdio;

use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::unistd::Pid;

use super::signals;
use super::user::InvokingUser;
use crate::workspace::program::Program;

/// A program to start, with nothing to read on its standard input.
#[derive(Clone, Debug)]
pub(super) struct Spawn<'a> {
    /// What is started.
    pub(super) program: &'a Program,
    /// What follows its own arguments.
    pub(super) arguments: &'a [OsString],
    /// A variable that is added to its environment.
    pub(super) variable: Option<(&'static str, String)>,
    /// Its standard output.
    pub(super) stdout: BorrowedFd<'a>,
    /// Its standard error.
    pub(super) stderr: BorrowedFd<'a>,
    /// Whether it leads a process group of its own.
    pub(super) own_group: bool,
    /// The user that it runs as, if that is another.
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
        let Program { path, arguments, environment, folder, runner: _ } = self.program;
        let (path, folder) = (c_string(path.as_os_str())?, c_string(folder.as_os_str())?);
        let arguments: Vec<CString> =
            arguments.iter().chain(self.arguments).map(|word| c_string(word)).collect::<io::Result<_>>()?;
        let variable = self.variable.iter().map(|(name, value)| (OsStr::new(name), OsStr::new(value)));
        let environment: Vec<CString> = environment
            .iter()
            .map(|(name, value)| (name.as_os_str(), value.as_os_str()))
            .chain(variable)
            .map(|(name, value)| c_string(&[name, OsStr::new("="), value].join(OsStr::new(""))))
            .collect::<io::Result<_>>()?;
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
                path.as_ptr(),
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
        let mut command = self.program.command();
        command.args(self.arguments).envs(self.variable.clone()).stdin(Stdio::null());
        command.stdout(stdio(self.stdout)?).stderr(stdio(self.stderr)?);
        if self.own_group {
            command.process_group(0);
        }
        user.impersonate(&mut command);
        let mask = signals::inherited_mask()?;
        // SAFETY: a system call.
        unsafe { command.pre_exec(move || Ok(sigprocmask(SigmaskHow::SIG_SETMASK, Some(&mask), None)?)) };
        Ok(Pid::from_raw(command.spawn()?.id() as i32))
    }
}

fn c_string(text: &OsStr) -> io::Result<CString> {
    CString::new(text.as_bytes()).map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "it holds a zero byte"))
}

/// Of those functions that return an error's number.
fn check(failed: libc::c_int) -> io::Result<()> {
    if failed == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(failed)) }
}

/// No more signals blocked than we were started with, and SIGPIPE, which Rust's runtime ignores, as it is by default.
struct Attributes(libc::posix_spawnattr_t);

impl Attributes {
    fn new(own_group: bool) -> io::Result<Self> {
        let mut attributes = MaybeUninit::uninit();
        let (mask, default) = (signals::inherited_mask()?, SigSet::from(Signal::SIGPIPE));
        // SAFETY: the first call makes what the others change; the sets outlive the calls.
        unsafe {
            check(libc::posix_spawnattr_init(attributes.as_mut_ptr()))?;
            let mut attributes = Self(attributes.assume_init());
            let mut flags = libc::POSIX_SPAWN_SETSIGMASK | libc::POSIX_SPAWN_SETSIGDEF;
            check(libc::posix_spawnattr_setsigmask(&raw mut attributes.0, mask.as_ref()))?;
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
