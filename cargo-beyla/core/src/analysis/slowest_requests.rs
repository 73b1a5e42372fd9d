//! The slowest requests of a run, which are kept one by one.

use std::cmp::Reverse;
use std::sync::Arc;

use crate::model::request::Request;

/// Keeps the slowest requests. Of two requests that took equally long, the earlier one (by id) counts as the slower.
///
/// It lets in an eighth more than it should keep, and then drops the fastest all at once. A heap would sink each
/// request through itself, which costs the most when it matters the most: at high rates.
#[derive(Debug)]
pub(crate) struct SlowestRequests {
    ranked: Vec<Ranked>,
    /// Requests that were dropped: new ones are written over them.
    spare: Vec<Arc<Request>>,
    max: usize,
    /// The fastest of the `max` slowest at the last drop: a faster request is refused.
    least: Option<Slowness>,
    offered: u64,
}

/// Total time and id.
type Slowness = (u64, Reverse<u64>);

#[derive(Debug)]
struct Ranked {
    slowness: Slowness,
    request: Arc<Request>,
}

impl SlowestRequests {
    /// Keeps `max` requests.
    pub(crate) fn new(max: usize) -> Self {
        Self { ranked: Vec::new(), spare: Vec::new(), max, least: None, offered: 0 }
    }

    /// Offers the request with this id and total time. Only if it is slow enough, `request` makes it, and it is
    /// returned.
    pub(crate) fn offer(&mut self, id: u64, total: u64, request: impl FnOnce() -> Request) -> Option<&Arc<Request>> {
        self.offered += 1;
        let slowness = (total, Reverse(id));
        if self.max == 0 || self.least.is_some_and(|least| slowness < least) {
            return None;
        }
        if self.ranked.len() > self.max.saturating_add(self.max / 8) {
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
        self.ranked.push(Ranked { slowness, request });
        self.ranked.last().map(|ranked| &ranked.request)
    }

    /// The number of requests that were offered and are not kept.
    pub(crate) fn not_kept(&self) -> u64 {
        self.offered - self.ranked.len().min(self.max) as u64
    }

    /// All that are kept for now, in no order.
    pub(crate) fn requests(&self) -> impl ExactSizeIterator<Item = &Arc<Request>> {
        self.ranked.iter().map(|ranked| &ranked.request)
    }

    /// The slowest requests, by id.
    pub(crate) fn into_requests(mut self) -> Vec<Arc<Request>> {
        self.drop_fastest();
        self.spare = Vec::new();
        self.ranked.sort_unstable_by_key(|ranked| Reverse(ranked.slowness.1));
        self.ranked.into_iter().map(|ranked| ranked.request).collect()
    }

    fn drop_fastest(&mut self) {
        if self.ranked.len() > self.max
            && let Some(last) = self.max.checked_sub(1)
        {
            let (_, least, _) = self.ranked.select_nth_unstable_by_key(last, |ranked| Reverse(ranked.slowness));
            self.least = Some(least.slowness);
            self.spare.extend(self.ranked.drain(self.max..).map(|ranked| ranked.request));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::boundaries::Boundaries;
    use crate::model::connection::{ConnectionInfo, Endpoint};
    use crate::model::request::{MessageBytes, Outcome};

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
                tls: None,
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
            calls: Vec::new(),
            calls_not_kept: 0,
        }
    }

    #[test]
    fn the_slowest_are_kept_and_of_equals_the_earliest() {
        // Ids in no order, and each total time three times or four.
        let offers: Vec<(u64, u64)> = (0..1000).map(|n| (n * 7 % 1000, n * 13 % 300)).collect();
        let mut sorted = offers.clone();
        sorted.sort_unstable_by_key(|&(id, total)| (Reverse(total), id));
        for max in [0, 1, 2, 7, 8, 100, 999, 1000, usize::MAX] {
            let mut slowest = SlowestRequests::new(max);
            for &(id, total) in &offers {
                slowest.offer(id, total, || request(id));
            }
            let mut expected: Vec<_> = sorted.iter().take(max).map(|&(id, _)| id).collect();
            expected.sort_unstable();
            assert_eq!(slowest.not_kept(), 1000 - expected.len() as u64);
            let ids: Vec<_> = slowest.into_requests().iter().map(|request| request.id).collect();
            assert_eq!(ids, expected, "{max}");
        }
    }

    #[test]
    fn no_more_than_an_eighth_is_kept_in_excess_and_the_fast_are_not_made() {
        let mut slowest = SlowestRequests::new(80);
        for id in 0..1000 {
            slowest.offer(id, id, || request(id));
            assert!(slowest.ranked.len() <= 91);
        }
        slowest.offer(1000, 5, || unreachable!("it is faster than all of the slowest"));
    }
}
