//! Requests and calls that have ended and wait to be taken, for exporters that want them while the run goes on.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::model::call::{Call, Dropped, Finished};
use crate::model::request::Request;

/// The requests and the calls that wait at most: some seconds of a busy server, where they are taken every few
/// milliseconds.
const WAITING_MAX: usize = 64 * 1024;

/// What they may hold in memory, in bytes.
const MEMORY_MAX: usize = 64 * 1024 * 1024;

/// What has ended since it was taken last.
#[derive(Debug)]
pub(crate) struct FinishedQueue {
    wanted: bool,
    waiting: VecDeque<Finished>,
    /// The calls that come with requests count as well.
    count: usize,
    memory: usize,
    dropped: Dropped,
}

impl FinishedQueue {
    /// Nothing is held if it is not `wanted`.
    pub(crate) fn new(wanted: bool) -> Self {
        Self { wanted, waiting: VecDeque::new(), count: 0, memory: 0, dropped: Dropped::default() }
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted
    }

    pub(crate) fn push_request(&mut self, request: Arc<Request>, calls: Vec<Arc<Call>>) {
        let memory = request.memory() + calls.iter().map(|call| call.memory()).sum::<usize>();
        self.push(Finished::Request(request, calls), memory);
    }

    pub(crate) fn push_call(&mut self, call: Arc<Call>) {
        let memory = call.memory();
        self.push(Finished::Call(call), memory);
    }

    fn push(&mut self, finished: Finished, memory: usize) {
        let (requests, calls) = match &finished {
            Finished::Request(_, calls) => (1, calls.len()),
            Finished::Call(_) => (0, 1),
        };
        if self.count >= WAITING_MAX || self.memory + memory > MEMORY_MAX {
            self.dropped.requests += requests as u64;
            self.dropped.calls += calls as u64;
        } else {
            self.count += requests + calls;
            self.memory += memory;
            self.waiting.push_back(finished);
        }
    }

    /// Hands all of it out, in the order in which it ended.
    pub(crate) fn take(&mut self, take: impl FnMut(Finished)) {
        (self.count, self.memory) = (0, 0);
        self.waiting.drain(..).for_each(take);
    }

    /// What there was no room for.
    pub(crate) fn dropped(&self) -> Dropped {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::call;
    use crate::model::call::CallKind;

    #[test]
    fn calls_that_there_is_no_room_for_are_not_taken_for_requests() {
        let mut queue = FinishedQueue::new(true);
        for _ in 0..WAITING_MAX + 3 {
            queue.push_call(Arc::new(call(1, CallKind::Redis, "GET", 0, 10)));
        }
        assert_eq!(queue.dropped(), Dropped { requests: 0, calls: 3 });
    }
}
