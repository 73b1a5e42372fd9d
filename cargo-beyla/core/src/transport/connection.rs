//! One connection: sequence numbers -> offsets, what is missing, when bytes arrived.

use cargo_beyla_events::{ARRIVAL_UNKNOWN, Transfer};

use crate::transport::arrivals::Arrivals;
use crate::transport::segment::{Direction, Segment};

/// How far each direction of a connection has moved, and when its bytes arrived.
#[derive(Debug, Default)]
pub struct Connection {
    received: Progress,
    sent: Progress,
    arrivals: Arrivals,
    /// Whether the client has closed its end. Its FIN takes up a sequence number behind its last byte,
    /// which the server's sequence includes as soon as a receive call has come to it.
    client_finished: bool,
}

/// What one call brought.
#[derive(Debug)]
pub struct Moved<'a> {
    /// Bytes that moved before it and that no record told of.
    pub missing: u64,
    /// What it moved itself.
    pub segment: Segment<'a>,
}

/// How far one direction has moved.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    /// Sequence number of the byte at offset 0, once known.
    first: Option<u32>,
    /// Offset after the last byte whose move is known of.
    next: u64,
}

impl Connection {
    /// A connection whose first bytes have these sequence numbers.
    pub fn new(receive_sequence: u32, send_sequence: u32) -> Self {
        Self {
            received: Progress { first: Some(receive_sequence), next: 0 },
            sent: Progress { first: Some(send_sequence), next: 0 },
            arrivals: Arrivals::default(),
            client_finished: false,
        }
    }

    /// The client has closed its end.
    pub fn client_finished(&mut self) {
        self.client_finished = true;
    }

    /// Bytes from `sequence` on reached the receive queue.
    pub fn arrived(&mut self, sequence: u32, time_ns: u64) {
        if let Some(offset) = self.received.offset(sequence) {
            self.arrivals.add(offset, time_ns);
        }
    }

    /// A call moved bytes. `None` if it moved none that are new: it met the end of the stream, or only
    /// peeked.
    pub fn moved<'a>(&'a mut self, direction: Direction, transfer: &Transfer, data: &'a [u8]) -> Option<Moved<'a>> {
        let length = u64::from(transfer.length);
        let progress = match direction {
            Direction::Request => &mut self.received,
            Direction::Response => &mut self.sent,
        };
        progress.first.get_or_insert(transfer.end_sequence.wrapping_sub(transfer.length));
        let before = progress.next;
        let mut end = progress.offset(transfer.end_sequence)?;
        if direction == Direction::Request && self.client_finished && end == before + length + 1 {
            end -= 1;
        }
        if length == 0 || end <= before {
            return None;
        }
        progress.next = end;
        let start = end.saturating_sub(length);
        let seen = before.saturating_sub(start);
        let length = length.min(end) - seen;
        let data = data.get(seen as usize..).unwrap_or_default();
        let skipped = length.saturating_sub(data.len() as u64);
        if direction == Direction::Request {
            self.arrivals.consumed(before);
            if transfer.header.flags & ARRIVAL_UNKNOWN != 0 {
                self.arrivals.unknown(before);
            }
            if transfer.arrival_ns != 0 {
                self.arrived(transfer.arrival_sequence, transfer.arrival_ns);
            }
        }
        let returned_ns = transfer.header.time_ns;
        let (begin_ns, end_ns) = match direction {
            Direction::Request => (returned_ns, returned_ns),
            Direction::Response => {
                let begin_ns = transfer.begin_ns.min(returned_ns);
                // The client may have had the bytes long before the call returned: its thread may lose its CPU.
                let delivered_ns = Some(transfer.arrival_ns).filter(|&arrival_ns| arrival_ns != 0);
                (begin_ns, delivered_ns.map_or(returned_ns, |at| at.clamp(begin_ns, returned_ns)))
            }
        };
        Some(Moved {
            missing: start.saturating_sub(before),
            segment: Segment {
                direction,
                start: start.max(before),
                data,
                skipped,
                tail: (skipped > 0 && transfer.tail != [0; 8]).then_some(transfer.tail),
                begin_ns,
                end_ns,
                arrivals: &self.arrivals,
            },
        })
    }

    /// How many bytes up to `sequence` moved without a record. They count as moved from here on.
    pub fn missing_until(&mut self, direction: Direction, sequence: u32) -> u64 {
        let missing = match self.lag(direction, sequence) {
            1 if direction == Direction::Request && self.client_finished => 0,
            missing => missing,
        };
        let progress = match direction {
            Direction::Request => &mut self.received,
            Direction::Response => &mut self.sent,
        };
        progress.next = progress.next.saturating_add(missing);
        missing
    }

