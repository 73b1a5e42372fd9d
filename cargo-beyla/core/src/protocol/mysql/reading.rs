//! Bytes -> packets, in either direction.

use super::login::{GREETING_KEPT, LOGIN_KEPT, Login};
use super::packet::{HEAD, Head, LENGTH_MAX, Packet};
use super::side::{Payload, State};
use super::{Mysql, answer, commands};
use crate::protocol::kept::Kept;
use crate::protocol::message::Messages;
use crate::protocol::pipeline::Start;
use crate::transport::segment::{Direction, Segment};

/// How many bytes of a server's packet are looked at: an `OK_Packet` as far as its status, an error as far as its state.
const ANSWER_KEPT: usize = 24;

impl Mysql {
    /// A call moved bytes.
    pub(super) fn operation(&mut self, segment: &Segment<'_>, messages: &mut dyn Messages) {
        let direction = segment.direction;
        let mut at = segment.start;
        let mut ends_rows = false;
        if direction == Direction::Response {
            self.received_ns = segment.end_ns;
        }
        for (offset, bytes) in segment.pieces() {
            if offset == segment.start && direction == Direction::Request {
                self.step_in(bytes);
            }
            self.hide(direction, offset.saturating_sub(at), Some(segment), messages);
            self.read(bytes, offset, segment, messages);
            at = offset.saturating_add(bytes.len() as u64);
            ends_rows = at == segment.end() && answer::ends_with_rows_end(bytes);
        }
        self.hide(direction, segment.end().saturating_sub(at), Some(segment), messages);
        match direction {
            Direction::Request => self.sent(segment.end_ns),
            Direction::Response if ends_rows && self.responses.is_lost() => self.rows_end(segment.end_ns, messages),
            Direction::Response => {}
        }
    }

    /// A call begins with these bytes: requests that are out of step go on, if they begin one.
    fn step_in(&mut self, bytes: &[u8]) {
        if self.requests.is_lost() && commands::begin(bytes) {
            self.requests.state = State::HEAD;
        }
    }

    /// Reads bytes that are known; `offset` is that of the first of them.
    fn read(&mut self, mut input: &[u8], mut offset: u64, segment: &Segment<'_>, messages: &mut dyn Messages) {
        let direction = segment.direction;
        while !input.is_empty() && self.is_reading && self.turns.is_none() {
            let read = match &mut self.side(direction).state {
                State::Lost => {
                    self.count_lost(direction, input.len() as u64);
                    input.len()
                }
                State::Head { bytes, length, start } => {
                    if *length == 0 {
                        *start = Start::of(segment, offset);
                    }
                    let read = (HEAD - *length).min(input.len());
                    bytes[*length..*length + read].copy_from_slice(&input[..read]);
                    *length += read;
                    if *length == HEAD {
                        let (head, start) = (Head::parse(*bytes), *start);
                        self.begin_packet(direction, head, start, segment, messages);
                    }
                    read
                }
                State::Payload(payload) => {
                    let length = usize::try_from(payload.left).map_or(input.len(), |left| left.min(input.len()));
                    self.read_payload(&input[..length], segment, messages);
                    length
                }
            };
            offset = offset.saturating_add(read as u64);
            input = &input[read..];
        }
    }

    /// Bytes moved that cannot be read: in a call, or unseen.
    pub(super) fn hide(
        &mut self,
        direction: Direction,
        mut length: u64,
        segment: Option<&Segment<'_>>,
        messages: &mut dyn Messages,
    ) {
        if length == 0 || !self.is_reading || self.turns.is_some() {
            return;
        }
        if let State::Payload(payload) = &mut self.side(direction).state {
            let hidden = length.min(payload.left);
            length -= hidden;
            payload.left -= hidden;
            payload.has_hole = true;
            if payload.left == 0 {
                self.end_kept(direction, segment.map(|segment| segment.end_ns), messages);
            }
        }
        if length > 0 && self.is_reading && self.turns.is_none() {
            self.lose(direction, segment.is_some(), messages);
            self.count_lost(direction, length);
        }
    }

