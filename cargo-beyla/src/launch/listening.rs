//! Where processes that run already listen, by `/proc`: the servers that `attach` finds, and sockets that a server is
//! given. Where a server begins to listen during a run, the kernel's records say.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use procfs::ProcError;
use procfs::net::{TcpNetEntry, TcpState};
use procfs::process::{FDTarget, Process};

/// Of a socket in `/proc/net/unix`: it listens (`__SO_ACCEPTCON` of the kernel).
const LISTENS: u32 = 1 << 16;

/// Where a process listens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listening {
    /// Its TCP sockets.
    pub tcp: Vec<TcpListener>,
    /// The paths of its Unix sockets; an abstract name has a leading `@`.
    pub unix: Vec<String>,
}

/// A TCP socket that listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TcpListener {
    /// Where.
    pub address: SocketAddr,
    /// Whether it listens on addresses of IPv6 alone, and not on those of IPv4 as well, as far as that is known.
    pub ipv6_only: bool,
}

impl Listening {
    /// Of the process with this id.
    ///
    /// # Errors
    /// If the process is gone, or not ours to look into.
    pub fn of(pid: u32) -> io::Result<Self> {
        Process::new(pid as i32).and_then(|process| Self::of_process(&process)).map_err(io::Error::other)
    }

    /// Where a process listens that has not executed its program yet: of its sockets, those that it passes on. It is
    /// nowhere where the kernel forbids a look: the process still is the tool, to which somebody gave capabilities
    /// (`__ptrace_may_access` in `kernel/ptrace.c`), and a warning about that is shown.
    ///
    /// # Errors
    /// If the process is gone.
    pub fn passed_on(pid: u32) -> io::Result<Self> {
        let look = |process: Process| {
            let sockets: Vec<Socket> =
                open_sockets(&process)?.into_iter().filter(|socket| !closes_on_exec(pid, socket.descriptor)).collect();
            // Few processes are given any, and the list of all that there are may be long.
            if sockets.is_empty() { Ok(Self::default()) } else { Self::among(&process, &sockets) }
        };
        match Process::new(pid as i32).and_then(look) {
            Err(ProcError::PermissionDenied(_)) => Ok(Self::default()),
            looked => looked.map_err(io::Error::other),
        }
    }

    /// Whether it listens nowhere.
    pub fn is_empty(&self) -> bool {
        self.tcp.is_empty() && self.unix.is_empty()
    }

    pub(super) fn of_process(process: &Process) -> Result<Self, ProcError> {
        Self::among(process, &open_sockets(process)?)
    }

