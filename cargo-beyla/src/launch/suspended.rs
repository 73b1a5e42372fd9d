//! A start in two steps: fork, then, once the probes are attached, exec.
//!
//! The child waits on a pipe; one byte releases it. A second pipe, closed by a successful exec, brings
//! back the error of a failed one.

use std::ffi::{CString, OsStr, OsString};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use nix::fcntl::OFlag;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::unistd::{ForkResult, Pid, fork, pipe2};

use super::user::InvokingUser;
use crate::error::Error;

/// Where the standard output of what we start goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stdout {
    /// Where ours goes.
    Inherited,
    /// Where our standard error goes: ours is the report's.
    ToStderr,
}

/// A process that has not executed its program yet.
#[derive(Debug)]
pub struct Suspended {
    pid: Pid,
    release: std::fs::File,
    failure: std::fs::File,
    program: std::path::PathBuf,
}

impl Suspended {
    /// Forks a child that will execute `program`. Until it is released it ends with us; from then on a
    /// [`super::guard::Guard`] must know of it.
    ///
    /// Must be called while this process has one thread only.
    pub fn fork(
        program: &Path,
        arguments: &[OsString],
        environment: &[(OsString, OsString)],
        user: Option<&InvokingUser>,
        stdout: Stdout,
    ) -> Result<Self, Error> {
        let failed = |source: io::Error| Error::Launch { executable: program.to_owned(), source };
        let errno = |errno: nix::errno::Errno| failed(errno.into());
        // All that allocates comes before the fork.
        let path = c_string(program.as_os_str()).map_err(failed)?;
        let argv: Vec<CString> = std::iter::once(program.as_os_str())
            .chain(arguments.iter().map(OsString::as_os_str))
            .map(c_string)
            .collect::<io::Result<_>>()
            .map_err(failed)?;
        let envp = environment_block(environment, user).map_err(failed)?;
        let argv: Vec<*const libc::c_char> = argv.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect();
        let envp_pointers: Vec<*const libc::c_char> =
            envp.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect();
        let (released, release) = pipe2(OFlag::O_CLOEXEC).map_err(errno)?;
        let (failure, failing) = pipe2(OFlag::O_CLOEXEC).map_err(errno)?;
        let (prepared, preparing) = pipe2(OFlag::O_CLOEXEC).map_err(errno)?;

        // SAFETY: the child makes system calls only (and the user's `initgroups`, see `become_user`),
        // allocates nothing, and ends in exec or _exit.
        match unsafe { fork() }.map_err(errno)? {
            ForkResult::Parent { child } => {
                drop((preparing, failing));
                let suspended =
                    Self { pid: child, release: release.into(), failure: failure.into(), program: program.to_owned() };
                // Only then is it the user's, which is what the probe helper asks first.
                match std::fs::File::from(prepared).read(&mut [0]).map_err(failed)? {
                    0 => Err(suspended.failed()),
                    _ => Ok(suspended),
                }
            }
            ForkResult::Child => {
                let error = child(&released, &release, &preparing, user, stdout, || {
                    // SAFETY: the path and both arrays end in null and outlive the call.
                    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), envp_pointers.as_ptr()) };
                });
                let code = error.raw_os_error().unwrap_or(libc::EIO);
                write_raw(failing.as_raw_fd(), &code.to_ne_bytes());
                // SAFETY: ends this process without running the parent's destructors.
                unsafe { libc::_exit(127) }
            }
        }
    }

    /// The process's id, as it is for life.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Lets it execute its program; returns when it has, or has failed to.
    pub fn release(mut self) -> Result<Pid, Error> {
        let failed = |source| Error::Launch { executable: self.program.clone(), source };
        self.release.write_all(&[1]).map_err(failed)?;
        let mut code = [0; 4];
        match self.failure.read(&mut code).map_err(failed)? {
            4 => Err(self.failed_with(code)),
            _ => Ok(self.pid),
        }
    }

    /// Why it has not even come to wait.
    fn failed(mut self) -> Error {
        let mut code = libc::EIO.to_ne_bytes();
        // Unread, it is an error of input and output.
        let _ = self.failure.read(&mut code);
        self.failed_with(code)
    }

    fn failed_with(self, code: [u8; 4]) -> Error {
        // Nothing else of it is of interest: it has not become the server.
        let _ = nix::sys::wait::waitpid(self.pid, None);
        Error::Launch { executable: self.program, source: io::Error::from_raw_os_error(i32::from_ne_bytes(code)) }
    }

    /// Gives it up: it ends without having executed anything.
    pub fn abandon(self) {
        drop(self.release);
        // It ends by itself when its pipe does.
        let _ = nix::sys::wait::waitpid(self.pid, None);
    }
}

