//! What is wrong with the calls of requests -> findings.
//!
//! Every run has them, with `--explain` and without: they need only the calls and their times.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use hashbrown::HashMap;

use super::distribution::Durations;
use super::routes::RouteStatistics;
use crate::model::call::{Call, CallKind};
use crate::model::connection::Endpoint;
use crate::model::finding::{AskedFor, Finding, FindingKind};
use crate::model::request::{Outcome, RouteId};
use crate::model::test::TestId;

/// A request that asks for the same thing this often, one time after the other, could ask once. A page that shows a
/// handful of things may ask for each by itself, and nobody minds.
const REPEATED: u64 = 10;

/// A kind of call is slow if half of its calls take this long or longer, in nanoseconds: people begin to notice a
/// tenth of a second, and a healthy call within a machine or a data centre takes a fraction of this, also under load.
const SLOW_NS: u64 = 50_000_000;

/// A kind of call is not slow on the evidence of fewer calls: one hiccup of the machine would be half of them.
const SLOW_MIN: u64 = 3;

/// A slow kind of call also takes at least this part of the time of the requests that make it, in percent.
const MOST_PERCENT: u128 = 50;

/// At least this part of a route's requests makes a slow kind of call, in percent.
const OF_ROUTE_PERCENT: u64 = 50;

/// The most pairs of a route and a kind of call. No program that people write has more.
const ROWS_MAX: usize = 4096;

/// A request that has ended, with its calls.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller<'a> {
    pub(crate) route: RouteId,
    pub(crate) test: Option<TestId>,
    /// In nanoseconds.
    pub(crate) total_ns: u64,
    /// In the order in which they began.
    pub(crate) calls: &'a [Arc<Call>],
}

/// What a route asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Row {
    route: RouteId,
    kind: CallKind,
    /// Who could not be connected to, if that is it.
    refused: Option<Endpoint>,
    summary: Arc<str>,
}

/// What was found of it in requests.
#[derive(Debug, Default)]
struct Found {
    requests: u64,
    total_ns: u64,
    /// The longest time in a request, and the most calls.
    max_ns: u64,
    most: u64,
    tests: BTreeSet<TestId>,
}

impl Found {
    fn add(&mut self, calls: u64, ns: u64, test: Option<TestId>) {
        self.requests += 1;
        self.total_ns = self.total_ns.saturating_add(ns);
        self.max_ns = self.max_ns.max(ns);
        self.most = self.most.max(calls);
        self.tests.extend(test);
    }
}

/// The time that calls which ask for the same take, in all requests of a route.
#[derive(Debug, Default)]
struct Taken {
    found: Found,
    calls: u64,
    each: Durations,
    of_requests_ns: u128,
}

/// What is known of the calls of all requests.
#[derive(Debug, Default)]
pub(crate) struct CallFindings {
    repeated: HashMap<Row, Found>,
    taken: HashMap<Row, Taken>,
    failed: HashMap<Row, (Found, Option<Arc<str>>)>,
}

impl CallFindings {
    /// Takes the calls of a request.
    pub(crate) fn add(&mut self, caller: &Caller<'_>) {
        let Caller { route, test, total_ns, calls } = *caller;
        let mut groups: Vec<Vec<&Call>> = Vec::new();
        for call in calls {
            let is_like =
                |other: &&Call| (other.kind, &other.summary, other.peer()) == (call.kind, &call.summary, call.peer());
            match groups.iter_mut().find(|group| group.first().is_some_and(is_like)) {
                Some(group) => group.push(call),
                None => groups.push(vec![call]),
            }
        }
        for group in groups {
            let Some(first) = group.first() else { continue };
            let row = Row { route, kind: first.kind, refused: None, summary: Arc::clone(&first.summary) };
            if &*first.summary == Call::CONNECT {
                self.not_connected(row, &group, calls, test);
                continue;
            }
            // Nobody knows what a protocol asks for that is not read.
            if first.kind == CallKind::Tcp {
                continue;
            }
            let (in_turn, ns) = in_turn(&group);
            if in_turn >= REPEATED
                && let Some(found) = enter(&mut self.repeated, &row)
            {
                found.add(in_turn, ns, test);
            }
            if let Some(taken) = enter(&mut self.taken, &row) {
                taken.found.add(group.len() as u64, covered(&group), test);
                taken.calls += group.len() as u64;
                taken.of_requests_ns += u128::from(total_ns);
                for call in &group {
                    taken.each.add(waited(call));
                }
            }
        }
    }

