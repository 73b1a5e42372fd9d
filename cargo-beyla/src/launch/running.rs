//! A server that already runs: found by its process id, by where it listens, or by what it executes.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use nix::unistd::Pid;
use procfs::process::{Process, Stat, StatFlags};
use regex::Regex;

use super::listening::{Listening, listeners_on, sockets};
use super::running_executable::RunningExecutable;
use crate::config::values::Ports;
use crate::error::Error;

/// A process that ran before us.
#[derive(Debug)]
pub struct Running {
    /// Its id.
    pub pid: Pid,
    /// What it executes.
    pub executable: RunningExecutable,
    /// Ready to be read once it has ended.
    pub end: OwnedFd,
}

/// What is known of a process that is looked for: all of it must be so.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// It listens on one of these ports at least.
    pub ports: Option<&'a Ports>,
    /// The path of its executable matches; it listens somewhere.
    pub executable: Option<&'a Regex>,
}

impl Running {
    /// The process with this id.
    pub fn with_pid(pid: u32) -> Result<Self, Error> {
        let found = |what: &str| Error::Attach { message: format!("{what} {pid}"), hint: PICK.into() };
        let number = i32::try_from(pid).ok().filter(|pid| *pid > 0).ok_or_else(|| found("there is no process"))?;
        let process = Process::new(number).map_err(|_| found("there is no process"))?;
        let handle = rustix::process::Pid::from_raw(number)
            .ok_or(rustix::io::Errno::SRCH)
            .and_then(|pid| rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()));
        let end = handle.map_err(|_| found("there is no process"))?;
        // They are the system's own, and of whoever else.
        let is_of_kernel = |stat: Stat| stat.flags & StatFlags::PF_KTHREAD.bits() != 0;
        if process.stat().is_ok_and(is_of_kernel) {
            return Err(Error::Attach {
                message: format!("process {pid} is a thread of the kernel"),
                hint: PICK.into(),
            });
        }
        let owner = process.uid().map_err(|_| found("there is no process"))?;
        let user = super::user::invoking_uid();
        if user != 0 && owner != user {
            return Err(Error::Attach {
                message: format!("process {pid} belongs to another user (uid {owner})"),
                hint: OWN.into(),
            });
        }
        let executable = RunningExecutable::of_process(pid).map_err(|error| unreadable(pid, &error))?;
        if Listening::of_process(&process).is_ok_and(|listening| listening.is_empty()) {
            return Err(found("no TCP port and no Unix socket is listened on by process"));
        }
        Ok(Self { pid: Pid::from_raw(number), executable, end })
    }

    /// The one process that is as wanted, or that has started all others that are.
    pub fn find(wanted: Wanted<'_>) -> Result<Self, Error> {
        let missing = |message: String| Err(Error::Attach { message, hint: PICK.into() });
        let inodes = wanted.ports.map(|ports| listeners_on(|port| ports.contains(port))).transpose();
        let inodes = inodes.map_err(|source| Error::System { what: "reading /proc/net/tcp", source })?;
        if let (Some(ports), Some(inodes)) = (wanted.ports, &inodes)
            && inodes.is_empty()
        {
            return missing(format!("nobody listens on {}", on(ports)));
        }
        let processes: Vec<Process> = procfs::process::all_processes()
            .map_err(|error| Error::System { what: "reading /proc", source: io::Error::other(error) })?
            .filter_map(Result::ok)
            .collect();
        // Those of others do not show their files.
        let listens = |process: &&Process| match &inodes {
            Some(inodes) => sockets(process).is_ok_and(|sockets| !sockets.is_disjoint(inodes)),
            None => Listening::of_process(process).is_ok_and(|listening| !listening.is_empty()),
        };
        let executes = |process: &&Process| match wanted.executable {
            Some(pattern) => RunningExecutable::of_process(process.pid() as u32)
                .is_ok_and(|executable| pattern.is_match(&executable.path.to_string_lossy())),
            None => true,
        };
        // What a process executes is asked first: to look through its files takes longer.
        let mut found: Vec<&Process> = processes.iter().filter(executes).filter(listens).collect();
        found.sort_unstable_by_key(|process| process.pid());
        if found.len() > 1 {
            // What a server has forked is traced with it: its workers, and what has not executed its own program yet.
            let forked: Vec<u32> = found.iter().flat_map(|process| descendants(process.pid() as u32)).collect();
            found.retain(|process| !forked.contains(&(process.pid() as u32)));
        }
        match (&found[..], wanted) {
            ([process], _) => Self::with_pid(process.pid() as u32),
            ([], Wanted { ports: Some(ports), executable: None }) => Err(Error::Attach {
                message: format!("what listens on {} belongs to another user", on(ports)),
                hint: OWN.into(),
            }),
            ([], _) => missing(format!("no processes of yours {}", wanted.sentence())),
            (several, _) => {
                let list: Vec<String> = several.iter().map(|process| wanted.describe(process)).collect();
                Err(Error::Attach {
                    message: format!("{} processes {}: {}", list.len(), wanted.sentence(), list.join(", ")),
                    hint: "choose one of them with --pid".into(),
                })
            }
        }
    }
}

/// A process that listens on one of these sockets, if there is one that we may look into, and its name.
pub fn listens_on(tcp: &[SocketAddr], unix: &[&str]) -> Option<(Pid, String)> {
    let listens = |process: &Process| {
        let Listening { tcp: open, unix: paths } = Listening::of_process(process).unwrap_or_default();
        open.iter().any(|listener| tcp.contains(&listener.address)) || paths.iter().any(|path| unix.contains(&&**path))
    };
    let process = procfs::process::all_processes().ok()?.filter_map(Result::ok).find(listens)?;
    Some((Pid::from_raw(process.pid()), process.stat().map_or_else(|_| "?".to_owned(), |stat| stat.comm)))
}

