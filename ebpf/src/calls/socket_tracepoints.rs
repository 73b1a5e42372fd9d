//! The light way to capture TCP, and what a client does on a Unix socket: tracepoints that fire once a socket operation,
//! and at no other system call of the machine.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use cargo_beyla_events::AF_UNIX;

use super::system_calls::MSG_PEEK;
use super::{sending, transfers};
use crate::capture::payload;
use crate::capture::walks::Direction;
use crate::connections::connection::Connection;
use crate::connections::{announcements, clients, table};
use crate::kernel::fields::{Sock, TypedSock};
use crate::kernel::output;
use crate::kernel::registers::Registers;
use crate::process::target;

/// A receive operation returns. Linux 6.3.
#[btf_tracepoint(function = "sock_recv_length")]
pub fn sock_recv_length(context: BtfTracePointContext) -> i32 {
    let flags: i32 = context.arg(2);
    if flags as u64 & MSG_PEEK != 0 {
        return 0;
    }
    if target::is_current_or_found() {
        returned(&context, Direction::Receive);
        return 0;
    }
    let sock = TypedSock::argument(&context, 0);
    if context.arg::<i32>(1) == 0 && sock.family() == AF_UNIX {
        clients::server_has_met_end(sock.untyped());
    }
    0
}

/// A send operation returns. Linux 6.3.
#[btf_tracepoint(function = "sock_send_length")]
pub fn sock_send_length(context: BtfTracePointContext) -> i32 {
    if target::is_current() {
        returned(&context, Direction::Send);
    }
    0
}

/// A TCP send operation takes bytes: the first time of an operation is its beginning. Linux 6.15.
#[btf_tracepoint(function = "tcp_sendmsg_locked")]
pub fn tcp_sendmsg_locked(context: BtfTracePointContext) -> i32 {
    if !target::is_current() {
        return 0;
    }
    if let Some(connection) = table::get(Sock(context.arg(0))) {
        if connection.send_begin_ns == 0 {
            sending::begins(connection);
        }
    }
    0
}

#[inline(always)]
fn returned(context: &BtfTracePointContext, direction: Direction) {
    let sock = Sock(context.arg(0));
    let result: i32 = context.arg(1);
    let moved_bytes = if result > 0 { result as u32 } else { 0 };
    let (received, sent) = if direction == Direction::Receive { (moved_bytes, 0) } else { (0, moved_bytes) };
    let Some(connection) = clients::get_or_adopt(sock, received, sent) else { return };
    if connection.is_unix() && (!connection.is_client() || clients::is_stale(sock, connection)) {
        return;
    }
    let time_ns = output::now();
    announcements::announce(sock, connection, time_ns);
    let ends_stream = result == 0 && direction == Direction::Receive && connection.is_unix();
    if result > 0 || ends_stream {
        moved(sock, connection, direction, result as u32, time_ns);
    } else {
        connection.batch_index = 0;
    }
    if direction == Direction::Send {
        sending::ends(connection, i64::from(result));
    }
}

#[inline(always)]
fn moved(sock: Sock, connection: &mut Connection, direction: Direction, length: u32, time_ns: u64) {
    let registers = Registers::of_current();
    let number = registers.number();
    let index = connection.batch_index;
    let memory = registers.memory(number, index);
    let Some(end) = transfers::end_sequence(sock, connection, || direction, length) else { return };
    transfers::record(sock, connection, || direction, memory, length, end, time_ns);
    // recvmmsg and sendmmsg come here once a message; where the batch ends, the next begins anew. A
    // message that could not be sent whole ends it.
    if let Some(messages) = registers.batch_length(registers.number()) {
        let whole = direction == Direction::Receive || !payload::is_partial();
        connection.batch_index = if index + 1 < messages && whole { index + 1 } else { 0 };
    }
}