    fn begin_packet(
        &mut self,
        direction: Direction,
        head: Head,
        start: Start,
        segment: &Segment<'_>,
        messages: &mut dyn Messages,
    ) {
        let left = head.length.into();
        self.side(direction).state = State::Payload(Payload { head, start, left, has_hole: false });
        if left == 0 {
            self.end_packet(direction, &[], Some(segment.end_ns), messages);
        }
    }

    /// Reads bytes of the payload at hand, and no more.
    fn read_payload(&mut self, bytes: &[u8], segment: &Segment<'_>, messages: &mut dyn Messages) {
        let direction = segment.direction;
        let is_done = self.login == Login::Done;
        let side = self.side(direction);
        let State::Payload(payload) = &mut side.state else { return };
        let first = side.kept.first().or(bytes.first()).copied().unwrap_or(0);
        let most = match direction {
            _ if payload.has_hole || side.continues => 0,
            Direction::Request if !is_done => LOGIN_KEPT,
            Direction::Response if !is_done => GREETING_KEPT,
            // Else it is a file, or another step of a login.
            Direction::Request if payload.head.sequence == 0 => commands::kept(first),
            Direction::Request => 0,
            Direction::Response => ANSWER_KEPT,
        };
        payload.left -= bytes.len() as u64;
        let is_over = payload.left == 0;
        if is_over && side.kept.is_empty() {
            // It came as a whole: it is read where it lies.
            return self.end_packet(direction, &bytes[..most.min(bytes.len())], Some(segment.end_ns), messages);
        }
        side.kept.add(bytes, most);
        if is_over {
            self.end_kept(direction, Some(segment.end_ns), messages);
        }
    }

    /// A packet is whole that came in several parts.
    fn end_kept(&mut self, direction: Direction, end_ns: Option<u64>, messages: &mut dyn Messages) {
        let mut kept = std::mem::take(&mut self.side(direction).kept);
        self.end_packet(direction, &kept, end_ns, messages);
        // The buffer serves again, if it is small.
        if kept.capacity() <= 1024 {
            kept.clear();
            self.side(direction).kept = kept;
        }
    }

    /// A packet is whole; `payload` is what was kept of it.
    fn end_packet(&mut self, direction: Direction, payload: &[u8], end_ns: Option<u64>, messages: &mut dyn Messages) {
        let side = self.side(direction);
        let State::Payload(Payload { head, start, .. }) = std::mem::replace(&mut side.state, State::HEAD) else {
            return;
        };
        let continues = std::mem::replace(&mut side.continues, head.length == LENGTH_MAX);
        let packet = Packet { head, payload, start, end_ns, continues };
        match (direction, self.login) {
            (Direction::Request, Login::Done) => self.request(&packet, messages),
            (Direction::Response, Login::Done) => self.response(&packet, messages),
            (Direction::Request, _) => self.client_logs_in(&packet),
            (Direction::Response, _) => self.server_logs_in(&packet, messages),
        }
    }

    /// Where the next packet of a direction begins is not known; `in_call` if that is because bytes that a call moved
    /// were not captured or are no packets.
    pub(super) fn lose(&mut self, direction: Direction, in_call: bool, messages: &mut dyn Messages) {
        if self.side(direction).is_lost() {
            return;
        }
        let side = self.side(direction);
        let state = std::mem::replace(&mut side.state, State::Lost);
        side.kept = Kept::default();
        side.continues = false;
        // Who logs in has not been seen to be done, but may be.
        self.login = Login::Done;
        match direction {
            Direction::Request => self.lose_requests(in_call, messages),
            Direction::Response => {
                self.lose_responses(in_call);
                if let State::Head { length, .. } = state {
                    self.count_lost(direction, length as u64);
                }
            }
        }
    }
}
