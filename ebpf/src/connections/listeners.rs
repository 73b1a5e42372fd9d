//! The sockets on which the process listens.

use aya_ebpf::{macros::map, maps::HashMap};
use cargo_beyla_events::{kind, Endpoint, Listen, AF_INET6, LISTENS_ON_IPV6_ONLY};

use super::ports;
use crate::capture::scratch;
use crate::kernel::fields::Sock;
use crate::kernel::output;
use crate::process::{current, named, tree};

/// Unix sockets on which the process listens, so that each is told of once.
#[map]
static UNIX_LISTENERS: HashMap<u64, u8> = HashMap::with_max_entries(1024, 0);

/// The process listens on a TCP socket.
#[inline(always)]
pub fn listening(sock: Sock) {
    ports::note_use(sock, ports::LISTENS);
    tell_listener(sock);
}

/// The process listens on a Unix socket.
#[inline(always)]
pub fn unix_listener_seen(sock: Sock) {
    if is_unix_listener(sock) {
        return;
    }
    let _ = UNIX_LISTENERS.insert(&sock.0, &1, 0);
    tree::listens_on_unix();
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
    let owner = if named::is_itself() { 0 } else { current::process() };
    let mut header = output::header_of::<Listen>(kind::LISTEN, owner.into());
    if sock.family() == Some(AF_INET6) && sock.is_ipv6_only() {
        header.flags = LISTENS_ON_IPV6_ONLY;
    }
    let Some(listen) = scratch::place(Listen { header, local: Endpoint::NONE }) else { return };
    sock.read_local(&mut listen.local);
    let size = sock.unix_path().map_or(size_of::<Listen>() as u64, |path| scratch::append_path(listen, path));
    output::milestone((listen as *const Listen).cast(), size);
}
