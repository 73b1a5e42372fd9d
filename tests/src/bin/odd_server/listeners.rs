//! Sockets of every kind that listens.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use socket2::{Domain, SockAddr, Socket, Type};

pub(crate) struct Listener {
    socket: Socket,
    pub(crate) name: String,
}

impl Listener {
    /// `tcp4`, `tcp6`, `dual`, `reuseport` (two sockets on one port), `unix:PATH` or `abstract:NAME`.
    pub(crate) fn open(place: &str) -> Vec<Self> {
        match place.split_once(':').unwrap_or((place, "")) {
            ("tcp4", _) => vec![Self::tcp((Ipv4Addr::LOCALHOST, 0).into(), false)],
            ("tcp6", _) => vec![Self::tcp((Ipv6Addr::LOCALHOST, 0).into(), false)],
            ("dual", _) => vec![Self::tcp((Ipv6Addr::UNSPECIFIED, 0).into(), false)],
            ("reuseport", _) => {
                let first = Self::tcp((Ipv4Addr::LOCALHOST, 0).into(), true);
                let address = first.socket.local_addr().ok().and_then(|address| address.as_socket());
                let second = Self::tcp(address.expect("an address"), true);
                vec![first, second]
            }
            ("unix", path) => vec![Self::unix(path, format!("unix:{path}"))],
            ("abstract", name) => vec![Self::unix(&format!("\0{name}"), format!("unix:@{name}"))],
            (other, _) => panic!("unknown place {other}"),
        }
    }

    fn tcp(address: SocketAddr, reuse_port: bool) -> Self {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).expect("a socket");
        if address.is_ipv6() {
            socket.set_only_v6(false).expect("a socket for both families");
        }
        socket.set_reuse_port(reuse_port).expect("SO_REUSEPORT");
        socket.bind(&address.into()).expect("a free port");
        socket.listen(128).expect("to listen");
        let address = socket.local_addr().ok().and_then(|address| address.as_socket()).expect("an address");
        Self { socket, name: address.to_string() }
    }

    fn unix(path: &str, name: String) -> Self {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).expect("a socket");
        socket.bind(&SockAddr::unix(path).expect("a path that fits")).expect("a free path");
        socket.listen(128).expect("to listen");
        Self { socket, name }
    }

    pub(crate) fn accept4(&self) -> OwnedFd {
        self.socket.accept().expect("a connection").0.into()
    }

    pub(crate) fn accept(&self) -> OwnedFd {
        // SAFETY: the descriptor is open, and no address is asked for.
        let fd = unsafe { libc::accept(self.socket.as_raw_fd(), std::ptr::null_mut(), std::ptr::null_mut()) };
        assert!(fd >= 0, "accept: {}", io::Error::last_os_error());
        // SAFETY: the kernel has just made it, for nobody else.
        unsafe { OwnedFd::from_raw_fd(fd) }
    }
}

/// Creates an `io_uring` that lives as long as the process; says `ok`, or why the kernel would not.
pub(crate) fn set_up_io_uring() -> String {
    // `struct io_uring_params`, all zero: the kernel fills it in.
    let mut parameters = [0_u32; 30];
    // SAFETY: `struct io_uring_params` has 120 bytes, and so has `parameters`.
    let fd = unsafe { libc::syscall(libc::SYS_io_uring_setup, 4, parameters.as_mut_ptr()) };
    if fd < 0 { io::Error::last_os_error().to_string() } else { "ok".to_owned() }
}
