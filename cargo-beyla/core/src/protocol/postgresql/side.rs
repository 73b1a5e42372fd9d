//! One direction of a connection: which part of a message its next byte belongs to.

use super::frame::{HEAD, Head, STARTUP_HEAD};
use crate::protocol::kept::Kept;
use crate::protocol::pipeline::Start;

/// One direction.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) state: State,
    /// What has been kept of the payload that is being read.
    pub(super) kept: Kept,
    /// Whether it was guessed where messages begin, and nothing has shown that the guess is right.
    pub(super) is_guessed: bool,
}

#[derive(Debug)]
pub(super) enum State {
    /// In the head of the first packet.
    Startup { bytes: [u8; STARTUP_HEAD], length: usize },
    /// Of the server: before the one byte that answers a request to encrypt.
    Answer,
    /// In the head of a message.
    Head { bytes: [u8; HEAD], length: usize, start: Start },
    /// In what follows a head.
    Payload(Payload),
    /// Out of step.
    Lost,
}

/// The payload of a message, while it comes.
#[derive(Debug)]
pub(super) struct Payload {
    pub(super) of: Of,
    pub(super) start: Start,
    /// How many of its bytes are still to come.
    pub(super) left: u64,
    /// How many more of them are kept.
    pub(super) wanted: usize,
}

/// What a payload is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    Message(Head),
    /// A startup packet with the parameters of the login.
    Login,
}

impl State {
    pub(super) const HEAD: Self =
        Self::Head { bytes: [0; HEAD], length: 0, start: Start { arrived_ns: None, begin_ns: 0 } };

    /// Behind these bytes of the first packet.
    pub(super) fn startup(held: &[u8]) -> Self {
        let mut bytes = [0; STARTUP_HEAD];
        let length = held.len().min(STARTUP_HEAD - 1);
        bytes[..length].copy_from_slice(&held[..length]);
        Self::Startup { bytes, length }
    }
}

impl Side {
    pub(super) fn new(state: State) -> Self {
        Self { state, kept: Kept::default(), is_guessed: false }
    }

    pub(super) fn is_lost(&self) -> bool {
        matches!(self.state, State::Lost)
    }

    /// Whether no byte of the next message has come.
    pub(super) fn is_between(&self) -> bool {
        matches!(self.state, State::Head { length: 0, .. })
    }
}
