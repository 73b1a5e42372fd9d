//! Commands whose answers come in their order: what has begun of each, and what is said of it.
//!
//! The bytes of a command and of its answer are counted as content, heads and all.

use std::collections::VecDeque;

use super::message::{Command, CommandEnding, MessageEnd, Messages, ResponseHead, Unfinished, UnfinishedResponse};
use crate::model::call::CallKind;
use crate::model::connection::StreamId;
use crate::transport::segment::{Direction, Segment};

/// Where a message begins: the call that moved its first byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// When the byte reached the receive queue of the traced process, in nanoseconds, if it did and that is known.
    pub arrived_ns: Option<u64>,
    /// Entry of the call, in nanoseconds; of a receive call, its return.
    pub begin_ns: u64,
}

impl Start {
    /// The byte at this offset of the segment begins the message.
    pub fn of(segment: &Segment<'_>, offset: u64) -> Self {
        Self { arrived_ns: segment.arrived_at(offset), begin_ns: segment.begin_ns }
    }
}

/// The exchanges of a connection that have no whole answer yet, in their order, each with what its protocol keeps of it.
#[derive(Debug)]
pub(super) struct Pipeline<T> {
    pending: VecDeque<Exchange<T>>,
    last: u64,
}

/// A command and its answer.
#[derive(Debug)]
pub(super) struct Exchange<T> {
    /// Once something has been said of it.
    stream: Option<StreamId>,
    start: Start,
    request: Half,
    response: Half,
    is_doubtful: bool,
    /// When the command was whole, if nothing had been said of it then, in nanoseconds.
    sent_ns: Option<u64>,
    /// What the answer has said so far.
    pub(super) ending: CommandEnding,
    /// What its protocol keeps of it.
    pub(super) own: T,
}

/// One direction of an exchange.
#[derive(Clone, Copy, Debug)]
struct Half {
    begun: bool,
    ended: bool,
    /// Bytes so far; `None` where some moved that may belong to others.
    bytes: Option<u64>,
}

impl Half {
    const NEW: Self = Self { begun: false, ended: false, bytes: Some(0) };

    fn count(&mut self, length: u64) {
        self.bytes = self.bytes.map(|bytes| bytes.saturating_add(length));
    }
}

impl<T> Default for Pipeline<T> {
    fn default() -> Self {
        Self { pending: VecDeque::new(), last: 0 }
    }
}

impl<T> Pipeline<T> {
    /// A command begins, of which nothing is said before [`Self::announce`].
    pub(super) fn push(&mut self, start: Start, own: T) -> &mut Exchange<T> {
        self.pending.push_back(Exchange {
            stream: None,
            start,
            request: Half { begun: true, ..Half::NEW },
            response: Half::NEW,
            is_doubtful: false,
            sent_ns: None,
            ending: CommandEnding::default(),
            own,
        });
        let last = self.pending.len() - 1;
        &mut self.pending[last]
    }

    /// Says what the command asks for that is at this place.
    pub(super) fn announce(
        &mut self,
        place: usize,
        (kind, summary, text): (CallKind, &str, Option<&str>),
        messages: &mut dyn Messages,
    ) {
        let Some(exchange) = self.pending.get_mut(place) else { return };
        self.last += 1;
        let stream = StreamId(self.last);
        exchange.stream = Some(stream);
        let Start { arrived_ns, begin_ns } = exchange.start;
        messages.command(stream, &Command { kind, summary, text, arrived_ns, read_ns: begin_ns });
    }

    pub(super) fn len(&self) -> usize {
        self.pending.len()
    }

