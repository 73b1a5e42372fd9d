//! Capture by system calls: of what a server does on Unix sockets, and of all else where the kernel has no socket
//! tracepoints.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use cargo_beyla_events::AF_UNIX;

use super::{sending, transfers};
use crate::capture::scratch::NotedDirection;
use crate::capture::walks::Direction;
use crate::connections::connection::Connection;
use crate::connections::{announcements, clients, lifecycle, listeners, table};
use crate::kernel::fields::{is_last_reference, setting, Sock};
use crate::kernel::memory::{self, Memory};
use crate::kernel::output;
use crate::kernel::registers::Registers;
use crate::process::target;

/// `MSG_PEEK` of `<sys/socket.h>`
pub const MSG_PEEK: u64 = 2;
const SHUT_RD: u64 = 0;
/// The most messages of one recvmmsg or sendmmsg that are looked at.
const MAX_BATCH: u32 = 16;

#[cfg(bpf_target_arch = "x86_64")]
mod number {
    pub const READ: u64 = 0;
    pub const WRITE: u64 = 1;
    pub const CLOSE: u64 = 3;
    pub const READV: u64 = 19;
    pub const WRITEV: u64 = 20;
    pub const SENDFILE: u64 = 40;
    pub const CONNECT: u64 = 42;
    pub const ACCEPT: u64 = 43;
    pub const SENDTO: u64 = 44;
    pub const RECVFROM: u64 = 45;
    pub const SENDMSG: u64 = 46;
    pub const RECVMSG: u64 = 47;
    pub const SHUTDOWN: u64 = 48;
    pub const LISTEN: u64 = 50;
    pub const SPLICE: u64 = 275;
    pub const ACCEPT4: u64 = 288;
    pub const RECVMMSG: u64 = 299;
    pub const SENDMMSG: u64 = 307;
}

#[cfg(bpf_target_arch = "aarch64")]
mod number {
    pub const READ: u64 = 63;
    pub const WRITE: u64 = 64;
    pub const CLOSE: u64 = 57;
    pub const READV: u64 = 65;
    pub const WRITEV: u64 = 66;
    pub const SENDFILE: u64 = 71;
    pub const ACCEPT: u64 = 202;
    pub const CONNECT: u64 = 203;
    pub const SENDTO: u64 = 206;
    pub const RECVFROM: u64 = 207;
    pub const SENDMSG: u64 = 211;
    pub const RECVMSG: u64 = 212;
    pub const SHUTDOWN: u64 = 210;
    pub const LISTEN: u64 = 201;
    pub const SPLICE: u64 = 76;
    pub const ACCEPT4: u64 = 242;
    pub const RECVMMSG: u64 = 243;
    pub const SENDMMSG: u64 = 269;
}

impl Registers {
    /// Where the bytes of a receive or send call are; `index` is the message of a batch.
    #[inline(always)]
    pub fn memory(&self, number: u64, index: u32) -> Memory {
        let address = self.argument(1);
        match number {
            number::READ | number::RECVFROM | number::WRITE | number::SENDTO => Memory::buffer(address),
            number::READV | number::WRITEV => Memory::vectors(address, self.argument(2) as u32),
            number::RECVMSG | number::SENDMSG => Memory::message(address),
            number::RECVMMSG | number::SENDMMSG => Memory::message(address + u64::from(index) * memory::BATCH_MESSAGE),
            _ => Memory::elsewhere(),
        }
    }

    /// How many messages recvmmsg or sendmmsg was asked to move.
    #[inline(always)]
    pub fn batch_length(&self, number: u64) -> Option<u32> {
        matches!(number, number::RECVMMSG | number::SENDMMSG).then_some(self.argument(2) as u32)
    }

    #[inline(always)]
    fn peeks(&self, number: u64) -> bool {
        let flags = match number {
            number::RECVMSG => self.argument(2),
            number::RECVFROM | number::RECVMMSG => self.argument(3),
            _ => 0,
        };
        flags & MSG_PEEK != 0
    }
}

/// A connection of which this way of capture tells.
#[inline(always)]
fn connection(descriptor: u64) -> Option<(Sock, &'static mut Connection)> {
    let sock = Sock::of_descriptor(descriptor)?;
    ours(sock, table::get(sock)?)
}

#[inline(always)]
fn ours(sock: Sock, connection: &'static mut Connection) -> Option<(Sock, &'static mut Connection)> {
    let ours = setting!(socket_tracepoints) == 0 || (connection.is_unix() && !connection.is_client());
    ours.then_some((sock, connection))
}

/// A system call begins. Linux 2.6.28; with BTF 5.5.
#[btf_tracepoint(function = "sys_enter")]
pub fn sys_enter(context: BtfTracePointContext) -> i32 {
    if !target::is_current_or_found() {
        return 0;
    }
    // SAFETY: the verifier knows the type of the argument.
    let registers = unsafe { &*(context.arg::<*const Registers>(0)) };
    let number: u64 = context.arg(1);
    match number {
        number::WRITE | number::WRITEV | number::SENDTO | number::SENDMSG | number::SENDMMSG | number::SENDFILE => {
            send_begins(registers.argument(0));
        }
        number::SPLICE => send_begins(registers.argument(2)),
        number::LISTEN => {
            if let Some(sock) = Sock::of_descriptor(registers.argument(0)) {
                if sock.family() == Some(AF_UNIX) && sock.is_stream() {
                    listeners::unix_listener_seen(sock);
                }
            }
        }
        number::CLOSE => {
            let descriptor = registers.argument(0);
            if let Some(sock) = Sock::of_descriptor(descriptor) {
                if is_last_reference(descriptor) {
                    lifecycle::unix_closing(sock, true);
                }
            }
        }
        number::SHUTDOWN => {
            if registers.argument(1) != SHUT_RD {
                if let Some(sock) = Sock::of_descriptor(registers.argument(0)) {
                    lifecycle::unix_closing(sock, false);
                }
            }
        }
        _ => {}
    }
    0
}

