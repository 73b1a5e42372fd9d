//! A connection over TLS: both of its directions, and whether they can be read.

use super::carried::Carried;
use super::half::{Half, Reading};
use super::handshake::Handshake;
use super::keys::Keys;
use super::record::content;
use crate::event::Captured;
use crate::model::connection::{Party, Role};
use crate::model::tls::Sealing;
use crate::model::tls_summary::Unreadable;
use crate::transport::segment::{Arrival, Direction, Segment};

/// How often the client may go on after an answer before the connection is given up: with its second message of the
/// handshake, its first request, and once more. A process that has answered had its keys before.
const TURNS_MAX: usize = 3;

/// One connection.
#[derive(Debug)]
pub(super) struct TlsConnection {
    process: u32,
    halves: [Half; 2],
    handshake: Handshake,
    standing: Standing,
    /// The offset behind the last byte of each direction.
    ends: [u64; 2],
    /// What the client has sent, until the server answers.
    hello: Option<Vec<SealedCall>>,
}

/// Whether the connection can be read.
#[derive(Debug)]
enum Standing {
    /// That is not known yet.
    Pending(Pending),
    Read,
    /// It cannot.
    Sealed,
}

/// What happens until then.
#[derive(Debug, Default)]
struct Pending {
    /// The calls since the client has sent something that is sealed: few, as there are few turns.
    calls: Vec<SealedCall>,
    turns: usize,
    /// The last call before them, in nanoseconds.
    last_ns: Option<u64>,
}

/// What calls moved that followed one another in one direction.
#[derive(Debug)]
pub(super) struct SealedCall {
    direction: Direction,
    start: u64,
    length: u64,
    begin_ns: u64,
    end_ns: u64,
    arrived_ns: Option<u64>,
    last_arrived_ns: Option<u64>,
}

impl TlsConnection {
    /// Both directions begin at these offsets.
    pub(super) fn new(role: Role, process: u32, starts: [u64; 2]) -> Self {
        let [request, response] = starts;
        Self {
            process,
            halves: [Half::new(Direction::Request, request), Half::new(Direction::Response, response)],
            handshake: Handshake::new(role),
            standing: Standing::Pending(Pending::default()),
            ends: starts,
            hello: Some(Vec::new()),
        }
    }

    /// It was open before anybody watched.
    pub(super) fn joined(role: Role, starts: [u64; 2], to: &mut dyn Carried) -> Self {
        let mut connection = Self::new(role, 0, starts);
        connection.standing = Standing::Sealed;
        connection.hello = None;
        to.speaks_tls();
        to.unreadable(Unreadable::OpenBefore);
        connection
    }

    /// Whether the server answers in something else than TLS. If so, these calls have moved what the client has sent.
    pub(super) fn refused(&mut self, segment: &Segment<'_>) -> Option<Vec<SealedCall>> {
        // A key that has opened the client's early data proves that it speaks TLS, and its plaintext went on already.
        if !matches!(self.standing, Standing::Pending(_)) || segment.direction == Direction::Request {
            return None;
        }
        let first = *segment.beginning().first()?;
        let is_tls = (content::CHANGE_CIPHER_SPEC..=content::APPLICATION_DATA).contains(&first);
        if is_tls { None } else { self.hello.take() }
    }

    /// A call of this thread moved bytes.
    pub(super) fn segment(&mut self, segment: &Segment<'_>, thread: u32, keys: &mut Keys, to: &mut dyn Carried) {
        self.ends[segment.direction as usize] = segment.end();
        match (&mut self.hello, segment.direction) {
            (Some(hello), Direction::Request) => SealedCall::add(hello, segment),
            (Some(_), Direction::Response) => self.speaks_tls(to),
            _ => {}
        }
        if let Standing::Sealed = self.standing {
            return to.sealed(segment);
        }
        let (half, mut reading) = self.half(segment.direction, thread, keys, to);
        half.segment(segment, &mut reading);
        if let Standing::Pending(pending) = &mut self.standing {
            pending.add(segment, self.halves[Direction::Request as usize].sealed());
        }
        self.decide(keys, to);
    }

    /// Bytes moved without a record.
    pub(super) fn gap(&mut self, direction: Direction, length: u64, keys: &mut Keys, to: &mut dyn Carried) {
        self.speaks_tls(to);
        let end = &mut self.ends[direction as usize];
        let at = *end;
        *end = end.saturating_add(length);
        if !matches!(self.standing, Standing::Sealed) {
            let (half, mut reading) = self.half(direction, 0, keys, to);
            half.gap(at, length, &mut reading);
        }
    }

    /// A thread of the process has set up a key.
    pub(super) fn key_came(&mut self, thread: u32, keys: &mut Keys, to: &mut dyn Carried) {
        if matches!(self.standing, Standing::Sealed) {
            return;
        }
        for direction in [Direction::Request, Direction::Response] {
            let (half, mut reading) = self.half(direction, thread, keys, to);
            half.key_came(&mut reading);
        }
        self.decide(keys, to);
    }