/// The child's side, up to a failure.
fn child(
    released: &OwnedFd,
    release: &OwnedFd,
    preparing: &OwnedFd,
    user: Option<&InvokingUser>,
    stdout: Stdout,
    exec: impl FnOnce(),
) -> io::Error {
    let prepared = (|| -> io::Result<()> {
        // Ours, or the pipe would not end with the parent.
        // SAFETY: the child has its own copy of the descriptor, which nobody uses after this.
        unsafe { libc::close(release.as_raw_fd()) };
        if stdout == Stdout::ToStderr {
            // SAFETY: two numbers of descriptors.
            nix::errno::Errno::result(unsafe { libc::dup2(libc::STDERR_FILENO, libc::STDOUT_FILENO) })?;
        }
        if let Some(user) = user {
            user.become_user()?;
        }
        // What we block, and what Rust's runtime ignores, is none of the server's business.
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
        // SAFETY: the default action is no handler.
        unsafe { nix::sys::signal::signal(Signal::SIGPIPE, nix::sys::signal::SigHandler::SigDfl) }?;
        write_raw(preparing.as_raw_fd(), &[1]);
        let mut byte = [0];
        if nix::unistd::read(released, &mut byte)? == 0 {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(())
    })();
    if let Err(error) = prepared {
        return error;
    }
    exec();
    io::Error::last_os_error()
}

fn write_raw(fd: RawFd, bytes: &[u8]) {
    // SAFETY: the buffer is as long as is said. That nobody reads is no matter at this point.
    unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) };
}

pub(super) fn c_string(text: &OsStr) -> io::Result<CString> {
    CString::new(text.as_bytes()).map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "it holds a zero byte"))
}

pub(super) fn environment_block(
    additions: &[(OsString, OsString)],
    user: Option<&InvokingUser>,
) -> io::Result<Vec<CString>> {
    let mut variables: std::collections::BTreeMap<OsString, OsString> = std::env::vars_os().collect();
    if let Some(user) = user {
        variables.extend(user.environment().into_iter().map(|(name, value)| (name.into(), value)));
    }
    variables.extend(additions.iter().cloned());
    variables
        .into_iter()
        .map(|(name, value)| {
            let mut entry = name.into_vec();
            entry.push(b'=');
            entry.extend_from_slice(value.as_bytes());
            c_string(OsStr::from_bytes(&entry))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fork_shell(script: &str) -> Suspended {
        Suspended::fork(
            Path::new("/bin/sh"),
            &["-c".into(), script.into()],
            &[("ADDED".into(), "7".into())],
            None,
            Stdout::Inherited,
        )
        .expect("fork")
    }

    fn exit_code(pid: Pid) -> Option<i32> {
        match nix::sys::wait::waitpid(pid, None) {
            Ok(nix::sys::wait::WaitStatus::Exited(_, code)) => Some(code),
            _ => None,
        }
    }

    #[test]
    fn waits_for_its_release_and_keeps_its_pid() {
        let suspended = fork_shell("exit $ADDED");
        let pid = suspended.pid();
        let still_ours = std::fs::read_link(format!("/proc/{pid}/exe")).expect("it waits");
        assert_eq!(still_ours, std::env::current_exe().expect("our own path"));
        assert_eq!(suspended.release().expect("exec"), pid);
        assert_eq!(exit_code(pid), Some(7));
    }

    #[test]
    fn a_failed_exec_comes_back_with_its_reason() {
        let suspended =
            Suspended::fork(Path::new("/nonexistent/server"), &[], &[], None, Stdout::Inherited).expect("fork");
        let error = suspended.release().expect_err("nothing is there");
        assert!(matches!(error, Error::Launch { source, .. } if source.raw_os_error() == Some(libc::ENOENT)));
    }

    #[test]
    fn abandoned_it_ends() {
        let suspended = fork_shell("exit 7");
        let pid = suspended.pid();
        suspended.abandon();
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }
}
