//! The two ends of a TCP connection, by which the server's socket is found from the client's.

use aya_ebpf::{macros::map, maps::HashMap};
use cargo_beyla_events::AF_INET6;

use crate::kernel::fields::{read_or_zero, setting, Sock, TypedSock};

/// The most connections that are known at a time.
pub const MAX_CONNECTIONS: u32 = 32 * 1024;

/// The two ends of a TCP connection. Of IPv6 addresses the last four bytes, which of one that stands for an IPv4
/// address are that: one end may be of another family than the other.
///
/// Two connections may have the same, and then one is not found: a sequence number tells that it is the right one.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Ends {
    server: u32,
    client: u32,
    server_port: u16,
    client_port: u16,
}

/// The server's socket, by its ends.
#[map]
static SERVER_SOCKETS: HashMap<Ends, u64> = HashMap::with_max_entries(MAX_CONNECTIONS, 0);

/// Of `struct in6_addr`: the offset of its last four bytes.
const LAST_FOUR: u32 = 12;
/// The first byte of an IPv4 address of the loopback device.
const LOOPBACK: u8 = 127;

impl Ends {
    /// Of a Unix socket.
    pub const NONE: Self = Self { server: 0, client: 0, server_port: 0, client_port: 0 };

    /// Of a TCP connection, by the server's socket.
    #[inline(always)]
    pub fn of_server(sock: Sock, family: u16) -> Self {
        let (local, remote) = address_offsets(family);
        Self {
            server: read_or_zero(sock.0, local),
            client: read_or_zero(sock.0, remote),
            server_port: sock.local_port_or_zero(),
            client_port: sock.remote_port_or_zero(),
        }
    }

    #[inline(always)]
    pub fn of_client(sock: TypedSock) -> Self {
        let (local, remote) = address_offsets(sock.family());
        Self {
            server: read_or_zero(sock.untyped().0, remote),
            client: read_or_zero(sock.untyped().0, local),
            server_port: sock.remote_port(),
            client_port: sock.local_port(),
        }
    }

    /// Whether the client's address is one of this machine: that of its loopback device, or the server's own.
    #[inline(always)]
    pub fn are_here(self) -> bool {
        // Four bytes in network byte order, on a machine whose own is the other.
        self.client as u8 == LOOPBACK || self.client == self.server
    }

    /// Makes the server's socket known by these.
    #[inline(always)]
    pub fn lead_to(&self, sock: Sock) {
        // With no room the return of each send call stands for what cannot be told.
        let _ = SERVER_SOCKETS.insert(self, &sock.0, 0);
    }

    /// The server's socket is gone. Another may have taken its place.
    #[inline(always)]
    pub fn forget(&self, sock: Sock) {
        if server_socket(self) == Some(sock) {
            let _ = SERVER_SOCKETS.remove(self);
        }
    }
}

#[inline(always)]
pub fn server_socket(ends: &Ends) -> Option<Sock> {
    // SAFETY: the value is copied at once.
    unsafe { SERVER_SOCKETS.get(ends) }.copied().map(Sock)
}

/// Where a socket has its local and its remote address, or what of them [`Ends`] hold.
#[inline(always)]
fn address_offsets(family: u16) -> (u32, u32) {
    if family == AF_INET6 {
        (setting!(sock_v6_rcv_saddr) + LAST_FOUR, setting!(sock_v6_daddr) + LAST_FOUR)
    } else {
        (setting!(sock_rcv_saddr), setting!(sock_daddr))
    }
}
