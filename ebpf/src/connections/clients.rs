//! Connections that the process opens itself.
//!
//! A TCP socket tells by its state that connect began, and how that ended. A Unix socket is connected at once, in the
//! client's own call, by which the listening socket becomes readable.

use cargo_beyla_events::{tcp_state, AF_INET, AF_INET6, AF_UNIX};

use super::connection::{Beginning, Connection, Role};
use super::{announcements, ports, state_changes, table};
use crate::kernel::fields::{counted, setting, Sock};
use crate::kernel::output;

/// The current process connects a TCP socket.
///
/// This and those that follow it are global, so that the verifier looks at them by themselves: see
/// [`crate`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn clients_connecting(sock: u64) -> u32 {
    let sock = Sock(sock);
    if let Some(family) = counted(sock.family()) {
        let beginning =
            Beginning { role: Role::Client, before: false, established_ns: 0, receive: 0, send: 0, peer: 0 };
        begin(sock, family, beginning);
    }
    0
}

/// The handshake of a client is over.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn clients_established(sock: u64) -> u32 {
    established(Sock(sock));
    0
}

#[inline(always)]
fn established(sock: Sock) {
    let Some(connection) = table::get(sock).filter(|connection| connection.is_client()) else { return };
    let Some(receive) = counted(sock.copied_sequence()) else { return };
    let Some(send) = counted(sock.write_sequence()) else { return };
    connection.receive_begin = receive;
    connection.queued_sequence = receive;
    connection.received_sequence = receive;
    connection.send_begin = send;
    connection.sent_sequence = send;
    ports::has_client_port(sock);
    state_changes::changed(sock, connection, tcp_state::SYN_SENT, tcp_state::ESTABLISHED);
}

/// The current process has connected a Unix socket; `accepted` is the server's end of the connection.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn clients_connected_unix(accepted: u64) -> u32 {
    connected_unix(Sock(accepted));
    0
}

#[inline(always)]
fn connected_unix(accepted: Sock) {
    let Some(sock) = accepted.unix_peer() else { return };
    if let Some(connection) = table::get(sock) {
        closed_unix(sock, connection);
    }
    let established_ns = output::now();
    let peer = accepted.0;
    begin(sock, AF_UNIX, Beginning { role: Role::Client, before: false, established_ns, receive: 0, send: 0, peer });
}

#[inline(always)]
fn begin(sock: Sock, family: u16, beginning: Beginning) {
    table::put(sock, family, beginning);
    if let Some(connection) = table::get(sock) {
        announcements::announce(sock, connection, output::now());
    }
}

/// The connection behind a socket on which the current process has just received or sent bytes, entered in the table if
/// it was open before anybody watched: as a client's if the process does not listen where it is bound.
#[inline(always)]
pub fn get_or_adopt(sock: Sock, received: u32, sent: u32) -> Option<&'static mut Connection> {
    let known = table::get_or_adopt(sock, received, sent);
    if known.is_some() || setting!(adopts) == 0 {
        return known;
    }
    if clients_adopt(sock.number(), received, sent) == 0 {
        return None;
    }
    table::get(sock)
}

/// Enters such a connection of a client; 1 if that is one.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn clients_adopt(sock: u64, received: u32, sent: u32) -> u32 {
    adopt(Sock(sock), received, sent).is_some().into()
}

#[inline(always)]
fn adopt(sock: Sock, received: u32, sent: u32) -> Option<()> {
    if !sock.is_stream() || sock.state()? != tcp_state::ESTABLISHED {
        return None;
    }
    let mut beginning = Beginning { role: Role::Client, before: true, established_ns: 0, receive: 0, send: 0, peer: 0 };
    let family = sock.family()?;
    match family {
        AF_UNIX => {
            // The server's end has the name of the socket that listens; of a pair neither has one.
            let peer = sock.unix_peer()?;
            if sock.unix_path().is_some() || peer.unix_path().is_none() {
                return None;
            }
            beginning.peer = peer.0;
        }
        AF_INET | AF_INET6 => {
            beginning.receive = sock.copied_sequence()?.wrapping_sub(received);
            beginning.send = sock.write_sequence()?.wrapping_sub(sent);
            ports::has_client_port(sock);
        }
        _ => return None,
    }
    table::put(sock, family, beginning);
    Some(())
}

/// Whether what is in the table for a Unix socket is another one's that had the same address: of most nothing tells
/// that they are gone.
#[inline(always)]
pub fn is_stale(sock: Sock, connection: &Connection) -> bool {
    connection.peer != 0 && sock.unix_peer() != Some(Sock(connection.peer))
}

/// A client's end of a Unix socket is gone.
#[inline(always)]
pub fn closed_unix(sock: Sock, connection: &mut Connection) {
    state_changes::changed(sock, connection, tcp_state::ESTABLISHED, tcp_state::CLOSE);
    table::remove(sock, connection);
}

/// Another process has met the end of the stream on a Unix socket. It may be the server's end of a connection whose client's
/// end is gone. (A process that serves its own calls is watched closing it.)
#[inline(always)]
pub fn server_has_met_end(server: Sock) {
    let Some(sock) = server.unix_peer() else { return };
    let Some(connection) = table::get(sock) else { return };
    // The server's end keeps the client's in memory: no other has its address yet.
    if connection.peer == server.0 && sock.state() == Some(tcp_state::CLOSE) {
        closed_unix(sock, connection);
    }
}

/// Bytes that the current process sends on a Unix socket have reached the other end. Where no system call is watched, the
/// first time of a call stands for its entry.
#[inline(always)]
pub fn sends_on_unix(connection: &mut Connection) {
    if connection.is_client() && setting!(socket_tracepoints) != 0 && connection.send_begin_ns == 0 {
        connection.send_begins();
    }
    connection.delivered_ns = output::now();
}
