//! One direction of a connection: which part of a message its next byte belongs to.

use super::body::Body;
use super::expectation::Expectation;
use super::{Start, head};
use crate::protocol::content::ContentCounter;
use crate::transport::segment::{Direction, Segment};

/// One direction.
#[derive(Debug, Default)]
pub(super) struct Side {
    pub(super) state: State,
    /// The beginning of a head that is not whole, or of what cannot be told from one yet.
    pub(super) head: Vec<u8>,
    /// Where the message that is being read began.
    pub(super) start: Start,
    /// Whether the message that is being read was guessed to begin where it did.
    pub(super) guessed: bool,
    /// When the last call returned that moved bytes, in nanoseconds.
    pub(super) last_ns: Option<u64>,
}

#[derive(Debug, Default)]
pub(super) enum State {
    /// Before or in the head of a message.
    #[default]
    Head,
    /// Before its content, which the client may leave out.
    Expecting(Box<Expectation>),
    /// In its content.
    Body(Body),
    /// Out of step.
    Lost,
    /// Not read any further.
    Over,
}

impl Side {
    /// A call moved bytes in this direction.
    pub(super) fn begin_operation(&mut self, segment: &Segment<'_>) {
        let begins = match segment.direction {
            Direction::Request => head::begins_request,
            Direction::Response => head::begins_response,
        };
        match &mut self.state {
            State::Lost if begins(segment.beginning()) => {
                self.state = State::Head;
                self.guessed = true;
            }
            State::Body(body) => body.operation(),
            _ => {}
        }
    }

    /// Content of the message that is being read so far.
    pub(super) fn content(&self) -> Option<&ContentCounter> {
        match &self.state {
            State::Body(body) => Some(body.content()),
            State::Expecting(expectation) => Some(expectation.body.content()),
            _ => None,
        }
    }

    /// Is out of step from here on.
    pub(super) fn lose(&mut self) {
        self.head = Vec::new();
        self.state = State::Lost;
    }

    /// Reads nothing from here on.
    pub(super) fn close(&mut self) {
        self.head = Vec::new();
        self.state = State::Over;
    }
}
