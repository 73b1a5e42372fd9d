//! Requests and calls that have ended and wait to be taken, for exporters that want them while the run goes on.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::model::call::{Call, Finished};
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
    /// The requests and the calls for which there was no room.
    dropped: u64,
}

impl FinishedQueue {
    /// Nothing is held if it is not `wanted`.
    pub(crate) fn new(wanted: bool) -> Self {
        Self { wanted, waiting: VecDeque::new(), count: 0, memory: 0, dropped: 0 }
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
        let count = match &finished {
            Finished::Request(_, calls) => 1 + calls.len(),
            Finished::Call(_) => 1,
        };
        if self.count >= WAITING_MAX || self.memory + memory > MEMORY_MAX {
            self.dropped += count as u64;
        } else {
            self.count += count;
            self.memory += memory;
            self.waiting.push_back(finished);
        }
    }

    /// Hands all of it out, in the order in which it ended.
    pub(crate) fn take(&mut self, take: impl FnMut(Finished)) {
        (self.count, self.memory) = (0, 0);
        self.waiting.drain(..).for_each(take);
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }
}
