//! The requests that are kept one by one: the slowest.

use std::cmp::Reverse;
use std::sync::Arc;

use crate::model::request::Request;

/// Keeps the slowest requests; of two that took equally long the earlier, by id, counts as the slower.
///
/// An eighth more than asked for is let in before the fastest go, all at once: a heap would sink each
/// request through itself, which costs most when it matters most, at high rates.
#[derive(Debug)]
pub(crate) struct Keeper {
    kept: Vec<Kept>,
    /// Of those that went: others are written over them.
    spare: Vec<Arc<Request>>,
    max: usize,
    /// The fastest of the `max` slowest when the fastest went last: what is faster is refused.
    least: Option<Slowness>,
    offered: u64,
}

/// Total time and id.
type Slowness = (u64, Reverse<u64>);

#[derive(Debug)]
struct Kept {
    slowness: Slowness,
    request: Arc<Request>,
}

impl Keeper {
    pub(crate) fn new(max: usize) -> Self {
        Self { kept: Vec::new(), spare: Vec::new(), max, least: None, offered: 0 }
    }

    /// Offers the request with this id and total time, which is made only if it is let in; then it is
    /// returned.
    pub(crate) fn offer(&mut self, id: u64, total: u64, request: impl FnOnce() -> Request) -> Option<&Arc<Request>> {
        self.offered += 1;
        let slowness = (total, Reverse(id));
        if self.max == 0 || self.least.is_some_and(|least| slowness < least) {
            return None;
        }
        if self.kept.len() > self.max.saturating_add(self.max / 8) {
            self.drop_fastest();
        }
        let request = match self.spare.pop() {
            Some(mut spare) => match Arc::get_mut(&mut spare) {
                Some(place) => {
                    *place = request();
                    spare
                }
                // An exporter has yet to send it.
                None => Arc::new(request()),
            },
            None => Arc::new(request()),
        };
        self.kept.push(Kept { slowness, request });
        self.kept.last().map(|kept| &kept.request)
    }

    pub(crate) fn not_kept(&self) -> u64 {
        self.offered - self.kept.len().min(self.max) as u64
    }

    /// The requests kept, by id.
    pub(crate) fn into_requests(mut self) -> Vec<Arc<Request>> {
        self.drop_fastest();
        self.spare = Vec::new();
        self.kept.sort_unstable_by_key(|kept| Reverse(kept.slowness.1));
        self.kept.into_iter().map(|kept| kept.request).collect()
    }

    fn drop_fastest(&mut self) {
        if self.kept.len() > self.max
            && let Some(last) = self.max.checked_sub(1)
        {
            let (_, least, _) = self.kept.select_nth_unstable_by_key(last, |kept| Reverse(kept.slowness));
            self.least = Some(least.slowness);
            self.spare.extend(self.kept.drain(self.max..).map(|kept| kept.request));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::boundaries::Boundaries;
    use crate::model::request::{ConnectionInfo, Endpoint, MessageBytes, Outcome};

    fn request(id: u64) -> Request {
        let unnamed = Endpoint::Unix(String::new());
        Request {
            id,
            connection: Arc::new(ConnectionInfo {
                id: 1,
                server: unnamed.clone(),
                client: unnamed,
                proxy: None,
                owner: None,
            }),
            protocol: "http/1.1",
            stream: None,
            grpc: None,
            method: "GET".into(),
            path: "/".into(),
            query: None,
            route: "/".into(),
            status: None,
            outcome: Outcome::Complete,
            boundaries: Boundaries::default(),
            request_bytes: MessageBytes::default(),
            response_bytes: None,
            explanation: None,
            trace: None,
        }
    }

    #[test]
    fn the_slowest_are_kept_and_of_equals_the_earliest() {
        // Ids in no order, and each total time three times or four.
        let offers: Vec<(u64, u64)> = (0..1000).map(|n| (n * 7 % 1000, n * 13 % 300)).collect();
        let mut slowest = offers.clone();
        slowest.sort_unstable_by_key(|&(id, total)| (Reverse(total), id));
        for max in [0, 1, 2, 7, 8, 100, 999, 1000, usize::MAX] {
            let mut keeper = Keeper::new(max);
            for &(id, total) in &offers {
                keeper.offer(id, total, || request(id));
            }
            let mut expected: Vec<_> = slowest.iter().take(max).map(|&(id, _)| id).collect();
            expected.sort_unstable();
            assert_eq!(keeper.not_kept(), 1000 - expected.len() as u64);
            let ids: Vec<_> = keeper.into_requests().iter().map(|request| request.id).collect();
            assert_eq!(ids, expected, "{max}");
        }
    }

    #[test]
    fn no_more_than_an_eighth_is_kept_in_excess_and_the_fast_are_not_made() {
        let mut keeper = Keeper::new(80);
        for id in 0..1000 {
            keeper.offer(id, id, || request(id));
            assert!(keeper.kept.len() <= 91);
        }
        keeper.offer(1000, 5, || unreachable!("it is faster than all that are kept"));
    }
}
