//! What the fuzz targets of protocols with commands share: calls that move any bytes, and what must hold of what is told.

use std::collections::BTreeMap;

use cargo_beyla_core::event::{Captured, frame_pieces};
use cargo_beyla_core::model::call::CallKind;
use cargo_beyla_core::model::connection::{Endpoint, Party, Role, StreamId};
use cargo_beyla_core::protocol::candidate::{Beginning, Candidate};
use cargo_beyla_core::protocol::message::{
    Command, GivenUp, MessageEnd, Messages, Note, RequestHead, ResponseHead, Shared, Unfinished,
};
use cargo_beyla_core::transport::connection::Connection;
use cargo_beyla_core::transport::segment::{Direction, Io};
use cargo_beyla_events::Transfer;

/// The exchanges that have begun, and of each whether its command has ended and its answer has begun.
#[derive(Default)]
struct Open {
    exchanges: BTreeMap<StreamId, [bool; 2]>,
    last: StreamId,
    is_given_up: bool,
}

impl Messages for Open {
    fn client(&mut self, _: Endpoint) {
        panic!("no proxy");
    }

    fn request(&mut self, _: StreamId, _: &RequestHead<'_>) {
        panic!("no request of HTTP");
    }

    fn command(&mut self, stream: StreamId, command: &Command<'_>) {
        let has_words = !command.summary.is_empty() || command.kind == CallKind::Tcp;
        assert!(stream > self.last && has_words, "{stream:?} behind {:?}: {command:?}", self.last);
        assert!(!self.is_given_up, "{command:?}");
        self.last = stream;
        self.exchanges.insert(stream, [false; 2]);
    }

    fn ready(&mut self, _: u64) {}

    fn response(&mut self, stream: StreamId, _: &ResponseHead) {
        let [has_ended, has_response] = self.exchanges.get_mut(&stream).expect("an exchange that is open");
        assert!(*has_ended && !std::mem::replace(has_response, true));
    }

    fn end(&mut self, stream: StreamId, direction: Direction, _: &MessageEnd) {
        let [has_ended, has_response] = self.exchanges.get_mut(&stream).expect("an exchange that is open");
        match direction {
            Direction::Request => assert!(!std::mem::replace(has_ended, true)),
            Direction::Response => {
                assert!(*has_ended && *has_response);
                self.exchanges.remove(&stream);
            }
        }
    }

    fn reset(&mut self, _: StreamId, _: Party, _: u64, _: &Unfinished) {
        panic!("a command cannot be taken back");
    }

    fn unseen(&mut self, stream: StreamId) {
        self.exchanges.remove(&stream).expect("an exchange that is open");
    }

    fn unread(&mut self) {}

    fn note(&mut self, note: Note) {
        panic!("{note:?}");
    }

    fn give_up(&mut self, _: GivenUp) {
        assert!(!std::mem::replace(&mut self.is_given_up, true));
    }
}

/// Reads a connection on which calls move these bytes.
pub fn read(candidate: &Candidate, bytes: &[u8]) {
    let Some((&first, mut rest)) = bytes.split_first() else { return };
    let beginning = if first & 1 == 0 { Beginning::First { held: &[], start: None } } else { Beginning::Midst };
    let role = if first & 2 == 0 { Role::Client } else { Role::Server };
    let mut protocol = (candidate.open)(&beginning);
    let mut connection = Connection::new(role, 0, 0);
    let (mut open, mut shared) = (Open::default(), Shared::default());
    let mut ends = [0u32; 2];
    // Each call: what it does, how many bytes it moves, and which of them are hidden.
    while let Some(([what, length, from, hidden], after)) = rest.split_first_chunk() {
        let io = if what & 1 == 0 { Io::Send } else { Io::Receive };
        let (moved, after) = after.split_at(usize::from(*length).min(after.len()));
        rest = after;
        let end = &mut ends[usize::from(what & 1)];
        *end = end.wrapping_add(moved.len() as u32);
        if what & 2 != 0 {
            let missing = connection.missing_until(io, *end);
            protocol.gap(Direction::of(role, io), missing, &mut open);
            continue;
        }
        let from = usize::from(*from).min(moved.len());
        let to = (from + usize::from(*hidden)).min(moved.len());
        let pieces = frame_pieces([(0, &moved[..from]), (to as u32, &moved[to..])]);
        let mut transfer = Transfer { end_sequence: *end, length: moved.len() as u32, ..Default::default() };
        if what & 4 != 0
            && let Some(tail) = moved.last_chunk::<8>()
        {
            transfer.tail = *tail;
        }
        let captured = Captured::in_pieces(&pieces, transfer.length).expect("pieces in their order");
        if let Some(moved) = connection.moved(io, &transfer, captured) {
            protocol.segment(&moved.segment, &mut shared, &mut open);
        }
        if !protocol.is_reading() {
            break;
        }
    }
    protocol.stop(&mut open);
    for stream in open.exchanges.keys() {
        let _ = protocol.unfinished(*stream);
    }
}
