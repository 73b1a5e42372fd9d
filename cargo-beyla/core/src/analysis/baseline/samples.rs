//! The samples of a run for comparisons with other runs: request times by route and round, tests by round.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use crate::model::request::{Outcome, Request};
use crate::model::test::{TestId, TestResult, TestSummary};

/// The times that are kept for one route in one test. A further time takes the place of another at random.
const TIMES_MAX: usize = 1000;

/// The times that are kept in all.
const ALL_MAX: usize = 1024 * 1024;

/// The routes that are kept apart, as in the report.
const ROUTES_MAX: usize = 1000;

/// The samples of one run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Samples {
    /// The routes, ordered by method and route.
    pub routes: Vec<RouteSamples>,
    /// The tests, ordered by binary and name.
    pub tests: Vec<TestSamples>,
}

/// The requests of a route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouteSamples {
    /// The request method.
    pub method: String,
    /// The route.
    pub route: String,
    /// The rounds in which there were any.
    pub rounds: Vec<RouteRound>,
}

/// The requests of a route in one round.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RouteRound {
    /// The number of the round, from 0.
    pub round: u32,
    /// The number of complete requests.
    pub count: u64,
    /// Their total request times in nanoseconds; a sample of them if there are many.
    pub total_ns: Vec<u64>,
}

/// A test that passed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TestSamples {
    /// The test binary.
    pub binary: String,
    /// The test's name within it.
    pub name: String,
    /// The rounds in which it passed.
    pub rounds: Vec<TestRound>,
}

/// A test in one round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TestRound {
    /// The number of the round, from 0.
    pub round: u32,
    /// The requests that it caused.
    pub requests: u64,
    /// The sum of their total request times, in nanoseconds.
    pub sum_ns: u64,
    /// How long the test took, in nanoseconds.
    pub duration_ns: u64,
}

/// Collects the samples of a run, as requests end.
#[derive(Debug, Default)]
pub struct Collector {
    routes: HashMap<RouteName, ByTest>,
    stored: usize,
    /// Requests for which there was no room.
    left_out: u64,
    random: Random,
}

/// Method and route.
type RouteName = (Arc<str>, Arc<str>);

/// Times by test; under `None` those whose test is not known.
type ByTest = HashMap<Option<TestId>, Times>;

/// The seed of every run, so that equal runs leave equal samples.
#[derive(Debug)]
struct Random(fastrand::Rng);

impl Default for Random {
    fn default() -> Self {
        Self(fastrand::Rng::with_seed(0))
    }
}

#[derive(Debug, Default)]
struct Times {
    count: u64,
    sample: Vec<u64>,
}

impl Collector {
    /// Adds a request that has ended. One without a whole response adds no time.
    pub fn observe(&mut self, request: &Request) {
        if request.outcome != Outcome::Complete {
            return;
        }
        let key = (Arc::clone(&request.method), Arc::clone(&request.route));
        if self.routes.len() >= ROUTES_MAX && !self.routes.contains_key(&key) {
            self.left_out += 1;
            return;
        }
        let test = request.connection.owner.and_then(|owner| owner.test);
        let times = self.routes.entry(key).or_default().entry(test).or_default();
        let total = request.boundaries.total();
        times.count += 1;
        if times.sample.len() >= TIMES_MAX {
            // Each request so far stays with the same probability (Vitter's algorithm R).
            let at = self.random.0.u64(..times.count);
            if let Some(place) = usize::try_from(at).ok().and_then(|at| times.sample.get_mut(at)) {
                *place = total;
            }
        } else if self.stored < ALL_MAX {
            times.sample.push(total);
            self.stored += 1;
        } else {
            self.left_out += 1;
        }
    }

    /// Counts requests that got lost on the way here, as there was no room for them.
    pub fn lose(&mut self, requests: u64) {
        self.left_out += requests;
    }

    /// The number of requests that are in no sample, as there were too many requests, routes or tests.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// The samples, once the tests of the run are known. A run without tests is one round.
    pub fn finish(self, tests: &[TestSummary]) -> Samples {
        let round = |test: &TestId| tests.get(test.0 as usize).map_or(0, |test| test.round);
        let route = |((method, route), by_test): (RouteName, ByTest)| {
            let mut rounds: BTreeMap<u32, RouteRound> = BTreeMap::new();
            let mut by_test: Vec<_> = by_test.into_iter().collect();
            by_test.sort_unstable_by_key(|(test, _)| *test);
            for (test, times) in by_test {
                let round = test.as_ref().map_or(0, round);
                let samples = rounds.entry(round).or_insert_with(|| RouteRound { round, ..RouteRound::default() });
                samples.count += times.count;
                samples.total_ns.extend(times.sample);
            }
            let rounds = rounds.into_values().filter(|round| !round.total_ns.is_empty()).collect();
            RouteSamples { method: method.as_ref().into(), route: route.as_ref().into(), rounds }
        };
        let mut routes: Vec<RouteSamples> = self.routes.into_iter().map(route).collect();
        routes.sort_unstable_by(|a, b| (&a.method, &a.route).cmp(&(&b.method, &b.route)));
        Samples { routes, tests: of_tests(tests) }
    }
}

/// The tests that passed; the duration of a failed test says nothing.
fn of_tests(tests: &[TestSummary]) -> Vec<TestSamples> {
    let mut by_name: BTreeMap<(&str, &str), Vec<TestRound>> = BTreeMap::new();
    for test in tests.iter().filter(|test| test.result == Some(TestResult::Passed)) {
        let TestSummary { round, requests, sum_ns, duration_ns, .. } = *test;
        let of_test = by_name.entry((&test.binary, &test.name)).or_default();
        of_test.push(TestRound { round, requests, sum_ns, duration_ns });
    }
    let named = |((binary, name), rounds): ((&str, &str), Vec<TestRound>)| TestSamples {
        binary: binary.to_owned(),
        name: name.to_owned(),
        rounds,
    };
    by_name.into_iter().map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    #[test]
    fn samples_by_route_and_round() {
        let tests = [0, 1].map(|round| fixtures::test("api::users", round));
        let mut collector = Collector::default();
        for id in 1..=2500 {
            let mut request = fixtures::request(id, "/hello");
            if id > 2000 {
                fixtures::assign(&mut request, TestId(1));
            }
            collector.observe(&request);
        }
        let mut broken = fixtures::request(9, "/hello");
        broken.outcome = Outcome::ServerClosed;
        collector.observe(&broken);
        assert_eq!(collector.left_out(), 0);
        let samples = collector.finish(&tests);
        let [route] = &samples.routes[..] else { panic!("one route") };
        let rounds: Vec<_> =
            route.rounds.iter().map(|round| (round.round, round.count, round.total_ns.len())).collect();
        assert_eq!(rounds, [(0, 2000, 1000), (1, 500, 500)]);
        // It samples all times, not the first ones.
        let late = route.rounds[0].total_ns.iter().filter(|&&ns| ns > 100_000_000).count();
        assert!((400..600).contains(&late), "{late}");
        assert_eq!(samples.tests.len(), 1);
        assert_eq!(samples.tests[0].rounds.len(), 2);
    }

    #[test]
    fn the_number_of_routes_is_bounded() {
        let mut collector = Collector::default();
        for id in 0..ROUTES_MAX as u64 + 5 {
            collector.observe(&fixtures::request(1, &format!("/{id}x")));
        }
        assert_eq!(collector.left_out(), 5);
        assert_eq!(collector.finish(&[]).routes.len(), ROUTES_MAX);
    }
}
