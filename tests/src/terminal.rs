//! A terminal of the test's own, with a shell that controls jobs in it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use crate::wait::{LONG, poll};

/// A terminal, and what runs in it; dropped, it hangs up.
pub struct Terminal {
    child: Child,
    master: File,
    output: Arc<Mutex<Vec<u8>>>,
    /// Ends when nothing has the terminal open any more.
    reader: JoinHandle<()>,
}

impl Terminal {
    /// Starts a program as the leader of a session with this terminal, of 40 rows and 100 columns.
    pub fn start(mut command: Command) -> Self {
        let (master, slave) = open();
        // With `CI`, cargo takes any terminal for one that knows colours.
        for name in ["CI", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "CARGO_TERM_COLOR"] {
            if !command.get_envs().any(|(known, _)| known == name) {
                command.env_remove(name);
            }
        }
        if !command.get_envs().any(|(known, _)| known == "TERM") {
            command.env("TERM", "xterm");
        }
        let stream = || slave.try_clone().expect("a descriptor");
        command.stdin(stream()).stdout(stream()).stderr(stream());
        // SAFETY: two system calls.
        unsafe {
            command.pre_exec(|| {
                if libc::setsid() < 0 || libc::ioctl(0, libc::TIOCSCTTY, 0) < 0 {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            });
        }
        let child = command.spawn().expect("it starts");
        let output = Arc::new(Mutex::new(Vec::new()));
        let (mut reader, shown) = (master.try_clone().expect("a descriptor"), Arc::clone(&output));
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // The end of the last process is an error of input and output.
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                shown.lock().expect("nobody panics").extend_from_slice(&buffer[..count]);
            }
        });
        Self { child, master, output, reader }
    }

    /// Runs a script in a shell that gives each command a process group, the foreground, and can stop it.
    pub fn script(script: &str, environment: &[(&str, &str)]) -> Self {
        let mut shell = Command::new("bash");
        shell.args(["--norc", "-c"]).arg(format!("set -m\n{script}")).envs(environment.iter().copied());
        Self::start(shell)
    }

    /// Presses keys, as in `\x03` for ^C.
    pub fn press(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).expect("a terminal");
    }

    /// All that was written to it until now.
    pub fn shown(&self) -> String {
        String::from_utf8_lossy(&self.output.lock().expect("nobody panics")).into_owned()
    }

    /// Waits until a text was written to it.
    pub fn until(&self, text: &str) {
        let found = poll(LONG, || self.shown().contains(text).then_some(()));
        assert!(found.is_some(), "'{text}' is not in:\n{}", self.shown());
    }

    /// Waits for the end of what was started; all that was written.
    pub fn end(mut self) -> (ExitStatus, String) {
        let status = poll(LONG, || self.child.try_wait().expect("a child"));
        let status = status.unwrap_or_else(|| panic!("it does not end:\n{}", self.shown()));
        let read = poll(LONG, || self.reader.is_finished().then_some(()));
        assert!(read.is_some(), "something still has the terminal open:\n{}", self.shown());
        (status, self.shown())
    }

    /// The process id of what was started.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn open() -> (File, File) {
    let (mut master, mut slave) = (0, 0);
    let size = libc::winsize { ws_row: 40, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: both numbers are written, the name and the mode are left out, and the size outlives the call.
    let opened = unsafe {
        libc::openpty(&raw mut master, &raw mut slave, std::ptr::null_mut(), std::ptr::null(), &raw const size)
    };
    assert_eq!(opened, 0, "{}", std::io::Error::last_os_error());
    let own = |fd| {
        // SAFETY: two numbers. Nothing that is started may hold the terminal open.
        unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
        // SAFETY: the descriptor was just made, for us alone.
        File::from(unsafe { OwnedFd::from_raw_fd(fd) })
    };
    (own(master), own(slave))
}
