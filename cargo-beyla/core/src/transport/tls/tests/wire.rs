//! Moves the bytes of a connection by calls, and keeps what is told of it.

use cargo_beyla_events::{Header, Transfer};

use crate::event::{Captured, Key, frame_pieces};
use crate::model::connection::{Party, Role};
use crate::model::tls::Tls;
use crate::model::tls_summary::{HandshakeFailure, Unreadable};
use crate::transport::connection::Connection;
use crate::transport::segment::{Direction, Io, Segment};
use crate::transport::tls::carried::Carried;
use crate::transport::tls::keys::Keys;
use crate::transport::tls::layer::Layer;

/// What is told of one direction.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// What the application says; `None` stands for a byte that is missing.
    pub(super) plain: Vec<Option<u8>>,
    /// Of each segment: its offset, and its times.
    pub(super) segments: Vec<(u64, u64, u64)>,
    /// Bytes that moved sealed.
    pub(super) sealed: u64,
}

/// What is told of a connection.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) told: [Told; 2],
    pub(super) tls: Option<Tls>,
    pub(super) is_tls: bool,
    pub(super) secured: Option<(u64, Option<u64>)>,
    pub(super) unreadable: Option<Unreadable>,
    pub(super) failure: Option<HandshakeFailure>,
}

impl Carried for Heard {
    fn plaintext(&mut self, segment: &Segment<'_>) {
        let told = &mut self.told[segment.direction as usize];
        assert_eq!(segment.start, told.plain.len() as u64, "offsets go on");
        assert!(segment.length() > 0 && self.unreadable.is_none());
        told.segments.push((segment.start, segment.begin_ns, segment.end_ns));
        told.plain.resize(segment.end() as usize, None);
        for (offset, bytes) in segment.pieces() {
            for (place, byte) in bytes.iter().enumerate() {
                told.plain[offset as usize + place] = Some(*byte);
            }
        }
    }

    fn gap(&mut self, direction: Direction, length: u64) {
        let plain = &mut self.told[direction as usize].plain;
        plain.resize(plain.len() + length as usize, None);
    }

    fn speaks_tls(&mut self) {
        assert!(!std::mem::replace(&mut self.is_tls, true));
    }

    fn secured(&mut self, secured_ns: u64, handshake_ns: Option<u64>) {
        assert_eq!(self.secured.replace((secured_ns, handshake_ns)), None);
    }

    fn begins(&mut self, tls: &Tls) {
        assert_eq!(self.tls.replace(tls.clone()), None);
    }

    fn unreadable(&mut self, reason: Unreadable) {
        assert_eq!(self.unreadable.replace(reason), None);
    }

    fn sealed(&mut self, segment: &Segment<'_>) {
        assert!(self.unreadable.is_some());
        self.told[segment.direction as usize].sealed += segment.length();
    }

    fn failed(&mut self, failure: HandshakeFailure, _: Option<u64>) {
        assert_eq!(self.failure.replace(failure), None);
    }
}

/// One connection of the traced process.
#[derive(Debug)]
pub(super) struct Wire {
    role: Role,
    streams: Connection,
    layer: Layer,
    pub(super) keys: Keys,
    pub(super) heard: Heard,
    ends: [u32; 2],
    pub(super) now: u64,
}

/// The process and the thread that the tests are about.
pub(super) const PROCESS: u32 = 7;
pub(super) const THREAD: u32 = 3;

impl Wire {
    pub(super) fn new(role: Role) -> Self {
        let first = u32::MAX - 100;
        Self {
            role,
            streams: Connection::new(role, first, first),
            layer: Layer::new(role, PROCESS, false),
            keys: Keys::default(),
            heard: Heard::default(),
            ends: [first; 2],
            now: 1000,
        }
    }

    /// The process sets up a key.
    pub(super) fn key(&mut self, bytes: &[u8]) {
        let mut key = Key { time_ns: self.now, process: 0, thread: THREAD, library: 2, length: 0, bytes: [0; 32] };
        key.bytes[..bytes.len()].copy_from_slice(bytes);
        key.length = bytes.len() as u8;
        self.keys.add(PROCESS, &key);
        self.layer.key_came(THREAD, &mut self.keys, &mut self.heard);
    }

    /// A call moves bytes, all of which are captured. It takes 10 ns, and 10 ns go by between two calls.
    pub(super) fn moves(&mut self, direction: Direction, bytes: &[u8]) {
        self.moves_captured(direction, bytes, &[(0, bytes.len())]);
    }

    /// The same; only these parts are captured, each by its offset and its length.
    pub(super) fn moves_captured(&mut self, direction: Direction, bytes: &[u8], parts: &[(usize, usize)]) {
        self.now += 20;
        let end = &mut self.ends[direction as usize];
        *end = end.wrapping_add(bytes.len() as u32);
        let io = match (self.role, direction) {
            (Role::Server, Direction::Request) | (Role::Client, Direction::Response) => Io::Receive,
            _ => Io::Send,
        };
        let transfer = Transfer {
            header: Header { time_ns: self.now, ..Header::default() },
            begin_ns: if io == Io::Send { self.now - 10 } else { 0 },
            arrival_ns: if io == Io::Receive { self.now - 5 } else { 0 },
            arrival_sequence: end.wrapping_sub(bytes.len() as u32),
            end_sequence: *end,
            length: bytes.len() as u32,
            ..Transfer::default()
        };
        let framed =
            frame_pieces(parts.iter().map(|&(offset, length)| (offset as u32, &bytes[offset..offset + length])));
        let captured = Captured::in_pieces(&framed, bytes.len() as u32).expect("pieces");
        let Some(moved) = self.streams.moved(io, &transfer, captured) else { return };
        if moved.missing > 0 {
            self.layer.gap(direction, moved.missing, &mut self.keys, &mut self.heard);
        }
        self.layer.segment(&moved.segment, THREAD, &mut self.keys, &mut self.heard);
    }

    /// Bytes move, and no record says so.
    pub(super) fn loses(&mut self, direction: Direction, length: usize) {
        let end = &mut self.ends[direction as usize];
        *end = end.wrapping_add(length as u32);
    }

    /// The connection ends.
    pub(super) fn closed(mut self, by: Option<Party>) -> Heard {
        self.layer.stop(by, &mut self.keys, &mut self.heard);
        self.heard
    }
}

/// What was told, as text; `_` stands for what is missing.
pub(super) fn text(plain: &[Option<u8>]) -> String {
    plain.iter().map(|byte| byte.map_or('_', char::from)).collect()
}
