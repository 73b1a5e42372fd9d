//! TLS on a connection that the traced process opened: its turns, once the handshake is over.

use crate::model::connection::StreamId;
use crate::protocol::candidate::Candidate;
use crate::protocol::message::{GivenUp, Messages, Protocol, Shared, Unfinished, Upgrade};
use crate::protocol::tcp::Tcp;
use crate::transport::segment::{Direction, Segment};

use super::unsupported;

/// A record of application data: RFC 8446, section 5.1. The client's last message of the handshake may be in one as well,
/// but behind a record of another type, as clients send it for middleboxes (appendix D.4).
const APPLICATION_DATA: u8 = 0x17;

/// TLS that a client speaks.
pub(super) const TLS: Candidate = Candidate { open: |_| Box::new(Sealed::default()), ..unsupported::TLS };

/// Reads one connection.
#[derive(Debug, Default)]
struct Sealed {
    /// Whether it was said that what is asked for is not read.
    is_told: bool,
    /// Whether the client has sent something after the handshake.
    is_open: bool,
    turns: Tcp,
}

impl Protocol for Sealed {
    fn segment(
        &mut self,
        segment: &Segment<'_>,
        shared: &mut Shared,
        messages: &mut dyn Messages,
    ) -> Option<Box<Upgrade>> {
        if !self.is_told {
            self.is_told = true;
            messages.give_up(GivenUp::Tls);
        }
        self.is_open |=
            segment.direction == Direction::Request && segment.beginning().first() == Some(&APPLICATION_DATA);
        if self.is_open {
            return self.turns.segment(segment, shared, messages);
        }
        messages.ready(segment.end_ns);
        None
    }

    fn gap(&mut self, direction: Direction, length: u64, messages: &mut dyn Messages) {
        if self.is_open {
            self.turns.gap(direction, length, messages);
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
        self.turns.stop(messages);
    }

    fn unfinished(&self, stream: StreamId) -> Unfinished {
        self.turns.unfinished(stream)
    }
}
