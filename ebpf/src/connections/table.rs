//! The table of the process's connections, by socket.
//!
//! An entry lives from the end of the handshake, or where the process opens the connection itself from the beginning of
//! it, to the end of the connection. The address of a socket is used again after that; the number in [`Connection::id`]
//! is not.

use aya_ebpf::{
    bindings::BPF_ANY,
    helpers::bpf_get_smp_processor_id,
    macros::map,
    maps::{HashMap, PerCpuArray},
};
use cargo_beyla_events::{tcp_state, AF_UNIX};

use super::connection::{Beginning, Connection, Role};
use super::ends::{Ends, MAX_CONNECTIONS};
use super::ports;
use crate::capture::walks;
use crate::kernel::fields::{setting, Sock};
use crate::kernel::output::{count_lost, Lost};
use crate::kernel::volatile;
use crate::process::tree;

#[map]
static CONNECTIONS: HashMap<u64, Connection> = HashMap::with_max_entries(MAX_CONNECTIONS, 0);

/// Where an element of the table is put together. On the stack it would take most of the 512 bytes that programs which
/// call one another share.
#[repr(C)]
struct Place {
    /// How many were put together here.
    number: u64,
    connection: Connection,
}

/// The places of one CPU.
#[repr(C)]
struct Places {
    /// How many are in use: what runs in softirq interrupts what runs in a process's context.
    used: u32,
    reserved: u32,
    places: [Place; PLACES_MAX as usize],
}

/// For a process's context, softirq, hardirq, NMI. (A power of two.)
const PLACES_MAX: u32 = 4;
/// The place that has given a connection its number stands in [`Connection::id`] below the CPU.
const LEVEL_SHIFT: u32 = 38;

#[map]
static PLACES: PerCpuArray<Places> = PerCpuArray::with_max_entries(1, 0);

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
    if family == AF_UNIX || !open || !ports::is_listening_port(sock.local_port()?) {
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
/// global, so that the verifier looks at it by itself: see [`crate`].
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
    let Some(places) = PLACES.get_ptr_mut(0) else { return };
    // SAFETY: the pointer is to this CPU's own element. What interrupts us uses another place, and leaves `used` as it
    // was.
    let places = unsafe { &mut *places };
    let level = volatile::get(&places.used) & (PLACES_MAX - 1);
    // Before the place is touched: until then, what interrupts us has it.
    volatile::opaque(&mut places.used, level + 1);
    let place = &mut places.places[level as usize];
    let number = volatile::get(&place.number) + 1;
    place.number = number;
    // SAFETY: the helper has no precondition.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    let has_client = family != AF_UNIX && role == Role::Server;
    let ends = if has_client { Ends::of_server(sock, family) } else { Ends::NONE };
    place.connection = Connection {
        id: (u64::from(cpu) + 1) << 40 | u64::from(level) << LEVEL_SHIFT | number,
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
        served_by_threads: 0,
    };
    if CONNECTIONS.insert(&sock.0, &place.connection, u64::from(BPF_ANY)).is_err() {
        count_lost(Lost::Connection);
    } else if has_client {
        place.connection.ends.lead_to(sock);
    }
    places.used = level;
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
    if tree::is_member(connection.owner) {
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
        walks::forget(sock);
    }
    // It may be gone already.
    let _ = CONNECTIONS.remove(&sock.0);
}
