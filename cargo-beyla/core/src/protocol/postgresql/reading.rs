//! Bytes -> messages, in either direction.

use super::frame::{self, HEAD, Head, STARTUP_HEAD, Startup};
use super::side::{Of, Payload, State};
use super::{Login, Postgresql};
use crate::protocol::candidate::Likeness;
use crate::protocol::kept::Kept;
use crate::protocol::message::{GivenUp, Messages};
use crate::protocol::pipeline::Start;
use crate::transport::segment::{Direction, Segment};

/// A message that is whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a> {
    pub(super) kind: u8,
    /// The first bytes of its payload.
    pub(super) payload: &'a [u8],
    /// With its head, in bytes.
    pub(super) size: u64,
    pub(super) start: Start,
    /// Return of the call that moved its last byte, in nanoseconds, if that was seen.
    pub(super) end_ns: Option<u64>,
}

impl Postgresql {
    /// A call moved bytes.
    pub(super) fn operation(&mut self, segment: &Segment<'_>, messages: &mut dyn Messages) {
        let direction = segment.direction;
        let mut at = segment.start;
        let mut ends_ready = false;
        for (offset, bytes) in segment.pieces() {
            if offset == segment.start {
                self.step_in(direction, bytes, messages);
            }
            self.hide(direction, offset.saturating_sub(at), Some(segment), messages);
            self.read(bytes, offset, segment, messages);
            at = offset.saturating_add(bytes.len() as u64);
            ends_ready = at == segment.end() && frame::ends_ready(bytes);
        }
        self.hide(direction, segment.end().saturating_sub(at), Some(segment), messages);
        let is_unsure = self.responses.is_lost() || (self.responses.is_guessed && !self.responses.is_between());
        if ends_ready && direction == Direction::Response && is_unsure {
            self.ready_again(segment.end_ns, messages);
        }
    }

    /// A call begins with these bytes: a direction that is out of step goes on, if they begin messages.
    fn step_in(&mut self, direction: Direction, bytes: &[u8], messages: &mut dyn Messages) {
        if !self.side(direction).is_lost() {
            return;
        }
        let is_first = direction == Direction::Request && self.pipeline.is_new() && self.responses.is_lost();
        if is_first && frame::startup_likeness(bytes) == Likeness::Whole {
            // It was met before its first byte.
            *self = Self::after(&[], None);
        } else if frame::begins(direction, bytes) {
            let side = self.side(direction);
            (side.state, side.is_guessed) = (State::HEAD, true);
            if direction == Direction::Response {
                self.answers_go_on(messages);
            }
        }
    }

