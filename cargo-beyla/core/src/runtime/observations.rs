//! What slowed requests down: counted over all requests while the run goes on, in bounded memory.
//!
//! At the end of the run, [`crate::analysis::findings`] decides which observations are worth a finding.

use std::collections::BTreeSet;
use std::time::Duration;

use hashbrown::HashMap;

use crate::model::boundaries::Boundaries;
use crate::model::explanation::{Cause, Parts};
use crate::model::finding::FindingKind;
use crate::model::request::RouteId;
use crate::model::test::TestId;

/// The observations that are kept apart by stack; later ones are put together by kind and route.
const OBSERVATIONS_MAX: usize = 4096;

/// The routes that one observation is known to delay.
const DELAYED_MAX: usize = 32;

/// The observations that remember having counted one request.
const COUNTED_MAX: usize = 32;

/// A client is slow if a transfer takes this many times the threshold.
const SLOW_CLIENT: u64 = 10;

/// What was observed so far.
#[derive(Debug)]
pub(crate) struct Observations {
    threshold: u64,
    of_polls: Vec<Observation>,
    by_key: HashMap<ObservationKey, ObservationId>,
    pub(crate) runtime_saturated: AffectedRequests,
    pub(crate) cpu_saturated: AffectedRequests,
    pub(crate) accept_wait: AffectedRequests,
    pub(crate) slow_uploads: HashMap<RouteId, AffectedRequests>,
    pub(crate) slow_readers: HashMap<RouteId, AffectedRequests>,
}

/// An observation of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ObservationId(u32);

/// What was observed, and where: the same thing in the same place is one observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ObservationKey {
    pub(crate) kind: FindingKind,
    /// The route of the requests that do it; `None` if a task that handles no request does it.
    pub(crate) route: Option<RouteId>,
    pub(crate) cause: Cause,
    pub(crate) stack: u32,
}

/// Something that polls do in one place of the code, and the requests that it delays.
#[derive(Debug)]
pub(crate) struct Observation {
    pub(crate) key: ObservationKey,
    pub(crate) durations: DurationStats,
    /// How often it happened; several times in one request count several times.
    pub(crate) times: u32,
    /// The requests that it held up, by route.
    pub(crate) delayed: Vec<(RouteId, DurationStats)>,
}

/// A number of durations, with their sum and the longest of them in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct DurationStats {
    pub(crate) count: u64,
    pub(crate) total: u64,
    pub(crate) max: u64,
}

/// Requests that were delayed in one way, and the tests that they belong to.
#[derive(Clone, Debug, Default)]
pub(crate) struct AffectedRequests {
    pub(crate) durations: DurationStats,
    pub(crate) tests: BTreeSet<TestId>,
}

/// The time that something took in one poll, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimeInPoll {
    /// All of it, where it happened several times.
    pub(super) total: u64,
    /// The longest time without a break.
    pub(super) max: u64,
}

/// How a request that has ended was delayed. Times are nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestDelays<'a> {
    pub(super) route: RouteId,
    pub(super) test: Option<TestId>,
    pub(super) boundaries: &'a Boundaries,
    /// What `handle` consisted of, if that is known.
    pub(super) parts: Option<Parts>,
    /// How long its task was scheduled, without the moments that every await takes.
    pub(super) starved: u64,
    /// The part of `starved` in which a poll with an observation held the thread up.
    pub(super) starved_by_poll: u64,
    /// How long the connection waited to be accepted while a poll with an observation held the thread up.
    pub(super) accept_wait_by_poll: u64,
    /// How long the server waited for the last byte of the request after it had read the first.
    pub(super) upload: u64,
    /// How long the server waited for room in the send buffer.
    pub(super) stalled: u64,
}

/// The observations that have counted a request already.
#[derive(Debug, Default)]
pub(super) struct CountedObservations(Vec<ObservationId>);

impl CountedObservations {
    /// Whether this observation counts the request for the first time.
    fn first(&mut self, observation: ObservationId) -> bool {
        let first = self.0.len() < COUNTED_MAX && !self.0.contains(&observation);
        if first {
            self.0.push(observation);
        }
        first
    }

