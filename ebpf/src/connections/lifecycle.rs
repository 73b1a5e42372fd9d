//! Connections are established and closed, and TCP sockets begin to listen and to connect.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use cargo_beyla_events::tcp_state;

use super::{clients, listeners, ports, state_changes, table};
use crate::kernel::fields::Sock;
use crate::kernel::output;
use crate::process::target;

/// A TCP socket changes its state.
///
/// Linux 4.16.
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn inet_sock_set_state(context: BtfTracePointContext) -> i32 {
    let sock = Sock(context.arg(0));
    let old = context.arg::<i32>(1) as u8;
    let new = context.arg::<i32>(2) as u8;
    match new {
        tcp_state::LISTEN => {
            if target::is_current() {
                listeners::listening(sock);
            }
        }
        tcp_state::SYN_SENT => {
            if target::is_current() {
                clients::clients_connecting(sock.number());
            }
        }
        tcp_state::ESTABLISHED if old == tcp_state::SYN_RECV => established(sock),
        tcp_state::ESTABLISHED if old == tcp_state::SYN_SENT => {
            clients::clients_established(sock.number());
        }
        tcp_state::CLOSE_WAIT | tcp_state::FIN_WAIT1 => {
            if let Some(connection) = table::get(sock) {
                state_changes::changed(sock, connection, old, new);
            }
        }
        tcp_state::CLOSE => {
            if let Some(connection) = table::get(sock) {
                state_changes::changed(sock, connection, old, new);
            }
        }
        _ => {}
    }
    0
}

/// Nothing refers to a TCP socket any more. Until then calls may return that were under way when its
/// connection closed.
///
/// Linux 4.16.
#[btf_tracepoint(function = "tcp_destroy_sock")]
pub fn tcp_destroy_sock(context: BtfTracePointContext) -> i32 {
    let sock = Sock(context.arg(0));
    if let Some(connection) = table::get(sock) {
        if connection.announced != 0 && connection.untold_ns != 0 {
            state_changes::connections_tell_change(sock.number());
        }
        let ends = connection.ends;
        table::remove(sock, connection);
        ends.forget(sock);
    }
    0
}

#[inline(always)]
fn established(sock: Sock) {
    let Some(port) = sock.local_port() else { return };
    if !ports::is_listening_port(port) {
        return;
    }
    if let (Some(family), Some(receive), Some(send)) = (sock.family(), sock.copied_sequence(), sock.write_sequence()) {
        table::insert(sock, family, output::now(), receive, send);
    }
}

/// The process closes or shuts down its end of a Unix socket, of which no tracepoint tells.
#[inline(always)]
pub fn unix_closing(sock: Sock, whole: bool) {
    let Some(connection) = table::get(sock) else { return };
    if !connection.is_unix() {
        return;
    }
    let new = if whole { tcp_state::CLOSE } else { tcp_state::FIN_WAIT1 };
    state_changes::changed(sock, connection, tcp_state::ESTABLISHED, new);
    if whole {
        table::remove(sock, connection);
    }
}
