//! What was counted -> findings, the worst first.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use hashbrown::HashMap;

use crate::analysis::code_sites::Spot;
use crate::analysis::statistics::Statistics;
use crate::model::explanation::{Cause, Place};
use crate::model::finding::{Delayed, Finding, FindingKind};
use crate::model::request::RouteId;
use crate::model::stack::Frame;
use crate::model::summary::Totals;

use super::{Findings, Group, Key, Sufferers, Tally};

/// Of a finding that is about all requests, so many must suffer it; and this part of all.
const SUFFERED_MIN: u64 = 3;
const SUFFERED_PERCENT: u64 = 1;

/// A part of a route's `handle` that is too much to spend on locks, in percent.
const LOCK_PERCENT: u128 = 10;

/// The same in thresholds, over all requests of the route.
const LOCK_THRESHOLDS: u64 = 10;

/// What findings refer to.
pub(crate) struct Known<'a> {
    pub(crate) statistics: &'a Statistics,
    pub(crate) totals: &'a Totals,
    pub(crate) stacks: &'a BTreeMap<u32, Vec<Frame>>,
}

/// Groups that are one to the user.
struct Merged {
    key: Key,
    tally: Tally,
    times: u32,
    /// The total of the group that `key` is of.
    largest: u64,
    delayed: HashMap<RouteId, Tally>,
}

impl Findings {
    /// The worst first.
    pub(crate) fn finish(self, known: &Known<'_>) -> Vec<Finding> {
        let mut findings: Vec<Finding> = self.grouped(known);
        let requests = known.totals.requests;
        findings.extend(of_all(FindingKind::RuntimeSaturated, &self.runtime_saturated, requests));
        findings.extend(of_all(FindingKind::CpuSaturated, &self.cpu_saturated, requests));
        findings.extend(of_all(FindingKind::AcceptWait, &self.accept_wait, known.totals.connections));
        for (kind, routes) in
            [(FindingKind::SlowUpload, &self.slow_uploads), (FindingKind::SlowReader, &self.slow_readers)]
        {
            findings.extend(routes.iter().map(|(route, sufferers)| Finding {
                route: Some(known.statistics.name(*route)),
                of: known.statistics.count(*route),
                ..suffered(kind, sufferers)
            }));
        }
        findings.sort_by(|a, b| cost(b).cmp(&cost(a)).then_with(|| (a.kind, &a.route).cmp(&(b.kind, &b.route))));
        findings
    }

    fn grouped(&self, known: &Known<'_>) -> Vec<Finding> {
        let mut merged: HashMap<(FindingKind, Option<RouteId>, Cause, Spot<'_>), Merged> = HashMap::new();
        for group in self.groups.iter().filter(|group| !group.is_in_place(known)) {
            let Key { kind, route, cause, stack } = group.key;
            let place = merged.entry((kind, route, cause, Spot::of(cause, stack, known.stacks))).or_insert_with(|| {
                Merged { key: group.key, tally: Tally::default(), times: 0, largest: 0, delayed: HashMap::new() }
            });
            if group.tally.total > place.largest {
                place.largest = group.tally.total;
                place.key = group.key;
            }
            place.tally.add(group.tally.count, group.tally.total, group.tally.max);
            place.times = place.times.saturating_add(group.times);
            for (route, tally) in &group.delayed {
                place.delayed.entry(*route).or_default().add(tally.count, tally.total, tally.max);
            }
        }
        let mut locked: HashMap<Option<RouteId>, u64> = HashMap::new();
        for place in merged.values().filter(|place| place.key.kind == FindingKind::LockContention) {
            let sum = locked.entry(place.key.route).or_default();
            *sum = sum.saturating_add(place.tally.total);
        }
        let told = |place: &Merged| match place.key.kind {
            FindingKind::LockContention => {
                let in_all = locked.get(&place.key.route).copied().unwrap_or(0);
                place.tally.max >= self.threshold
                    || (self.contended(place.key.route, in_all, known)
                        && u128::from(place.tally.total) * 100 >= u128::from(in_all) * LOCK_PERCENT)
            }
            _ => true,
        };
        merged.into_values().filter(|place| told(place)).map(|place| place.finding(known)).collect()
    }

    /// Whether the requests of a route spend too much of their time on locks.
    fn contended(&self, route: Option<RouteId>, in_all: u64, known: &Known<'_>) -> bool {
        let handled = route.map_or(0, |route| known.statistics.handled(route));
        u128::from(in_all) * 100 >= handled * LOCK_PERCENT
            && handled > 0
            && in_all >= self.threshold.saturating_mul(LOCK_THRESHOLDS)
    }
}

impl Group {
    /// The code says itself that it blocks, and another thread has taken over: `block_in_place`.
    fn is_in_place(&self, known: &Known<'_>) -> bool {
        let frames = known.stacks.get(&self.key.stack).map_or(&[][..], Vec::as_slice);
        self.key.kind != FindingKind::LockContention
            && frames.iter().any(|frame| frame.function.contains("block_in_place"))
    }
}

impl Merged {
    fn finding(self, known: &Known<'_>) -> Finding {
        let Key { kind, route, cause, stack } = self.key;
        let of = route.map_or(self.tally.count, |route| known.statistics.count(route));
        let mut delayed: Vec<_> = self
            .delayed
            .into_iter()
            .map(|(route, Tally { count, total, max })| {
                // The same request may have been delayed by several of the groups that were put together.
                let count = count.min(known.statistics.count(route));
                let max_ns = max.max(total / count.max(1));
                let (method, route) = known.statistics.name(route);
                Delayed { method, route, count, total_ns: total, max_ns }
            })
            .collect();
        delayed.sort_by(|a, b| {
            (Reverse(a.total_ns), &a.method, &a.route).cmp(&(Reverse(b.total_ns), &b.method, &b.route))
        });
        Finding {
            route: route.map(|route| known.statistics.name(route)),
            place: Some(Place { cause, stack, ns: self.tally.total, count: self.times }),
            // The same request may be in several of the groups that were put together.
            count: self.tally.count.min(of),
            of,
            delayed,
            ..finding(kind, self.tally)
        }
    }
}

fn of_all(kind: FindingKind, sufferers: &Sufferers, of: u64) -> Option<Finding> {
    let tally = sufferers.tally;
    let many = tally.count >= SUFFERED_MIN && tally.count.saturating_mul(100) >= of.saturating_mul(SUFFERED_PERCENT);
    many.then(|| Finding { of, ..suffered(kind, sufferers) })
}

fn suffered(kind: FindingKind, sufferers: &Sufferers) -> Finding {
    Finding { tests: sufferers.tests.iter().copied().collect(), ..finding(kind, sufferers.tally) }
}

fn finding(kind: FindingKind, tally: Tally) -> Finding {
    Finding {
        kind,
        route: None,
        place: None,
        count: tally.count,
        of: tally.count,
        total_ns: tally.total,
        max_ns: tally.max,
        delayed: Vec::new(),
        tests: Vec::new(),
    }
}

/// How much time it has cost in all.
fn cost(finding: &Finding) -> u64 {
    finding.delayed.iter().fold(finding.total_ns, |sum, delayed| sum.saturating_add(delayed.total_ns))
}
