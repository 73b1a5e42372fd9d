//! The table of the process's connections, by socket.
//!
//! An entry lives from the end of the handshake, or where the process opens the connection itself from the beginning of
//! it, to the end of the connection. The address of a socket
//! is used again after that; the number in [`Connection::id`] is not.

use aya_ebpf::{
    bindings::BPF_ANY,
    helpers::{bpf_get_current_pid_tgid, bpf_get_smp_processor_id},
    macros::map,
    maps::{HashMap, PerCpuArray},
};
use cargo_beyla_events::{kind, tcp_state, Endpoint, Header, Open, AF_UNIX, OPENS_AS_CLIENT, OPEN_BEFORE};

use crate::deliveries::Ends;
use crate::fields::{setting, Sock};
use crate::output::{self, count_lost, Lost};
use crate::target::{self, Word};
use crate::{frames, lifecycle, payload, process_tree, task_at_hand};

pub const MAX_CONNECTIONS: u32 = 32 * 1024;

/// One end of a connection's traffic.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Direction {
    Receive = 1,
    Send = 2,
}

impl Direction {
    #[inline(always)]
    pub fn other(self) -> Self {
        match self {
            Self::Receive => Self::Send,
            Self::Send => Self::Receive,
        }
    }
}

/// Which end of a connection the process is.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Role {
    Server = 0,
    Client = 1,
}

/// How a connection begins for the process.
pub struct Beginning {
    pub role: Role,
    /// Whether it was open before anybody watched.
    pub before: bool,
    /// 0 if that was not seen, or is still to come.
    pub established_ns: u64,
    /// Where the bytes received and sent begin; 0 on a Unix socket.
    pub receive: u32,
    pub send: u32,
    /// The other end, if the process is the client on a Unix socket; else 0.
    pub peer: u64,
}

/// What is known of a connection between two events.
#[repr(C)]
pub struct Connection {
    pub id: u64,
    pub established_ns: u64,
    /// When the byte at `arrival_sequence` reached the empty receive queue; 0 if the process has read it.
    pub arrival_ns: u64,
    /// Entry of the send call under way; 0 if there is none.
    pub send_begin_ns: u64,
    pub arrival_sequence: u32,
    /// How far bytes have reached the receive queue.
    pub queued_sequence: u32,
    /// How far the process has been seen to receive.
    pub received_sequence: u32,
    /// 1 if it was open before anybody watched.
    pub open_before: u32,
    /// Where the bytes received and sent begin; 0 on a Unix socket.
    pub receive_begin: u32,
    pub send_begin: u32,
    /// How far a Unix socket has moved bytes; TCP keeps count itself.
    pub unix_received: u32,
    pub unix_sent: u32,
    /// What may still be captured without reserve, by direction.
    pub receive_budget: u32,
    pub send_budget: u32,
    /// The direction of the latest transfer; 0 before the first.
    pub last_direction: u32,
    /// 1 once the user side was told of the connection.
    pub announced: u32,
    /// Messages that the recvmmsg or sendmmsg call under way has moved.
    pub batch_index: u32,
    pub family: u16,
    /// A change of state that is still to be told: the states, and whether there was an error.
    pub untold_old: u8,
    pub untold_new: u8,
    /// When that was; 0 if there is none.
    pub untold_ns: u64,
    pub untold_error: u64,
    /// The process that touched it first, as it is numbered at the root of PID namespaces; 0 before that, and of the
    /// one that starts the others.
    pub owner: u32,
    /// 1 while it is to be told when the client has what was sent up to `sent_sequence`.
    pub awaited: u32,
    /// When bytes last reached the receive queue of a client on this machine; on a Unix socket, within the send
    /// call under way.
    pub delivered_ns: u64,
    /// How far they have reached it.
    pub delivered_sequence: u32,
    /// How far the process had sent when its last send call returned.
    pub sent_sequence: u32,
    pub ends: Ends,
    /// Whether frames are followed, received and sent: see [`crate::frames::state`].
    pub framed: [u8; 2],
    /// How many of the first bytes of who asks may yet begin a protocol with frames.
    pub opening: u8,
    /// 1 once it is in the table of those whose frames are followed.
    pub walked: u8,
    /// See [`Beginning::peer`].
    pub peer: u64,
    /// A [`Role`].
    pub role: u32,
    pub reserved: u32,
}

impl Connection {
    /// Asked anew each time, as [`Connection::is_client`].
    #[inline(always)]
    pub fn is_unix(&self) -> bool {
        payload::get(&self.family) == AF_UNIX
    }

