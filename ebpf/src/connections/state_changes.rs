//! A connection changes its state: noted at once, and told as soon as the user side knows of the connection.

use cargo_beyla_events::{kind, tcp_state, Header, State};

use super::connection::Connection;
use super::table;
use crate::kernel::fields::{counted_or, Sock};
use crate::kernel::output;

/// Tells of a change of state: at once, unless the process has not touched the connection yet. The end
/// of a connection that a send call meets is told when the socket goes, after that call's record.
#[inline(always)]
pub fn changed(sock: Sock, connection: &mut Connection, old: u8, new: u8) {
    connection.untold_old = old;
    connection.untold_new = new;
    let error = if old == tcp_state::SYN_SENT { connect_error(sock) } else { sock.error() };
    connection.untold_error = error.into();
    connection.untold_ns = output::now();
    if connection.announced != 0 && (new != tcp_state::CLOSE || connection.send_begin_ns == 0) {
        connections_tell_change(sock.number());
    }
}

/// The error by which a connection could not be opened, as [`Sock::error`].
///
/// Where connect(2) itself fails, the kernel notes the error nowhere, but the file is not yet marked as being connected
/// (`__inet_stream_connect`). What it fails for then, once the handshake was to begin, is that no port is free for it
/// (`inet_hash_connect`).
#[inline(always)]
fn connect_error(sock: Sock) -> u8 {
    const EADDRNOTAVAIL: u8 = 99;
    let error = sock.error();
    if error == 0 && sock.is_unconnected() {
        EADDRNOTAVAIL
    } else {
        error
    }
}

/// Tells of a change of state that has waited on the connection of a socket.
///
/// It is global, so that the verifier looks at it by itself: see [`crate`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn connections_tell_change(sock: u64) -> u32 {
    let sock = Sock(sock);
    if let Some(connection) = table::known(sock) {
        tell_change(sock, connection);
    }
    0
}

#[inline(always)]
fn tell_change(sock: Sock, connection: &mut Connection) {
    if connection.untold_ns == 0 {
        return;
    }
    let (receive_sequence, send_sequence, local_port) = if connection.is_unix() {
        (connection.unix_received, connection.unix_sent, 0)
    } else {
        // What cannot be read is as it was last seen.
        let received = counted_or(sock.copied_sequence(), connection.received_sequence);
        let sent = counted_or(sock.write_sequence(), connection.sent_sequence);
        (received, sent, counted_or(sock.local_port(), 0))
    };
    let state = State {
        header: Header { time_ns: connection.untold_ns, ..output::header_of::<State>(kind::STATE, connection.id) },
        old: connection.untold_old,
        new: connection.untold_new,
        error: connection.untold_error as u8,
        reserved: 0,
        receive_sequence,
        send_sequence,
        local_port,
        reserved2: 0,
    };
    connection.untold_ns = 0;
    output::frequent((&raw const state).cast(), size_of::<State>() as u64);
}
