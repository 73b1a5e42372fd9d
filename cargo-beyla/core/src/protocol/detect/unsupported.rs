//! Protocols that are recognised and not read: their connections are counted.
//!
//! TLS is read below the protocols. What comes here of it is a client's hello to a server that does not speak TLS, or behind
//! the header of a proxy.

use crate::model::connection::StreamId;
use crate::protocol::candidate::{Candidate, Likeness, likeness};
use crate::protocol::message::{GivenUp, Messages, Protocol, Shared, Unfinished, Upgrade};
use crate::transport::segment::{Direction, Segment};

/// A record with a handshake, of any version of TLS: RFC 8446, section 5.1.
pub(super) const TLS: Candidate = Candidate {
    begins: |direction, bytes| from_client(direction, bytes, &[0x16, 0x03]),
    resumes: |_, _| false,
    token: None,
    open: |_| Box::new(Unsupported { reason: GivenUp::Tls, is_told: false }),
};

fn from_client(direction: Direction, bytes: &[u8], start: &[u8]) -> Likeness {
    match direction {
        Direction::Request => likeness(bytes, start),
        Direction::Response => Likeness::None,
    }
}

/// Says that the connection is not read, and why.
#[derive(Debug)]
struct Unsupported {
    reason: GivenUp,
    is_told: bool,
}

impl Protocol for Unsupported {
    fn segment(&mut self, _: &Segment<'_>, _: &mut Shared, messages: &mut dyn Messages) -> Option<Box<Upgrade>> {
        if !self.is_told {
            self.is_told = true;
            messages.give_up(self.reason);
        }
        None
    }

    fn gap(&mut self, _: Direction, _: u64, _: &mut dyn Messages) {}

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
        !self.is_told
    }

    fn stop(&mut self, _: &mut dyn Messages) {}

    fn unfinished(&self, _: StreamId) -> Unfinished {
        Unfinished::UNKNOWN
    }
}
