//! Sockets begin to listen, connections are established and closed.

use aya_ebpf::{
    macros::btf_tracepoint,
    macros::map,
    maps::{Array, HashMap},
    programs::BtfTracePointContext,
};
use cargo_beyla_events::{kind, tcp_state, Endpoint, Header, Listen, State, AF_INET6, LISTENS_ON_IPV6_ONLY};

use crate::connections::{self, Connection};
use crate::fields::{counted_or, Sock};
use crate::{clients, output, payload, process_tree, target};

/// What the process has done at each port: [`LISTENS`], [`CONNECTS`]. A connection is established in softirq, where its
/// port is all that tells whose it will be; and of most segments the ports tell that they are nobody's.
///
/// An array, though most of it stays empty: softirq looks into it for each segment of the machine.
#[map]
static PORTS: Array<u8> = Array::with_max_entries(1 << 16, 0);

/// It has listened there.
pub const LISTENS: u8 = 1;
/// It has connected from there.
pub const CONNECTS: u8 = 2;

/// [`LISTENS`] and [`CONNECTS`], as bits.
#[inline(always)]
pub fn port_use(port: u16) -> u8 {
    PORTS.get(u32::from(port)).copied().unwrap_or(0)
}

/// Whether the process has listened on this port.
#[inline(always)]
pub fn is_listening_port(port: u16) -> bool {
    port_use(port) & LISTENS != 0
}

/// Notes what a socket of the process does at its local port.
#[inline(always)]
fn note_port_use(sock: Sock, what: u8) {
    // There is an element for every port, and no socket is bound to 0.
    if let Some(known) = PORTS.get_ptr_mut(u32::from(counted_or(sock.local_port(), 0))) {
        // SAFETY: elements of an array are never freed. One of two that note at once may be lost: few ports are used
        // for both, and these from the beginning for one of them.
        unsafe { *known |= what };
    }
}

/// A socket is a client's of the process.
#[inline(always)]
pub fn has_client_port(sock: Sock) {
    note_port_use(sock, CONNECTS);
}

/// Unix sockets on which the process listens, so that each is told of once.
#[map]
static UNIX_LISTENERS: HashMap<u64, u8> = HashMap::with_max_entries(1024, 0);

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
                listening(sock);
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
            if let Some(connection) = connections::get(sock) {
                changed(sock, connection, old, new);
            }
        }
        tcp_state::CLOSE => {
            if let Some(connection) = connections::get(sock) {
                changed(sock, connection, old, new);
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
    if let Some(connection) = connections::get(sock) {
        if connection.announced != 0 && connection.untold_ns != 0 {
            lifecycle_tell_change(sock.number());
        }
        let ends = connection.ends;
        connections::remove(sock, connection);
        ends.forget(sock);
    }
    0
}

#[inline(always)]
fn listening(sock: Sock) {
    note_port_use(sock, LISTENS);
    tell_listener(sock);
}

/// The process listens on a Unix socket.
#[inline(always)]
pub fn unix_listener_seen(sock: Sock) {
    if is_unix_listener(sock) {
        return;
    }
    let _ = UNIX_LISTENERS.insert(&sock.0, &1, 0);
    process_tree::listens_on_unix();
    tell_listener(sock);
}

/// Whether it is known that the process listens on this Unix socket.
#[inline(always)]
pub fn is_unix_listener(sock: Sock) -> bool {
    // SAFETY: the value is not read.
    unsafe { UNIX_LISTENERS.get(&sock.0) }.is_some()
}

#[inline(always)]
fn tell_listener(sock: Sock) {
    let owner = if target::is_itself() { 0 } else { process_tree::current() };
    let mut header = header::<Listen>(kind::LISTEN, owner.into());
    if sock.family() == Some(AF_INET6) && sock.is_ipv6_only() {
        header.flags = LISTENS_ON_IPV6_ONLY;
    }
    let Some(listen) = payload::place(Listen { header, local: Endpoint::NONE }) else { return };
    sock.read_local(&mut listen.local);
    let size = sock.unix_path().map_or(size_of::<Listen>() as u64, |path| payload::append_path(listen, path));
    output::milestone((listen as *const Listen).cast(), size);
}

#[inline(always)]
fn established(sock: Sock) {
    let Some(port) = sock.local_port() else { return };
    if !is_listening_port(port) {
        return;
    }
    if let (Some(family), Some(receive), Some(send)) = (sock.family(), sock.copied_sequence(), sock.write_sequence()) {
        connections::insert(sock, family, output::now(), receive, send);
    }
}

/// Tells of a change of state: at once, unless the process has not touched the connection yet. The end
/// of a connection that a send call meets is told when the socket goes, after that call's record.
#[inline(always)]
pub fn changed(sock: Sock, connection: &mut Connection, old: u8, new: u8) {
    connection.untold_old = old;
    connection.untold_new = new;
    let error = if old == tcp_state::SYN_SENT { clients::connect_error(sock) } else { sock.error() };
    connection.untold_error = error.into();
    connection.untold_ns = output::now();
    if connection.announced != 0 && (new != tcp_state::CLOSE || connection.send_begin_ns == 0) {
        lifecycle_tell_change(sock.number());
    }
}

/// Tells of a change of state that has waited on the connection of a socket.
///
/// Like those that stand in other files it is global, so that the verifier looks at it by itself: see
/// [`payload::payload_copy`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn lifecycle_tell_change(sock: u64) -> u32 {
    let sock = Sock(sock);
    if let Some(connection) = connections::known(sock) {
        tell_change(sock, connection);
    }
    0
}

#[inline(always)]
pub fn tell_change(sock: Sock, connection: &mut Connection) {
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
        header: Header { time_ns: connection.untold_ns, ..header::<State>(kind::STATE, connection.id) },
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

/// The process closes or shuts down its end of a Unix socket, of which no tracepoint tells.
#[inline(always)]
pub fn unix_closing(sock: Sock, whole: bool) {
    let Some(connection) = connections::get(sock) else { return };
    if !connection.is_unix() {
        return;
    }
    let new = if whole { tcp_state::CLOSE } else { tcp_state::FIN_WAIT1 };
    changed(sock, connection, tcp_state::ESTABLISHED, new);
    if whole {
        connections::remove(sock, connection);
    }
}

#[inline(always)]
fn header<T>(kind: u16, connection: u64) -> Header {
    Header { kind, flags: 0, size: size_of::<T>() as u32, time_ns: output::now(), connection }
}