    /// Whether nothing has been said of any command.
    pub(super) fn is_new(&self) -> bool {
        self.last == 0 && self.pending.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    pub(super) fn front(&mut self) -> Option<&mut Exchange<T>> {
        self.pending.front_mut()
    }

    pub(super) fn back(&mut self) -> Option<&mut Exchange<T>> {
        self.pending.back_mut()
    }

    pub(super) fn get(&self, place: usize) -> Option<&Exchange<T>> {
        self.pending.get(place)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Exchange<T>> {
        self.pending.iter()
    }

    /// The answer to the first command is whole, with the byte that a call moved which returned at `time_ns`.
    pub(super) fn end_front(&mut self, time_ns: Option<u64>, messages: &mut dyn Messages) {
        if let Some(mut exchange) = self.pending.pop_front() {
            exchange.end_request(time_ns, messages);
            exchange.end_response(time_ns, messages);
        }
    }

    /// The answer to the first command has gone by unseen, in part or as a whole.
    pub(super) fn miss_front(&mut self, messages: &mut dyn Messages) {
        if let Some(stream) = self.pending.pop_front().and_then(|exchange| exchange.stream) {
            messages.unseen(stream);
        }
    }

    /// Nothing is said of the last command after all.
    pub(super) fn drop_back(&mut self) {
        self.pending.pop_back();
    }

    /// Bytes of answers moved that cannot be told apart.
    pub(super) fn lose_responses(&mut self) {
        for exchange in &mut self.pending {
            exchange.response.bytes = None;
            exchange.is_doubtful = true;
        }
    }

    /// What is missing of an exchange that was under way when its connection ended.
    pub(super) fn unfinished(&self, stream: StreamId) -> Unfinished {
        let Some(exchange) = self.pending.iter().find(|exchange| exchange.stream == Some(stream)) else {
            return Unfinished::UNKNOWN;
        };
        Unfinished {
            request_body: exchange.request.bytes,
            response_body: exchange.response.bytes,
            response: if exchange.is_doubtful { UnfinishedResponse::Unseen } else { UnfinishedResponse::Bytes },
            ..Unfinished::UNKNOWN
        }
    }
}

impl<T> Exchange<T> {
    /// Entry of the call that moved the first byte of the command, in nanoseconds.
    pub(super) fn begun_ns(&self) -> u64 {
        self.start.begin_ns
    }

    /// Whether something has been said of it.
    pub(super) fn is_announced(&self) -> bool {
        self.stream.is_some()
    }

    /// Whether bytes of its answer moved that were not read.
    pub(super) fn is_doubtful(&self) -> bool {
        self.is_doubtful
    }

    /// Whether its answer has begun.
    pub(super) fn is_answered(&self) -> bool {
        self.response.begun
    }

    /// Bytes of the command, or of its answer.
    pub(super) fn count(&mut self, direction: Direction, length: u64) {
        match direction {
            Direction::Request => self.request.count(length),
            Direction::Response => self.response.count(length),
        }
    }

    /// The command is whole, with the byte that a call moved which returned at `time_ns`.
    pub(super) fn end_request(&mut self, time_ns: Option<u64>, messages: &mut dyn Messages) {
        let Some(stream) = self.stream else {
            self.sent_ns = self.sent_ns.or(time_ns);
            return;
        };
        if !std::mem::replace(&mut self.request.ended, true) {
            messages.end(stream, Direction::Request, &MessageEnd::new(self.request.bytes, self.sent_ns.or(time_ns)));
        }
    }

    /// The answer begins; the command has ended before, if nobody has said so, at `sent_ns`.
    pub(super) fn respond(&mut self, start: Start, sent_ns: Option<u64>, messages: &mut dyn Messages) {
        self.end_request(sent_ns, messages);
        if let Some(stream) = self.stream
            && !std::mem::replace(&mut self.response.begun, true)
        {
            let Start { arrived_ns, begin_ns } = start;
            messages.response(stream, &ResponseHead { status: None, bytes: 0, arrived_ns, begin_ns });
        }
    }

    /// Bytes of its answer moved that were not read.
    pub(super) fn doubt(&mut self) {
        self.is_doubtful = true;
    }

    fn end_response(&mut self, time_ns: Option<u64>, messages: &mut dyn Messages) {
        if let Some(stream) = self.stream {
            if self.response.begun {
                let end = MessageEnd { command: self.ending, ..MessageEnd::new(self.response.bytes, time_ns) };
                messages.end(stream, Direction::Response, &end);
            } else {
                messages.unseen(stream);
            }
        }
    }
}