#[inline(always)]
fn send_begins(descriptor: u64) {
    let Some(sock) = Sock::of_descriptor(descriptor) else { return };
    // One that was open before anybody watched is met here, or when something arrives on it.
    if let Some((_, connection)) = clients::get_or_adopt(sock, 0, 0).and_then(|connection| ours(sock, connection)) {
        sending::begins(connection);
    }
}

/// A system call returns. Linux 2.6.28; with BTF 5.5.
#[btf_tracepoint(function = "sys_exit")]
pub fn sys_exit(context: BtfTracePointContext) -> i32 {
    if !target::is_current_or_found() {
        return 0;
    }
    // SAFETY: the verifier knows the type of the argument.
    let registers = unsafe { &*(context.arg::<*const Registers>(0)) };
    let result: i64 = context.arg(1);
    let number = registers.number();
    let mut descriptor = registers.argument(0);
    let direction = match number {
        number::READ | number::READV | number::RECVFROM | number::RECVMSG | number::RECVMMSG => {
            if registers.peeks(number) {
                return 0;
            }
            Direction::Receive
        }
        number::WRITE | number::WRITEV | number::SENDTO | number::SENDMSG | number::SENDMMSG | number::SENDFILE => {
            Direction::Send
        }
        number::SPLICE => {
            if connection(descriptor).is_some() {
                Direction::Receive
            } else {
                descriptor = registers.argument(2);
                Direction::Send
            }
        }
        number::ACCEPT | number::ACCEPT4 => {
            if result >= 0 {
                accepted(descriptor, result as u64);
            }
            return 0;
        }
        number::CONNECT => {
            if result == 0 {
                connected(descriptor);
            }
            return 0;
        }
        _ => return 0,
    };
    if let Some(direction) = NotedDirection::new(direction) {
        returned(registers, descriptor, direction, result);
    }
    0
}

#[inline(always)]
fn accepted(listener: u64, descriptor: u64) {
    let Some(sock) = Sock::of_descriptor(descriptor) else { return };
    if sock.family() == Some(AF_UNIX) && sock.is_stream() && table::get(sock).is_none() {
        if setting!(adopts) != 0 {
            if let Some(listener) = Sock::of_descriptor(listener) {
                listeners::unix_listener_seen(listener);
            }
        }
        // Before Linux 6.3 nothing tells that it was established.
        table::insert(sock, AF_UNIX, 0, 0, 0);
    }
    // One that was established before anybody watched is met here.
    let Some(connection) = table::get_or_adopt(sock, 0, 0) else { return };
    if let Some((sock, connection)) = ours(sock, connection) {
        announcements::announce(sock, connection, output::now());
    }
}

/// A Unix socket, as Linux 6.3 tells of it before.
#[inline(always)]
fn connected(descriptor: u64) {
    let Some(sock) = Sock::of_descriptor(descriptor) else { return };
    if sock.family() == Some(AF_UNIX) && sock.is_stream() && table::get(sock).is_none() {
        if let Some(accepted) = sock.unix_peer() {
            clients::clients_connected_unix(accepted.number());
        }
    }
}

#[inline(always)]
fn returned(registers: &Registers, descriptor: u64, direction: NotedDirection, result: i64) {
    let Some((sock, connection)) = connection(descriptor) else { return };
    let time_ns = output::now();
    announcements::announce(sock, connection, time_ns);
    let end_of_stream = result == 0 && direction.get() == Direction::Receive && connection.is_unix();
    if result > 0 || end_of_stream {
        moved(sock, connection, registers, direction, result, time_ns);
    }
    if direction.get() == Direction::Send {
        sending::ends(connection, result);
    }
}

#[inline(always)]
fn moved(
    sock: Sock,
    connection: &mut Connection,
    registers: &Registers,
    direction: NotedDirection,
    result: i64,
    time_ns: u64,
) {
    let mut length = result as u32;
    let number = registers.number();
    let memory = if registers.batch_length(number).is_some() {
        // What it returns is the number of messages moved.
        let messages = if length > MAX_BATCH { MAX_BATCH } else { length };
        length = batch_length(registers.argument(1), messages);
        Memory::batch(registers.argument(1), messages)
    } else {
        registers.memory(number, 0)
    };
    let Some(end) = transfers::end_sequence(sock, connection, || direction.get(), length) else { return };
    transfers::record(sock, connection, || direction.get(), memory, length, end, time_ns);
}

/// Bytes that recvmmsg or sendmmsg moved.
#[inline(always)]
fn batch_length(address: u64, messages: u32) -> u32 {
    let mut total = 0u32;
    for index in 0..MAX_BATCH {
        if index >= messages {
            break;
        }
        total = total.wrapping_add(memory::batch_message_length(address + u64::from(index) * memory::BATCH_MESSAGE));
    }
    total
}
