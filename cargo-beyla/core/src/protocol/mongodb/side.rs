//! One direction of a connection: which part of a message its next byte belongs to.

use super::message::{HEAD, Head};
use crate::protocol::kept::Kept;
use crate::protocol::pipeline::Start;

/// How many bytes of a command are looked at: its name and its collection stand in front.
pub(super) const REQUEST_KEPT: usize = 1024;

/// One direction.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) state: State,
    /// What has been kept of the payload that is being read.
    pub(super) kept: Kept,
}

#[derive(Debug)]
pub(super) enum State {
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
    pub(super) head: Head,
    pub(super) start: Start,
    /// How many of its bytes are still to come.
    pub(super) left: u64,
    /// How many more of them are kept.
    pub(super) wanted: usize,
}

impl State {
    pub(super) const HEAD: Self =
        Self::Head { bytes: [0; HEAD], length: 0, start: Start { arrived_ns: None, begin_ns: 0 } };
}

impl Side {
    pub(super) fn new(state: State) -> Self {
        Self { state, kept: Kept::default() }
    }

    /// Behind these bytes of its first message, which has more. The first of them was at `start`.
    pub(super) fn behind(seen: &[u8], start: Start) -> Self {
        let mut bytes = [0; HEAD];
        let length = seen.len().min(HEAD);
        bytes[..length].copy_from_slice(&seen[..length]);
        let mut side = Self::new(State::Head { bytes, length, start });
        if let (true, Some(head)) = (length == HEAD, Head::parse(bytes)) {
            let payload = &seen[HEAD..];
            let left = u64::from(head.length).saturating_sub(payload.len() as u64);
            side.kept.extend_from_slice(payload);
            side.state =
                State::Payload(Payload { head, start, left, wanted: REQUEST_KEPT.saturating_sub(payload.len()) });
        }
        side
    }

    pub(super) fn is_lost(&self) -> bool {
        matches!(self.state, State::Lost)
    }
}
