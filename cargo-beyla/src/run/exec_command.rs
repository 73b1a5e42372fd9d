//! `--exec`: the command that sends the requests.

use std::ffi::OsStr;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::unistd::Pid;

use super::listening::{reachable, unix_path};
use crate::error::{Error, SIGNALLED};
use crate::launch::descriptors;
use crate::launch::guard::Guard;
use crate::launch::listening::unix_path_bytes;
use crate::launch::process_tree::{Grouping, ProcessTree};
use crate::launch::received::Received;
use crate::launch::suspended::Stdout;
use crate::launch::terminal;
use crate::launch::user::InvokingUser;
use cargo_beyla_core::model::connection::Listener;

/// How long the command may run on when the server has ended, if its own last deed was to end the server.
const END_FOLLOWS: Duration = Duration::from_millis(300);

/// How often its end is looked for meanwhile.
const LOOK: Duration = Duration::from_millis(5);

/// The command: not started yet, running, or over.
pub(crate) struct ExecCommand<'a> {
    command: Option<&'a OsStr>,
    server: Pid,
    user: Option<&'a InvokingUser>,
    stdout: Stdout,
    child: Option<(Child, ProcessTree)>,
    exit_code: Option<u8>,
}

impl<'a> ExecCommand<'a> {
    pub(crate) fn new(command: Option<&'a OsStr>, server: Pid, user: Option<&'a InvokingUser>, stdout: Stdout) -> Self {
        Self { command, server, user, stdout, child: None, exit_code: None }
    }

    /// Starts it when called for the first time; the guard kills it if we are killed.
    pub(crate) fn start(&mut self, listening: &[Listener], guard: Option<&Arc<Guard>>) -> Result<(), Error> {
        let Some(command) = self.command.take() else { return Ok(()) };
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(command).stdin(Stdio::null());
        if self.stdout == Stdout::ToStderr {
            shell.stdout(std::io::stderr());
        }
        shell.env("BEYLA_PID", self.server.to_string());
        if let Some(address) = reachable(listening) {
            shell.env("BEYLA_URL", format!("http://{address}")).env("BEYLA_PORT", address.port().to_string());
        }
        if let Some(path) = unix_path(listening) {
            shell.env("BEYLA_SOCKET", unix_path_bytes(path));
        }
        if let Some(user) = self.user {
            user.apply(&mut shell);
        }
        // A shell that ends leaves running what it has started: we must find all of that.
        let grouping = if terminal::is_there() { Grouping::Descendants } else { Grouping::ProcessGroup };
        if grouping == Grouping::ProcessGroup {
            shell.process_group(0);
        }
        // SAFETY: a system call. The signals that we block, to read them from a descriptor, are not blocked for the command.
        unsafe { shell.pre_exec(|| Ok(sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?)) };
        let child = shell.spawn().map_err(|source| Error::System { what: "starting the command of --exec", source })?;
        let tree = ProcessTree { root: Pid::from_raw(child.id() as i32), grouping };
        if let Some(guard) = guard {
            guard.watch(tree);
        }
        self.child = Some((child, tree));
        descriptors::close_unneeded();
        Ok(())
    }

    /// Notes its end, if it has ended.
    pub(crate) fn reap(&mut self, guard: Option<&Arc<Guard>>) {
        let Some((child, tree)) = &mut self.child else { return };
        if let Ok(Some(status)) = child.try_wait() {
            let code = status.code().or(status.signal().map(|signal| i32::from(SIGNALLED) + signal));
            self.exit_code = Some(code.unwrap_or(1) as u8);
            if let Some(guard) = guard {
                guard.forget(tree.root);
            }
            self.child = None;
        }
    }

    /// Waits for its end, but not for long: it may have seen that the server has ended. Returns whether there is nothing
    /// left to wait for.
    pub(crate) fn ends_soon(&mut self, guard: Option<&Arc<Guard>>) -> bool {
        let since = Instant::now();
        loop {
            self.reap(guard);
            if self.child.is_none() || since.elapsed() >= END_FOLLOWS {
                return self.child.is_none() && self.command.is_none();
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Whether it has run to its end.
    pub(crate) fn is_over(&self) -> bool {
        self.exit_code.is_some()
    }

    /// Its exit code, if it has run to its end.
    pub(crate) fn exit_code(&self) -> Option<u8> {
        self.exit_code
    }

    /// Ends it, with what it has started.
    pub(crate) fn stop(&mut self) {
        self.command = None;
        if let Some((_, tree)) = &self.child {
            tree.send(Signal::SIGTERM as i32);
            tree.send(Signal::SIGCONT as i32);
        }
    }

    /// Forwards a signal that stops or continues the server.
    pub(crate) fn forward(&self, received: &Received) {
        if let Some((_, tree)) = &self.child {
            tree.forward(received);
        }
    }
}
