//! One direction of a connection: which part of a packet its next byte belongs to.

use super::packet::{HEAD, Head};
use crate::protocol::kept::Kept;
use crate::protocol::pipeline::Start;

/// One direction.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) state: State,
    /// What has been kept of the payload that is being read.
    pub(super) kept: Kept,
    /// Whether the next packet goes on with what the last one has begun.
    pub(super) continues: bool,
}

#[derive(Debug)]
pub(super) enum State {
    /// In the head of a packet.
    Head { bytes: [u8; HEAD], length: usize, start: Start },
    /// In what follows a head.
    Payload(Payload),
    /// Out of step.
    Lost,
}

/// The payload of a packet, while it comes.
#[derive(Debug)]
pub(super) struct Payload {
    pub(super) head: Head,
    pub(super) start: Start,
    /// How many of its bytes are still to come.
    pub(super) left: u64,
    /// A part of it was not captured: nothing behind that is kept.
    pub(super) has_hole: bool,
}

impl State {
    pub(super) const HEAD: Self =
        Self::Head { bytes: [0; HEAD], length: 0, start: Start { arrived_ns: None, begin_ns: 0 } };
}

impl Side {
    pub(super) fn new(state: State) -> Self {
        Self { state, kept: Kept::default(), continues: false }
    }

    /// Behind these bytes of its first packet, which has more. The first of them was at `start`.
    pub(super) fn behind(seen: &[u8], start: Start) -> Self {
        let mut side = Self::new(State::HEAD);
        if let Some((head, payload)) = seen.split_first_chunk() {
            let head = Head::parse(*head);
            let left = u64::from(head.length).saturating_sub(payload.len() as u64);
            side.kept.extend_from_slice(payload);
            side.state = State::Payload(Payload { head, start, left, has_hole: false });
        } else {
            let mut bytes = [0; HEAD];
            bytes[..seen.len()].copy_from_slice(seen);
            side.state = State::Head { bytes, length: seen.len(), start };
        }
        side
    }

    pub(super) fn is_lost(&self) -> bool {
        matches!(self.state, State::Lost)
    }
}