    /// Connections of a request that could not be opened, if it did not succeed by another try. A name may stand for
    /// several addresses, and that one of them refuses is nothing.
    fn not_connected(&mut self, row: Row, group: &[&Call], calls: &[Arc<Call>], test: Option<TestId>) {
        let Some((first, last)) = group.first().zip(group.last()) else { return };
        let succeeds = |call: &Arc<Call>| {
            !call.is_error
                && &*call.summary != Call::CONNECT
                && call.boundaries.ended >= last.boundaries.start()
                && call.peer().zip(last.peer()).is_some_and(|(one, other)| is_same_service(one, other))
        };
        if !last.is_error || calls.iter().any(succeeds) {
            return;
        }
        let row = Row { refused: first.peer().cloned(), ..row };
        if let Some((found, status)) = enter(&mut self.failed, &row) {
            found.add(group.len() as u64, covered(group), test);
            status.clone_from(&last.status);
        }
    }

    /// What cost the most time comes first.
    pub(crate) fn into_findings(self, statistics: &RouteStatistics) -> Vec<Finding> {
        let Self { repeated, taken, failed } = self;
        let finding = |kind, row: &Row, found: Found, status| Finding {
            kind,
            route: Some(statistics.name(row.route)),
            place: None,
            asked_for: Some(AskedFor {
                kind: row.kind,
                summary: Arc::clone(&row.summary),
                peer: row.refused.clone(),
                status,
                most: found.most,
            }),
            count: found.requests,
            of: statistics.count(row.route),
            total_ns: found.total_ns,
            max_ns: found.max_ns,
            delayed: Vec::new(),
            tests: found.tests.into_iter().collect(),
        };
        let is_most = |row: &Row, taken: &Taken| {
            // Ten calls that take most of the time are too many, and not too slow.
            !repeated.contains_key(row)
                && taken.calls >= SLOW_MIN
                && u128::from(taken.found.total_ns) * 100 >= taken.of_requests_ns * MOST_PERCENT
                && taken.found.requests.saturating_mul(100)
                    >= statistics.count(row.route).saturating_mul(OF_ROUTE_PERCENT)
        };
        let mut findings: Vec<Finding> = Vec::new();
        for (row, taken) in taken {
            if is_most(&row, &taken) && taken.each.into_distribution().is_some_and(|each| each.p50 >= SLOW_NS) {
                findings.push(finding(FindingKind::SlowCall, &row, taken.found, None));
            }
        }
        findings.extend(repeated.into_iter().map(|(row, found)| finding(FindingKind::RepeatedCall, &row, found, None)));
        let failed = failed.into_iter();
        findings.extend(failed.map(|(row, (found, status))| finding(FindingKind::FailedConnect, &row, found, status)));
        let name = |finding: &Finding| (finding.kind, finding.route.clone(), finding.asked_for.clone());
        findings.sort_by(|a, b| Reverse(a.total_ns).cmp(&Reverse(b.total_ns)).then_with(|| name(a).cmp(&name(b))));
        findings
    }
}

fn enter<'a, T: Default>(rows: &'a mut HashMap<Row, T>, row: &Row) -> Option<&'a mut T> {
    let has_room = rows.len() < ROWS_MAX;
    if !has_room && !rows.contains_key(row) {
        return None;
    }
    Some(rows.entry(row.clone()).or_default())
}

/// How many of these calls follow one another, each begun when the one before it was over, and how long they took.
fn in_turn(calls: &[&Call]) -> (u64, u64) {
    let (mut count, mut ns, mut until) = (0, 0_u64, 0);
    for call in calls {
        if call.boundaries.start() >= until {
            (count, until) = (count + 1, call.boundaries.ended);
            ns = ns.saturating_add(call.boundaries.total());
        }
    }
    (count, ns)
}

/// The time in which at least one of these calls was under way; they come in the order in which they began.
fn covered(calls: &[&Call]) -> u64 {
    let (mut ns, mut until) = (0_u64, 0);
    for call in calls {
        ns = ns.saturating_add(call.boundaries.ended.saturating_sub(call.boundaries.start().max(until)));
        until = until.max(call.boundaries.ended);
    }
    ns
}

/// How long the peer took for a call, in nanoseconds: the time for which the answer was there and the server did not look
/// is left out. 0 for a call without a whole answer, which says nothing about the peer.
fn waited(call: &Call) -> u64 {
    let is_whole = call.outcome == Outcome::Complete;
    let waited = call.boundaries.total().saturating_sub(call.boundaries.phases().pickup.unwrap_or(0));
    if is_whole { waited } else { 0 }
}

