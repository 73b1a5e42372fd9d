//! What the runtime observed -> findings, the worst first.
//!
//! A blocking call, for example: [`crate::runtime::polls`] observes it when a poll ends, and at the end of the run
//! [`explained`] makes a finding of the observations that lead to one place of the code.

use std::cmp::Reverse;
use std::sync::Arc;

use hashbrown::HashMap;

use crate::model::explanation::{Cause, Place};
use crate::model::finding::{Delayed, Finding, FindingKind};
use crate::model::request::{Request, RouteId};
use crate::model::summary::{Explained, Totals};
use crate::runtime::observations::{AffectedRequests, DurationStats, Observation, ObservationKey, Observations};
use crate::runtime::tracker::RuntimeResults;

use super::code_sites::{self, CodeSite, Stacks};
use super::routes::RouteStatistics;

/// A finding without a route must affect at least this many requests, and at least this part of all, in percent.
const AFFECTED_MIN: u64 = 3;
const AFFECTED_PERCENT: u64 = 1;

/// Locks are a finding if they take at least this part of the route's `handle` time, in percent.
const LOCK_PERCENT: u128 = 10;

/// Short waits for locks are a finding only if they sum to this many times the threshold, over all requests of the
/// route.
const LOCK_THRESHOLDS: u64 = 10;

/// What findings refer to.
struct Known<'a> {
    statistics: &'a RouteStatistics,
    totals: &'a Totals,
    stacks: &'a Stacks,
    /// A delay of this length, in nanoseconds, is worth a finding.
    threshold: u64,
}

/// Observations that are one to the user.
struct Merged {
    key: ObservationKey,
    durations: DurationStats,
    times: u32,
    /// The total of the observation that `key` belongs to.
    largest: u64,
    delayed: HashMap<RouteId, DurationStats>,
}

/// What `--explain` reports at the end of a run. `requests` are the requests that the report lists; several places of a
/// request become one if the user would call them the same.
pub(crate) fn explained(
    results: RuntimeResults,
    statistics: &RouteStatistics,
    totals: &Totals,
    requests: &mut [Arc<Request>],
) -> Explained {
    let RuntimeResults { observations, mut symbols, unseen, requests_not_opened, requests_seen } = results;
    let stacks = &symbols.stacks;
    for request in requests.iter_mut() {
        code_sites::merge(request, stacks);
    }
    let known = Known { statistics, totals, stacks, threshold: observations.threshold() };
    let mut findings = findings(&observations, &known);
    for finding in &mut findings {
        finding.tests.extend(code_sites::tests_of(finding, requests, stacks));
    }
    symbols.retain_referenced(&findings, requests);
    let (stacks, task_types) = (symbols.stacks, symbols.task_types);
    Explained { findings, unseen, requests_not_opened, requests_seen, stacks, task_types }
}

/// The finding that cost the most time comes first.
fn findings(observations: &Observations, known: &Known<'_>) -> Vec<Finding> {
    let mut findings = findings_of_polls(observations.of_polls(), known);
    let requests = known.totals.requests;
    findings.extend(without_route(FindingKind::RuntimeSaturated, &observations.runtime_saturated, requests));
    findings.extend(without_route(FindingKind::CpuSaturated, &observations.cpu_saturated, requests));
    findings.extend(without_route(FindingKind::AcceptWait, &observations.accept_wait, known.totals.connections));
    for (kind, routes) in
        [(FindingKind::SlowUpload, &observations.slow_uploads), (FindingKind::SlowReader, &observations.slow_readers)]
    {
        findings.extend(routes.iter().map(|(route, affected)| Finding {
            route: Some(known.statistics.name(*route)),
            of: known.statistics.count(*route),
            ..affecting(kind, affected)
        }));
    }
    findings.sort_by(|a, b| b.cost_ns().cmp(&a.cost_ns()).then_with(|| (a.kind, &a.route).cmp(&(b.kind, &b.route))));
    findings
}

