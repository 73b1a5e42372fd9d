//! `--exec`: the command that sends the requests.

use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::unistd::Pid;

use crate::error::Error;
use crate::launch::family::{Bond, Family};
use crate::launch::guard::Guard;
use crate::launch::signals::Received;
use crate::launch::suspended::Stdout;
use crate::launch::terminal;
use crate::launch::user::InvokingUser;
use crate::request::model::Endpoint;

/// What a shell adds to the number of the signal that ended a command.
const SIGNALLED: i32 = 128;

/// The command, once it runs.
pub(super) struct Load<'a> {
    command: Option<&'a OsStr>,
    server: Pid,
    user: Option<&'a InvokingUser>,
    stdout: Stdout,
    guard: Option<Arc<Guard>>,
    child: Option<(Child, Family)>,
    exit_code: Option<u8>,
}

impl<'a> Load<'a> {
    pub(super) fn new(
        command: Option<&'a OsStr>,
        server: Pid,
        user: Option<&'a InvokingUser>,
        stdout: Stdout,
        guard: Option<Arc<Guard>>,
    ) -> Self {
        Self { command, server, user, stdout, guard, child: None, exit_code: None }
    }

    /// Starts it, the first time that it is called.
    pub(super) fn start(&mut self, listening: &[Endpoint]) -> Result<(), Error> {
        let Some(command) = self.command.take() else { return Ok(()) };
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(command).stdin(Stdio::null());
        if self.stdout == Stdout::ToStderr {
            shell.stdout(std::io::stderr());
        }
        shell.env("BEYLA_PID", self.server.to_string());
        if let Some(address) = listening.iter().find_map(reachable) {
            shell.env("BEYLA_URL", format!("http://{address}")).env("BEYLA_PORT", address.port().to_string());
        }
        if let Some(path) = listening.iter().find_map(unix_path) {
            shell.env("BEYLA_SOCKET", path);
        }
        if let Some(user) = self.user {
            user.apply(&mut shell);
        }
        // To be ended whole: a shell does not end what it has started.
        let bond = if terminal::is_there() { Bond::Tree } else { Bond::Group };
        if bond == Bond::Group {
            shell.process_group(0);
        }
        // SAFETY: a system call. What we block, to read it from a descriptor, is none of its business.
        unsafe { shell.pre_exec(|| Ok(sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?)) };
        let child = shell.spawn().map_err(|source| Error::System { what: "starting the command of --exec", source })?;
        let family = Family { root: Pid::from_raw(child.id() as i32), bond };
        if let Some(guard) = &self.guard {
            guard.watch(family);
        }
        self.child = Some((child, family));
        Ok(())
    }

    /// Takes note of its end, if it has ended.
    pub(super) fn reap(&mut self) {
        let Some((child, family)) = &mut self.child else { return };
        if let Ok(Some(status)) = child.try_wait() {
            let code = status.code().or(status.signal().map(|signal| SIGNALLED + signal));
            self.exit_code = Some(code.unwrap_or(1) as u8);
            if let Some(guard) = &self.guard {
                guard.forget(family.root);
            }
            self.child = None;
        }
    }

    /// Whether it has run to its end.
    pub(super) fn is_over(&self) -> bool {
        self.exit_code.is_some()
    }

    /// Its exit code, if it has run to its end.
    pub(super) fn exit_code(&self) -> Option<u8> {
        self.exit_code
    }

    /// Ends it, with what it has started.
    pub(super) fn stop(&mut self) {
        self.command = None;
        if let Some((_, family)) = &self.child {
            family.send(Signal::SIGTERM as i32);
            family.send(Signal::SIGCONT as i32);
        }
    }

    /// Has it stop or go on as the server does.
    pub(super) fn hand_on(&self, received: &Received) {
        if let Some((_, family)) = &self.child {
            family.hand_on(received);
        }
    }
}

/// An address at which a client on this machine reaches a listening socket.
fn reachable(endpoint: &Endpoint) -> Option<SocketAddr> {
    let Endpoint::Tcp(address) = endpoint else { return None };
    let ip = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        // A socket that listens on all IPv6 addresses as a rule listens on those of IPv4 too, but for
        // the one way it can be told not to.
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    Some(SocketAddr::new(ip, address.port()))
}

fn unix_path(endpoint: &Endpoint) -> Option<&str> {
    match endpoint {
        Endpoint::Unix(path) => Some(path),
        Endpoint::Tcp(_) => None,
    }
}
