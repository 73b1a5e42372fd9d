//! What is counted of TLS: connections, handshakes, and what could not be read.

use crate::model::connection::Role;
use crate::model::tls_summary::{Durations, HandshakeFailure, TlsSummary, UnreadConnections, Unreadable};
use crate::transport::segment::{Direction, Segment};

/// The most causes of failed handshakes that are counted by themselves, and the most reasons why connections could not be
/// read.
const CAUSES_MAX: usize = 256;

/// The counts of a run.
#[derive(Debug, Default)]
pub(crate) struct TlsCounts(TlsSummary);

/// What goes to and fro on a connection to the server that cannot be read.
#[derive(Debug, Default)]
pub(super) struct SealedTurns {
    reason: Option<Unreadable>,
    /// When the client's first byte of the turn at hand arrived, in nanoseconds.
    begun_ns: Option<u64>,
    /// The end of the last call of the answer, in nanoseconds.
    answered_ns: Option<u64>,
}

impl TlsCounts {
    /// A connection speaks TLS.
    pub(super) fn speaks_tls(&mut self, role: Role) {
        self.0.connections[role as usize] += 1;
    }

    /// A handshake is over.
    pub(super) fn secured(&mut self, role: Role, handshake_ns: Option<u64>) {
        if let Some(handshake_ns) = handshake_ns {
            self.0.handshakes[role as usize].add(handshake_ns);
        }
    }

    /// A handshake has failed.
    pub(super) fn failed(&mut self, failure: HandshakeFailure) {
        let has_room = self.0.failed.len() < CAUSES_MAX;
        match self.0.failed.iter_mut().find(|(known, _)| *known == failure) {
            Some((_, count)) => *count += 1,
            None if has_room => self.0.failed.push((failure, 1)),
            None => {}
        }
    }

    /// A connection cannot be read.
    pub(super) fn unreadable(&mut self, role: Role, reason: Unreadable) {
        let has_room = self.0.unread.len() < CAUSES_MAX;
        match self.unread(role, reason) {
            Some(unread) => unread.count += 1,
            None if has_room => {
                let unread = UnreadConnections { role, reason, count: 1, bytes: [0; 2], turns: Durations::default() };
                self.0.unread.push(unread);
            }
            None => {}
        }
    }

    /// Bytes moved on a connection that cannot be read.
    pub(super) fn sealed(&mut self, role: Role, reason: Unreadable, segment: &Segment<'_>) {
        if let Some(unread) = self.unread(role, reason) {
            let bytes = &mut unread.bytes[segment.direction as usize];
            *bytes = bytes.saturating_add(segment.length());
        }
    }

    fn unread(&mut self, role: Role, reason: Unreadable) -> Option<&mut UnreadConnections> {
        self.0.unread.iter_mut().find(|unread| unread.role == role && unread.reason == reason)
    }

    /// All of them, the most frequent first.
    pub(crate) fn into_summary(self) -> TlsSummary {
        let mut summary = self.0;
        summary.failed.sort_unstable_by_key(|(failure, count)| (std::cmp::Reverse(*count), *failure));
        summary.unread.sort_unstable_by_key(|unread| (unread.role, unread.reason));
        summary
    }
}

impl SealedTurns {
    /// The connection cannot be read.
    pub(super) fn begin(&mut self, reason: Unreadable, counts: &mut TlsCounts) {
        self.reason = Some(reason);
        counts.unreadable(Role::Server, reason);
    }

    /// A call moved bytes.
    pub(super) fn add(&mut self, segment: &Segment<'_>, counts: &mut TlsCounts) {
        let Some(reason) = self.reason else { return };
        counts.sealed(Role::Server, reason, segment);
        match segment.direction {
            Direction::Request => {
                if self.answered_ns.is_some() {
                    self.end(counts);
                }
                let first_ns = segment.arrived_at(segment.start).unwrap_or(segment.begin_ns);
                self.begun_ns.get_or_insert(first_ns);
            }
            Direction::Response if self.begun_ns.is_some() => self.answered_ns = Some(segment.end_ns),
            Direction::Response => {}
        }
    }

    /// The turn at hand is over, if there is one.
    pub(super) fn end(&mut self, counts: &mut TlsCounts) {
        if let (Some(begun_ns), Some(answered_ns), Some(reason)) =
            (self.begun_ns.take(), self.answered_ns.take(), self.reason)
            && let Some(unread) = counts.unread(Role::Server, reason)
        {
            unread.turns.add(answered_ns.saturating_sub(begun_ns));
        }
    }
}
