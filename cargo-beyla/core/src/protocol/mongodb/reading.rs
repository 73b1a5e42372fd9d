//! Bytes -> messages, in either direction.

use super::Mongodb;
use super::message::{self, HEAD, Head};
use super::side::{Payload, REQUEST_KEPT, State};
use crate::protocol::candidate::Likeness;
use crate::protocol::kept::Kept;
use crate::protocol::message::Messages;
use crate::protocol::pipeline::Start;
use crate::transport::segment::{Direction, Segment};

/// How many bytes of an answer are looked at, to count its documents.
const RESPONSE_KEPT: usize = 16 * 1024;

/// A message that is whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a> {
    pub(super) head: Head,
    /// The first bytes of its payload.
    pub(super) payload: &'a [u8],
    pub(super) start: Start,
    /// Return of the call that moved its last byte, in nanoseconds, if that was seen.
    pub(super) end_ns: Option<u64>,
}

impl Message<'_> {
    /// With its head, in bytes.
    pub(super) fn size(&self) -> u64 {
        HEAD as u64 + u64::from(self.head.length)
    }
}

impl Mongodb {
    /// A call moved bytes.
    pub(super) fn operation(&mut self, segment: &Segment<'_>, messages: &mut dyn Messages) {
        let direction = segment.direction;
        let mut at = segment.start;
        for (offset, bytes) in segment.pieces() {
            if offset == segment.start && self.side(direction).is_lost() && begins(direction, bytes) {
                self.side(direction).state = State::HEAD;
            }
            self.hide(direction, offset.saturating_sub(at), Some(segment), messages);
            self.read(bytes, offset, segment, messages);
            at = offset.saturating_add(bytes.len() as u64);
        }
        self.hide(direction, segment.end().saturating_sub(at), Some(segment), messages);
    }

    /// Reads bytes that are known; `offset` is that of the first of them.
    fn read(&mut self, mut input: &[u8], mut offset: u64, segment: &Segment<'_>, messages: &mut dyn Messages) {
        let direction = segment.direction;
        while !input.is_empty() && self.is_reading {
            let read = match &mut self.side(direction).state {
                State::Lost => return,
                State::Head { bytes, length, start } => {
                    if *length == 0 {
                        *start = Start::of(segment, offset);
                    }
                    let read = (HEAD - *length).min(input.len());
                    bytes[*length..*length + read].copy_from_slice(&input[..read]);
                    *length += read;
                    if *length == HEAD {
                        let (head, start) = (Head::parse(*bytes), *start);
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
                self.end_kept(direction, segment.map(|segment| segment.end_ns), messages);
            }
        }
        if length > 0 {
            self.lose(direction, segment.is_some(), messages);
        }
    }

    fn begin_message(
        &mut self,
        direction: Direction,
        head: Option<Head>,
        start: Start,
        segment: &Segment<'_>,
        messages: &mut dyn Messages,
    ) {
        let Some(head) = head else { return self.lose(direction, true, messages) };
        let (left, wanted) = match direction {
            Direction::Request => (head.length.into(), REQUEST_KEPT),
            Direction::Response => (head.length.into(), RESPONSE_KEPT),
        };
        self.side(direction).state = State::Payload(Payload { head, start, left, wanted });
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
            self.end_kept(direction, Some(segment.end_ns), messages);
        }
    }

    /// A message is whole that came in several parts.
    fn end_kept(&mut self, direction: Direction, end_ns: Option<u64>, messages: &mut dyn Messages) {
        let mut kept = std::mem::take(&mut self.side(direction).kept);
        self.end_message(direction, &kept, end_ns, messages);
        // The buffer serves again, if it is small.
        if kept.capacity() <= REQUEST_KEPT {
            kept.clear();
            self.side(direction).kept = kept;
        }
    }

    fn end_message(&mut self, direction: Direction, payload: &[u8], end_ns: Option<u64>, messages: &mut dyn Messages) {
        let state = std::mem::replace(&mut self.side(direction).state, State::HEAD);
        let State::Payload(Payload { head, start, .. }) = state else { return };
        let message = Message { head, payload, start, end_ns };
        match direction {
            Direction::Request => self.request(&message, messages),
            Direction::Response => self.response(&message, messages),
        }
    }

    /// Where the next message of a direction begins is not known; `in_call` if that is because bytes that a call moved were
    /// not captured or are no messages.
    fn lose(&mut self, direction: Direction, in_call: bool, messages: &mut dyn Messages) {
        let side = self.side(direction);
        if side.is_lost() {
            return;
        }
        side.state = State::Lost;
        side.kept = Kept::default();
        if direction == Direction::Request && in_call {
            messages.unread();
        }
    }
}

/// Whether bytes with which a call begins are those of a message.
fn begins(direction: Direction, bytes: &[u8]) -> bool {
    match direction {
        Direction::Request => message::likeness(bytes) == Likeness::Whole,
        Direction::Response => {
            bytes.first_chunk().and_then(|head| Head::parse(*head)).is_some_and(|head| head.answers != 0)
        }
    }
}
