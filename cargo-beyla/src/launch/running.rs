//! A server that already runs: found by its process id, or by the port that it listens on.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use nix::unistd::Pid;
use procfs::ProcError;
use procfs::net::{TcpNetEntry, TcpState};
use procfs::process::{FDTarget, Process};

use crate::error::Error;

/// A process that ran before us.
#[derive(Debug)]
pub struct Running {
    /// Its id.
    pub pid: Pid,
    /// What it executes.
    pub executable: PathBuf,
    /// Ready to be read once it has ended.
    pub end: OwnedFd,
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
        let owner = process.uid().map_err(|_| found("there is no process"))?;
        let user = super::user::invoking_uid();
        if user != 0 && owner != user {
            return Err(Error::Attach {
                message: format!("process {pid} belongs to another user (uid {owner})"),
                hint: "only your own servers may be traced: attach as the user that it runs as".into(),
            });
        }
        let executable = process.exe().map_err(|_| found("a program of its own is not executed by process"))?;
        if listening(&process).is_ok_and(|addresses| addresses.is_empty()) {
            return Err(found("no TCP port is listened on by process"));
        }
        Ok(Self { pid: Pid::from_raw(number), executable, end })
    }

    /// The one process that listens on this port.
    pub fn on_port(port: u16) -> Result<Self, Error> {
        let inodes = listeners_on(port).map_err(|source| Error::System { what: "reading /proc/net/tcp", source })?;
        if inodes.is_empty() {
            return Err(Error::Attach { message: format!("nobody listens on port {port}"), hint: PICK.into() });
        }
        let mut processes: Vec<Process> = procfs::process::all_processes()
            .map_err(|error| Error::System { what: "reading /proc", source: io::Error::other(error) })?
            .filter_map(Result::ok)
            // Those of others do not show their files.
            .filter(|process| sockets(process).is_ok_and(|sockets| sockets.iter().any(|s| inodes.contains(s))))
            .collect();
        processes.sort_unstable_by_key(Process::pid);
        match &processes[..] {
            [process] => Self::with_pid(process.pid() as u32),
            [] => Err(Error::Attach {
                message: format!("what listens on port {port} belongs to another user"),
                hint: "only your own servers may be traced: attach as the user that it runs as".into(),
            }),
            several => {
                let name = |process: &Process| {
                    let name = process.stat().map_or_else(|_| "?".to_owned(), |stat| stat.comm);
                    format!("{} ({name})", process.pid())
                };
                let list: Vec<String> = several.iter().map(name).collect();
                Err(Error::Attach {
                    message: format!("{} processes listen on port {port}: {}", list.len(), list.join(", ")),
                    hint: "choose one of them with --pid".into(),
                })
            }
        }
    }
}

const PICK: &str = "`ss -ltnp` lists what listens, and where";

/// The TCP addresses that a process listens on.
///
/// # Errors
/// If the process is gone, or not ours to look into.
pub fn listening_addresses(pid: u32) -> io::Result<Vec<SocketAddr>> {
    Process::new(pid as i32).and_then(|process| listening(&process)).map_err(io::Error::other)
}

fn listening(process: &Process) -> Result<Vec<SocketAddr>, ProcError> {
    let sockets = sockets(process)?;
    let mut addresses: Vec<SocketAddr> = tcp(process)?
        .filter(|entry| entry.state == TcpState::Listen && sockets.contains(&entry.inode))
        .map(|entry| canonical(entry.local_address))
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    Ok(addresses)
}

fn tcp(process: &Process) -> Result<impl Iterator<Item = TcpNetEntry>, ProcError> {
    // A kernel without IPv6 has no such file.
    Ok(process.tcp()?.into_iter().chain(process.tcp6().unwrap_or_default()))
}

/// The listening sockets of this port, by inode.
fn listeners_on(port: u16) -> io::Result<BTreeSet<u64>> {
    let own = Process::myself().map_err(io::Error::other)?;
    let listens = |entry: &TcpNetEntry| entry.state == TcpState::Listen && entry.local_address.port() == port;
    Ok(tcp(&own).map_err(io::Error::other)?.filter(listens).map(|entry| entry.inode).collect())
}

/// The sockets of a process, by inode.
fn sockets(process: &Process) -> Result<BTreeSet<u64>, ProcError> {
    let files = process.fd()?.filter_map(Result::ok);
    Ok(files.filter_map(|file| if let FDTarget::Socket(inode) = file.target { Some(inode) } else { None }).collect())
}

fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V6(ip) => SocketAddr::new(ip.to_canonical(), address.port()),
        IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn this_process_and_its_port() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        assert!(listening_addresses(std::process::id()).expect("it is ours").contains(&address));
        let running = Running::on_port(address.port()).expect("it is this one");
        assert_eq!(running.pid.as_raw() as u32, std::process::id());
        assert_eq!(running.executable, std::env::current_exe().expect("it has one"));
    }

    #[test]
    fn what_cannot_be_attached_to() {
        let free = {
            let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
            listener.local_addr().expect("it is bound").port()
        };
        let message = |result: Result<Running, Error>| result.expect_err("refused").to_string();
        assert_eq!(message(Running::on_port(free)), format!("nobody listens on port {free}"));
        assert_eq!(message(Running::with_pid(u32::MAX)), format!("there is no process {}", u32::MAX));
        let mut idle = std::process::Command::new("sleep").arg("100").spawn().expect("sleep");
        let message = message(Running::with_pid(idle.id()));
        idle.kill().expect("it is ours");
        idle.wait().expect("it is ours");
        assert_eq!(message, format!("no TCP port is listened on by process {}", idle.id()));
    }
}
