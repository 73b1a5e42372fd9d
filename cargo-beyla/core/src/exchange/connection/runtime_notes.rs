//! What the runtime tracker learns of the calls on a connection.

use cargo_beyla_events::Sending;

use crate::exchange::run_state::RunState;
use crate::exchange::stall::Obstacle;
use crate::model::connection::Party;

use super::Connection;

/// The requests without an answer that are looked at when something happens to their connection: so many
/// responses a send call is expected to begin.
const UNANSWERED_MAX: usize = 128;

impl Connection {
    /// A receive call has brought a part of a request: that may be all that the server wants of it.
    pub(super) fn receiving(&mut self, state: &mut RunState) {
        if let Some(runtime) = &mut state.runtime
            && let Some(last) = self.exchanges.last()
            && let (false, None, Some(slot)) = (last.received, last.status, last.runtime_slot)
        {
            let route = last.line.route_id;
            let receiver = self.exchanges.receiver;
            runtime.received(slot, receiver.thread, receiver.task_id(), self.exchanges.received_ns, route);
        }
    }

    /// A send call begins.
    pub(crate) fn sending(&mut self, sending: &Sending, state: &mut RunState) {
        let at = sending.header.time_ns;
        self.exchanges.unobstructed(Obstacle::SendBuffer, at, state);
        let Some(runtime) = &mut state.runtime else { return };
        let begun = self.protocol.response_begun();
        for exchange in self.exchanges.unanswered().take(UNANSWERED_MAX) {
            let begun = begun.filter(|(stream, _)| *stream == exchange.stream);
            if let Some(slot) = exchange.runtime_slot {
                runtime.sending(slot, at, begun.map(|(_, at)| at));
            }
        }
    }

    /// A send call found no room.
    pub(crate) fn send_blocked(&mut self, sending: &Sending, state: &mut RunState) {
        self.exchanges.obstructed(Obstacle::SendBuffer, sending.header.time_ns, state);
        self.not_answered(state);
    }

    /// A send call is over: what has no answer is handled on.
    pub(super) fn not_answered(&mut self, state: &mut RunState) {
        let Some(runtime) = &mut state.runtime else { return };
        let begun = self.protocol.response_begun().map(|(stream, _)| stream);
        // Where responses come in order, the others wait for the first.
        let most = if self.exchanges.is_in_order { 1 } else { UNANSWERED_MAX };
        for exchange in self.exchanges.unanswered().take(most) {
            if let Some(slot) = exchange.runtime_slot {
                runtime.not_answered(slot, begun == Some(exchange.stream));
            }
        }
    }

    /// The client closes its end: what it still waits for may have ended then.
    pub(super) fn client_closes(&mut self, time_ns: u64, state: &mut RunState) {
        self.closing.by(Party::Client, time_ns);
        let Some(runtime) = &mut state.runtime else { return };
        for slot in self.exchanges.unanswered().take(UNANSWERED_MAX).filter_map(|exchange| exchange.runtime_slot) {
            runtime.client_closes(slot, time_ns);
        }
    }
}
