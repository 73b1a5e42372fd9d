//! The user side is told of a connection at the process's first touch.

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use cargo_beyla_events::{kind, Endpoint, Header, Open, OPENS_AS_CLIENT, OPEN_BEFORE};

use super::connection::Connection;
use super::{state_changes, table};
use crate::capture::scratch;
use crate::kernel::fields::Sock;
use crate::kernel::output;
use crate::kernel::volatile::Word;
use crate::process::{named, tree};
use crate::runtime::task_at_hand;

/// Not 0 once the process has opened a connection itself.
#[unsafe(no_mangle)]
static CONNECTS: Word = Word::new();

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

/// Does so. It is global, so that the verifier looks at it by itself: see [`crate`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn connections_announce(sock: u64, time_ns: u64) -> u32 {
    let sock = Sock(sock);
    if let Some(connection) = table::known(sock) {
        tell(sock, connection, time_ns);
    }
    0
}

#[inline(always)]
fn tell(sock: Sock, connection: &mut Connection, time_ns: u64) {
    if !named::is_itself() {
        connection.owner = tree::tell_owner(connection.id);
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
    let Some(open) = scratch::place(open) else { return };
    if connection.is_client() {
        open.task = task_at_hand::task_at_hand();
    }
    sock.read_local(&mut open.local);
    sock.read_remote(&mut open.remote);
    // On a Unix socket only the server's end has a name.
    let named = if connection.peer == 0 { sock } else { Sock(connection.peer) };
    let size = named.unix_path().map_or(size_of::<Open>() as u64, |path| scratch::append_path(open, path));
    output::frequent((open as *const Open).cast(), size);
    if connection.is_client() && !has_opened() {
        CONNECTS.store(1);
        output::for_helper((open as *const Open).cast(), size);
    }
    state_changes::connections_tell_change(sock.0);
}