    /// Asked anew each time, so that the verifier need not follow each answer through all that comes after.
    #[inline(always)]
    pub fn is_client(&self) -> bool {
        payload::get(&self.role) == Role::Client as u32
    }
}

#[map]
static CONNECTIONS: HashMap<u64, Connection> = HashMap::with_max_entries(MAX_CONNECTIONS, 0);

/// Not 0 once the process has opened a connection itself.
#[unsafe(no_mangle)]
static CONNECTS: Word = Word::new();

/// Connections numbered so far, by CPU.
#[map]
static NUMBERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// Puts a connection with a client in the table that has just been established, in the place of an older one at the
/// same address.
#[inline(always)]
pub fn insert(sock: Sock, family: u16, established_ns: u64, receive: u32, send: u32) {
    put(sock, family, Beginning { role: Role::Server, before: false, established_ns, receive, send, peer: 0 });
}

/// The connection behind a TCP socket, entered in the table if it was open before anybody watched. Of its
/// bytes, `received` and `sent` have been moved just now.
#[inline(always)]
pub fn get_or_adopt(sock: Sock, received: u32, sent: u32) -> Option<&'static mut Connection> {
    let known = get(sock);
    if known.is_some() || setting!(adopts) == 0 {
        return known;
    }
    if connections_adopt(sock.number(), received, sent) == 0 {
        return None;
    }
    get(sock)
}

/// Enters such a connection; 1 if that is one.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn connections_adopt(sock: u64, received: u32, sent: u32) -> u32 {
    adopt(Sock(sock), received, sent).is_some().into()
}

#[inline(always)]
fn adopt(sock: Sock, received: u32, sent: u32) -> Option<()> {
    let family = sock.family()?;
    let open = matches!(sock.state()?, tcp_state::ESTABLISHED | tcp_state::CLOSE_WAIT);
    if family == AF_UNIX || !open || !lifecycle::is_listening_port(sock.local_port()?) {
        return None;
    }
    let receive = sock.copied_sequence()?.wrapping_sub(received);
    let send = sock.write_sequence()?.wrapping_sub(sent);
    put(sock, family, Beginning { role: Role::Server, before: true, established_ns: 0, receive, send, peer: 0 });
    Some(())
}

/// Puts a connection in the table, in the place of an older one at the same address.
#[inline(always)]
pub fn put(sock: Sock, family: u16, beginning: Beginning) {
    let Beginning { role, before, established_ns, receive, send, peer } = beginning;
    let what = u64::from(family) | u64::from(role as u32) << ROLE_SHIFT | u64::from(before) << BEFORE_SHIFT;
    let begins = u64::from(receive) << u32::BITS | u64::from(send);
    connections_put(sock.number(), what, established_ns, begins, peer);
}

/// Above the family, the other two in one argument of [`connections_put`].
const ROLE_SHIFT: u32 = 16;
const BEFORE_SHIFT: u32 = 32;

/// Does so: `what` is family, role and whether it was open before, `begins` where the bytes received and sent begin. It is
/// global, so that the verifier looks at it by itself: see [`payload::payload_copy`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn connections_put(sock: u64, what: u64, established_ns: u64, begins: u64, peer: u64) -> u32 {
    let role = if (what >> ROLE_SHIFT) as u16 == Role::Server as u16 { Role::Server } else { Role::Client };
    let beginning = Beginning {
        role,
        before: what >> BEFORE_SHIFT != 0,
        established_ns,
        receive: (begins >> u32::BITS) as u32,
        send: begins as u32,
        peer,
    };
    enter(Sock(sock), what as u16, beginning);
    0
}

