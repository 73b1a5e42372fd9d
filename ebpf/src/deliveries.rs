//! Bytes that the process has sent reach the receive queue of a client on this machine. That client's socket is all
//! that tells of it: it has the ends of the server's socket, the other way round.

use aya_ebpf::{macros::map, maps::HashMap};
use cargo_beyla_events::{kind, Arrival, Header, AF_INET6, DELIVERY_AWAITED};

use crate::connections::{self, Connection, MAX_CONNECTIONS};
use crate::fields::{read_or_zero, setting, Sock, TypedSock};
use crate::output;

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
    fn of_client(sock: TypedSock) -> Self {
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
fn server_socket(ends: &Ends) -> Option<Sock> {
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

/// Bytes up to a sequence number have reached the receive queue of a TCP socket that may be a client's.
#[inline(always)]
pub fn reached(client: TypedSock, sequence: impl FnOnce() -> Option<u32>) {
    let Some(server) = server_socket(&Ends::of_client(client)) else { return };
    let Some(connection) = connections::get(server) else { return };
    let Some(sequence) = sequence() else { return };
    if (sequence.wrapping_sub(connection.delivered_sequence) as i32) <= 0 {
        return;
    }
    let time_ns = output::now();
    // SAFETY: references are valid. The order matters to `sent`, which may run on another CPU.
    let awaited = unsafe {
        (&raw mut connection.delivered_ns).write_volatile(time_ns);
        (&raw mut connection.delivered_sequence).write_volatile(sequence);
        (&raw const connection.awaited).read_volatile()
    };
    if awaited != 0 && (sequence.wrapping_sub(connection.sent_sequence) as i32) >= 0 {
        connection.awaited = 0;
        delivered(connection, time_ns);
    }
}

#[inline(always)]
fn delivered(connection: &Connection, time_ns: u64) {
    let arrival = Arrival {
        header: Header {
            kind: kind::DELIVERED,
            flags: 0,
            size: size_of::<Arrival>() as u32,
            time_ns,
            connection: connection.id,
        },
        sequence: connection.sent_sequence,
        reserved: 0,
    };
    output::frequent((&raw const arrival).cast(), size_of::<Arrival>() as u64);
}

/// A send call has come to a sequence number and returns: when the client had the last byte of it, or 0; and
/// [`DELIVERY_AWAITED`] if that will be told.
#[inline(always)]
pub fn sent(connection: &mut Connection, sequence: u32) -> (u64, u16) {
    connection.sent_sequence = sequence;
    // SAFETY: references are valid. What `reached` does meanwhile on another CPU is seen by one of the two.
    let (delivered_sequence, delivered_ns) = unsafe {
        (&raw mut connection.awaited).write_volatile(1);
        let sequence = (&raw const connection.delivered_sequence).read_volatile();
        (sequence, (&raw const connection.delivered_ns).read_volatile())
    };
    if (delivered_sequence.wrapping_sub(sequence) as i32) >= 0 {
        connection.awaited = 0;
        (delivered_ns, 0)
    } else if connection.ends.are_here() {
        (0, DELIVERY_AWAITED)
    } else {
        (0, 0)
    }
}
