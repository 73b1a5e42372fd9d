//! A start in two steps: fork, then, once the probes are attached, exec.
//!
//! The child waits on a pipe for the program that it shall execute. A second pipe, which a successful exec closes, brings
//! back the error of a failed one.

use std::ffi::{OsString, c_char};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt;

use nix::fcntl::OFlag;
use nix::sys::signal::{SigmaskHow, Signal, sigprocmask};
use nix::unistd::{ForkResult, Pid, fork, pipe2};

use super::signals;
use super::user::InvokingUser;
use crate::error::Error;
use crate::workspace::program::Program;

/// Where the standard output of what we start goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stdout {
    /// Where ours goes.
    Inherited,
    /// Where our standard error goes, as our standard output holds a report.
    ToStderr,
}

/// Variables by which a service manager names the process that something is meant for: sockets, a watchdog, the start as a
/// service (`sd_listen_fds(3)`, `sd_watchdog_enabled(3)`, `systemd.exec(5)`).
const PID_VARIABLES: [&str; 3] = ["LISTEN_PID", "WATCHDOG_PID", "SYSTEMD_EXEC_PID"];

/// The same, by the inode number of the process's pidfd (`sd_listen_fds(3)`, systemd 258).
const PIDFD_VARIABLE: &str = "LISTEN_PIDFDID";

/// A process that has not executed its program yet.
#[derive(Debug)]
pub struct Suspended {
    pid: Pid,
    release: std::fs::File,
    failure: std::fs::File,
}

