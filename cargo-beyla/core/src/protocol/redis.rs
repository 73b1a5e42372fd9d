//! Redis: RESP2 and RESP3, with the commands of Redis and of what is compatible with it.
//!
//! An exchange is a command and its answer, also where several are sent at once: a client that many requests share sends
//! their commands together. Subscriptions are left alone, and so is whatever the server pushes. The commands by which
//! clients open a connection (`HELLO`, `AUTH`, `CLIENT`, `SELECT`) are part of opening it, unless they fail.
//!
//! This is own code, because the crate redis-protocol reads from one buffer that holds each value whole, and allocates
//! each of its elements.
//!
//! Strings are passed over by their lengths. Where bytes were not captured that may have held more than a part of a
//! string, a direction is out of step: it goes on at the next call that begins with a command or an answer. What was
//! asked and cannot be paired with its answer then is not told, except that a single answer ends before the next command
//! where its last bytes are the end of a line.

mod asked;
mod commands;
mod key;
mod requests;
mod resp;
mod responses;

use super::candidate::{Beginning, Candidate, Likeness};
use super::message::{GivenUp, Messages, Protocol, Shared, Unfinished, Upgrade};
use super::pipeline::{Pipeline, Start};
use crate::model::connection::{Endpoint, StreamId};
use crate::transport::segment::{Direction, Segment};
use requests::Requests;
use responses::Responses;

/// Commands that may wait for their answers at a time.
const PENDING_MAX: usize = 8192;

/// The port that servers listen on if nothing else is said.
const PORT: u16 = 6379;

/// A connection on which the client sends its commands as arrays.
pub const CANDIDATE: Candidate = Candidate {
    begins: |direction, bytes| match direction {
        Direction::Request => resp::command_likeness(bytes),
        Direction::Response => Likeness::None,
    },
    resumes: |direction, bytes| direction == Direction::Request && resp::command_likeness(bytes) == Likeness::Whole,
    token: None,
    open: |beginning| {
        Box::new(match beginning {
            Beginning::First { held, start } => Redis::after(held, *start),
            Beginning::Midst | Beginning::Upgraded(_) => Redis::joined(),
        })
    },
};

/// Whether a server that listens there is usually one of Redis.
pub(super) fn is_usual_for(server: &Endpoint) -> bool {
    match server {
        Endpoint::Tcp(address) => address.port() == PORT,
        Endpoint::Unix(path) => path.contains("redis") || path.contains("valkey"),
    }
}

/// Whether these bytes may be a command that is a line of text.
pub(super) fn is_inline(bytes: &[u8]) -> bool {
    let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
    bytes.first().is_some_and(u8::is_ascii_alphabetic)
        && line.iter().all(|byte| byte.is_ascii_graphic() || matches!(byte, b' ' | b'\r'))
}

/// Reads one connection.
#[derive(Debug)]
pub struct Redis {
    requests: Requests,
    responses: Responses,
    pipeline: Pipeline<Sort>,
    /// Whether no command has come but those that open the connection.
    is_opening: bool,
    /// Whether arrays may be messages of a channel.
    is_subscribed: bool,
    is_reading: bool,
}

/// What a command is to the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Sort {
    Command,
    /// It is part of opening the connection; its summary.
    Opening(Box<str>),
    /// Commands that were not seen, however many.
    Unseen,
}

impl Redis {
    /// Of a connection that is seen from its beginning, from behind these bytes of its first command on.
    fn after(held: &[u8], start: Option<Start>) -> Self {
        let mut redis = Self::new(Requests::after(held, start), Responses::default());
        redis.is_opening = true;
        redis
    }

    /// Of a connection that was met in the midst.
    fn joined() -> Self {
        Self::new(Requests::lost(), Responses::lost())
    }

    fn new(requests: Requests, responses: Responses) -> Self {
        Self {
            requests,
            responses,
            pipeline: Pipeline::default(),
            is_opening: false,
            is_subscribed: false,
            is_reading: true,
        }
    }

    /// The connection is not read any further.
    fn give_up(&mut self, messages: &mut dyn Messages) {
        self.miss_all(messages);
        self.is_reading = false;
        messages.give_up(GivenUp::Unreadable);
    }

    /// What was under way is told no more.
    fn miss_all(&mut self, messages: &mut dyn Messages) {
        while !self.pipeline.is_empty() {
            self.pipeline.miss_front(messages);
        }
    }

    /// Bytes moved that cannot be read: in a call that returned at `end_ns`, or unseen.
    fn hide(&mut self, direction: Direction, length: u64, end_ns: Option<u64>, messages: &mut dyn Messages) {
        if length > 0 && self.is_reading {
            match direction {
                Direction::Request => self.hide_requests(length, end_ns, messages),
                Direction::Response => self.hide_responses(length, end_ns, messages),
            }
        }
    }
}

impl Protocol for Redis {
    fn segment(&mut self, segment: &Segment<'_>, _: &mut Shared, messages: &mut dyn Messages) -> Option<Box<Upgrade>> {
        let direction = segment.direction;
        let mut at = segment.start;
        for (offset, bytes) in segment.pieces() {
            if offset == segment.start {
                match direction {
                    Direction::Request => self.requests_go_on(bytes),
                    Direction::Response => self.responses_go_on(bytes),
                }
            }
            self.hide(direction, offset.saturating_sub(at), Some(segment.end_ns), messages);
            if self.is_reading {
                match direction {
                    Direction::Request => self.read_requests(bytes, offset, segment, messages),
                    Direction::Response => self.read_responses(bytes, offset, segment, messages),
                }
            }
            at = offset.saturating_add(bytes.len() as u64);
        }
        self.hide(direction, segment.end().saturating_sub(at), Some(segment.end_ns), messages);
        if direction == Direction::Response {
            self.end_call(segment);
        }
        None
    }

    fn gap(&mut self, direction: Direction, length: u64, messages: &mut dyn Messages) {
        self.hide(direction, length, None, messages);
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
        self.is_reading
    }

    fn stop(&mut self, messages: &mut dyn Messages) {
        self.settle(messages);
    }

    fn unfinished(&self, stream: StreamId) -> Unfinished {
        self.pipeline.unfinished(stream)
    }
}

#[cfg(test)]
mod tests;
