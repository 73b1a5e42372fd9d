//! MySQL and MariaDB: "Client/Server Protocol" in the documentation of MySQL's source code, and MariaDB's of the same name.
//!
//! Each direction is a `Side`: it finds the packets by their lengths and keeps the first bytes of those that say what is
//! asked for or how it ended. Rows, parameters, files and passwords are passed over. This is own code, because the crates
//! that know the protocol (`mysql_common`) read whole packets into values, with the types and the cryptography for that.
//!
//! An exchange is a command and its answer: a statement, its preparation, its execution. Nothing is said of what has no
//! answer (to close a statement, to send a part of a parameter), nor of `COM_PING`, `COM_STMT_RESET` and
//! `COM_RESET_CONNECTION`: with these a pool or a library tests or cleans what it has, and the application has asked for
//! nothing.
//!
//! Where bytes were not captured that may have held the head of a packet, a direction is out of step. Commands go on at
//! the next call that begins with one. Answers go on behind the next command. Until then they are looked at for the
//! end of a result, which is the end of the answer if there is one command alone; then its rows are unknown.
//!
//! A connection whose login agrees on compression, or on results without descriptions, is read as turns.

mod answer;
mod commands;
mod login;
mod packet;
mod query;
mod reading;
mod requests;
mod responses;
mod side;

use super::candidate::{Beginning, Candidate, Likeness};
use super::message::{Messages, Protocol, Shared, Unfinished, Upgrade};
use super::pipeline::{Pipeline, Start};
use super::prepared::Prepared;
use super::statement::Dialect;
use super::tcp::Tcp;
use crate::model::connection::{Endpoint, StreamId};
use crate::transport::segment::{Direction, Segment};
use login::Login;
use query::Query;
use side::{Side, State};

/// Commands that may wait for their answers at a time.
const PENDING_MAX: usize = 4096;

/// A connection whose server greets the client, or that is met in its midst.
pub const CANDIDATE: Candidate = Candidate {
    begins: |direction, bytes| match direction {
        Direction::Request => Likeness::None,
        Direction::Response => login::greeting_likeness(bytes),
    },
    resumes: |direction, bytes| direction == Direction::Request && commands::begin(bytes),
    token: None,
    open: |beginning| {
        Box::new(match beginning {
            Beginning::First { held, start } => Mysql::after(held, start.unwrap_or_default()),
            Beginning::Midst | Beginning::Upgraded(_) => Mysql::joined(),
        })
    },
};

/// Whether the address is one that MySQL or MariaDB usually has.
pub fn is_usual_for(server: &Endpoint) -> bool {
    match server {
        Endpoint::Tcp(address) => address.port() == 3306,
        Endpoint::Unix(path) => path.ends_with("/mysqld.sock") || path.ends_with("/mysql.sock"),
    }
}

/// Reads one connection.
#[derive(Debug)]
pub struct Mysql {
    requests: Side,
    responses: Side,
    pipeline: Pipeline<Query>,
    /// By their numbers.
    statements: Prepared<u32>,
    login: Login,
    /// Whether a packet of its own ends the descriptions of columns and parameters, once that is known.
    has_separators: Option<bool>,
    /// Whether `\` escapes in the strings of statements, once that is known.
    has_escapes: Option<bool>,
    /// Return of the last call that moved bytes of an answer, in nanoseconds.
    received_ns: u64,
    /// Reads what follows a login that agrees on something that is not read here.
    turns: Option<Tcp>,
    is_reading: bool,
}

impl Mysql {
    /// Of a connection that is seen from its beginning, from behind these bytes of the server's first packet on, the first of
    /// which was at `start`.
    fn after(held: &[u8], start: Start) -> Self {
        Self::new(Side::new(State::HEAD), Side::behind(held, start), Login::BEGUN)
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
            login,
            has_separators: None,
            has_escapes: None,
            received_ns: 0,
            turns: None,
            is_reading: true,
        }
    }

    fn side(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::Request => &mut self.requests,
            Direction::Response => &mut self.responses,
        }
    }

    fn dialect(&self) -> Dialect {
        Dialect::Mysql { has_escapes: self.has_escapes }
    }
}

impl Protocol for Mysql {
    fn segment(
        &mut self,
        segment: &Segment<'_>,
        shared: &mut Shared,
        messages: &mut dyn Messages,
    ) -> Option<Box<Upgrade>> {
        if let Some(turns) = &mut self.turns {
            return turns.segment(segment, shared, messages);
        }
        self.operation(segment, messages);
        None
    }

    fn gap(&mut self, direction: Direction, length: u64, messages: &mut dyn Messages) {
        match &mut self.turns {
            Some(turns) => turns.gap(direction, length, messages),
            None => self.hide(direction, length, None, messages),
        }
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
        if let Some(turns) = &mut self.turns {
            turns.stop(messages);
        }
    }

    fn unfinished(&self, stream: StreamId) -> Unfinished {
        match &self.turns {
            Some(turns) => turns.unfinished(stream),
            None => self.pipeline.unfinished(stream),
        }
    }
}

#[cfg(test)]
mod tests;