impl Suspended {
    /// Forks a child that will execute a program. Until it is released it ends with us; from then on a
    /// [`super::guard::Guard`] must know of it.
    ///
    /// Must be called while this process has one thread only.
    pub fn fork(user: Option<&InvokingUser>, stdout: Stdout) -> Result<Self, Error> {
        let failed = |source: io::Error| Error::System { what: "starting a process", source };
        let errno = |errno: nix::errno::Errno| failed(errno.into());
        let (released, release) = pipe2(OFlag::O_CLOEXEC).map_err(errno)?;
        let (failure, failing) = pipe2(OFlag::O_CLOEXEC).map_err(errno)?;
        let (prepared, preparing) = pipe2(OFlag::O_CLOEXEC).map_err(errno)?;

        // SAFETY: there is no other thread that could hold a lock, of the allocator or of the user database, across the
        // fork; and the child ends in exec or _exit.
        match unsafe { fork() }.map_err(errno)? {
            ForkResult::Parent { child } => {
                drop((preparing, failing));
                let suspended = Self { pid: child, release: release.into(), failure: failure.into() };
                // Only then does it belong to the user, which the probe helper checks first.
                match std::fs::File::from(prepared).read(&mut [0]).map_err(failed)? {
                    0 => Err(failed(suspended.why_it_failed())),
                    _ => Ok(suspended),
                }
            }
            ForkResult::Child => {
                drop((release, failure, prepared));
                let error = match prepare(&preparing, user, stdout) {
                    Ok(()) => wait_and_execute(released),
                    Err(error) => error,
                };
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

    /// Makes it execute a program; returns when it has, or has failed to.
    pub fn release(mut self, program: Program) -> Result<Pid, Error> {
        let path = program.path.clone();
        let failed = |source| Error::Launch { executable: path, source };
        match self.execute(program) {
            Ok(()) => Ok(self.pid),
            Err(source) => Err(failed(source)),
        }
    }

    fn execute(&mut self, mut program: Program) -> io::Result<()> {
        rename_process(&mut program.environment, self.pid);
        let order = encode(program)?;
        self.release.write_all(&(order.len() as u64).to_ne_bytes())?;
        self.release.write_all(&order)?;
        let mut code = [0; 4];
        match self.failure.read(&mut code)? {
            4 => {
                // How it ends is of no interest: it has not become the program.
                let _ = nix::sys::wait::waitpid(self.pid, None);
                Err(io::Error::from_raw_os_error(i32::from_ne_bytes(code)))
            }
            _ => Ok(()),
        }
    }

    /// Why it has ended before it waited for a program.
    fn why_it_failed(mut self) -> io::Error {
        let mut code = libc::EIO.to_ne_bytes();
        // If it cannot be read, it stays an error of input and output.
        let _ = self.failure.read(&mut code);
        let _ = nix::sys::wait::waitpid(self.pid, None);
        io::Error::from_raw_os_error(i32::from_ne_bytes(code))
    }

    /// Ends it before it executes a program.
    pub fn abandon(self) {
        drop(self.release);
        // It ends by itself when its pipe does.
        let _ = nix::sys::wait::waitpid(self.pid, None);
    }
}

/// Changes variables that name this process, so that they name the program's: cargo would have turned this process into
/// the program.
fn rename_process(environment: &mut [(OsString, OsString)], pid: Pid) {
    let own = nix::unistd::getpid();
    for (name, value) in environment {
        if PID_VARIABLES.iter().any(|variable| name == variable) && *value == *own.to_string() {
            *value = pid.to_string().into();
        } else if name == PIDFD_VARIABLE
            && let (Some(before), Some(after)) = (pidfd_inode(own), pidfd_inode(pid))
            && *value == *before.to_string()
        {
            *value = after.to_string().into();
        }
    }
}

fn pidfd_inode(pid: Pid) -> Option<u64> {
    let pid = rustix::process::Pid::from_raw(pid.as_raw())?;
    let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok()?;
    Some(rustix::fs::fstat(pidfd).ok()?.st_ino)
}

/// The words that the child needs. Each ends with a zero byte.
fn encode(program: Program) -> io::Result<Vec<u8>> {
    let Program { path, arguments, environment, folder, runner: _ } = program;
    let count = OsString::from(arguments.len().to_string());
    let variables = environment.into_iter().map(|(mut variable, value)| {
        variable.push("=");
        variable.push(value);
        variable
    });
    let words = [path.into_os_string(), folder.into_os_string(), count].into_iter().chain(arguments).chain(variables);
    let mut order = Vec::new();
    for word in words.map(OsString::into_vec) {
        if word.contains(&0) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it holds a zero byte"));
        }
        order.extend_from_slice(&word);
        order.push(0);
    }
    Ok(order)
}

/// The child's side, until it waits.
fn prepare(preparing: &OwnedFd, user: Option<&InvokingUser>, stdout: Stdout) -> io::Result<()> {
    if stdout == Stdout::ToStderr {
        // SAFETY: two numbers of descriptors.
        nix::errno::Errno::result(unsafe { libc::dup2(libc::STDERR_FILENO, libc::STDOUT_FILENO) })?;
    }
    if let Some(user) = user {
        user.become_user()?;
    }
    // Signals that we block, and SIGPIPE, which Rust's runtime ignores, must be as usual in the server.
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&signals::inherited_mask()?), None)?;
    signals::restore_children();
    // SAFETY: the default action is no handler.
    unsafe { nix::sys::signal::signal(Signal::SIGPIPE, nix::sys::signal::SigHandler::SigDfl) }?;
    write_raw(preparing.as_raw_fd(), &[1]);
    Ok(())
}

/// The child's side from there on, up to a failure.
fn wait_and_execute(released: OwnedFd) -> io::Error {
    let mut released = std::fs::File::from(released);
    let mut size = [0; 8];
    let order = released.read_exact(&mut size).and_then(|()| {
        let mut order = vec![0; u64::from_ne_bytes(size) as usize];
        released.read_exact(&mut order)?;
        Ok(order)
    });
    match order {
        Ok(order) => execute(&order),
        // The parent has abandoned it, or is gone.
        Err(error) => error,
    }
}

