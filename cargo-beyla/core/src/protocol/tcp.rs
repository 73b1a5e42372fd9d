//! What no protocol reads: turns. A turn is what the client sends before the server answers, and the answer.
//!
//! Where a turn ends, only the next one tells, or the end of the connection. So the end of an answer is told late, with
//! the time that it had. What a server sends before the client has asked for anything belongs to no turn.

use super::message::{Messages, Protocol, Shared, Unfinished, Upgrade};
use super::pipeline::{Pipeline, Start};
use crate::model::call::CallKind;
use crate::model::connection::StreamId;
use crate::transport::segment::{Direction, Segment};

/// Reads one connection.
#[derive(Debug, Default)]
pub(super) struct Tcp {
    /// The turn at hand.
    turn: Pipeline<Last>,
}

/// When the last call of each direction returned, in nanoseconds.
#[derive(Debug, Default)]
struct Last {
    sent_ns: Option<u64>,
    received_ns: Option<u64>,
}

impl Tcp {
    /// Of a connection whose client has sent so many bytes before those that come now, the first of them at `start`; the
    /// last of them left at `sent_ns`, in nanoseconds.
    pub(super) fn after(bytes: u64, start: Start, sent_ns: u64, messages: &mut dyn Messages) -> Self {
        let mut tcp = Self::default();
        if bytes > 0 {
            tcp.ask(bytes, start, Some(sent_ns), messages);
        }
        tcp
    }

    /// The client sends.
    fn ask(&mut self, bytes: u64, start: Start, sent_ns: Option<u64>, messages: &mut dyn Messages) {
        if self.turn.back().is_some_and(|turn| turn.is_answered()) {
            self.end(messages);
        }
        if self.turn.is_empty() {
            self.turn.push(start, Last::default());
            self.turn.announce(0, (CallKind::Tcp, "", None), messages);
        }
        if let Some(turn) = self.turn.back() {
            turn.count(Direction::Request, bytes);
            turn.own.sent_ns = sent_ns.or(turn.own.sent_ns);
        }
    }

    /// The answer has ended before.
    fn end(&mut self, messages: &mut dyn Messages) {
        let received_ns = self.turn.back().and_then(|turn| turn.own.received_ns);
        self.turn.end_front(received_ns, messages);
    }
}

impl Protocol for Tcp {
    fn segment(&mut self, segment: &Segment<'_>, _: &mut Shared, messages: &mut dyn Messages) -> Option<Box<Upgrade>> {
        let start = Start::of(segment, segment.start);
        match (segment.direction, self.turn.back()) {
            (Direction::Request, _) => self.ask(segment.length(), start, Some(segment.end_ns), messages),
            (Direction::Response, Some(turn)) => {
                turn.respond(start, turn.own.sent_ns, messages);
                turn.count(Direction::Response, segment.length());
                turn.own.received_ns = Some(segment.end_ns);
            }
            (Direction::Response, None) => {}
        }
        None
    }

    /// Nobody knows when they moved: they belong to the turn at hand.
    fn gap(&mut self, direction: Direction, length: u64, _: &mut dyn Messages) {
        if let Some(turn) = self.turn.back() {
            turn.count(direction, length);
        }
    }

    fn awaits_content(&self) -> bool {
        false
    }

    fn announced_content(&self) -> u64 {
        0
    }

    fn response_begun(&self) -> Option<(StreamId, u64)> {
        None
    }

    fn is_reading(&self) -> bool {
        true
    }

    fn stop(&mut self, messages: &mut dyn Messages) {
        if self.turn.back().is_some_and(|turn| turn.is_answered()) {
            self.end(messages);
        }
    }

    fn unfinished(&self, stream: StreamId) -> Unfinished {
        self.turn.unfinished(stream)
    }
}
