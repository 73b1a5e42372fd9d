//! `--exec`: the command that sends the requests.

use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
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
use cargo_beyla_core::model::connection::{Endpoint, Listener};

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
    pub(super) fn start(&mut self, listening: &[Listener]) -> Result<(), Error> {
        let Some(command) = self.command.take() else { return Ok(()) };
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(command).stdin(Stdio::null());
        if self.stdout == Stdout::ToStderr {
            shell.stdout(std::io::stderr());
        }
        shell.env("BEYLA_PID", self.server.to_string());
        if let Some(address) = reachable(listening, is_here) {
            shell.env("BEYLA_URL", format!("http://{address}")).env("BEYLA_PORT", address.port().to_string());
        }
        if let Some(path) = listening.iter().find_map(|listener| unix_path(&listener.local)) {
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

/// An address at which a client on this machine reaches one of these sockets: the first on which the server itself began
/// to listen, or else the first that it was given. `is_here` says whether the machine has an address.
fn reachable(listening: &[Listener], is_here: impl Fn(IpAddr) -> bool) -> Option<SocketAddr> {
    let of = |before: bool| listening.iter().filter(move |listener| listener.before == before);
    let addresses: Vec<SocketAddr> =
        of(false).chain(of(true)).filter_map(|listener| address(listener, &is_here)).collect();
    let reached = addresses.iter().find(|address| !address.ip().is_loopback() || is_here(address.ip()));
    reached.or(addresses.first()).copied()
}

/// Where a client on this machine looks for a socket.
fn address(listener: &Listener, is_here: impl Fn(IpAddr) -> bool) -> Option<SocketAddr> {
    let Endpoint::Tcp(address) = &listener.local else { return None };
    let (ipv4, ipv6) = (IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST));
    let ip = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V6(_) if listener.ipv6_only || (is_here(ipv6) && !is_here(ipv4)) => ipv6,
        // All addresses of IPv6 are those of IPv4 as well, which more machines have.
        IpAddr::V4(_) | IpAddr::V6(_) => ipv4,
    };
    Some(SocketAddr::new(ip, address.port()))
}

/// Whether this machine, or the container that we are in, has an address.
fn is_here(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

fn unix_path(endpoint: &Endpoint) -> Option<&str> {
    match endpoint {
        Endpoint::Unix(path) => Some(path),
        Endpoint::Tcp(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(address: &str) -> Listener {
        let local = Endpoint::Tcp(address.parse().expect("an address"));
        Listener { local, ipv6_only: false, before: false, pid: None }
    }

    fn reached(listening: &[Listener], here: &[&str]) -> Option<String> {
        reachable(listening, |address| here.contains(&&*address.to_string())).map(|address| address.to_string())
    }

    #[test]
    fn a_socket_on_all_addresses_is_reached_by_one_that_is_here() {
        let (both, four, six) = (&["127.0.0.1", "::1"][..], &["127.0.0.1"][..], &["::1"][..]);
        let any = [listener("[::]:80")];
        let only = [Listener { ipv6_only: true, ..listener("[::]:80") }];
        for (listening, here, expected) in [
            (&any, both, "127.0.0.1:80"),
            (&any, four, "127.0.0.1:80"),
            (&any, six, "[::1]:80"),
            (&only, both, "[::1]:80"),
            (&only, four, "[::1]:80"),
            (&[listener("0.0.0.0:80")], six, "127.0.0.1:80"),
            (&[listener("10.1.2.3:80")], both, "10.1.2.3:80"),
        ] {
            assert_eq!(reached(listening, here).as_deref(), Some(expected), "{listening:?} {here:?}");
        }
    }

    #[test]
    fn of_several_sockets_the_first_that_can_be_reached_and_is_the_servers_own() {
        let only = Listener { ipv6_only: true, ..listener("[::]:80") };
        let listening = [only, listener("0.0.0.0:81")];
        assert_eq!(reached(&listening, &["127.0.0.1"]).as_deref(), Some("127.0.0.1:81"));
        assert_eq!(reached(&listening, &["127.0.0.1", "::1"]).as_deref(), Some("[::1]:80"));
        let given = Listener { before: true, ..listener("127.0.0.1:82") };
        let here = ["127.0.0.1"];
        assert_eq!(reached(&[given.clone(), listener("127.0.0.1:83")], &here).as_deref(), Some("127.0.0.1:83"));
        assert_eq!(reached(&[given], &here).as_deref(), Some("127.0.0.1:82"));
        assert_eq!(reached(&[], &here), None);
    }
}
