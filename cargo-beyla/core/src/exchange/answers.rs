//! Calls whose answers have been read, but whose requests are not known yet: the wakes that follow may tell them. Only a
//! run with `--explain` has any.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;

use crate::exchange::call_in_flight::CallInFlight;
use crate::model::call::Certainty;
use crate::model::connection::ConnectionInfo;
use crate::runtime::attribution::{CallStart, Driven, Told};

/// The most calls in `begun`, and in `waiting`.
const WAITING_MAX: usize = 4096;

/// A call that has ended, and its connection.
type Ended = (CallInFlight, Arc<ConnectionInfo>);

/// Calls that are not judged yet.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// What each thread has read with its last receive call.
    read: HashMap<u32, Vec<Answer>>,
    /// What was told of calls when their answers began.
    begun: HashMap<u64, Told>,
    /// Those of `begun`, the oldest first.
    begun_order: VecDeque<u64>,
    /// Calls that have ended, by the relay that hands their answers on.
    waiting: HashMap<u64, (Ended, Certainty)>,
}

/// A call of whose answer a thread has read the beginning, the end, or both.
#[derive(Debug)]
pub(super) struct Answer {
    /// Its id.
    pub(super) call: u64,
    /// What was known when it began.
    start: CallStart,
    /// Whether its beginning was read.
    has_begun: bool,
    /// If the answer is whole.
    pub(super) ended: Option<Ended>,
}

impl Answer {
    pub(super) fn driven(&self) -> Driven<'_> {
        self.start.driven(self.call, self.has_begun)
    }
}

impl Answers {
    /// A thread has read the beginning of an answer.
    pub(super) fn began(&mut self, thread: u32, call: &CallInFlight) {
        let answer = Answer { call: call.id, start: call.start.clone(), has_begun: true, ended: None };
        self.read.entry(thread).or_default().push(answer);
    }

    /// A thread has read the end of an answer.
    pub(super) fn ended(&mut self, thread: u32, call: CallInFlight, connection: Arc<ConnectionInfo>) {
        let read = self.read.entry(thread).or_default();
        let id = call.id;
        if let Some(answer) = read.iter_mut().find(|answer| answer.call == id) {
            answer.ended = Some((call, connection));
            return;
        }
        read.push(Answer { call: id, start: call.start.clone(), has_begun: false, ended: Some((call, connection)) });
    }

    /// The only call whose answer a thread has read, to its end.
    pub(super) fn the_only(&self, thread: u32) -> Option<Driven<'_>> {
        match self.read.get(&thread)?.as_slice() {
            [answer] if answer.ended.is_some() => Some(answer.driven()),
            _ => None,
        }
    }

    /// What a thread has read, which is judged now.
    pub(super) fn take(&mut self, thread: u32) -> Vec<Answer> {
        self.read.remove(&thread).unwrap_or_default()
    }

    /// Remembers what was told of a call whose answer has begun.
    pub(super) fn told(&mut self, call: u64, told: Told) {
        if told == Told::Nothing {
            return;
        }
        self.begun.insert(call, told);
        self.begun_order.push_back(call);
        if self.begun_order.len() > WAITING_MAX
            && let Some(oldest) = self.begun_order.pop_front()
        {
            self.begun.remove(&oldest);
        }
    }

    /// What was told of a call when its answer began.
    pub(super) fn forget(&mut self, call: u64) -> Told {
        self.begun.remove(&call).unwrap_or(Told::Nothing)
    }

    /// A call waits until this relay hands its answer on. Returns a call that waits no longer.
    pub(super) fn wait(
        &mut self,
        relay: u64,
        (call, connection, certainty): (CallInFlight, Arc<ConnectionInfo>, Certainty),
    ) -> Option<Ended> {
        if self.waiting.len() >= WAITING_MAX && !self.waiting.contains_key(&relay) {
            return Some((call, connection));
        }
        self.waiting.insert(relay, ((call, connection), certainty)).map(|(ended, _)| ended)
    }

    /// The call whose answer a relay has handed on.
    pub(super) fn handed_on(&mut self, relay: u64) -> Option<(CallInFlight, Arc<ConnectionInfo>, Certainty)> {
        let ((call, connection), certainty) = self.waiting.remove(&relay)?;
        Some((call, connection, certainty))
    }

    /// The threads that have read anything, in their order.
    pub(super) fn threads(&self) -> Vec<u32> {
        let mut threads: Vec<u32> = self.read.keys().copied().collect();
        threads.sort_unstable();
        threads
    }

    /// The calls that wait for relays, in their order.
    pub(super) fn take_waiting(&mut self) -> Vec<Ended> {
        let mut ended: Vec<Ended> = self.waiting.drain().map(|(_, (ended, _))| ended).collect();
        ended.sort_unstable_by_key(|(call, _)| call.id);
        ended
    }
}
