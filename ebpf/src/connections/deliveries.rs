//! Bytes that the process has sent reach the receive queue of a client on this machine. That client's socket is all
//! that tells of it: it has the ends of the server's socket, the other way round.

use cargo_beyla_events::{kind, Arrival, Header, DELIVERY_AWAITED};

use super::connection::Connection;
use super::ends::{server_socket, Ends};
use super::table;
use crate::kernel::fields::TypedSock;
use crate::kernel::output;

/// Bytes up to a sequence number have reached the receive queue of a TCP socket that may be a client's.
#[inline(always)]
pub fn reached(client: TypedSock, sequence: impl FnOnce() -> Option<u32>) {
    let Some(server) = server_socket(&Ends::of_client(client)) else { return };
    let Some(connection) = table::get(server) else { return };
    let Some(sequence) = sequence() else { return };
    if (sequence.wrapping_sub(connection.delivered_sequence) as i32) <= 0 {
        return;
    }
    let time_ns = output::now();
    // SAFETY: references are valid. The order matters to `sent`, which may run on another CPU.
    let awaited = unsafe {
        (&raw mut connection.delivered_ns).write_volatile(time_ns);
        (&raw mut connection.delivered_sequence).write_volatile(sequence);
        (&raw const connection.awaited).read_volatile()
    };
    if awaited != 0 && (sequence.wrapping_sub(connection.sent_sequence) as i32) >= 0 {
        connection.awaited = 0;
        delivered(connection, time_ns);
    }
}

#[inline(always)]
fn delivered(connection: &Connection, time_ns: u64) {
    let arrival = Arrival {
        header: Header {
            kind: kind::DELIVERED,
            flags: 0,
            size: size_of::<Arrival>() as u32,
            time_ns,
            connection: connection.id,
        },
        sequence: connection.sent_sequence,
        reserved: 0,
    };
    output::frequent((&raw const arrival).cast(), size_of::<Arrival>() as u64);
}

/// A send call has come to a sequence number and returns: when the client had the last byte of it, or 0; and
/// [`DELIVERY_AWAITED`] if that will be told.
#[inline(always)]
pub fn sent(connection: &mut Connection, sequence: u32) -> (u64, u16) {
    connection.sent_sequence = sequence;
    // SAFETY: references are valid. What `reached` does meanwhile on another CPU is seen by one of the two.
    let (delivered_sequence, delivered_ns) = unsafe {
        (&raw mut connection.awaited).write_volatile(1);
        let sequence = (&raw const connection.delivered_sequence).read_volatile();
        (sequence, (&raw const connection.delivered_ns).read_volatile())
    };
    if (delivered_sequence.wrapping_sub(sequence) as i32) >= 0 {
        connection.awaited = 0;
        (delivered_ns, 0)
    } else if connection.ends.are_here() {
        (0, DELIVERY_AWAITED)
    } else {
        (0, 0)
    }
}
