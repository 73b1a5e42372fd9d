//! Where the run leaves requests for the exporter's thread: a bounded queue that neither side waits at.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::request::model::Request;

/// How much a queue holds at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// In requests.
    pub(super) requests: usize,
    /// In memory, in bytes.
    pub(super) memory: usize,
}

/// Some seconds of a busy server.
pub(super) const BOUNDS: Bounds = Bounds { requests: 64 * 1024, memory: 64 * 1024 * 1024 };

/// A queue of requests that is bounded.
#[derive(Debug)]
pub(super) struct Queue {
    bounds: Bounds,
    requests: VecDeque<Arc<Request>>,
    memory: usize,
}

impl Queue {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, requests: VecDeque::new(), memory: 0 }
    }

    /// Whether there was room.
    pub(super) fn push(&mut self, request: Arc<Request>) -> bool {
        let memory = self.memory + request.memory();
        let fits = self.requests.len() < self.bounds.requests && memory <= self.bounds.memory;
        if fits {
            self.memory = memory;
            self.requests.push_back(request);
        }
        fits
    }

    pub(super) fn front(&self) -> Option<&Arc<Request>> {
        self.requests.front()
    }

    pub(super) fn pop(&mut self) -> Option<Arc<Request>> {
        let request = self.requests.pop_front()?;
        self.memory = self.memory.saturating_sub(request.memory());
        Some(request)
    }

    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }

    pub(super) fn clear(&mut self) {
        self.requests.clear();
        self.memory = 0;
    }
}

/// The queue between the two threads.
#[derive(Debug)]
pub(super) struct Inbox {
    inner: Mutex<Inner>,
    filled: Notify,
}

#[derive(Debug)]
struct Inner {
    queue: Queue,
    refused: u64,
}

impl Inbox {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { inner: Mutex::new(Inner { queue: Queue::new(bounds), refused: 0 }), filled: Notify::new() }
    }

    /// Adds a request; counts it where there is no room. The lock is held for moments only.
    pub(super) fn offer(&self, request: &Arc<Request>) {
        let mut inner = self.lock();
        let was_empty = inner.queue.len() == 0;
        if !inner.queue.push(Arc::clone(request)) {
            inner.refused += 1;
        }
        drop(inner);
        if was_empty {
            self.filled.notify_one();
        }
    }

    /// Counts requests that were lost before they came here.
    pub(super) fn refuse(&self, requests: u64) {
        self.lock().refused += requests;
    }

    /// All that is there.
    pub(super) fn take(&self) -> VecDeque<Arc<Request>> {
        let mut inner = self.lock();
        inner.queue.memory = 0;
        std::mem::take(&mut inner.queue.requests)
    }

    /// Waits until there is something.
    pub(super) async fn filled(&self) {
        self.filled.notified().await;
    }

    pub(super) fn refused(&self) -> u64 {
        self.lock().refused
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing that is done under the lock leaves it half done.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