    /// Among these sockets of a process.
    fn among(process: &Process, sockets: &[Socket]) -> Result<Self, ProcError> {
        let with_inode = |inode: u64| sockets.iter().find(|socket| socket.inode == inode);
        let listener = |entry: TcpNetEntry| {
            let socket = with_inode(entry.inode).filter(|_| entry.state == TcpState::Listen)?;
            let address = canonical(entry.local_address);
            // Of a certain address it says nothing.
            let ipv6_only = address.is_ipv6()
                && address.ip().is_unspecified()
                && is_ipv6_only(process.pid(), socket.descriptor).unwrap_or(false);
            Some(TcpListener { address, ipv6_only })
        };
        let mut tcp: Vec<TcpListener> = tcp(process)?.filter_map(listener).collect();
        tcp.sort_unstable();
        tcp.dedup();
        // A kernel without Unix sockets has no such file.
        let listed = std::fs::read(format!("/proc/{}/net/unix", process.pid())).unwrap_or_default();
        let listed = String::from_utf8_lossy(&listed);
        let listeners = listed.lines().filter_map(unix_listener);
        let mut unix: Vec<String> =
            listeners.filter(|(inode, _)| with_inode(*inode).is_some()).map(|(_, path)| path.to_owned()).collect();
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

/// A socket of a process.
#[derive(Clone, Copy, Debug)]
struct Socket {
    inode: u64,
    descriptor: i32,
}

/// The sockets of a process, by inode.
pub(super) fn sockets(process: &Process) -> Result<BTreeSet<u64>, ProcError> {
    Ok(open_sockets(process)?.into_iter().map(|socket| socket.inode).collect())
}

fn open_sockets(process: &Process) -> Result<Vec<Socket>, ProcError> {
    let files = process.fd()?.filter_map(Result::ok);
    let socket = |file: procfs::process::FDInfo| match file.target {
        FDTarget::Socket(inode) => Some(Socket { inode, descriptor: file.fd }),
        _ => None,
    };
    Ok(files.filter_map(socket).collect())
}

/// Whether a process no longer has the file once it executes a program.
fn closes_on_exec(pid: u32, descriptor: i32) -> bool {
    let info = std::fs::read_to_string(format!("/proc/{pid}/fdinfo/{descriptor}")).unwrap_or_default();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| i32::from_str_radix(flags.trim(), 8).ok());
    flags.is_none_or(|flags| flags & libc::O_CLOEXEC != 0)
}

/// Whether a socket of another process is for addresses of IPv6 alone. Linux 5.6.
fn is_ipv6_only(pid: i32, descriptor: i32) -> io::Result<bool> {
    use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

    let process = pidfd_open(Pid::from_raw(pid).ok_or(io::ErrorKind::NotFound)?, PidfdFlags::empty())?;
    let socket: OwnedFd = pidfd_getfd(process, descriptor, PidfdGetfdFlags::empty())?;
    let mut value: libc::c_int = 0;
    let mut size = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the option is a number, for which there is room.
    let status = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IPV6,
            libc::IPV6_V6ONLY,
            (&raw mut value).cast(),
            &raw mut size,
        )
    };
    if status == 0 { Ok(value != 0) } else { Err(io::Error::last_os_error()) }
}

fn tcp(process: &Process) -> Result<impl Iterator<Item = TcpNetEntry>, ProcError> {
    // A kernel without IPv6 has no such file.
    Ok(process.tcp()?.into_iter().chain(process.tcp6().unwrap_or_default()))
}

/// The bytes of the path of a Unix socket that listens: `shown` has another character for those that are not UTF-8.
pub fn unix_path_bytes(shown: &str) -> OsString {
    if !shown.contains(char::REPLACEMENT_CHARACTER) {
        return shown.into();
    }
    let listed = std::fs::read("/proc/net/unix").unwrap_or_default();
    let path = listed.split(|byte| *byte == b'\n').find_map(|line| path_shown_as(line, shown));
    path.map_or_else(|| shown.into(), |path| OsStr::from_bytes(path).to_owned())
}

/// Of a line of `/proc/net/unix` the path, if its socket listens and this is what is shown of it.
fn path_shown_as<'a>(line: &'a [u8], shown: &str) -> Option<&'a [u8]> {
    let text = String::from_utf8_lossy(line);
    let (_, path) = unix_listener(&text).filter(|(_, path)| *path == shown)?;
    // What stands before the path is ASCII.
    line.get(text.len() - path.len()..)
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
    fn paths_that_are_no_text_keep_their_bytes() {
        let line = b"ffff: 00000002 00000000 00010000 0001 01 26453 /run/\xff\x01.sock";
        assert_eq!(path_shown_as(line, "/run/\u{fffd}\u{1}.sock"), Some(&b"/run/\xff\x01.sock"[..]));
        assert_eq!(path_shown_as(line, "/run/\u{fffd}"), None);
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(OsStr::from_bytes(b"\xfe\xff"));
        let _unix = UnixListener::bind(&path).expect("a free path");
        assert_eq!(unix_path_bytes(&path.to_string_lossy()), path);
        assert_eq!(unix_path_bytes("/run/\u{fffd}/none"), "/run/\u{fffd}/none");
    }

    #[test]
    fn those_of_this_process() {
        let tcp = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        let _unix = UnixListener::bind(&path).expect("a free path");
        let listening = Listening::of(std::process::id()).expect("it is ours");
        let address = tcp.local_addr().expect("it is bound");
        assert!(listening.tcp.contains(&super::TcpListener { address, ipv6_only: false }), "{listening:?}");
        assert!(listening.unix.contains(&path.display().to_string()), "{listening:?}");
    }
}