    /// Reads bytes that are known; `offset` is that of the first of them.
    fn read(&mut self, mut input: &[u8], mut offset: u64, segment: &Segment<'_>, messages: &mut dyn Messages) {
        let direction = segment.direction;
        while !input.is_empty() && self.is_reading {
            let read = match &mut self.side(direction).state {
                State::Lost => {
                    self.count_lost(direction, input.len() as u64);
                    input.len()
                }
                State::Startup { bytes, length } => {
                    let read = (STARTUP_HEAD - *length).min(input.len());
                    bytes[*length..*length + read].copy_from_slice(&input[..read]);
                    *length += read;
                    let head = Some(*bytes).filter(|_| *length == STARTUP_HEAD);
                    if let Login::Begun(start @ None) = &mut self.login {
                        *start = Some(Start::of(segment, offset));
                    }
                    if let Some(head) = head {
                        self.startup(head, messages);
                    }
                    read
                }
                State::Answer => self.answer_to_encryption(input[0], messages),
                State::Head { bytes, length, start } => {
                    if *length == 0 {
                        *start = Start::of(segment, offset);
                    }
                    let (read, head) = match input.first_chunk() {
                        // As a rule all of it lies here.
                        Some(whole) if *length == 0 => (HEAD, Some(*whole)),
                        _ => {
                            let read = (HEAD - *length).min(input.len());
                            bytes[*length..*length + read].copy_from_slice(&input[..read]);
                            *length += read;
                            (read, Some(*bytes).filter(|_| *length == HEAD))
                        }
                    };
                    if let Some(head) = head {
                        let start = *start;
                        self.begin_message(direction, head, start, segment, messages);
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
        if length == 0 || !self.is_reading {
            return;
        }
        if let State::Payload(payload) = &mut self.side(direction).state {
            let hidden = length.min(payload.left);
            length -= hidden;
            payload.left -= hidden;
            // The kept bytes must not have a hole, so the rest of this message is not kept.
            payload.wanted = 0;
            if payload.left == 0 {
                let kept = std::mem::take(&mut self.side(direction).kept);
                self.end_message(direction, &kept, segment.map(|segment| segment.end_ns), messages);
                self.keep_buffer(direction, kept);
            }
        }
        if length > 0 && self.is_reading {
            self.lose(direction, segment.is_some(), messages);
            self.count_lost(direction, length);
        }
    }

    /// The first bytes of a message are known.
    fn begin_message(
        &mut self,
        direction: Direction,
        bytes: [u8; HEAD],
        start: Start,
        segment: &Segment<'_>,
        messages: &mut dyn Messages,
    ) {
        let Some(head) = Head::parse(direction, bytes) else {
            return self.lose(direction, true, messages);
        };
        if direction == Direction::Response {
            self.response_begins(head.kind, start, messages);
        }
        let (left, wanted) = (head.length.into(), head.kept(direction));
        self.side(direction).state = State::Payload(Payload { of: Of::Message(head), start, left, wanted });
        if left == 0 {
            self.end_message(direction, &[], Some(segment.end_ns), messages);
        }
    }

    /// Reads bytes of the payload at hand, and no more.
    fn read_payload(&mut self, bytes: &[u8], segment: &Segment<'_>, messages: &mut dyn Messages) {
        let direction = segment.direction;
        let side = self.side(direction);
        let State::Payload(payload) = &mut side.state else { return };
        payload.left -= bytes.len() as u64;
        let wanted = &bytes[..payload.wanted.min(bytes.len())];
        payload.wanted -= wanted.len();
        let is_over = payload.left == 0;
        if is_over && side.kept.is_empty() {
            // It came as a whole: it is read where it lies.
            return self.end_message(direction, wanted, Some(segment.end_ns), messages);
        }
        side.kept.extend_from_slice(wanted);
        if is_over {
            let kept = std::mem::take(&mut side.kept);
            self.end_message(direction, &kept, Some(segment.end_ns), messages);
            self.keep_buffer(direction, kept);
        }
    }

    /// A message is whole; `payload` is what was kept of it.
    fn end_message(&mut self, direction: Direction, payload: &[u8], end_ns: Option<u64>, messages: &mut dyn Messages) {
        let side = self.side(direction);
        let State::Payload(Payload { of, start, .. }) = std::mem::replace(&mut side.state, State::HEAD) else {
            return;
        };
        let head = match of {
            Of::Message(head) => head,
            Of::Login => return self.asked_to_log_in(payload, end_ns, messages),
        };
        let Head { kind, length } = head;
        let message = Message { kind, payload, size: HEAD as u64 + u64::from(length), start, end_ns };
        match direction {
            Direction::Request => self.request(&message, messages),
            Direction::Response => self.response(&message, messages),
        }
    }

    /// The buffer serves again, if it is small.
    fn keep_buffer(&mut self, direction: Direction, mut kept: Kept) {
        if kept.capacity() <= 1024 {
            kept.clear();
            self.side(direction).kept = kept;
        }
    }

    /// The head of the first packet is known.
    fn startup(&mut self, head: [u8; STARTUP_HEAD], messages: &mut dyn Messages) {
        match Startup::parse(head) {
            Some((_, Startup::Encryption)) => {
                self.requests.state = State::startup(&[]);
                self.responses.state = State::Answer;
            }
            Some((length, Startup::Login)) => {
                let start = match self.login {
                    Login::Begun(start) => start.unwrap_or_default(),
                    Login::Asked(start, _) => start,
                    Login::Done => Start::default(),
                };
                let left = u64::from(length) - STARTUP_HEAD as u64;
                let payload = Payload { of: Of::Login, start, left, wanted: STARTUP_KEPT };
                self.requests.state = State::Payload(payload);
                self.responses.state = State::HEAD;
            }
            // There is no call: nobody waits for an answer.
            Some((_, Startup::Cancel)) => self.is_reading = false,
            None => self.give_up(GivenUp::Unreadable, messages),
        }
    }

    /// The one byte that answers a request to encrypt; how many bytes were read.
    fn answer_to_encryption(&mut self, answer: u8, messages: &mut dyn Messages) -> usize {
        self.responses.state = State::HEAD;
        match answer {
            // What follows comes out of TLS, or is never read.
            b'S' | b'N' => {}
            // An old server answers with an error.
            b'E' => return 0,
            _ => self.give_up(GivenUp::Unreadable, messages),
        }
        1
    }

    fn asked_to_log_in(&mut self, parameters: &[u8], end_ns: Option<u64>, messages: &mut dyn Messages) {
        if asks_for_replication(parameters) {
            return self.give_up(GivenUp::Unreadable, messages);
        }
        if let Login::Begun(start) = self.login {
            let start = start.unwrap_or_default();
            self.login = Login::Asked(start, end_ns.unwrap_or(start.begin_ns));
        }
    }

    /// The connection is not read any further.
    pub(super) fn give_up(&mut self, reason: GivenUp, messages: &mut dyn Messages) {
        self.miss_all(messages);
        self.is_reading = false;
        messages.give_up(reason);
    }
}

/// How much of the parameters of a login is looked at, in bytes. They are not remembered.
const STARTUP_KEPT: usize = 1024;

/// Whether these parameters of a login ask for the protocol of replication.
fn asks_for_replication(parameters: &[u8]) -> bool {
    let mut rest = parameters;
    while let Some((name, behind)) = frame::whole_text(rest).filter(|(name, _)| !name.is_empty()) {
        let (value, next) = frame::text(behind);
        if name == b"replication" {
            return ![&b"false"[..], b"off", b"no", b"0"].contains(&value);
        }
        rest = next;
    }
    false
}
