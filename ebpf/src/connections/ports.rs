//! What the process has done at each port of TCP.

use aya_ebpf::{macros::map, maps::Array};

use crate::kernel::fields::{counted_or, Sock};

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
pub fn note_use(sock: Sock, what: u8) {
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
    note_use(sock, CONNECTS);
}