#[inline(always)]
fn enter(sock: Sock, family: u16, beginning: Beginning) {
    let Beginning { role, before, established_ns, receive: receive_begin, send: send_begin, peer } = beginning;
    let Some(number) = NUMBERS.get_ptr_mut(0) else { return };
    // SAFETY: the pointer is to this CPU's own element, which the verifier knows to be valid.
    let number = unsafe {
        *number += 1;
        *number
    };
    // SAFETY: the helper has no precondition.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    let has_client = family != AF_UNIX && role == Role::Server;
    let ends = if has_client { Ends::of_server(sock, family) } else { Ends::NONE };
    let connection = Connection {
        id: (u64::from(cpu) + 1) << 40 | number,
        established_ns,
        arrival_ns: 0,
        send_begin_ns: 0,
        arrival_sequence: 0,
        queued_sequence: receive_begin,
        received_sequence: receive_begin,
        open_before: before.into(),
        receive_begin,
        send_begin,
        unix_received: 0,
        unix_sent: 0,
        receive_budget: 0,
        send_budget: 0,
        last_direction: 0,
        announced: 0,
        batch_index: 0,
        family,
        untold_old: 0,
        untold_new: 0,
        untold_ns: 0,
        untold_error: 0,
        owner: 0,
        awaited: 0,
        delivered_ns: 0,
        delivered_sequence: send_begin,
        sent_sequence: send_begin,
        ends,
        framed: [0; 2],
        opening: 0,
        walked: 0,
        peer,
        role: role as u32,
        reserved: 0,
    };
    if CONNECTIONS.insert(&sock.0, &connection, u64::from(BPF_ANY)).is_err() {
        count_lost(Lost::Connection);
    } else if has_client {
        ends.lead_to(sock);
    }
}

#[inline(always)]
pub fn get(sock: Sock) -> Option<&'static mut Connection> {
    let connection = known(sock)?;
    if connection.is_unix() && connection.owner != 0 && connections_remove_orphan(sock.number()) != 0 {
        return None;
    }
    Some(connection)
}

/// Removes the connection of a Unix socket if its process has ended, of which nothing tells: 1 if it did so.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn connections_remove_orphan(sock: u64) -> u32 {
    let sock = Sock(sock);
    let Some(connection) = known(sock) else { return 1 };
    if process_tree::is_member(connection.owner) {
        return 0;
    }
    remove(sock, connection);
    1
}

/// What the table holds, be it gone or not.
#[inline(always)]
pub fn known(sock: Sock) -> Option<&'static mut Connection> {
    // SAFETY: the verifier checks for null, and elements of a preallocated table are not freed while a
    // program runs. Programs on other CPUs may change the same element: each field is one that either
    // only one side writes or whose torn value does no harm.
    CONNECTIONS.get_ptr_mut(&sock.0).map(|connection| unsafe { &mut *connection })
}

#[inline(always)]
pub fn remove(sock: Sock, connection: &Connection) {
    if connection.walked != 0 {
        frames::forget(sock);
    }
    // It may be gone already.
    let _ = CONNECTIONS.remove(&sock.0);
}

/// Whether the process has opened a connection itself.
#[inline(always)]
pub fn has_opened() -> bool {
    CONNECTS.load() != 0
}

/// Tells the user side of a connection at the process's first touch.
#[inline(always)]
pub fn announce(sock: Sock, connection: &mut Connection, time_ns: u64) {
    if connection.announced == 0 {
        connection.announced = 1;
        connections_announce(sock.number(), time_ns);
    }
}

/// Does so. It is global, so that the verifier looks at it by itself: see [`payload::payload_copy`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn connections_announce(sock: u64, time_ns: u64) -> u32 {
    let sock = Sock(sock);
    if let Some(connection) = known(sock) {
        tell(sock, connection, time_ns);
    }
    0
}

#[inline(always)]
fn tell(sock: Sock, connection: &mut Connection, time_ns: u64) {
    if !target::is_itself() {
        connection.owner = process_tree::tell_owner(connection.id);
    }
    let open = Open {
        header: Header {
            kind: kind::OPEN,
            flags: if connection.open_before != 0 { OPEN_BEFORE } else { 0 }
                | if connection.is_client() { OPENS_AS_CLIENT } else { 0 },
            size: size_of::<Open>() as u32,
            time_ns,
            connection: connection.id,
        },
        established_ns: connection.established_ns,
        local: Endpoint::NONE,
        remote: Endpoint::NONE,
        receive_sequence: connection.receive_begin,
        send_sequence: connection.send_begin,
        task: 0,
        thread: bpf_get_current_pid_tgid() as u32,
        reserved: 0,
    };
    let Some(open) = payload::place(open) else { return };
    if connection.is_client() {
        open.task = task_at_hand::task_at_hand();
    }
    sock.read_local(&mut open.local);
    sock.read_remote(&mut open.remote);
    // On a Unix socket only the server's end has a name.
    let named = if connection.peer == 0 { sock } else { Sock(connection.peer) };
    let size = named.unix_path().map_or(size_of::<Open>() as u64, |path| payload::append_path(open, path));
    output::frequent((open as *const Open).cast(), size);
    if connection.is_client() && !has_opened() {
        CONNECTS.store(1);
        output::for_helper((open as *const Open).cast(), size);
    }
    lifecycle::lifecycle_tell_change(sock.0);
}
