//! What `--explain` wants to know of a connection.

use cargo_beyla_events::Sending;

use crate::exchange::ledger::Ledger;
use crate::model::connection::Party;

use super::{Connection, Exchanges};

/// The requests without an answer that are looked at when something happens to their connection: so many
/// responses a send call is expected to begin.
const UNANSWERED_MAX: usize = 128;

impl Connection {
    /// A receive call has brought a part of a request: that may be all that the server wants of it.
    pub(super) fn receiving(&mut self, ledger: &mut Ledger) {
        if let Some(explain) = &mut ledger.explain
            && let Some(last) = self.exchanges.under_way.back()
            && let (false, None, Some(slot)) = (last.received, last.status, last.opened)
        {
            let route = last.line.statistics;
            explain.received(slot, self.exchanges.receiver, self.exchanges.received_ns, route);
        }
    }

    /// A send call begins.
    pub(crate) fn sending(&mut self, sending: &Sending, ledger: &mut Ledger) {
        let at = sending.header.time_ns;
        self.exchanges.room(at);
        let Some(explain) = &mut ledger.explain else { return };
        let mut begun = self.protocol.response_begun();
        let unanswered = self.exchanges.under_way.iter().filter(|exchange| exchange.status.is_none());
        for slot in unanswered.take(UNANSWERED_MAX).filter_map(|exchange| exchange.opened) {
            // Only the first of them can have begun.
            explain.sending(slot, at, begun.take().map(|(_, at)| at));
        }
    }

    /// A send call found no room.
    pub(crate) fn send_blocked(&mut self, sending: &Sending, ledger: &mut Ledger) {
        self.exchanges.blocked_ns.get_or_insert(sending.header.time_ns);
        self.not_answered(ledger);
    }

    /// A send call is over: what has no answer is handled on.
    pub(super) fn not_answered(&mut self, ledger: &mut Ledger) {
        let Some(explain) = &mut ledger.explain else { return };
        let begun = self.protocol.response_begun().is_some();
        let unanswered = self.exchanges.under_way.iter().find(|exchange| exchange.status.is_none());
        if let Some(slot) = unanswered.and_then(|exchange| exchange.opened) {
            explain.not_answered(slot, begun);
        }
    }

    /// The client closes its end: what it still waits for may have ended then.
    pub(super) fn client_closes(&mut self, time_ns: u64, ledger: &mut Ledger) {
        self.closing.by(Party::Client, time_ns);
        let Some(explain) = &mut ledger.explain else { return };
        let unanswered = self.exchanges.under_way.iter().filter(|exchange| exchange.status.is_none());
        for slot in unanswered.take(UNANSWERED_MAX).filter_map(|exchange| exchange.opened) {
            explain.client_closes(slot, time_ns);
        }
    }
}

impl Exchanges {
    /// There may be room to send in again. How long there was none belongs to the response under way.
    pub(super) fn room(&mut self, now_ns: u64) {
        if let Some(since) = self.blocked_ns.take()
            && let Some(exchange) = self.under_way.iter_mut().find(|exchange| exchange.outcome.is_none())
        {
            exchange.stalled_ns = exchange.stalled_ns.saturating_add(now_ns.saturating_sub(since));
        }
    }
}