/// Executes what [`encode`] has written.
fn execute(order: &[u8]) -> io::Error {
    let mut words = order.split_inclusive(|byte| *byte == 0);
    let (Some(path), Some(folder), Some(count)) = (words.next(), words.next(), words.next()) else {
        return io::ErrorKind::InvalidData.into();
    };
    let count = std::str::from_utf8(count).ok().and_then(|count| count.trim_end_matches('\0').parse().ok());
    let pointers = |words: &mut dyn Iterator<Item = &[u8]>| -> Vec<*const c_char> {
        words.map(|word| word.as_ptr().cast()).chain([std::ptr::null()]).collect()
    };
    let argv = pointers(&mut words.by_ref().take(count.unwrap_or(0)));
    let envp = pointers(&mut words);
    // SAFETY: each word ends with a zero byte, both arrays end in null, and all outlive the calls.
    unsafe {
        if libc::chdir(folder.as_ptr().cast()) == 0 {
            libc::execve(path.as_ptr().cast(), argv.as_ptr(), envp.as_ptr());
        }
    }
    io::Error::last_os_error()
}

fn write_raw(fd: RawFd, bytes: &[u8]) {
    // SAFETY: the buffer has that length. If nobody reads it, nothing is lost at this point.
    unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) };
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn fork() -> Suspended {
        Suspended::fork(None, Stdout::Inherited).expect("fork")
    }

    fn shell(script: &str, environment: &[(&str, String)]) -> Program {
        Program {
            path: "/bin/sh".into(),
            arguments: ["sh", "-c", script].map(OsString::from).to_vec(),
            environment: environment.iter().map(|(name, value)| (OsString::from(name), value.into())).collect(),
            folder: "/".into(),
            runner: None,
        }
    }

    fn exit_code(pid: Pid) -> Option<i32> {
        match nix::sys::wait::waitpid(pid, None) {
            Ok(nix::sys::wait::WaitStatus::Exited(_, code)) => Some(code),
            _ => None,
        }
    }

    #[test]
    fn waits_for_its_release_and_keeps_its_pid() {
        let suspended = fork();
        let pid = suspended.pid();
        let still_ours = std::fs::read_link(format!("/proc/{pid}/exe")).expect("it waits");
        assert_eq!(still_ours, std::env::current_exe().expect("our own path"));
        let program = shell("test $PWD = / && test -z \"$PATH_OF_OURS$HOME\" && exit $CODE", &[("CODE", "7".into())]);
        assert_eq!(suspended.release(program).expect("exec"), pid);
        assert_eq!(exit_code(pid), Some(7));
    }

    #[test]
    fn what_is_meant_for_this_process_is_meant_for_the_program() {
        let suspended = fork();
        let pid = suspended.pid();
        let own = nix::unistd::getpid();
        let pidfd = |pid| pidfd_inode(pid).expect("it lives").to_string();
        let variables = [
            ("LISTEN_PID", own.to_string()),
            ("LISTEN_PIDFDID", pidfd(own)),
            ("WATCHDOG_PID", own.to_string()),
            ("SYSTEMD_EXEC_PID", "1".to_owned()),
            ("OTHER_PID", own.to_string()),
            ("EXPECTED", format!("{pid} {} {pid} 1 {own}", pidfd(pid))),
        ];
        let script = "test \"$LISTEN_PID $LISTEN_PIDFDID $WATCHDOG_PID $SYSTEMD_EXEC_PID $OTHER_PID\" = \"$EXPECTED\"";
        suspended.release(shell(script, &variables)).expect("exec");
        assert_eq!(exit_code(pid), Some(0));
    }

    #[test]
    fn much_environment_is_handed_over() {
        let suspended = fork();
        let pid = suspended.pid();
        let variables = [("MUCH", "x".repeat(100_000)), ("MORE", "y".repeat(100_000))];
        suspended.release(shell("test ${#MUCH} = ${#MORE} && test ${#MUCH} = 100000", &variables)).expect("exec");
        assert_eq!(exit_code(pid), Some(0));
    }

    #[test]
    fn a_failed_exec_comes_back_with_its_reason() {
        for (path, folder) in [("/nonexistent/server", "/"), ("/bin/sh", "/nonexistent")] {
            let program = Program { path: path.into(), folder: folder.into(), ..shell("", &[]) };
            let error = fork().release(program).expect_err("nothing is there");
            assert!(matches!(error, Error::Launch { source, .. } if source.raw_os_error() == Some(libc::ENOENT)));
        }
    }

    #[test]
    fn abandoned_it_ends() {
        let suspended = fork();
        let pid = suspended.pid();
        suspended.abandon();
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }
}
