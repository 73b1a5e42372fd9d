//! The statistics of each route: exact counts and the distribution of times, in bounded memory.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::analysis::distribution::Durations;
use crate::model::boundaries::Boundaries;
use crate::model::duration::Distribution;
use crate::model::explanation::Parts;
use crate::model::request::{Outcome, RouteId};
use crate::model::summary::RouteSummary;

/// The routes that are counted one by one; requests of further routes count as [`OTHER`].
const ROUTES_MAX: usize = 1000;

/// Method and route of the requests whose route has no room of its own.
const OTHER: (&str, &str) = ("*", "(other)");

/// The statistics of all routes.
#[derive(Debug, Default)]
pub struct RouteStatistics {
    routes: Vec<Route>,
    by_name: HashMap<(Arc<str>, Arc<str>), RouteId>,
    /// The route [`OTHER`], once there is no room for more.
    other: Option<RouteId>,
}

/// A request that has ended, as the statistics count it.
#[derive(Debug)]
pub struct CountedRequest<'a> {
    /// How it ended.
    pub outcome: Outcome,
    /// Whether the server failed it.
    pub error: bool,
    /// Its boundaries.
    pub boundaries: &'a Boundaries,
    /// The parts of its `handle` phase, where they are known.
    pub parts: Option<Parts>,
}

impl CountedRequest<'_> {
    /// Whether the whole response was sent; otherwise its times say nothing.
    pub fn is_complete(&self) -> bool {
        self.outcome == Outcome::Complete
    }
}

#[derive(Debug, Default)]
struct Route {
    name: (Arc<str>, Arc<str>),
    count: u64,
    errors: u64,
    incomplete: u64,
    total: Durations,
    /// Sum and number of each phase.
    phases: [(u128, u64); 4],
    /// Sum of each part of `handle`, and in how many requests it was opened.
    parts: ([u128; 5], u64),
}

impl RouteStatistics {
    /// The route in which requests with this method and route count.
    pub fn route(&mut self, method: &Arc<str>, route: &Arc<str>) -> RouteId {
        let key = (Arc::clone(method), Arc::clone(route));
        if let Some(&known) = self.by_name.get(&key) {
            return known;
        }
        if self.routes.len() < ROUTES_MAX {
            return self.insert(key);
        }
        let other = self.other.unwrap_or_else(|| self.insert((OTHER.0.into(), OTHER.1.into())));
        self.other = Some(other);
        other
    }

    fn insert(&mut self, key: (Arc<str>, Arc<str>)) -> RouteId {
        *self.by_name.entry(key).or_insert_with_key(|name| {
            self.routes.push(Route { name: name.clone(), ..Route::default() });
            RouteId(self.routes.len() - 1)
        })
    }

    /// Counts a request.
    pub fn add(&mut self, route: RouteId, ended: &CountedRequest<'_>) {
        self.routes[route.0].add(ended);
    }

    /// The method and the route.
    pub fn name(&self, route: RouteId) -> (Arc<str>, Arc<str>) {
        self.routes[route.0].name.clone()
    }

    /// The number of its requests.
    pub fn count(&self, route: RouteId) -> u64 {
        self.routes[route.0].count
    }

    /// The sum of the `handle` phases of its requests, in nanoseconds.
    pub fn handled(&self, route: RouteId) -> u128 {
        self.routes[route.0].phases[2].0
    }

    /// The distribution of the total request times of all routes together.
    pub fn total(&self) -> Option<Distribution> {
        let mut all = Durations::default();
        self.routes.iter().for_each(|route| all.merge(&route.total));
        all.into_distribution()
    }

    /// The route with the most total time comes first.
    pub fn into_summaries(mut self) -> Vec<RouteSummary> {
        let of_name = |(key, RouteId(at))| (key, std::mem::take(&mut self.routes[at]));
        let mut routes: Vec<_> = self.by_name.into_iter().map(of_name).collect();
        routes.sort_by(|(a_key, a), (b_key, b)| {
            (b.total.sum, b.count).cmp(&(a.total.sum, a.count)).then_with(|| a_key.cmp(b_key))
        });
        let summaries = routes.into_iter().map(|((method, route), statistics)| RouteSummary {
            method,
            route,
            count: statistics.count,
            errors: statistics.errors,
            incomplete: statistics.incomplete,
            handle_mean: statistics.handle_mean(),
            total: statistics.total.into_distribution(),
            phase_mean: statistics.phases.map(|(sum, count)| (count > 0).then(|| sum as f64 / count as f64)),
        });
        summaries.collect()
    }
}

impl Route {
    fn add(&mut self, ended: &CountedRequest<'_>) {
        self.count += 1;
        self.errors += u64::from(ended.error);
        if !ended.is_complete() {
            self.incomplete += 1;
            return;
        }
        self.total.add(ended.boundaries.total());
        let phases = ended.boundaries.phases().named();
        for ((sum, count), (_, length)) in self.phases.iter_mut().zip(phases) {
            if let Some(length) = length {
                *sum += u128::from(length);
                *count += 1;
            }
        }
        if let Some(parts) = ended.parts {
            for (sum, (_, length)) in self.parts.0.iter_mut().zip(parts.named()) {
                *sum += u128::from(length);
            }
            self.parts.1 += 1;
        }
    }

