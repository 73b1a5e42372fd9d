//! HTTP/2 -> messages, from bytes that may be anything, moved in calls of any length and captured in part: nothing
//! panics, every exchange begins once, and each of its messages ends once at most, after it has begun.
//!
//! With cargo-fuzz installed, in the root of the repository:
//!
//!     mkdir -p fuzz/corpus/http2
//!     RUSTC_BOOTSTRAP=1 cargo fuzz run http2 fuzz/corpus/http2 fuzz/seeds/http2 -- -max_total_time=60
#![no_main]

use std::collections::BTreeMap;

use cargo_beyla_core::event::{Captured, frame_pieces};
use cargo_beyla_core::model::connection::{Endpoint, Party, Role, StreamId};
use cargo_beyla_core::protocol::candidate::Beginning;
use cargo_beyla_core::protocol::http2::CANDIDATE;
use cargo_beyla_core::protocol::message::{
    GivenUp, MessageEnd, Messages, Note, RequestHead, ResponseHead, Shared, Unfinished,
};
use cargo_beyla_core::transport::connection::Connection;
use cargo_beyla_core::transport::segment::{Direction, Io};
use cargo_beyla_events::Transfer;
use libfuzzer_sys::fuzz_target;

/// The exchanges that have begun, and of each whether its response has, and which of its messages have ended.
#[derive(Default)]
struct Open {
    exchanges: BTreeMap<StreamId, [bool; 3]>,
    last: StreamId,
}

impl Open {
    fn close_if_over(&mut self, stream: StreamId) {
        if matches!(self.exchanges.get(&stream), Some([_, true, true])) {
            self.exchanges.remove(&stream);
        }
    }
}

impl Messages for Open {
    fn client(&mut self, _: Endpoint) {}

    fn request(&mut self, stream: StreamId, head: &RequestHead<'_>) {
        assert!(
            stream > self.last && !head.method.is_empty() && !head.path.is_empty(),
            "{stream:?} behind {:?}: {head:?}",
            self.last
        );
        self.last = stream;
        self.exchanges.insert(stream, [false; 3]);
    }

    fn response(&mut self, stream: StreamId, _: &ResponseHead) {
        let [has_response, ..] = self.exchanges.get_mut(&stream).expect("an exchange that is open");
        assert!(!std::mem::replace(has_response, true));
    }

    fn end(&mut self, stream: StreamId, direction: Direction, _: &MessageEnd) {
        let [has_response, request, response] = self.exchanges.get_mut(&stream).expect("an exchange that is open");
        let ended = match direction {
            Direction::Request => request,
            Direction::Response => {
                assert!(*has_response);
                response
            }
        };
        assert!(!std::mem::replace(ended, true));
        self.close_if_over(stream);
    }

    fn reset(&mut self, stream: StreamId, _: Party, _: u64, _: &Unfinished) {
        self.exchanges.remove(&stream).expect("an exchange that is open");
    }

    fn unseen(&mut self, stream: StreamId) {
        self.exchanges.remove(&stream).expect("an exchange that is open");
    }

    fn unread(&mut self) {}

    fn note(&mut self, _: Note) {}

    fn give_up(&mut self, _: GivenUp) {}
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&first, mut rest)) = bytes.split_first() else { return };
    let beginning = if first & 1 == 0 { Beginning::First(&[]) } else { Beginning::Midst };
    let role = if first & 2 == 0 { Role::Server } else { Role::Client };
    let mut http2 = (CANDIDATE.open)(&beginning);
    let mut connection = Connection::new(role, 0, 0);
    let (mut open, mut shared) = (Open::default(), Shared::default());
    let mut ends = [0u32; 2];
    // Each call: what it does, how many bytes it moves, and which of them are hidden.
    while let Some(([what, length, from, hidden], after)) = rest.split_first_chunk() {
        let io = if what & 1 == 0 { Io::Receive } else { Io::Send };
        let (moved, after) = after.split_at(usize::from(*length).min(after.len()));
        rest = after;
        let end = &mut ends[usize::from(what & 1)];
        *end = end.wrapping_add(moved.len() as u32);
        if what & 2 != 0 {
            let missing = connection.missing_until(io, *end);
            http2.gap(Direction::of(role, io), missing, &mut open);
            continue;
        }
        let from = usize::from(*from).min(moved.len());
        let to = (from + usize::from(*hidden)).min(moved.len());
        let pieces = frame_pieces([(0, &moved[..from]), (to as u32, &moved[to..])]);
        let transfer = Transfer { end_sequence: *end, length: moved.len() as u32, ..Default::default() };
        let captured = Captured::in_pieces(&pieces, transfer.length).expect("pieces in their order");
        if let Some(moved) = connection.moved(io, &transfer, captured) {
            http2.segment(&moved.segment, &mut shared, &mut open);
        }
    }
    http2.stop(&mut open);
    for stream in open.exchanges.keys() {
        let _ = http2.unfinished(*stream);
    }
});
