//! Calls that drivers have made, and what the wakes after their answers reveal about them.

use super::orders::{Message, Reply};
use crate::model::call::{CallOf, Certainty};

/// A call that a driver has made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Driven<'a> {
    /// Counts calls in the order in which they began.
    pub(super) number: u64,
    /// Whether its answer has begun with what was read last.
    pub(super) is_answer_begun: bool,
    /// The requests that had woken the driver.
    pub(super) candidates: &'a [u64],
    /// Entry of its first send call, in nanoseconds.
    pub(super) begun_ns: u64,
    pub(super) asked: Asked,
}

/// How a call was asked for, if that was seen.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Asked {
    /// The task that makes it.
    pub(super) driver: u64,
    pub(super) message: Option<Message>,
}

impl Asked {
    /// Whether it was seen.
    pub(super) fn is_known(&self) -> bool {
        self.message.is_some()
    }
}

/// What the wakes after a call's answer was read reveal about the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// Nothing.
    Nothing,
    /// Its request.
    Of(CallOf),
    /// The relay with this number will wake the task of its request, or has woken it.
    Relay(u64, Certainty),
}

impl Told {
    /// What a reply reveals.
    pub(super) fn by(reply: Reply, certainty: Certainty) -> Self {
        match reply {
            Reply::Request { request, is_sure } => {
                Self::Of(CallOf { request, certainty: if is_sure { certainty } else { Certainty::Likely } })
            }
            Reply::Relay(relay) => Self::Relay(relay, certainty),
        }
    }
}

#[cfg(test)]
impl Driven<'_> {
    /// A call whose answer has begun, and of which it was not seen who asked for it.
    pub(super) fn unasked(number: u64, begun_ns: u64) -> Self {
        Self { number, is_answer_begun: true, candidates: &[], begun_ns, asked: Asked::default() }
    }
}