    fn handle_mean(&self) -> Option<[f64; 5]> {
        let (sums, count) = self.parts;
        (count > 0).then(|| sums.map(|sum| sum as f64 / count as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(statistics: &mut RouteStatistics, route: &str, total: u64, outcome: Outcome) {
        let boundaries = Boundaries {
            arrived: Some(10),
            read: 10,
            received: Some(10),
            responded: Some(10 + total),
            ended: 10 + total,
            ..Default::default()
        };
        let route = statistics.route(&"GET".into(), &route.into());
        let ended =
            CountedRequest { outcome, error: outcome == Outcome::ServerClosed, boundaries: &boundaries, parts: None };
        statistics.add(route, &ended);
    }

    #[test]
    fn few_times_are_exact_and_many_to_three_digits() {
        for (count, step, exact) in [(100u64, 1_000_003u64, true), (20_000, 10_007, false)] {
            let mut statistics = RouteStatistics::default();
            for n in 1..=count {
                add(&mut statistics, "/", n * step, Outcome::Complete);
            }
            let [summary] = &statistics.into_summaries()[..] else { panic!("one route") };
            let total = summary.total.expect("times");
            let close = |value: u64, percent: u64| {
                let truth = count * percent / 100 * step;
                if exact {
                    assert_eq!(value, truth);
                } else {
                    assert!(value.abs_diff(truth) * 1000 <= truth, "{value} {truth}");
                }
            };
            close(total.p50, 50);
            close(total.p90, 90);
            close(total.p99, 99);
            assert_eq!(total.max, count * step);
            assert!((total.mean / ((count + 1) as f64 / 2.0 * step as f64) - 1.0).abs() < 1e-9);
            assert_eq!(summary.phase_mean, [Some(0.0), Some(0.0), Some(total.mean), Some(0.0)]);
        }
    }

    #[test]
    fn the_distribution_of_all_routes_is_that_of_all_requests() {
        for (first, second) in [(10, 20), (300, 300), (10, 2000), (2000, 10), (2000, 3000)] {
            let (mut apart, mut together) = (RouteStatistics::default(), RouteStatistics::default());
            for (route, count) in [("/a", first), ("/b", second)] {
                for n in 1..=count {
                    add(&mut apart, route, n * 10_007, Outcome::Complete);
                    add(&mut together, "/", n * 10_007, Outcome::Complete);
                }
            }
            assert_eq!(apart.total(), together.into_summaries()[0].total, "{first} {second}");
        }
        assert_eq!(RouteStatistics::default().total(), None);
    }

    #[test]
    fn incomplete_requests_count_and_have_no_times() {
        let mut statistics = RouteStatistics::default();
        add(&mut statistics, "/", 5, Outcome::ServerClosed);
        add(&mut statistics, "/", 5, Outcome::ClientClosed);
        let summaries = statistics.into_summaries();
        let counts = (summaries[0].count, summaries[0].errors, summaries[0].incomplete);
        assert_eq!((counts, summaries[0].total), ((2, 1, 2), None));
        assert_eq!(summaries[0].phase_mean, [None; 4]);
    }

    #[test]
    fn parts_are_means_over_the_complete_requests_that_were_opened() {
        let mut statistics = RouteStatistics::default();
        let route = statistics.route(&"GET".into(), &"/".into());
        let boundaries = Boundaries { received: Some(0), responded: Some(40), ended: 40, ..Default::default() };
        let parts = |running| Some(Parts { running, waiting: 40 - running, ..Parts::default() });
        for (outcome, parts) in [
            (Outcome::Complete, parts(10)),
            (Outcome::Complete, parts(20)),
            (Outcome::Complete, None),
            (Outcome::StillOpen, parts(40)),
        ] {
            statistics.add(route, &CountedRequest { outcome, error: false, boundaries: &boundaries, parts });
        }
        assert_eq!((statistics.count(route), statistics.handled(route)), (4, 120));
        assert_eq!(statistics.into_summaries()[0].handle_mean, Some([15.0, 0.0, 0.0, 0.0, 25.0]));
    }

    #[test]
    fn the_route_with_the_most_time_comes_first_and_the_number_of_routes_is_bounded() {
        let mut statistics = RouteStatistics::default();
        for n in 0..ROUTES_MAX as u64 + 5 {
            add(&mut statistics, &format!("/{n}"), n, Outcome::Complete);
        }
        let summaries = statistics.into_summaries();
        assert_eq!(summaries.len(), ROUTES_MAX + 1);
        assert_eq!((&*summaries[0].route, summaries[0].count), ("(other)", 5));
        assert_eq!(&*summaries[1].route, "/999");
    }
}
