//! TLS -> plaintext, from bytes that may be anything, moved in calls of any length, captured in part and lost, with keys
//! that may be anybody's: nothing panics, the plaintext goes on where it ended, and what is told comes in its order.
//!
//! With cargo-fuzz installed, in the root of the repository:
//!
//!     mkdir -p fuzz/corpus/tls
//!     RUSTC_BOOTSTRAP=1 cargo fuzz run tls fuzz/corpus/tls fuzz/seeds/tls -- -max_total_time=60
//!
//! A run is a byte that says which end the process is, and steps. Each is a byte that says what happens, and what belongs to
//! it: a key, or a length of two bytes and as many bytes that move.
#![no_main]

use cargo_beyla_core::event::{Captured, Key, frame_pieces};
use cargo_beyla_core::model::connection::{Party, Role};
use cargo_beyla_core::model::tls::Tls;
use cargo_beyla_core::model::tls_summary::{HandshakeFailure, Unreadable};
use cargo_beyla_core::transport::connection::Connection;
use cargo_beyla_core::transport::segment::{Direction, Io, Segment};
use cargo_beyla_core::transport::tls::carried::Carried;
use cargo_beyla_core::transport::tls::keys::Keys;
use cargo_beyla_core::transport::tls::layer::Layer;
use cargo_beyla_events::Transfer;
use libfuzzer_sys::fuzz_target;

/// What was told so far.
#[derive(Default)]
struct Told {
    ends: [u64; 2],
    speaks_tls: bool,
    is_secured: bool,
    has_begun: bool,
    is_unreadable: bool,
    has_failed: bool,
}

impl Told {
    fn goes_on(&mut self, direction: Direction, start: u64, length: u64) {
        let end = &mut self.ends[direction as usize];
        assert_eq!(*end, start);
        *end += length;
    }
}

impl Carried for Told {
    fn plaintext(&mut self, segment: &Segment<'_>) {
        assert!(!self.is_unreadable);
        self.goes_on(segment.direction, segment.start, segment.length());
        let mut end = segment.start;
        for (offset, bytes) in segment.pieces() {
            assert!(offset >= end && !bytes.is_empty());
            end = offset + bytes.len() as u64;
        }
        assert!(end <= segment.end());
    }

    fn gap(&mut self, direction: Direction, length: u64) {
        self.goes_on(direction, self.ends[direction as usize], length);
    }

    fn speaks_tls(&mut self) {
        assert!(!std::mem::replace(&mut self.speaks_tls, true));
    }

    fn secured(&mut self, _: u64, _: Option<u64>) {
        assert!(!std::mem::replace(&mut self.is_secured, true));
    }

    fn begins(&mut self, _: &Tls) {
        assert!(!std::mem::replace(&mut self.has_begun, true) && !self.is_unreadable);
    }

    fn unreadable(&mut self, _: Unreadable) {
        assert!(!std::mem::replace(&mut self.is_unreadable, true) && !self.has_begun);
    }

    fn sealed(&mut self, segment: &Segment<'_>) {
        assert!(self.is_unreadable && segment.length() > 0);
    }

    fn failed(&mut self, _: HandshakeFailure, _: Option<u64>) {
        assert!(!std::mem::replace(&mut self.has_failed, true));
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&first, mut rest)) = bytes.split_first() else { return };
    let role = if first & 1 == 0 { Role::Server } else { Role::Client };
    let mut streams = Connection::new(role, 0, 0);
    let mut layer = Layer::new(role, 0, first & 2 != 0);
    let (mut keys, mut told, mut ends, mut now) = (Keys::default(), Told::default(), [0_u32; 2], 0);
    while let Some((&step, behind)) = rest.split_first() {
        now += 10;
        if step & 3 == 0 {
            let Some((bytes, behind)) = behind.split_first_chunk::<32>() else { break };
            let length = [0, 16, 32, 0][usize::from(step >> 2 & 3)];
            let key = Key { time_ns: now, process: 0, thread: 1, library: 1, length, bytes: *bytes };
            keys.add(0, &key);
            layer.key_came(1, &mut keys, &mut told);
            rest = behind;
            continue;
        }
        let Some((length, behind)) = behind.split_first_chunk::<2>() else { break };
        let (moved, behind) = behind.split_at(behind.len().min(usize::from(u16::from_be_bytes(*length))));
        rest = behind;
        let direction = if step & 1 == 0 { Direction::Request } else { Direction::Response };
        let end = &mut ends[direction as usize];
        *end = end.wrapping_add(moved.len() as u32);
        let is_received = (role == Role::Server) == (direction == Direction::Request);
        let io = if is_received { Io::Receive } else { Io::Send };
        // Of some calls parts are captured, and others are lost.
        let part = match step >> 2 & 3 {
            0 | 1 => 0..moved.len(),
            2 => usize::from(step >> 4).min(moved.len())..moved.len(),
            _ if step >> 4 == 15 => continue,
            _ => 0..(usize::from(step >> 4) * 16).min(moved.len()),
        };
        let mut transfer = Transfer { end_sequence: *end, length: moved.len() as u32, ..Transfer::default() };
        transfer.header.time_ns = now;
        let framed = frame_pieces([(part.start as u32, &moved[part])]);
        let captured = Captured::in_pieces(&framed, transfer.length).expect("a piece");
        let Some(moved) = streams.moved(io, &transfer, captured) else { continue };
        if moved.missing > 0 {
            layer.gap(direction, moved.missing, &mut keys, &mut told);
        }
        layer.segment(&moved.segment, 1, &mut keys, &mut told);
    }
    layer.stop(Some(Party::Client), &mut keys, &mut told);
});
