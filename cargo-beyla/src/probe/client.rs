//! The parent's end of the probe helper.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};

use super::channel;
use super::executable::Executables;
use super::privilege::{self, Privilege};
use super::ring_buffer::RingBuffer;
use crate::cli::{Capture, ProbeArguments};
use crate::error::Error;
use crate::stream::event::Event;

/// A running helper. Dropping it closes its stdin, at which it ends.
#[derive(Debug)]
pub struct Helper {
    child: Child,
    stdin: Option<ChildStdin>,
    channel: UnixStream,
    /// What the helper has written and no whole record is yet.
    pending: Vec<u8>,
}

/// What a helper that has attached every probe says.
#[derive(Debug)]
pub struct Attached {
    /// How bytes are captured: `socket` or `syscalls`.
    pub capture: String,
    /// Where the records come in.
    pub ring: RingBuffer,
    /// What `--explain` cannot see, in sentences.
    pub unseen: Vec<String>,
}

impl Helper {
    /// Starts the helper for a process that waits to execute its program, that runs, or that will start others.
    pub fn start(arguments: &ProbeArguments, privilege: Privilege) -> Result<Self, Error> {
        let failed = |source| Error::System { what: "starting the probe helper", source };
        let executable = std::env::current_exe().map_err(failed)?;
        let mut command = match privilege {
            // What runs, and not what lies there now: it may have been replaced meanwhile.
            Privilege::Direct => {
                let mut own = Command::new("/proc/self/exe");
                // As sudo does: what may be in the environment, such as credentials, is none of its business.
                let asker = std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SUDO_"));
                own.arg0(executable).env_clear().envs(asker);
                own
            }
            Privilege::Sudo => {
                let mut sudo = Command::new("sudo");
                sudo.args(["-n", "--"]).arg(executable);
                sudo
            }
        };
        let (channel, theirs) = UnixStream::pair().map_err(failed)?;
        let mut child = command
            .args(["beyla", "__probe"])
            .args(command_line(arguments))
            .stdin(Stdio::piped())
            .stdout(OwnedFd::from(theirs))
            // Not of the terminal's foreground: ^C is for the server.
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let stdin = child.stdin.take();
        Ok(Self { child, stdin, channel, pending: Vec::new() })
    }

    /// Has a helper attach its probes that was started for a family, before what these are for was built.
    pub fn begin(&mut self, executables: &Executables) -> Result<(), Error> {
        match self.stdin.as_mut().map(|stdin| executables.send(stdin)) {
            // It has ended, and has said why.
            Some(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Some(Err(source)) => Err(Error::System { what: "writing to the probe helper", source }),
            None | Some(Ok(())) => Ok(()),
        }
    }

    /// Waits until every probe is attached.
    pub fn wait_until_ready(&mut self) -> Result<Attached, Error> {
        let failed = |source| Error::System { what: "reading from the probe helper", source };
        let (message, ring) = channel::receive_first(&self.channel).map_err(failed)?;
        let ready = match Event::decode(&message) {
            Ok(Some((Event::Ready(text), _))) => text.to_owned(),
            Ok(Some((Event::Failed(message), _))) => return Err(probe_error(message)),
            _ => {
                let status = self.wait().map_err(failed)?;
                return Err(probe_error(&format!("the probe helper ended without a word ({status})")));
            }
        };
        let mut lines = ready.lines();
        let (Some((capture, size)), Some(ring)) = (lines.next().and_then(|first| first.split_once(' ')), ring) else {
            return Err(probe_error("the probe helper is of another version"));
        };
        let size = size.parse().map_err(|_| probe_error("the probe helper is of another version"))?;
        let ring =
            RingBuffer::open(ring, size).map_err(|source| Error::System { what: "mapping the ring buffer", source })?;
        Ok(Attached { capture: capture.to_owned(), ring, unseen: lines.map(str::to_owned).collect() })
    }

    /// Reads what the helper has written, waiting if nothing is there, and shows each whole record to
    /// `take`; `false` at the end.
    ///
    /// # Errors
    /// If it could not be read.
    pub fn read(&mut self, mut take: impl FnMut(&[u8])) -> io::Result<bool> {
        let mut buffer = [0; 4096];
        let count = loop {
            match self.channel.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The helper was killed with our messages unread.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => break 0,
                other => break other?,
            }
        };
        self.pending.extend_from_slice(&buffer[..count]);
        let mut taken = 0;
        while let Ok(Some((_, size))) = Event::decode(&self.pending[taken..]) {
            take(&self.pending[taken..taken + size]);
            taken += size;
        }
        self.pending.drain(..taken);
        Ok(count > 0)
    }

    /// Tells the helper to say its last and to end; its output then comes to an end.
    pub fn stop(&mut self) {
        self.stdin = None;
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// If it could not be waited for.
    pub fn wait(&mut self) -> io::Result<std::process::ExitStatus> {
        self.stdin = None;
        self.child.wait()
    }
}

impl AsFd for Helper {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}

fn command_line(arguments: &ProbeArguments) -> Vec<OsString> {
    let ProbeArguments { pid, children, attach, members, capture, explain, executables } = arguments;
    let Executables { paths, task_probes } = executables;
    let capture = match capture {
        Capture::Auto => "auto",
        Capture::Socket => "socket",
        Capture::Syscalls => "syscalls",
    };
    let mut line: Vec<OsString> = ["--pid", &pid.to_string(), "--capture", capture].map(OsString::from).to_vec();
    for (wanted, flag) in [(*children, "--children"), (*attach, "--attach")] {
        if wanted {
            line.push(flag.into());
        }
    }
    for member in members {
        line.extend(["--member".into(), member.to_string().into()]);
    }
    if let Some(long_poll_ns) = explain {
        line.extend(["--explain".into(), long_poll_ns.to_string().into()]);
    }
    for executable in paths {
        line.extend(["--executable".into(), executable.into()]);
    }
    for probe in task_probes {
        line.extend(["--task-probe".into(), probe.to_string().into()]);
    }
    line
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
        let privilege = privilege::find()?.open()?;
        // Both ways of capture have programs of their own, and so does `--explain`. The
        // process is this one, which executes nothing, so nothing is traced.
        for (capture, explain, children) in [(Capture::Auto, Some(0), true), (Capture::Syscalls, None, false)] {
            let arguments = ProbeArguments {
                pid: std::process::id(),
                children,
                attach: false,
                members: Vec::new(),
                capture,
                explain,
                executables: Executables::default(),
            };
            let mut helper = Helper::start(&arguments, privilege)?;
            if children {
                helper.begin(&Executables::default())?;
            }
            helper.wait_until_ready()?;
            // It is no longer of interest how it ends.
            let _ = helper.wait();
        }
        Ok(())
    };
    attempt().map_err(|error| error.to_string())
}
