//! Where processes listen that run already.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};

use procfs::ProcError;
use procfs::net::{TcpNetEntry, TcpState};
use procfs::process::{FDTarget, Process};

/// Of a socket in `/proc/net/unix`: it listens (`__SO_ACCEPTCON` of the kernel).
const LISTENS: u32 = 1 << 16;

/// Where a process listens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listening {
    /// Its TCP addresses.
    pub tcp: Vec<SocketAddr>,
    /// The paths of its Unix sockets; an abstract name has a leading `@`.
    pub unix: Vec<String>,
}

impl Listening {
    /// Of the process with this id.
    ///
    /// # Errors
    /// If the process is gone, or not ours to look into.
    pub fn of(pid: u32) -> io::Result<Self> {
        Process::new(pid as i32).and_then(|process| Self::of_process(&process)).map_err(io::Error::other)
    }

    /// Whether it listens nowhere.
    pub fn is_empty(&self) -> bool {
        self.tcp.is_empty() && self.unix.is_empty()
    }

    pub(super) fn of_process(process: &Process) -> Result<Self, ProcError> {
        let sockets = sockets(process)?;
        let mut tcp: Vec<SocketAddr> = tcp(process)?
            .filter(|entry| entry.state == TcpState::Listen && sockets.contains(&entry.inode))
            .map(|entry| canonical(entry.local_address))
            .collect();
        tcp.sort_unstable();
        tcp.dedup();
        // A kernel without Unix sockets has no such file.
        let listed = std::fs::read(format!("/proc/{}/net/unix", process.pid())).unwrap_or_default();
        let listed = String::from_utf8_lossy(&listed);
        let listeners = listed.lines().filter_map(unix_listener);
        let mut unix: Vec<String> =
            listeners.filter(|(inode, _)| sockets.contains(inode)).map(|(_, path)| path.to_owned()).collect();
        unix.sort_unstable();
        unix.dedup();
        Ok(Self { tcp, unix })
    }
}

/// The TCP sockets that listen on such a port, by inode.
pub(super) fn listeners_on(wanted: impl Fn(u16) -> bool) -> io::Result<BTreeSet<u64>> {
    let own = Process::myself().map_err(io::Error::other)?;
    let listens = |entry: &TcpNetEntry| entry.state == TcpState::Listen && wanted(entry.local_address.port());
    Ok(tcp(&own).map_err(io::Error::other)?.filter(listens).map(|entry| entry.inode).collect())
}

/// The sockets of a process, by inode.
pub(super) fn sockets(process: &Process) -> Result<BTreeSet<u64>, ProcError> {
    let files = process.fd()?.filter_map(Result::ok);
    Ok(files.filter_map(|file| if let FDTarget::Socket(inode) = file.target { Some(inode) } else { None }).collect())
}

fn tcp(process: &Process) -> Result<impl Iterator<Item = TcpNetEntry>, ProcError> {
    // A kernel without IPv6 has no such file.
    Ok(process.tcp()?.into_iter().chain(process.tcp6().unwrap_or_default()))
}

/// Of a line of `/proc/net/unix`, inode and path, if its socket listens and has a name.
fn unix_listener(line: &str) -> Option<(u64, &str)> {
    let (mut rest, mut fields) = (line, [""; 7]);
    for field in &mut fields {
        (*field, rest) = rest.trim_start_matches(' ').split_once(' ')?;
    }
    let [_number, _references, _protocol, flags, _type, _state, inode] = fields;
    let listens = u32::from_str_radix(flags, 16).is_ok_and(|flags| flags & LISTENS != 0);
    let inode = inode.parse().ok().filter(|_| listens && !rest.is_empty())?;
    Some((inode, rest))
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
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn lines_of_unix_sockets() {
        for (line, listener) in [
            ("ffff: 00000002 00000000 00010000 0001 01 26453 /run/a b.sock", Some((26453, "/run/a b.sock"))),
            ("ffff: 00000002 00000000 00010000 0001 01    53 @name", Some((53, "@name"))),
            ("ffff: 00000003 00000000 00000000 0001 03 26453 /run/a.sock", None),
            ("ffff: 00000002 00000000 00010000 0001 01 26453", None),
            ("Num       RefCount Protocol Flags    Type St Inode Path", None),
        ] {
            assert_eq!(unix_listener(line), listener, "{line}");
        }
    }

    #[test]
    fn those_of_this_process() {
        let tcp = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        let _unix = UnixListener::bind(&path).expect("a free path");
        let listening = Listening::of(std::process::id()).expect("it is ours");
        assert!(listening.tcp.contains(&tcp.local_addr().expect("it is bound")), "{listening:?}");
        assert!(listening.unix.contains(&path.display().to_string()), "{listening:?}");
    }
}
