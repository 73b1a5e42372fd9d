//! A receive or send call has returned: one record, however the call was observed.

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use cargo_beyla_events::{
    explain, kind, Header, Transfer, ARRIVAL_UNKNOWN, CAPTURE_CONTINUED, CAPTURE_CONTINUED_CALLS, CAPTURE_MAX,
    CAPTURE_TURN, MOVED_BY_CLIENT, OUT_OF_STEP, TASK_NOT_ASKED,
};

use crate::capture::payload;
use crate::capture::scratch::Scratch;
use crate::capture::walks::Direction;
use crate::connections::connection::{Connection, FOLLOWED, OUT};
use crate::connections::{announcements, deliveries};
use crate::frames::{openings, walker};
use crate::kernel::fields::{counted, counted_or, setting, Sock};
use crate::kernel::memory::Memory;
use crate::kernel::volatile::get;
use crate::runtime::{task_at_hand, threads};

/// How far the connection has come in a direction, after `length` bytes more on a Unix socket. If that cannot be read,
/// the call has no record, and the next one's number tells how many bytes it moved.
#[inline(always)]
pub fn end_sequence(
    sock: Sock,
    connection: &mut Connection,
    direction: impl Fn() -> Direction,
    length: u32,
) -> Option<u32> {
    if connection.is_unix() {
        let sequence = match direction() {
            Direction::Receive => &mut connection.unix_received,
            Direction::Send => &mut connection.unix_sent,
        };
        *sequence = sequence.wrapping_add(length);
        return Some(*sequence);
    }
    counted(match direction() {
        Direction::Receive => sock.copied_sequence(),
        Direction::Send => sock.write_sequence(),
    })
}

/// Writes the records of a call that moved `length` bytes, or met the end of the stream. (`direction` is a function for
/// the sake of those who keep it where the verifier does not look.)
#[inline(always)]
pub fn record(
    sock: Sock,
    connection: &mut Connection,
    direction: impl Fn() -> Direction,
    memory: Memory,
    length: u32,
    end_sequence: u32,
    time_ns: u64,
) {
    let Some(scratch) = Scratch::get() else { return };
    scratch.memory = memory;
    let mut transfer = Transfer {
        header: Header { kind: kind::RECEIVE, flags: 0, size: 0, time_ns, connection: connection.id },
        begin_ns: 0,
        arrival_ns: 0,
        arrival_sequence: 0,
        end_sequence,
        received_sequence: 0,
        length,
        captured: 0,
        thread: bpf_get_current_pid_tgid() as u32,
        tail: [0; 8],
        task: TASK_NOT_ASKED,
    };
    match direction() {
        Direction::Receive => {
            // The arrival that was noted is among what has been read now, or still to be read.
            if connection.arrival_ns != 0 && (end_sequence.wrapping_sub(connection.arrival_sequence) as i32) > 0 {
                transfer.arrival_ns = connection.arrival_ns;
                transfer.arrival_sequence = connection.arrival_sequence;
                connection.arrival_ns = 0;
            }
            connection.received_sequence = end_sequence;
            // Read before it was told that they are there.
            if (end_sequence.wrapping_sub(connection.queued_sequence) as i32) > 0 {
                connection.queued_sequence = end_sequence;
                transfer.header.flags = ARRIVAL_UNKNOWN;
            }
        }
        Direction::Send => {
            transfer.header.kind = kind::SEND;
            transfer.begin_ns = connection.send_begin_ns;
            (transfer.arrival_ns, transfer.header.flags) = if connection.is_client() {
                // When a server has it is not asked.
                (0, 0)
            } else if connection.is_unix() {
                // The last time within the call is that of its last byte.
                (connection.delivered_ns, 0)
            } else {
                deliveries::sent(connection, end_sequence)
            };
            transfer.received_sequence = connection.received_sequence;
            if connection.is_unix() {
                transfer.received_sequence = connection.unix_received;
            } else if connection.received_sequence != connection.queued_sequence {
                // Not all that has come was seen to be received.
                transfer.received_sequence = counted_or(sock.copied_sequence(), connection.received_sequence);
            }
        }
    }
    scratch.transfer = transfer;
    if connection.is_client() {
        scratch.transfer.header.flags |= MOVED_BY_CLIENT;
    }
    // Who reads requests and who makes calls is asked for, as soon as there are calls. What reads a connection first is
    // asked for always: the first call may be its.
    let asks = if connection.is_client() { Direction::Send } else { Direction::Receive };
    if direction() == asks
        && (setting!(explain) == explain::AUTO
            || announcements::has_opened()
            || scratch.begin_sequence() == connection.receive_begin)
    {
        scratch.transfer.task = task_at_hand::task_at_hand();
    }
    if direction() == Direction::Receive && !connection.is_client() {
        connection.served_by_threads = threads::received(get(&scratch.transfer.task)).into();
    }
    scratch.moved = length;
    scratch.continues = (connection.last_direction == direction() as u32).into();
    let limit = limit(connection, direction(), length);
    scratch.beyond_limit = length.saturating_sub(limit);
    scratch.sock = sock;
    scratch.set_direction(direction());
    // Asked anew each time, so that the verifier need not follow each answer through all that comes between.
    if connection.framing(direction()) == OUT {
        scratch.transfer.header.flags |= OUT_OF_STEP;
    }
    if connection.framing(direction()) != FOLLOWED {
        payload::payload_copy();
        if connection.framing(direction()) == OUT || !openings::begins(connection, direction(), scratch) {
            payload::submit(scratch);
            return;
        }
    }
    walker::frames_walk();
}

/// How much of a transfer may be captured: everything up to a point while the two ends take turns,
/// as the heads of messages do; of the rest of a long body, the beginning of each operation. A client may send many
/// calls without waiting for an answer, so more is captured of them.
#[inline(always)]
fn limit(connection: &mut Connection, direction: Direction, length: u32) -> u32 {
    let turned = connection.last_direction != direction as u32;
    connection.last_direction = direction as u32;
    let is_call = connection.is_client() && direction == Direction::Send;
    let least = if is_call { CAPTURE_CONTINUED_CALLS } else { CAPTURE_CONTINUED };
    let budget = match direction {
        Direction::Receive => &mut connection.receive_budget,
        Direction::Send => &mut connection.send_budget,
    };
    if turned {
        *budget = CAPTURE_TURN;
    }
    let limit = if *budget > least { *budget } else { least };
    let limit = if limit > CAPTURE_MAX as u32 { CAPTURE_MAX as u32 } else { limit };
    let used = if length < limit { length } else { limit };
    *budget = if *budget > used { *budget - used } else { 0 };
    limit
}