fn findings_of_polls(observations: &[Observation], known: &Known<'_>) -> Vec<Finding> {
    let mut merged: HashMap<(FindingKind, Option<RouteId>, Cause, CodeSite<'_>), Merged> = HashMap::new();
    for observation in observations {
        let ObservationKey { kind, route, cause, stack } = observation.key;
        if kind != FindingKind::LockContention && code_sites::is_block_in_place(stack, known.stacks) {
            continue;
        }
        let site = CodeSite::of(cause, stack, known.stacks);
        let place = merged.entry((kind, route, cause, site)).or_insert_with(|| Merged {
            key: observation.key,
            durations: DurationStats::default(),
            times: 0,
            largest: 0,
            delayed: HashMap::new(),
        });
        place.add(observation);
    }
    let mut locked: HashMap<Option<RouteId>, u64> = HashMap::new();
    for place in merged.values().filter(|place| place.key.kind == FindingKind::LockContention) {
        let sum = locked.entry(place.key.route).or_default();
        *sum = sum.saturating_add(place.durations.total);
    }
    let matters = |place: &Merged| match place.key.kind {
        FindingKind::LockContention => {
            let in_all = locked.get(&place.key.route).copied().unwrap_or(0);
            place.durations.max >= known.threshold
                || (is_contended(place.key.route, in_all, known)
                    && u128::from(place.durations.total) * 100 >= u128::from(in_all) * LOCK_PERCENT)
        }
        _ => true,
    };
    merged.into_values().filter(matters).map(|place| place.finding(known)).collect()
}

/// Whether the requests of a route spend too much of their time on locks: `locked` in all, in nanoseconds.
fn is_contended(route: Option<RouteId>, locked: u64, known: &Known<'_>) -> bool {
    let handled = route.map_or(0, |route| known.statistics.handled(route));
    u128::from(locked) * 100 >= handled * LOCK_PERCENT
        && handled > 0
        && locked >= known.threshold.saturating_mul(LOCK_THRESHOLDS)
}

impl Merged {
    fn add(&mut self, observation: &Observation) {
        let DurationStats { count, total, max } = observation.durations;
        if total > self.largest {
            self.largest = total;
            self.key = observation.key;
        }
        self.durations.add(count, total, max);
        self.times = self.times.saturating_add(observation.times);
        for (route, durations) in &observation.delayed {
            self.delayed.entry(*route).or_default().add(durations.count, durations.total, durations.max);
        }
    }

    fn finding(self, known: &Known<'_>) -> Finding {
        let ObservationKey { kind, route, cause, stack } = self.key;
        let of = route.map_or(self.durations.count, |route| known.statistics.count(route));
        let mut delayed: Vec<_> = self
            .delayed
            .into_iter()
            .map(|(route, DurationStats { count, total, max })| {
                // Several of the merged observations may have delayed the same request.
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
            place: Some(Place { cause, stack, ns: self.durations.total, count: self.times }),
            // Several of the merged observations may have counted the same request.
            count: self.durations.count.min(of),
            of,
            delayed,
            ..finding(kind, self.durations)
        }
    }
}

/// A finding about the run as a whole, if it affects enough of the `of` requests or connections.
fn without_route(kind: FindingKind, affected: &AffectedRequests, of: u64) -> Option<Finding> {
    let count = affected.durations.count;
    let enough = count >= AFFECTED_MIN && count.saturating_mul(100) >= of.saturating_mul(AFFECTED_PERCENT);
    enough.then(|| Finding { of, ..affecting(kind, affected) })
}

fn affecting(kind: FindingKind, affected: &AffectedRequests) -> Finding {
    Finding { tests: affected.tests.iter().copied().collect(), ..finding(kind, affected.durations) }
}

fn finding(kind: FindingKind, durations: DurationStats) -> Finding {
    Finding {
        kind,
        route: None,
        place: None,
        asked_for: None,
        count: durations.count,
        of: durations.count,
        total_ns: durations.total,
        max_ns: durations.max,
        delayed: Vec::new(),
        tests: Vec::new(),
    }
}
