//! The requests that are kept one by one: the slowest.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use super::model::Request;

/// Keeps the slowest requests.
#[derive(Debug)]
pub(super) struct Keeper {
    /// The fastest on top.
    kept: BinaryHeap<Reverse<Kept>>,
    max: usize,
    not_kept: u64,
}

/// Ordered by time; of two that took equally long the earlier counts as the slower.
#[derive(Debug)]
struct Kept {
    total: u64,
    id: u64,
    request: Arc<Request>,
}

impl Keeper {
    pub(super) fn new(max: usize) -> Self {
        Self { kept: BinaryHeap::new(), max, not_kept: 0 }
    }

    /// Offers a request with this total time, which is made only if it is kept.
    pub(super) fn offer(&mut self, total: u64, request: impl FnOnce() -> Request) {
        if self.kept.len() >= self.max {
            self.not_kept += 1;
            if self.kept.peek().is_none_or(|Reverse(fastest)| fastest.total >= total) {
                return;
            }
            self.kept.pop();
        }
        let request = Arc::new(request());
        let id = request.id;
        self.kept.push(Reverse(Kept { total, id, request }));
    }

    pub(super) fn not_kept(&self) -> u64 {
        self.not_kept
    }

    /// The requests kept, by id.
    pub(super) fn into_requests(self) -> Vec<Arc<Request>> {
        let kept = self.kept.into_iter();
        let mut requests: Vec<_> = kept.map(|Reverse(kept)| kept.request).collect();
        requests.sort_unstable_by_key(|request| request.id);
        requests
    }
}

impl Kept {
    fn key(&self) -> (u64, Reverse<u64>) {
        (self.total, Reverse(self.id))
    }
}

impl Ord for Kept {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for Kept {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Kept {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Kept {}
