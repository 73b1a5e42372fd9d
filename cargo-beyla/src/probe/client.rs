//! The parent's end of the probe helper.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::privilege::{self, Privilege};
use crate::cli::Capture;
use crate::error::Error;
use crate::stream::event::Event;

/// Bytes taken from the helper at once.
const READ_SIZE: usize = 256 * 1024;

/// A running helper. Dropping it closes its stdin, at which it ends.
#[derive(Debug)]
pub struct Helper {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    buffer: Vec<u8>,
    /// The bytes of `buffer` that wait to be consumed.
    filled: std::ops::Range<usize>,
}

impl Helper {
    /// Starts the helper for a process that waits to execute its program.
    pub fn start(pid: u32, capture: Capture, privilege: Privilege) -> Result<Self, Error> {
        let failed = |source| Error::System { what: "starting the probe helper", source };
        let executable = std::env::current_exe().map_err(failed)?;
        let mut command = match privilege {
            Privilege::Direct => Command::new(executable),
            Privilege::Sudo | Privilege::SudoAsks => {
                if privilege == Privilege::SudoAsks {
                    privilege::ask_for_password()?;
                }
                let mut sudo = Command::new("sudo");
                sudo.args(["-n", "--"]).arg(executable);
                sudo
            }
        };
        let capture = match capture {
            Capture::Auto => "auto",
            Capture::Socket => "socket",
            Capture::Syscalls => "syscalls",
        };
        let mut child = command
            .args(["beyla", "__probe", "--pid", &pid.to_string(), "--capture", capture])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Not of the terminal's foreground: ^C is for the server.
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(failed(io::ErrorKind::BrokenPipe.into()));
        };
        // A larger pipe means fewer wake-ups; without it the default does.
        let _ = rustix::pipe::fcntl_setpipe_size(&stdout, 1 << 20);
        Ok(Self { child, stdin: Some(stdin), stdout, buffer: vec![0; READ_SIZE], filled: 0..0 })
    }

    /// Waits until every probe is attached; returns how bytes are captured.
    pub fn wait_until_ready(&mut self) -> Result<String, Error> {
        let failed = |source| Error::System { what: "reading from the probe helper", source };
        while self.read().map_err(failed)? {
            while let Ok(Some((event, size))) = Event::decode(self.bytes()) {
                match event {
                    Event::Ready(capture) => {
                        let capture = capture.to_owned();
                        self.consume(size);
                        return Ok(capture);
                    }
                    Event::Failed(message) => return Err(probe_error(message)),
                    _ => self.consume(size),
                }
            }
        }
        let status = self.wait().map_err(failed)?;
        Err(probe_error(&format!("the probe helper ended without a word ({status})")))
    }

    /// Reads once, waiting if nothing is there; `false` at the end.
    pub fn read(&mut self) -> io::Result<bool> {
        if self.filled.start > 0 {
            self.buffer.copy_within(self.filled.clone(), 0);
            self.filled = 0..self.filled.len();
        }
        if self.filled.end == self.buffer.len() {
            self.buffer.resize(2 * self.buffer.len(), 0);
        }
        loop {
            match self.stdout.read(&mut self.buffer[self.filled.end..]) {
                Ok(0) => return Ok(false),
                Ok(count) => {
                    self.filled.end += count;
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// What was read and not consumed yet.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[self.filled.clone()]
    }

    /// Drops the first `count` of [`Self::bytes`].
    pub fn consume(&mut self, count: usize) {
        self.filled.start = (self.filled.start + count).min(self.filled.end);
    }

    /// Tells the helper to pass on what it has and to end; its output then comes to an end.
    pub fn stop(&mut self) {
        self.stdin = None;
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> io::Result<std::process::ExitStatus> {
        self.stdin = None;
        self.child.wait()
    }
}

fn probe_error(message: &str) -> Error {
    let hint = "`cargo beyla doctor` says what this machine lacks".to_owned();
    Error::Probe { message: message.to_owned(), hint: Some(hint) }
}

/// Loads and attaches every program, as a run does, and lets go of them again.
///
/// # Errors
/// The sentence that says what failed.
pub fn try_load() -> Result<(), String> {
    let attempt = || -> Result<(), Error> {
        let privilege = privilege::find()?;
        // Of the process with this very number: it is ours, and executes nothing.
        let mut helper = Helper::start(std::process::id(), Capture::Auto, privilege)?;
        helper.wait_until_ready()?;
        // Both ways of capture have programs of their own.
        let mut helper = Helper::start(std::process::id(), Capture::Syscalls, privilege)?;
        helper.wait_until_ready()?;
        Ok(())
    };
    attempt().map_err(|error| error.to_string())
}

impl AsFd for Helper {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stdout.as_fd()
    }
}
