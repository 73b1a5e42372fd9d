//! One connection: sequence numbers -> offsets, what is missing, when bytes arrived.

use cargo_beyla_events::{ARRIVAL_UNKNOWN, Transfer};

use crate::event::Captured;
use crate::model::connection::Role;
use crate::transport::arrivals::Arrivals;
use crate::transport::segment::{Arrival, Direction, Io, Segment};

/// How far each direction of a connection has moved, and when the bytes that the traced process receives arrived.
#[derive(Debug, Default)]
pub struct Connection {
    role: Role,
    received: Progress,
    sent: Progress,
    arrivals: Arrivals,
    /// Whether the peer has closed its end. Its FIN takes up a sequence number behind its last byte, which the
    /// sequence of this end includes as soon as a receive call has come to it.
    peer_finished: bool,
}

/// What one call brought.
#[derive(Debug)]
pub struct Moved<'a> {
    /// Bytes that moved before it without a record.
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
    /// A connection with the traced process at this end. Its first bytes have these sequence numbers.
    pub fn new(role: Role, receive_sequence: u32, send_sequence: u32) -> Self {
        Self {
            role,
            received: Progress { first: Some(receive_sequence), next: 0 },
            sent: Progress { first: Some(send_sequence), next: 0 },
            arrivals: Arrivals::default(),
            peer_finished: false,
        }
    }

    /// A connection with the traced process at this end, found in its midst.
    pub fn unknown(role: Role) -> Self {
        Self { role, ..Self::default() }
    }

    /// Which way the bytes of such a call move.
    pub fn direction(&self, io: Io) -> Direction {
        Direction::of(self.role, io)
    }

    /// The peer has closed its end.
    pub fn peer_finished(&mut self) {
        self.peer_finished = true;
    }

    /// Bytes from `sequence` on reached the receive queue.
    pub fn arrived(&mut self, sequence: u32, time_ns: u64) {
        if let Some(offset) = self.received.offset(sequence) {
            self.arrivals.add(offset, time_ns);
        }
    }

    /// A call moved bytes. `None` if it moved none that are new: it met the end of the stream, or only
    /// peeked.
    pub fn moved<'a>(&'a mut self, io: Io, transfer: &Transfer, captured: Captured<'a>) -> Option<Moved<'a>> {
        let moved = u64::from(transfer.length);
        let direction = self.direction(io);
        let progress = self.progress_mut(io);
        progress.first.get_or_insert(transfer.end_sequence.wrapping_sub(transfer.length));
        let next = progress.next;
        let mut end = progress.offset(transfer.end_sequence)?;
        if io == Io::Receive && self.peer_finished && end == next + moved + 1 {
            end -= 1;
        }
        if moved == 0 || end <= next {
            return None;
        }
        self.progress_mut(io).next = end;
        let length = moved.min(end - next);
        let returned_ns = transfer.header.time_ns;
        let (begin_ns, end_ns) = match io {
            Io::Receive => {
                self.note_arrival(next, transfer);
                (returned_ns, returned_ns)
            }
            Io::Send => {
                let begin_ns = begun_ns(transfer);
                // The peer may have had the bytes long before the call returned: its thread may lose its CPU.
                let delivered_ns = Some(transfer.arrival_ns).filter(|&arrival_ns| arrival_ns != 0);
                (begin_ns, delivered_ns.map_or(returned_ns, |at| at.clamp(begin_ns, returned_ns)))
            }
        };
        let start = end - length;
        Some(Moved {
            missing: start - next,
            segment: Segment {
                direction,
                start,
                begin_ns,
                end_ns,
                length,
                captured,
                before: moved - length,
                tail: Some(transfer.tail).filter(|tail| *tail != [0; 8]),
                arrival: match io {
                    Io::Receive => Arrival::Each(&self.arrivals),
                    Io::Send => Arrival::None,
                },
            },
        })
    }

    /// Notes when the bytes arrived that a receive call took; the first of them is at `next`.
    fn note_arrival(&mut self, next: u64, transfer: &Transfer) {
        self.arrivals.consumed(next);
        if transfer.header.flags & ARRIVAL_UNKNOWN != 0 {
            self.arrivals.unknown(next);
        }
        if transfer.arrival_ns != 0 {
            self.arrived(transfer.arrival_sequence, transfer.arrival_ns);
        }
    }

    /// How many bytes up to `sequence` moved without a record. They count as moved from here on.
    pub fn missing_until(&mut self, io: Io, sequence: u32) -> u64 {
        let missing = match self.lag(io, sequence) {
            1 if io == Io::Receive && self.peer_finished => 0,
            missing => missing,
        };
        let progress = self.progress_mut(io);
        progress.next = progress.next.saturating_add(missing);
        missing
    }

    /// How many bytes up to `sequence` have no record so far.
    pub fn lag(&self, io: Io, sequence: u32) -> u64 {
        let progress = match io {
            Io::Receive => &self.received,
            Io::Send => &self.sent,
        };
        progress.offset(sequence).map_or(0, |offset| offset.saturating_sub(progress.next))
    }

    fn progress_mut(&mut self, io: Io) -> &mut Progress {
        match io {
            Io::Receive => &mut self.received,
            Io::Send => &mut self.sent,
        }
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

/// Entry of a send call, in nanoseconds. If it was under way when its connection was first met, that was not seen, and its
/// return is the first that is known of it.
pub(crate) fn begun_ns(transfer: &Transfer) -> u64 {
    match transfer.begin_ns {
        0 => transfer.header.time_ns,
        begin_ns => begin_ns.min(transfer.header.time_ns),
    }
}

#[cfg(test)]
mod tests {
    use cargo_beyla_events::Header;

    use super::*;
    use crate::event::frame_pieces;

    fn transfer(end_sequence: u32, length: u32) -> Transfer {
        Transfer { end_sequence, length, ..Default::default() }
    }

    /// A connection that the traced process accepted.
    fn accepted(receive_sequence: u32) -> Connection {
        Connection::new(Role::Server, receive_sequence, 0)
    }

    /// The pieces of a segment, as text.
    fn pieces(segment: &Segment<'_>) -> Vec<(u64, String)> {
        segment.pieces().map(|(offset, bytes)| (offset, String::from_utf8_lossy(bytes).into_owned())).collect()
    }

    /// Missing, start, the bytes of the first piece, how many follow it.
    fn receive(
        connection: &mut Connection,
        end: u32,
        length: u32,
        data: &'static str,
    ) -> Option<(u64, u64, String, u64)> {
        let captured = Captured::first(data.as_bytes());
        let moved = connection.moved(Io::Receive, &transfer(end, length), captured)?;
        let text = String::from_utf8_lossy(moved.segment.beginning()).into_owned();
        let behind = moved.segment.length() - text.len() as u64;
        Some((moved.missing, moved.segment.start, text, behind))
    }

    #[test]
    fn sequence_numbers_wrap_and_offsets_do_not() {
        let mut connection = accepted(u32::MAX - 1);
        assert_eq!(receive(&mut connection, 1, 3, "abc"), Some((0, 0, "abc".into(), 0)));
        for round in 1..=5u32 {
            let end = 1u32.wrapping_add(round.wrapping_mul(1 << 30));
            let start = 3 + u64::from(round - 1) * (1 << 30);
            assert_eq!(receive(&mut connection, end, 1 << 30, "x"), Some((0, start, "x".into(), (1 << 30) - 1)));
        }
    }

    #[test]
    fn gaps_peeks_and_overlaps() {
        let mut connection = accepted(100);
        assert_eq!(receive(&mut connection, 100, 3, "abc"), None, "a peek");
        assert_eq!(receive(&mut connection, 103, 3, "abc"), Some((0, 0, "abc".into(), 0)));
        assert_eq!(receive(&mut connection, 103, 3, "abc"), None, "seen already");
        assert_eq!(receive(&mut connection, 105, 4, "bcde"), Some((0, 3, "de".into(), 0)));
        assert_eq!(receive(&mut connection, 105, 0, ""), None, "the end of the stream");
        assert_eq!(receive(&mut connection, 112, 2, "xy"), Some((5, 10, "xy".into(), 0)));
        assert_eq!(connection.missing_until(Io::Receive, 115), 3);
        assert_eq!(receive(&mut connection, 116, 1, "z"), Some((0, 15, "z".into(), 0)));
        assert_eq!(connection.missing_until(Io::Receive, 110), 0);
    }

    #[test]
    fn a_fin_is_no_byte() {
        let mut connection = accepted(100);
        assert_eq!(receive(&mut connection, 103, 3, "abc"), Some((0, 0, "abc".into(), 0)));
        connection.peer_finished();
        assert_eq!(receive(&mut connection, 106, 2, "de"), Some((0, 3, "de".into(), 0)));
        assert_eq!(connection.missing_until(Io::Receive, 106), 0);
        assert_eq!(connection.lag(Io::Receive, 105), 0);
    }

    #[test]
    fn a_connection_found_in_its_midst_begins_where_it_was_found() {
        let mut connection = Connection::unknown(Role::Server);
        assert_eq!(connection.missing_until(Io::Receive, 50), 0);
        assert_eq!(receive(&mut connection, 1000, 2, "ab"), Some((0, 0, "ab".into(), 0)));
        assert_eq!(receive(&mut connection, 1003, 1, "d"), Some((2, 4, "d".into(), 0)));
    }

    #[test]
    fn an_overlap_beyond_what_was_captured_leaves_only_skipped_bytes() {
        let mut connection = accepted(0);
        receive(&mut connection, 10, 10, "0123456789");
        assert_eq!(receive(&mut connection, 20, 15, "567"), Some((0, 10, String::new(), 10)));
    }

    #[test]
    fn arrivals_ride_on_the_transfer_or_come_before_it() {
        let mut connection = accepted(0);
        connection.arrived(10, 70);
        let first = Transfer { arrival_ns: 50, arrival_sequence: 0, ..transfer(15, 15) };
        // The one on the transfer is older than the one that came by itself.
        let moved = connection.moved(Io::Receive, &first, Captured::first(&[])).expect("bytes");
        assert_eq!(moved.segment.arrived_at(0), Some(50));
        assert_eq!(moved.segment.arrived_at(12), Some(70));
    }

    #[test]
    fn pieces_have_their_places_in_the_stream() {
        let mut connection = accepted(0);
        receive(&mut connection, 5, 5, "01234");
        let framed = frame_pieces([(0, &b"34"[..]), (2, b"5"), (7, b"ab"), (9, b"cd")]);
        let captured = Captured::in_pieces(&framed, 20).expect("pieces");
        let tail = *b"lastones";
        // The call began before what had been seen already: at 3.
        let moved = connection.moved(Io::Receive, &Transfer { tail, ..transfer(23, 20) }, captured).expect("bytes");
        let segment = moved.segment;
        assert_eq!((segment.start, segment.end(), segment.beginning()), (5, 23, &b"5"[..]));
        let text = |of: &[(u64, &str)]| of.iter().map(|(at, text)| (*at, (*text).to_owned())).collect::<Vec<_>>();
        assert_eq!(pieces(&segment), text(&[(5, "5"), (10, "ab"), (12, "cd"), (15, "lastones")]));
        assert_eq!(pieces(&segment.from(11)), text(&[(11, "b"), (12, "cd"), (15, "lastones")]));
        assert_eq!(pieces(&segment.from(20)), text(&[(20, "nes")]));
        assert_eq!((segment.from(11).beginning(), segment.from(14).beginning()), (&b"b"[..], &b""[..]));
        assert_eq!((segment.from(30).length(), pieces(&segment.from(30))), (0, Vec::new()));
    }

    #[test]
    fn the_last_bytes_are_told_once() {
        for (captured, expected) in [("", "34567890"), ("1234", "567890"), ("123456789", "0"), ("1234567890", "")] {
            let mut connection = accepted(0);
            let transfer = Transfer { tail: *b"34567890", ..transfer(10, 10) };
            let captured = Captured::first(captured.as_bytes());
            let moved = connection.moved(Io::Receive, &transfer, captured).expect("bytes");
            let tail = pieces(&moved.segment).pop().filter(|(at, _)| *at > 0 || captured.beginning().is_empty());
            assert_eq!(tail.map_or(String::new(), |(_, text)| text), expected, "{captured:?}");
        }
    }

    #[test]
    fn what_a_client_sends_is_the_request_and_arrivals_are_those_of_the_response() {
        let mut connection = Connection::new(Role::Client, 500, 100);
        let directions = [Io::Send, Io::Receive].map(|io| connection.direction(io));
        assert_eq!(directions, [Direction::Request, Direction::Response]);
        let send = Transfer { header: at(60), begin_ns: 40, arrival_ns: 50, ..transfer(103, 3) };
        let moved = connection.moved(Io::Send, &send, Captured::first(b"ask")).expect("bytes");
        let segment = moved.segment;
        assert_eq!((segment.direction, segment.start, segment.end()), (Direction::Request, 0, 3));
        assert_eq!((segment.begin_ns, segment.end_ns), (40, 50));
        assert_eq!((segment.arrived_at(0), segment.last_arrived()), (None, None));
        let unseen = Transfer { header: at(65), begin_ns: 0, ..transfer(104, 1) };
        let moved = connection.moved(Io::Send, &unseen, Captured::first(b"?")).expect("a byte");
        assert_eq!((moved.segment.begin_ns, moved.segment.end_ns), (65, 65), "not at the beginning of time");
        connection.arrived(502, 75);
        let receive = Transfer { header: at(80), arrival_ns: 70, arrival_sequence: 500, ..transfer(504, 4) };
        let moved = connection.moved(Io::Receive, &receive, Captured::first(b"told")).expect("bytes");
        let segment = moved.segment;
        assert_eq!((segment.direction, segment.begin_ns, segment.end_ns), (Direction::Response, 80, 80));
        assert_eq!((segment.arrived_at(0), segment.last_arrived()), (Some(70), Some(75)));
        // The server's FIN is no byte of the response.
        connection.peer_finished();
        assert_eq!((connection.missing_until(Io::Receive, 505), connection.lag(Io::Send, 110)), (0, 6));
    }

    fn at(time_ns: u64) -> Header {
        Header { time_ns, ..Header::default() }
    }
}