    /// Nothing follows any more. `closed_by` has closed the connection, if it was.
    pub(super) fn stop(&mut self, closed_by: Option<Party>, keys: &mut Keys, to: &mut dyn Carried) {
        self.speaks_tls(to);
        if let Standing::Pending(pending) = &self.standing
            && !pending.calls.is_empty()
            && !self.handshake.has_failed()
        {
            self.give_up(keys, to);
        }
        if matches!(self.standing, Standing::Read) {
            for direction in [Direction::Request, Direction::Response] {
                let end = self.ends[direction as usize];
                let (half, mut reading) = self.half(direction, 0, keys, to);
                half.stop(end, &mut reading);
            }
        }
        if let (Some(by), Standing::Pending(_)) = (closed_by, &self.standing) {
            self.handshake.closed(by, to);
        }
    }

    fn speaks_tls(&mut self, to: &mut dyn Carried) {
        if self.hello.take().is_some() {
            to.speaks_tls();
        }
    }

    fn half<'a>(
        &'a mut self,
        direction: Direction,
        thread: u32,
        keys: &'a mut Keys,
        to: &'a mut dyn Carried,
    ) -> (&'a mut Half, Reading<'a>) {
        let reading = Reading { keys, process: self.process, thread, handshake: &mut self.handshake, to };
        (&mut self.halves[direction as usize], reading)
    }

    /// Decides whether the connection can be read, as soon as that is known.
    fn decide(&mut self, keys: &Keys, to: &mut dyn Carried) {
        let Standing::Pending(pending) = &self.standing else { return };
        if self.halves.iter().any(Half::has_data) || self.handshake.has_begun() {
            self.standing = Standing::Read;
            return;
        }
        let is_out_of_reach = matches!(self.handshake.sealing(), Some(Sealing::ChaCha20 | Sealing::Other));
        let is_over = is_out_of_reach || pending.turns >= TURNS_MAX || self.halves.iter().any(Half::has_overflowed);
        if is_over && !pending.calls.is_empty() && !self.handshake.has_failed() {
            self.give_up(keys, to);
        }
    }

    /// The connection cannot be read.
    fn give_up(&mut self, keys: &Keys, to: &mut dyn Carried) {
        let Standing::Pending(pending) = std::mem::replace(&mut self.standing, Standing::Sealed) else { return };
        if let Some(last_ns) = pending.last_ns {
            self.handshake.secured(last_ns, to);
        }
        let cipher = self.handshake.tls().cipher;
        let reason = match cipher.map(|cipher| (cipher, cipher.sealing())) {
            Some((cipher, Sealing::ChaCha20 | Sealing::Other)) => Unreadable::Cipher(cipher),
            _ if keys.count(self.process) == 0 => Unreadable::NoKeySeen,
            _ => Unreadable::KeyNotFound,
        };
        to.unreadable(reason);
        // What waits for its key is needed no more.
        self.halves = [Half::new(Direction::Request, 0), Half::new(Direction::Response, 0)];
        for call in &pending.calls {
            to.sealed(&call.segment(&[]));
        }
    }
}

impl Pending {
    /// One more call; the client has sent so many records that are sealed. The first of them ends its handshake.
    fn add(&mut self, segment: &Segment<'_>, sealed: u64) {
        let goes_on = segment.beginning().first() == Some(&content::APPLICATION_DATA) && sealed > 0;
        let has_begun = segment.direction == Direction::Request && (goes_on || sealed > 1);
        if self.calls.is_empty() && !has_begun {
            self.last_ns = Some(segment.end_ns);
            return;
        }
        let is_turn = self.calls.last().is_none_or(|last| last.direction == Direction::Response);
        self.turns += usize::from(is_turn && segment.direction == Direction::Request);
        SealedCall::add(&mut self.calls, segment);
    }
}

impl SealedCall {
    /// One more call. It is taken together with the last one if that went the same way.
    fn add(calls: &mut Vec<Self>, segment: &Segment<'_>) {
        match calls.last_mut() {
            Some(last) if last.direction == segment.direction => {
                last.length = last.length.saturating_add(segment.length());
                last.end_ns = segment.end_ns;
                last.last_arrived_ns = segment.last_arrived();
            }
            _ => calls.push(Self {
                direction: segment.direction,
                start: segment.start,
                length: segment.length(),
                begin_ns: segment.begin_ns,
                end_ns: segment.end_ns,
                arrived_ns: segment.arrived_at(segment.start),
                last_arrived_ns: segment.last_arrived(),
            }),
        }
    }

    /// What it moved, of which the first bytes are these, as far as it moved so many.
    pub(super) fn segment<'a>(&self, bytes: &'a [u8]) -> Segment<'a> {
        Segment {
            direction: self.direction,
            start: self.start,
            begin_ns: self.begin_ns,
            end_ns: self.end_ns,
            length: self.length,
            captured: Captured::first(&bytes[..bytes.len().min(self.length as usize)]),
            before: 0,
            tail: None,
            arrival: Arrival::Record { first_ns: self.arrived_ns, last_ns: self.last_arrived_ns },
        }
    }
}