    /// Begins anew, for another request.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

impl Observations {
    pub(super) fn new(threshold: Duration) -> Self {
        Self {
            threshold: u64::try_from(threshold.as_nanos()).unwrap_or(u64::MAX).max(1),
            of_polls: Vec::new(),
            by_key: HashMap::new(),
            runtime_saturated: AffectedRequests::default(),
            cpu_saturated: AffectedRequests::default(),
            accept_wait: AffectedRequests::default(),
            slow_uploads: HashMap::new(),
            slow_readers: HashMap::new(),
        }
    }

    /// A delay of this length, in nanoseconds, is worth a finding.
    pub(crate) fn threshold(&self) -> u64 {
        self.threshold
    }

    /// What was observed of polls.
    pub(crate) fn of_polls(&self) -> &[Observation] {
        &self.of_polls
    }

    /// Counts something that happened in a poll. `request` is what has counted the request that the poll belongs to;
    /// without a request, each time counts.
    pub(super) fn observe(
        &mut self,
        key: ObservationKey,
        time: TimeInPoll,
        request: Option<&mut CountedObservations>,
    ) -> ObservationId {
        let id = self.insert(key);
        let first = request.is_none_or(|request| request.first(id));
        let observation = &mut self.of_polls[id.0 as usize];
        observation.times = observation.times.saturating_add(1);
        observation.durations.add(u64::from(first), time.total, time.max);
        id
    }

    fn insert(&mut self, key: ObservationKey) -> ObservationId {
        let full = self.of_polls.len() >= OBSERVATIONS_MAX && !self.by_key.contains_key(&key);
        let key = if full { ObservationKey { cause: Cause::Unknown, stack: 0, ..key } } else { key };
        *self.by_key.entry(key).or_insert_with(|| {
            self.of_polls.push(Observation { key, durations: DurationStats::default(), times: 0, delayed: Vec::new() });
            ObservationId(self.of_polls.len() as u32 - 1)
        })
    }

    /// Counts a request of this route that a poll with this observation held up.
    pub(super) fn delayed(&mut self, observation: ObservationId, route: RouteId, ns: u64) {
        let Some(observation) = self.of_polls.get_mut(observation.0 as usize) else { return };
        let room = observation.delayed.len() < DELAYED_MAX;
        match observation.delayed.iter_mut().find(|(known, _)| *known == route) {
            Some((_, durations)) => durations.add(1, ns, ns),
            None if room => {
                observation.delayed.push((route, DurationStats { count: 1, total: ns, max: ns }));
            }
            None => {}
        }
    }

    /// Counts a request that has ended.
    pub(super) fn ended(&mut self, delays: &RequestDelays<'_>) {
        let RequestDelays { route, test, boundaries, parts, .. } = *delays;
        if let Some(parts) = parts {
            let scheduled = delays.starved.min(parts.scheduled).saturating_sub(delays.starved_by_poll);
            self.runtime_saturated.add_if_long(scheduled, self.threshold, test);
            self.cpu_saturated.add_if_long(parts.runnable, self.threshold, test);
        }
        if let Some(wait) = boundaries.accept_wait() {
            let wait = wait.saturating_sub(delays.accept_wait_by_poll);
            self.accept_wait.add_if_long(wait, self.threshold, test);
        }
        let total = boundaries.total();
        let slow = |length: u64| length >= self.threshold.saturating_mul(SLOW_CLIENT) && length >= total / 2;
        let phases = boundaries.phases();
        if boundaries.received.is_some() && slow(delays.upload.min(phases.receive.unwrap_or(0))) {
            let length = phases.receive.unwrap_or(0);
            self.slow_uploads.entry(route).or_default().add(length, test);
        }
        if slow(delays.stalled.min(phases.respond.unwrap_or(0))) {
            let length = phases.respond.unwrap_or(0);
            self.slow_readers.entry(route).or_default().add(length, test);
        }
    }
}

impl DurationStats {
    /// Adds `count` durations with this sum; `max` is the longest of them.
    pub(crate) fn add(&mut self, count: u64, total: u64, max: u64) {
        self.count = self.count.saturating_add(count);
        self.total = self.total.saturating_add(total);
        self.max = self.max.max(max);
    }
}

impl AffectedRequests {
    fn add(&mut self, length: u64, test: Option<TestId>) {
        self.durations.add(1, length, length);
        self.tests.extend(test);
    }

    fn add_if_long(&mut self, length: u64, threshold: u64, test: Option<TestId>) {
        if length >= threshold {
            self.add(length, test);
        }
    }
}