    /// How many bytes up to `sequence` have no record so far.
    pub fn lag(&self, direction: Direction, sequence: u32) -> u64 {
        let progress = match direction {
            Direction::Request => &self.received,
            Direction::Response => &self.sent,
        };
        progress.offset(sequence).map_or(0, |offset| offset.saturating_sub(progress.next))
    }
}

impl Progress {
    /// The offset of a sequence number, which is taken to be less than 2^31 away from `next`. `None` if
    /// the stream's beginning is unknown or the number lies before it.
    fn offset(&self, sequence: u32) -> Option<u64> {
        let next = self.first?.wrapping_add(self.next as u32);
        let distance = sequence.wrapping_sub(next) as i32;
        self.next.checked_add_signed(distance.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transfer(end_sequence: u32, length: u32) -> Transfer {
        Transfer { end_sequence, length, ..Default::default() }
    }

    /// Missing, start, data, skipped.
    fn receive(
        connection: &mut Connection,
        end: u32,
        length: u32,
        data: &'static str,
    ) -> Option<(u64, u64, String, u64)> {
        let moved = connection.moved(Direction::Request, &transfer(end, length), data.as_bytes())?;
        let text = String::from_utf8_lossy(moved.segment.data).into_owned();
        Some((moved.missing, moved.segment.start, text, moved.segment.skipped))
    }

    #[test]
    fn sequence_numbers_wrap_and_offsets_do_not() {
        let mut connection = Connection::new(u32::MAX - 1, 0);
        assert_eq!(receive(&mut connection, 1, 3, "abc"), Some((0, 0, "abc".into(), 0)));
        for round in 1..=5u32 {
            let end = 1u32.wrapping_add(round.wrapping_mul(1 << 30));
            let start = 3 + u64::from(round - 1) * (1 << 30);
            assert_eq!(receive(&mut connection, end, 1 << 30, "x"), Some((0, start, "x".into(), (1 << 30) - 1)));
        }
    }

    #[test]
    fn gaps_peeks_and_overlaps() {
        let mut connection = Connection::new(100, 0);
        assert_eq!(receive(&mut connection, 100, 3, "abc"), None, "a peek");
        assert_eq!(receive(&mut connection, 103, 3, "abc"), Some((0, 0, "abc".into(), 0)));
        assert_eq!(receive(&mut connection, 103, 3, "abc"), None, "seen already");
        assert_eq!(receive(&mut connection, 105, 4, "bcde"), Some((0, 3, "de".into(), 0)));
        assert_eq!(receive(&mut connection, 105, 0, ""), None, "the end of the stream");
        assert_eq!(receive(&mut connection, 112, 2, "xy"), Some((5, 10, "xy".into(), 0)));
        assert_eq!(connection.missing_until(Direction::Request, 115), 3);
        assert_eq!(receive(&mut connection, 116, 1, "z"), Some((0, 15, "z".into(), 0)));
        assert_eq!(connection.missing_until(Direction::Request, 110), 0);
    }

    #[test]
    fn a_fin_is_no_byte() {
        let mut connection = Connection::new(100, 0);
        assert_eq!(receive(&mut connection, 103, 3, "abc"), Some((0, 0, "abc".into(), 0)));
        connection.client_finished();
        assert_eq!(receive(&mut connection, 106, 2, "de"), Some((0, 3, "de".into(), 0)));
        assert_eq!(connection.missing_until(Direction::Request, 106), 0);
        assert_eq!(connection.lag(Direction::Request, 105), 0);
    }

    #[test]
    fn a_connection_found_in_its_midst_begins_where_it_was_found() {
        let mut connection = Connection::default();
        assert_eq!(connection.missing_until(Direction::Request, 50), 0);
        assert_eq!(receive(&mut connection, 1000, 2, "ab"), Some((0, 0, "ab".into(), 0)));
        assert_eq!(receive(&mut connection, 1003, 1, "d"), Some((2, 4, "d".into(), 0)));
    }

    #[test]
    fn an_overlap_beyond_what_was_captured_leaves_only_skipped_bytes() {
        let mut connection = Connection::new(0, 0);
        receive(&mut connection, 10, 10, "0123456789");
        assert_eq!(receive(&mut connection, 20, 15, "567"), Some((0, 10, String::new(), 10)));
    }

    #[test]
    fn arrivals_ride_on_the_transfer_or_come_before_it() {
        let mut connection = Connection::new(0, 0);
        connection.arrived(10, 70);
        let first = Transfer { arrival_ns: 50, arrival_sequence: 0, ..transfer(15, 15) };
        // The one on the transfer is older than the one that came by itself.
        let moved = connection.moved(Direction::Request, &first, &[]).expect("bytes");
        assert_eq!(moved.segment.arrived_at(0), Some(50));
        assert_eq!(moved.segment.arrived_at(12), Some(70));
    }
}
