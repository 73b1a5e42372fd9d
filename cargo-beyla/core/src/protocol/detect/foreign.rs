//! What a connection speaks that the traced process opened, where it is no HTTP.

use crate::model::connection::Endpoint;
use crate::protocol::candidate::Beginning;
use crate::protocol::message::{Messages, Protocol};
use crate::protocol::pipeline::Start;
use crate::protocol::redis;
use crate::protocol::tcp::Tcp;
use crate::transport::segment::Segment;

/// What the client has sent while the protocol was not known.
#[derive(Debug)]
pub(super) struct Foreign {
    /// Whether the server's address is one that Redis usually has.
    may_be_redis: bool,
    bytes: u64,
    start: Option<Start>,
    /// When the last of it left, in nanoseconds.
    sent_ns: u64,
}

impl Foreign {
    pub(super) fn of(server: &Endpoint) -> Self {
        Self { may_be_redis: redis::is_usual_for(server), bytes: 0, start: None, sent_ns: 0 }
    }

    /// Where the first of it began.
    pub(super) fn start(&self) -> Option<Start> {
        self.start
    }

    /// A call sends these bytes.
    pub(super) fn sent(&mut self, segment: &Segment<'_>) {
        self.start.get_or_insert(Start::of(segment, segment.start));
        self.bytes += segment.length();
        self.sent_ns = segment.end_ns;
    }

    /// A reader of what begins with these bytes, which are like no protocol.
    pub(super) fn reader(
        &mut self,
        held: &[u8],
        beginning: &Beginning<'_>,
        messages: &mut dyn Messages,
    ) -> Box<dyn Protocol> {
        if self.may_be_redis && redis::is_inline(held) {
            return (redis::CANDIDATE.open)(beginning);
        }
        self.turns(messages)
    }

    /// A reader of turns.
    pub(super) fn turns(&mut self, messages: &mut dyn Messages) -> Box<dyn Protocol> {
        Box::new(Tcp::after(self.bytes, self.start.unwrap_or_default(), self.sent_ns, messages))
    }
}
