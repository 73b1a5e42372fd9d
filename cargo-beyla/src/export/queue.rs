//! Where the run leaves requests, calls and tests for the exporter's thread: a bounded queue that neither side waits at.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::item::{Counts, Item};

/// How much a queue holds at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// In requests, calls and tests; those calls of a request that go with it are one with it.
    pub(super) items: usize,
    /// In memory, in bytes.
    pub(super) memory: usize,
}

/// Some seconds of a busy server.
pub(super) const BOUNDS: Bounds = Bounds { items: 64 * 1024, memory: 64 * 1024 * 1024 };

/// A queue that is bounded.
#[derive(Debug)]
pub(super) struct BoundedQueue {
    bounds: Bounds,
    items: VecDeque<Item>,
    memory: usize,
}

impl BoundedQueue {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, items: VecDeque::new(), memory: 0 }
    }

    /// Whether there was room.
    pub(super) fn push(&mut self, item: Item) -> bool {
        let memory = self.memory + item.memory();
        let fits = self.items.len() < self.bounds.items && memory <= self.bounds.memory;
        if fits {
            self.memory = memory;
            self.items.push_back(item);
        }
        fits
    }

    pub(super) fn front(&self) -> Option<&Item> {
        self.items.front()
    }

    pub(super) fn pop(&mut self) -> Option<Item> {
        let item = self.items.pop_front()?;
        self.memory = self.memory.saturating_sub(item.memory());
        Some(item)
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// Empties it; what there was.
    pub(super) fn clear(&mut self) -> Counts {
        let mut counts = Counts::default();
        for item in self.items.drain(..) {
            counts += item.count();
        }
        self.memory = 0;
        counts
    }
}

/// The queue between the two threads.
#[derive(Debug)]
pub(super) struct ExportQueue {
    inner: Mutex<Inner>,
    filled: Notify,
}

#[derive(Debug)]
struct Inner {
    queue: BoundedQueue,
    refused: Counts,
}

impl ExportQueue {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            inner: Mutex::new(Inner { queue: BoundedQueue::new(bounds), refused: Counts::default() }),
            filled: Notify::new(),
        }
    }

    /// Adds an item; counts it where there is no room. The lock is held for moments only.
    pub(super) fn offer(&self, item: Item) {
        let count = item.count();
        let mut inner = self.lock();
        let was_empty = inner.queue.len() == 0;
        if !inner.queue.push(item) {
            inner.refused += count;
        }
        drop(inner);
        if was_empty {
            self.filled.notify_one();
        }
    }

    /// Counts what was lost before it came here.
    pub(super) fn refuse(&self, lost: Counts) {
        self.lock().refused += lost;
    }

    /// All that is there.
    pub(super) fn take(&self) -> VecDeque<Item> {
        let mut inner = self.lock();
        inner.queue.memory = 0;
        std::mem::take(&mut inner.queue.items)
    }

    /// Waits until there is something.
    pub(super) async fn filled(&self) {
        self.filled.notified().await;
    }

    pub(super) fn refused(&self) -> Counts {
        self.lock().refused
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing that is done under the lock leaves it half done.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
