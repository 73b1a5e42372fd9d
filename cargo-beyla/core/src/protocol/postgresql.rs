//! PostgreSQL: chapter "Frontend/Backend Protocol" of its manual, version 3.
//!
//! Each direction is a `Side`: it finds the messages by their lengths and keeps the first bytes of those that say what is
//! asked for or how it ended. Rows, parameters and passwords are passed over. This is own code, because the crate
//! postgres-protocol reads from one buffer that holds each message whole, and brings the cryptography of logins.
//!
//! An exchange is what the application waits for: a simple query; an execution, with the messages before it that prepare
//! it in the same round trip; or a round trip without an execution, which is named by what it does: `PREPARE SELECT users`.
//! Nothing is said of what only closes statements, and of a `Sync` that nothing stands before: with that a pool tests a
//! connection that comes back to it, and the application has asked for nothing.
//!
//! Where bytes were not captured that may have held the head of a message, a direction is out of step. It goes on at the
//! next call that begins with messages. Answers also go on where the last bytes of a call are `ReadyForQuery`: with a
//! single query under way that is its end, and then its rows alone are unknown. If several are, none is told.

mod frame;
mod query;
mod reading;
mod requests;
mod responses;
mod side;

use super::candidate::{Beginning, Candidate, Likeness};
use super::message::{ErrorCode, Messages, Protocol, Shared, Unfinished, Upgrade};
use super::pipeline::{Pipeline, Start};
use super::prepared::Prepared;
use crate::model::connection::StreamId;
use crate::transport::segment::{Direction, Segment};
use query::Query;
use side::{Side, State};

/// Commands that may wait for their answers at a time.
const PENDING_MAX: usize = 4096;

/// A connection that begins with a startup packet, or is met in its midst.
pub const CANDIDATE: Candidate = Candidate {
    begins: |direction, bytes| match direction {
        Direction::Request => frame::startup_likeness(bytes),
        Direction::Response => Likeness::None,
    },
    resumes: frame::begins,
    token: None,
    open: |beginning| {
        Box::new(match beginning {
            Beginning::First { held, start } => Postgresql::after(held, *start),
            Beginning::Midst | Beginning::Upgraded(_) => Postgresql::joined(),
        })
    },
};

/// Reads one connection.
#[derive(Debug)]
pub struct Postgresql {
    requests: Side,
    responses: Side,
    pipeline: Pipeline<Query>,
    statements: Prepared<Vec<u8>>,
    portals: Prepared<Vec<u8>>,
    login: Login,
    /// An error has come, and the server reads over what follows until it is told to synchronise.
    skipping: Option<ErrorCode>,
    /// The answers that come belong to exchanges that are told no more, until the server is ready.
    is_stale: bool,
    is_reading: bool,
}

/// How far the connection is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Login {
    /// It begins here, if anything has come.
    Begun(Option<Start>),
    /// The client has asked for it; the call that moved the last byte returned at this time, in nanoseconds.
    Asked(Start, u64),
    Done,
}

impl Postgresql {
    /// Of a connection that is seen from its beginning, from behind these bytes of its first packet on.
    fn after(held: &[u8], start: Option<Start>) -> Self {
        let state = State::startup(held);
        Self::new(Side::new(state), Side::new(State::HEAD), Login::Begun(start))
    }

    /// Of a connection that was met in the midst.
    fn joined() -> Self {
        Self::new(Side::new(State::Lost), Side::new(State::Lost), Login::Done)
    }

    fn new(requests: Side, responses: Side, login: Login) -> Self {
        Self {
            requests,
            responses,
            pipeline: Pipeline::default(),
            statements: Prepared::default(),
            portals: Prepared::default(),
            login,
            skipping: None,
            is_stale: false,
            is_reading: true,
        }
    }

    fn side(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::Request => &mut self.requests,
            Direction::Response => &mut self.responses,
        }
    }
}

impl Protocol for Postgresql {
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

    fn stop(&mut self, messages: &mut dyn Messages) {
        // A server that ends a connection with an error says no more.
        if let Some(failed_ns) = self.pipeline.front().and_then(|front| front.own.failed_ns) {
            self.pipeline.end_front(Some(failed_ns), messages);
        }
    }

    fn unfinished(&self, stream: StreamId) -> Unfinished {
        self.pipeline.unfinished(stream)
    }
}

#[cfg(test)]
mod tests;
