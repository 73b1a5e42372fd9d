//! Bytes reach a receive queue. These run in softirq, in the context of no process in particular.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use cargo_beyla_events::{kind, tcp_state, Arrival, Header, AF_UNIX};

use super::connection::Connection;
use super::ports::LISTENS;
use super::{clients, deliveries, listeners, ports, table};
use crate::kernel::fields::{read, setting, Sock, TypedSock};
use crate::kernel::output;
use crate::process::target;

/// Data is readable, of TCP and Unix sockets; on a listening Unix socket: a connection waits.
///
/// Linux 6.3.
#[btf_tracepoint(function = "sk_data_ready")]
pub fn sk_data_ready(context: BtfTracePointContext) -> i32 {
    let typed = TypedSock::argument(&context, 0);
    let sock = typed.untyped();
    if typed.family() == AF_UNIX {
        arrivals_unix(sock.number());
        return 0;
    }
    let port_use = ports::port_use(typed.local_port());
    if port_use != 0 {
        if let Some(connection) = table::get_or_adopt(sock, 0, 0) {
            if setting!(arrivals_by_tcp_probe) == 0 {
                if let Some(end) = sock.queued_sequence() {
                    arrived(connection, connection.queued_sequence, end);
                }
            }
        }
    }
    // Both ends may be the process's own.
    if port_use & LISTENS == 0 && setting!(arrivals_by_tcp_probe) == 0 && ports::is_listening_port(typed.remote_port())
    {
        deliveries::reached(typed, || sock.queued_sequence());
    }
    0
}

/// Data is readable of a Unix socket.
///
/// It is global, so that the verifier looks at it by itself: see [`crate`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn arrivals_unix(sock: u64) -> u32 {
    unix_data_ready(Sock(sock));
    0
}

#[inline(always)]
fn unix_data_ready(sock: Sock) {
    let mut is_connection = false;
    if let Some(connection) = table::get(sock) {
        if clients::is_stale(sock, connection) {
            clients::closed_unix(sock, connection);
        } else {
            is_connection = true;
            if let Some(length) = sock.last_queued().and_then(|buffer| read::<u32>(buffer, setting!(skb_len))) {
                let begin = connection.queued_sequence;
                arrived(connection, begin, begin.wrapping_add(length));
            }
        }
    }
    // Who sends runs to this point itself. Both ends may be the process's own.
    if target::is_current() {
        if let Some(connection) = sock.unix_peer().and_then(table::get) {
            clients::sends_on_unix(connection);
            return;
        }
    }
    if !is_connection {
        unix_connection(sock);
    }
}

/// A segment reaches an established TCP connection.
///
/// Linux 4.16.
#[btf_tracepoint(function = "tcp_probe")]
pub fn tcp_probe(context: BtfTracePointContext) -> i32 {
    let typed = TypedSock::argument(&context, 0);
    let buffer: u64 = context.arg(1);
    let control = buffer + u64::from(setting!(skb_cb));
    let port_use = ports::port_use(typed.local_port());
    if port_use & LISTENS == 0 && ports::is_listening_port(typed.remote_port()) {
        deliveries::reached(typed, || read(control, setting!(tcp_cb_end_seq)));
    }
    if port_use == 0 {
        return 0;
    }
    let Some(connection) = table::get_or_adopt(typed.untyped(), 0, 0) else { return 0 };
    if let (Some(begin), Some(end)) =
        (read::<u32>(control, setting!(tcp_cb_seq)), read::<u32>(control, setting!(tcp_cb_end_seq)))
    {
        arrived(connection, begin, end);
    }
    0
}

#[inline(always)]
fn arrived(connection: &mut Connection, begin: u32, end: u32) {
    // Nothing new: a pure acknowledgement, or a retransmission.
    if (end.wrapping_sub(connection.queued_sequence) as i32) <= 0 {
        return;
    }
    connection.queued_sequence = end;
    let time_ns = output::now();
    if connection.arrival_ns == 0 {
        connection.arrival_sequence = begin;
        connection.arrival_ns = time_ns;
        return;
    }
    let arrival = Arrival {
        header: Header {
            kind: kind::ARRIVAL,
            flags: 0,
            size: size_of::<Arrival>() as u32,
            time_ns,
            connection: connection.id,
        },
        sequence: begin,
        reserved: 0,
    };
    output::frequent((&raw const arrival).cast(), size_of::<Arrival>() as u64);
}

/// A client has connected to a Unix socket, and runs to this point itself. If client or server is a process of ours: the
/// new connection's socket belongs to the buffer at the end of the listening socket's queue.
#[inline(always)]
fn unix_connection(listener: Sock) {
    if listener.state() != Some(tcp_state::LISTEN) {
        return;
    }
    // One that the process was given, somebody else has made listen.
    let serves = listener.peer_pid().is_some_and(target::is_process) || listeners::is_unix_listener(listener);
    let connects = target::is_current();
    if !serves && !connects {
        return;
    }
    let Some(accepted) =
        listener.last_queued().and_then(|buffer| read::<u64>(buffer, setting!(skb_sk))).filter(|sock| *sock != 0)
    else {
        return;
    };
    if serves {
        listeners::unix_listener_seen(listener);
        table::insert(Sock(accepted), AF_UNIX, output::now(), 0, 0);
    }
    if connects {
        clients::clients_connected_unix(accepted);
    }
}