/// The processes that a process has started, with all that these have, as far as they still have those who started
/// them, and belong to the same user.
pub fn descendants(pid: u32) -> Vec<u32> {
    let user = super::user::invoking_uid();
    let parent_of =
        |process: Process| Some((process.pid() as u32, process.stat().ok()?.ppid as u32, process.uid().ok()?));
    let processes = procfs::process::all_processes().into_iter().flatten().filter_map(Result::ok);
    let all: Vec<(u32, u32, u32)> = processes.filter_map(parent_of).collect();
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        let children = all
            .iter()
            .filter(|(child, of, uid)| *of == parent && !found.contains(child) && (user == 0 || *uid == user));
        let children: Vec<u32> = children.map(|(child, ..)| *child).collect();
        found.extend(children);
        next += 1;
    }
    found.split_off(1)
}

/// What a process executes cannot be read, which says that it cannot be traced either.
fn unreadable(pid: u32, reason: &io::Error) -> Error {
    let hint = if reason.kind() == io::ErrorKind::PermissionDenied { UNREADABLE } else { PICK };
    Error::Attach { message: format!("the executable of process {pid} cannot be read: {reason}"), hint: hint.into() }
}

impl Wanted<'_> {
    /// What such processes do.
    fn sentence(self) -> String {
        let listen = self.ports.map_or_else(|| "listen".to_owned(), |ports| format!("listen on {}", on(ports)));
        match self.executable {
            Some(pattern) => format!("execute what matches '{pattern}' and {listen}"),
            None => listen,
        }
    }

    /// As in `4242 (server)`, or `4242 (server, port 8081)` where that tells processes apart.
    fn describe(self, process: &Process) -> String {
        let pid = process.pid();
        let name = process.stat().map_or_else(|_| "?".to_owned(), |stat| stat.comm);
        let Some(ports) = self.ports.filter(|ports| ports.single().is_none()) else { return format!("{pid} ({name})") };
        let tcp = Listening::of_process(process).unwrap_or_default().tcp;
        let open: BTreeSet<u16> =
            tcp.iter().map(|listener| listener.address.port()).filter(|port| ports.contains(*port)).collect();
        let open: Vec<String> = open.iter().map(ToString::to_string).collect();
        format!("{pid} ({name}, port {})", open.join(" and "))
    }
}

/// As in `port 8080`, or `the ports 8080,8443`.
fn on(ports: &Ports) -> String {
    if ports.single().is_some() { format!("port {ports}") } else { format!("the ports {ports}") }
}

const PICK: &str = "`ss -ltnp` lists what listens, and where";
const UNREADABLE: &str = "attach from where the server runs: one of another container, say, cannot be traced from here";
const OWN: &str = "only your own servers may be traced: attach as the user that it runs as";

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn on_ports(ports: &str) -> Result<Running, Error> {
        let ports = ports.parse().expect("ports");
        Running::find(Wanted { ports: Some(&ports), executable: None })
    }

    #[test]
    fn this_process_and_its_port() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        // Port 1 is nobody's.
        for ports in [format!("{port}"), format!("1,{port}"), format!("{port}-{port}")] {
            let running = on_ports(&ports).expect("it is this one");
            assert_eq!(running.pid.as_raw() as u32, std::process::id());
            assert_eq!(running.executable.path, std::env::current_exe().expect("it has one"));
        }
    }

    #[test]
    fn what_it_executes_counts_too() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let ports = listener.local_addr().expect("it is bound").port().to_string().parse().expect("a port");
        let find = |pattern: &str, ports| {
            let pattern = Regex::new(pattern).expect("a pattern");
            Running::find(Wanted { ports, executable: Some(&pattern) }).map(|running| running.executable.path)
        };
        let own = std::env::current_exe().expect("it has one");
        let pattern = format!("^{}$", regex::escape(&own.to_string_lossy()));
        assert_eq!(find(&pattern, Some(&ports)).expect("it is this one"), own);
        let message = |ports| find("/no/such$", ports).expect_err("nobody does").to_string();
        assert_eq!(message(None), "no processes of yours execute what matches '/no/such$' and listen");
        let beside = "no processes of yours execute what matches '/no/such$' and listen on port ";
        assert_eq!(message(Some(&ports)), format!("{beside}{ports}"));
    }

    #[test]
    fn what_cannot_be_attached_to() {
        // Taken by a socket that does not listen, so that no other test is given it meanwhile.
        let taken = tokio::net::TcpSocket::new_v4().expect("a socket");
        taken.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
        let free = taken.local_addr().expect("it is bound").port();
        let message = |result: Result<Running, Error>| result.expect_err("refused").to_string();
        assert_eq!(message(on_ports(&free.to_string())), format!("nobody listens on port {free}"));
        assert_eq!(message(on_ports(&format!("1,{free}"))), format!("nobody listens on the ports 1,{free}"));
        assert_eq!(message(Running::with_pid(u32::MAX)), format!("there is no process {}", u32::MAX));
        let refused = unreadable(1, &rustix::io::Errno::ACCESS.into());
        let reason = "the executable of process 1 cannot be read: Permission denied (os error 13)";
        assert_eq!((refused.to_string().as_str(), refused.hint().as_deref()), (reason, Some(UNREADABLE)));
        let mut idle = std::process::Command::new("sleep").arg("100").spawn().expect("sleep");
        let message = message(Running::with_pid(idle.id()));
        idle.kill().expect("it is ours");
        idle.wait().expect("it is ours");
        assert_eq!(message, format!("no TCP port and no Unix socket is listened on by process {}", idle.id()));
    }
}
