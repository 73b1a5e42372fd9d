//! MongoDB: its "Wire Protocol", in which commands and answers are documents of BSON.
//!
//! Each direction is a `Side`: it finds the messages by their lengths and keeps the first bytes of each. Of a command its
//! name and its collection are read, of an answer whether it has failed and how many documents it holds or has changed;
//! no value of any document. This is own code, because the crate `bson` brings what serialises values, their times and their
//! identifiers, and reads none of a document that is cut.
//!
//! What opens a connection (`hello`, the steps of a login) is no call unless it fails; by `hello` a client also watches its
//! servers. Nothing is said of writes that nobody waits for. Of a compressed message only its times and its size are known.
//!
//! An answer names the message that it answers. So where bytes were not captured, a direction goes on at the next call
//! that begins with a message, and a command whose answer was not captured is reported as unseen.

mod answer;
mod asked;
mod bson;
mod exchange;
mod message;
mod reading;
mod side;

use super::candidate::{Beginning, Candidate, Likeness};
use super::message::{Messages, Protocol, Shared, Unfinished, Upgrade};
use super::pipeline::{Pipeline, Start};
use crate::model::connection::{Endpoint, StreamId};
use crate::transport::segment::{Direction, Segment};
use asked::Asked;
use side::{Side, State};

/// Commands that may wait for their answers at a time.
const PENDING_MAX: usize = 4096;

/// A connection that begins with a command, or is met in its midst.
pub const CANDIDATE: Candidate = Candidate {
    begins: |direction, bytes| match direction {
        Direction::Request => message::likeness(bytes),
        Direction::Response => Likeness::None,
    },
    resumes: |direction, bytes| direction == Direction::Request && message::likeness(bytes) == Likeness::Whole,
    token: None,
    open: |beginning| {
        Box::new(match beginning {
            Beginning::First { held, start } => Mongodb::after(held, *start),
            Beginning::Midst | Beginning::Upgraded(_) => Mongodb::joined(),
        })
    },
};

/// Whether the address is one that MongoDB usually has.
pub fn is_usual_for(server: &Endpoint) -> bool {
    match server {
        Endpoint::Tcp(address) => address.port() == 27017,
        Endpoint::Unix(path) => path.ends_with("/mongodb-27017.sock"),
    }
}

/// Reads one connection.
#[derive(Debug)]
pub struct Mongodb {
    requests: Side,
    responses: Side,
    pipeline: Pipeline<Asked>,
    is_reading: bool,
}

impl Mongodb {
    /// Of a connection that is seen from its beginning, from behind these bytes of its first message on.
    fn after(held: &[u8], start: Option<Start>) -> Self {
        Self::new(Side::behind(held, start.unwrap_or_default()), Side::new(State::HEAD))
    }

    /// Of a connection that was met in the midst.
    fn joined() -> Self {
        Self::new(Side::new(State::Lost), Side::new(State::Lost))
    }

    fn new(requests: Side, responses: Side) -> Self {
        Self { requests, responses, pipeline: Pipeline::default(), is_reading: true }
    }

    fn side(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::Request => &mut self.requests,
            Direction::Response => &mut self.responses,
        }
    }
}

impl Protocol for Mongodb {
    fn segment(&mut self, segment: &Segment<'_>, _: &mut Shared, messages: &mut dyn Messages) -> Option<Box<Upgrade>> {
        self.operation(segment, messages);
        None
    }

    fn gap(&mut self, direction: Direction, length: u64, messages: &mut dyn Messages) {
        self.hide(direction, length, None, messages);
    }

    fn awaits_content(&self) -> bool {
        false
    }

    fn announced_content(&self) -> u64 {
        match &self.requests.state {
            State::Payload(payload) => payload.left,
            _ => 0,
        }
    }

    fn response_begun(&self) -> Option<(StreamId, u64)> {
        None
    }

    fn is_reading(&self) -> bool {
        self.is_reading
    }

    fn stop(&mut self, _: &mut dyn Messages) {}

    fn unfinished(&self, stream: StreamId) -> Unfinished {
        self.pipeline.unfinished(stream)
    }
}

#[cfg(test)]
mod tests;
