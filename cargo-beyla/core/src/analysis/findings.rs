//! What is wrong with a run: counted over all requests as they go by, in bounded memory.

mod report;

use std::collections::BTreeSet;
use std::time::Duration;

use hashbrown::HashMap;

use crate::model::boundaries::Boundaries;
use crate::model::explanation::{Cause, Parts};
use crate::model::finding::FindingKind;
use crate::model::request::RouteId;
use crate::model::test::TestId;
use crate::runtime::explain::Counted;

pub(crate) use report::Known;

/// The groups that are told apart; what comes later is put together by route.
const GROUPS_MAX: usize = 4096;

/// The routes that a group is known to delay.
const DELAYED_MAX: usize = 32;

/// What is asked of a transfer before a client is called slow, in thresholds.
const SLOW_CLIENT: u64 = 10;

/// What has been found so far.
#[derive(Debug)]
pub(crate) struct Findings {
    /// In nanoseconds.
    threshold: u64,
    groups: Vec<Group>,
    by_key: HashMap<Key, GroupId>,
    runtime_saturated: Sufferers,
    cpu_saturated: Sufferers,
    accept_wait: Sufferers,
    slow_uploads: HashMap<RouteId, Sufferers>,
    slow_readers: HashMap<RouteId, Sufferers>,
}

/// Things of one kind, found in one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct GroupId(u32);

/// What a group has in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) kind: FindingKind,
    /// `None` of what is done for no request.
    pub(crate) route: Option<RouteId>,
    pub(crate) cause: Cause,
    pub(crate) stack: u32,
}

#[derive(Debug)]
struct Group {
    key: Key,
    tally: Tally,
    /// How often, which may be several times in one request.
    times: u32,
    delayed: Vec<(RouteId, Tally)>,
}

/// How many requests, how long in all, and how long at most, in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    count: u64,
    total: u64,
    max: u64,
}

/// Requests that suffered something, and the tests that they are of.
#[derive(Clone, Debug, Default)]
struct Sufferers {
    tally: Tally,
    tests: BTreeSet<TestId>,
}

/// How long something lasted in one poll, in nanoseconds: in all, and at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lasted {
    pub(crate) total: u64,
    pub(crate) max: u64,
}

/// What counts of a request that has ended. Times are nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Suffered<'a> {
    pub(crate) route: RouteId,
    pub(crate) test: Option<TestId>,
    pub(crate) boundaries: &'a Boundaries,
    /// What `handle` consisted of, if that is known.
    pub(crate) parts: Option<Parts>,
    /// How long it was scheduled, without the moments that every await takes.
    pub(crate) starved: u64,
    /// How much of that while a poll held its thread up with which something is wrong.
    pub(crate) blamed: u64,
    /// How long its connection waited to be accepted while such a poll held the thread up.
    pub(crate) accept_blamed: u64,
    /// How long the server waited for the last byte of the request after it had read the first.
    pub(crate) upload: u64,
    /// How long the server waited for room to send in.
    pub(crate) stalled: u64,
}

impl Findings {
    pub(crate) fn new(threshold: Duration) -> Self {
        Self {
            threshold: u64::try_from(threshold.as_nanos()).unwrap_or(u64::MAX).max(1),
            groups: Vec::new(),
            by_key: HashMap::new(),
            runtime_saturated: Sufferers::default(),
            cpu_saturated: Sufferers::default(),
            accept_wait: Sufferers::default(),
            slow_uploads: HashMap::new(),
            slow_readers: HashMap::new(),
        }
    }

    /// What lasts so long is told of, in nanoseconds.
    pub(crate) fn threshold(&self) -> u64 {
        self.threshold
    }

    /// Something was found. `request` knows what has been found in the same request before; without one,
    /// each time counts.
    pub(crate) fn found(&mut self, key: Key, lasted: Lasted, request: Option<&mut Counted>) -> GroupId {
        let id = self.group(key);
        let first = request.is_none_or(|request| request.first(id));
        let group = &mut self.groups[id.0 as usize];
        group.times = group.times.saturating_add(1);
        group.tally.add(u64::from(first), lasted.total, lasted.max);
        id
    }

    fn group(&mut self, key: Key) -> GroupId {
        let full = self.groups.len() >= GROUPS_MAX && !self.by_key.contains_key(&key);
        let key = if full { Key { cause: Cause::Unknown, stack: 0, ..key } } else { key };
        *self.by_key.entry(key).or_insert_with(|| {
            self.groups.push(Group { key, tally: Tally::default(), times: 0, delayed: Vec::new() });
            GroupId(self.groups.len() as u32 - 1)
        })
    }

    /// A poll that counts in this group held up a request of this route.
    pub(crate) fn delayed(&mut self, group: GroupId, route: RouteId, ns: u64) {
        let Some(group) = self.groups.get_mut(group.0 as usize) else { return };
        let room = group.delayed.len() < DELAYED_MAX;
        match group.delayed.iter_mut().find(|(known, _)| *known == route) {
            Some((_, tally)) => tally.add(1, ns, ns),
            None if room => {
                group.delayed.push((route, Tally { count: 1, total: ns, max: ns }));
            }
            None => {}
        }
    }

    /// A request has ended.
    pub(crate) fn ended(&mut self, suffered: &Suffered<'_>) {
        let Suffered { route, test, boundaries, parts, starved, blamed, accept_blamed, upload, stalled } = *suffered;
        if let Some(parts) = parts {
            let scheduled = starved.min(parts.scheduled).saturating_sub(blamed);
            self.runtime_saturated.add_if_long(scheduled, self.threshold, test);
            self.cpu_saturated.add_if_long(parts.runnable, self.threshold, test);
        }
        if let Some(wait) = boundaries.accept_wait() {
            self.accept_wait.add_if_long(wait.saturating_sub(accept_blamed), self.threshold, test);
        }
        let total = boundaries.total();
        let slow = |length: u64| length >= self.threshold.saturating_mul(SLOW_CLIENT) && length >= total / 2;
        let phases = boundaries.phases();
        if boundaries.received.is_some() && slow(upload.min(phases.receive.unwrap_or(0))) {
            let length = phases.receive.unwrap_or(0);
            self.slow_uploads.entry(route).or_default().add(length, test);
        }
        if slow(stalled.min(phases.respond.unwrap_or(0))) {
            let length = phases.respond.unwrap_or(0);
            self.slow_readers.entry(route).or_default().add(length, test);
        }
    }
}

impl Tally {
    fn add(&mut self, count: u64, total: u64, max: u64) {
        self.count = self.count.saturating_add(count);
        self.total = self.total.saturating_add(total);
        self.max = self.max.max(max);
    }
}

impl Sufferers {
    fn add(&mut self, length: u64, test: Option<TestId>) {
        self.tally.add(1, length, length);
        self.tests.extend(test);
    }

    fn add_if_long(&mut self, length: u64, threshold: u64, test: Option<TestId>) {
        if length >= threshold {
            self.add(length, test);
        }
    }
}
