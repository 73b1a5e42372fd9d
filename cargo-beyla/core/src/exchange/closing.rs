//! Who closed a connection, and what that makes of an exchange that was under way.

use crate::protocol::message::UnfinishedResponse;

use crate::model::connection::Party;
use crate::model::request::Outcome;

/// How a connection is being closed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Closing {
    /// Who closed first, and when, in nanoseconds.
    first: Option<(Party, u64)>,
    /// Whether it broke.
    reset: bool,
    /// When the server closed its end, or all was over, in nanoseconds.
    over_ns: Option<u64>,
}

impl Closing {
    /// One end closed; only the first of them counts.
    pub(crate) fn by(&mut self, party: Party, time_ns: u64) {
        self.first.get_or_insert((party, time_ns));
    }

    /// The connection broke by a reset.
    pub(crate) fn reset(&mut self, time_ns: u64) {
        self.by(Party::Client, time_ns);
        self.reset = true;
    }

    /// The server sends nothing more.
    pub(crate) fn over(&mut self, time_ns: u64) {
        self.over_ns.get_or_insert(time_ns);
    }

    /// Who closed first, if anybody has.
    pub(crate) fn first(&self) -> Option<Party> {
        self.first.map(|(party, _)| party)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over_ns.is_some()
    }

    /// How an exchange ended whose response is not whole, and when. `response` is what its response
    /// wants, if it is the one being sent; `sent` when the last send call began and returned.
    pub(crate) fn outcome(
        &self,
        response: Option<UnfinishedResponse>,
        sent: Option<(u64, u64)>,
        now_ns: u64,
    ) -> (Outcome, u64) {
        let (_, last_sent) = sent.unwrap_or_default();
        match (response, self.first) {
            (Some(UnfinishedResponse::Unseen), _) => (Outcome::NotSeen, last_sent),
            (Some(UnfinishedResponse::Close), first) if self.is_over() && !self.reset && answered(first, sent) => {
                (Outcome::Complete, last_sent)
            }
            // Who closes a connection on which responses have lengths does so between two of them.
            (Some(UnfinishedResponse::Unknown), Some(_)) if !self.reset => (Outcome::Complete, last_sent),
            (_, Some((Party::Client, time_ns))) => (Outcome::ClientClosed, time_ns),
            (_, Some((Party::Server, time_ns))) => (Outcome::ServerClosed, time_ns),
            (_, None) => (Outcome::StillOpen, now_ns),
        }
    }
}

/// Whether a response that ends with the connection went to a client that still listened: the server
/// closed first, or it has sent since the client closed its own end, which was half a close then.
fn answered(first: Option<(Party, u64)>, sent: Option<(u64, u64)>) -> bool {
    match (first, sent) {
        (Some((Party::Client, closed_ns)), Some((begin_ns, _))) => begin_ns > closed_ns,
        (Some((Party::Server, _)), _) => true,
        _ => false,
    }
}