/// Whether these may be two addresses of one name.
fn is_same_service(one: &Endpoint, other: &Endpoint) -> bool {
    match (one, other) {
        (Endpoint::Tcp(one), Endpoint::Tcp(other)) => one.port() == other.port(),
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::routes::CountedRequest;
    use crate::fixtures;
    use crate::model::boundaries::Boundaries;

    const MS: u64 = 1_000_000;
    const ROUTE: RouteId = RouteId(0);

    /// Calls by kind, summary, begin and length in milliseconds.
    fn calls(of: impl IntoIterator<Item = (CallKind, &'static str, u64, u64)>) -> Vec<Arc<Call>> {
        let call = |(kind, summary, begun, length)| Arc::new(fixtures::call(1, kind, summary, begun * MS, length * MS));
        of.into_iter().map(call).collect()
    }

    /// Of requests of one route, each with a total in milliseconds.
    fn findings(requests: &[(u64, Vec<Arc<Call>>)]) -> Vec<(FindingKind, u64, u64, u64)> {
        let mut findings = CallFindings::default();
        let mut statistics = RouteStatistics::default();
        for (total, calls) in requests {
            let boundaries = Boundaries::default();
            let ended =
                CountedRequest { outcome: Outcome::Complete, error: false, boundaries: &boundaries, parts: None };
            statistics.add(ROUTE, || ("GET".into(), "/a".into()), &ended);
            findings.add(&Caller { route: ROUTE, test: None, total_ns: total * MS, calls });
        }
        let found = findings.into_findings(&statistics).into_iter();
        found.map(|found| (found.kind, found.count, found.of, found.asked_for.map_or(0, |asked| asked.most))).collect()
    }

    fn in_a_loop(count: u64) -> Vec<Arc<Call>> {
        calls((0..count).map(|n| (CallKind::Postgresql, "SELECT items", 2 * n, 1)))
    }

    #[test]
    fn a_call_in_a_loop_is_repeated_from_ten_on() {
        let found = findings(&[(100, in_a_loop(41)), (100, in_a_loop(10)), (100, in_a_loop(9)), (100, Vec::new())]);
        assert_eq!(found, [(FindingKind::RepeatedCall, 2, 4, 41)]);
    }

    #[test]
    fn calls_at_the_same_time_are_not_repeated() {
        let at_once = calls((0..40).map(|_| (CallKind::Http, "GET /a", 5, 10)));
        let of_several = calls((0..18).map(|n| (CallKind::Redis, if n % 2 == 0 { "GET" } else { "SET" }, 2 * n, 1)));
        assert_eq!(findings(&[(100, at_once), (100, of_several)]), []);
    }

    #[test]
    fn a_call_is_slow_that_takes_most_of_the_time() {
        let slow = |length| calls([(CallKind::Http, "GET /slow", 1, length)]);
        // A tenth of a call is pickup: see the fixture.
        let of = |total, length| vec![(total, slow(length)); 3];
        assert_eq!(findings(&of(62, 60)), [(FindingKind::SlowCall, 3, 3, 1)]);
        assert_eq!(findings(&of(62, 60)[..2]), []);
        assert_eq!(findings(&of(130, 60)), []);
        assert_eq!(findings(&of(50, 49)), []);
        // Most of the route's requests do without it.
        assert_eq!(findings(&[of(62, 60), vec![(1, Vec::new()); 4]].concat()), []);
        // Half of its calls are quick.
        assert_eq!(findings(&[of(82, 80), of(6, 5), of(6, 5)].concat()), []);
    }

    #[test]
    fn too_many_calls_are_not_called_slow_as_well() {
        let of_sixty = calls((0..12).map(|n| (CallKind::Sqlite, "SELECT items", 61 * n, 60)));
        assert_eq!(findings(&[(732, of_sixty)]), [(FindingKind::RepeatedCall, 1, 1, 12)]);
    }

    /// A connect that fails after a millisecond.
    fn refused(begun: u64, port: u16) -> Arc<Call> {
        let mut call = fixtures::call(1, CallKind::Tcp, Call::CONNECT, begun * MS, MS);
        (call.is_error, call.status) = (true, Some("ECONNREFUSED".into()));
        let peer = Endpoint::Tcp(([127, 0, 0, 2], port).into());
        Arc::make_mut(&mut call.connection).server = peer;
        Arc::new(call)
    }

    #[test]
    fn a_connection_that_fails_to_the_last_try() {
        let tries = vec![refused(1, 9000), refused(3, 9000), refused(5, 9000)];
        assert_eq!(findings(&[(9, tries)]), [(FindingKind::FailedConnect, 1, 1, 3)]);
    }

    #[test]
    fn a_try_that_succeeds_in_the_end() {
        let mut tries = vec![refused(1, 9000), refused(3, 9000)];
        // Another address of the same name.
        tries.extend(calls([(CallKind::Http, "GET /a", 5, 1)]));
        assert_eq!(findings(&[(9, tries)]), []);
        let mut other = vec![refused(1, 9001)];
        other.extend(calls([(CallKind::Http, "GET /a", 5, 1)]));
        assert_eq!(findings(&[(9, other)]), [(FindingKind::FailedConnect, 1, 1, 1)]);
    }
}
