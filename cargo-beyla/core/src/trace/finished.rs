//! Requests that have ended and wait to be taken, for exporters that want them while the run goes on.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::model::request::Request;

/// The requests that wait at most: some seconds of a busy server, where they are taken every few
/// milliseconds.
const REQUESTS_MAX: usize = 64 * 1024;

/// What they may hold in memory, in bytes.
const MEMORY_MAX: usize = 64 * 1024 * 1024;

/// The requests that have ended since they were taken last.
#[derive(Debug)]
pub(crate) struct Finished {
    wanted: bool,
    requests: VecDeque<Arc<Request>>,
    memory: usize,
    /// Those for which there was no room.
    dropped: u64,
}

impl Finished {
    /// Nothing is held if they are not `wanted`.
    pub(crate) fn new(wanted: bool) -> Self {
        Self { wanted, requests: VecDeque::new(), memory: 0, dropped: 0 }
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted
    }

    pub(crate) fn push(&mut self, request: Arc<Request>) {
        let memory = self.memory + request.memory();
        if self.requests.len() >= REQUESTS_MAX || memory > MEMORY_MAX {
            self.dropped += 1;
        } else {
            self.memory = memory;
            self.requests.push_back(request);
        }
    }

    /// Hands all of them out, in the order in which they ended.
    pub(crate) fn take(&mut self, take: impl FnMut(Arc<Request>)) {
        self.memory = 0;
        self.requests.drain(..).for_each(take);
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }
}
