//! The statistics of each route: exact counts and the distribution of times, in bounded memory.

use std::sync::Arc;

use crate::analysis::distribution::Durations;
use crate::model::boundaries::Boundaries;
use crate::model::duration::Distribution;
use crate::model::explanation::Parts;
use crate::model::request::{Outcome, RouteId};
use crate::model::summary::RouteSummary;

/// The method and the route.
type Name = (Arc<str>, Arc<str>);

/// The statistics of all routes.
#[derive(Debug, Default)]
pub struct RouteStatistics {
    /// By number. A route is empty as long as none of its requests has ended.
    routes: Vec<Route>,
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
    name: Name,
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
    /// Counts a request of a route with this name.
    pub fn add(&mut self, RouteId(route): RouteId, name: impl FnOnce() -> Name, ended: &CountedRequest<'_>) {
        if self.routes.len() <= route {
            self.routes.resize_with(route + 1, Route::default);
        }
        let route = &mut self.routes[route];
        if route.count == 0 {
            route.name = name();
        }
        route.add(ended);
    }

    /// The method and the route; empty if none of its requests has ended.
    pub fn name(&self, route: RouteId) -> Name {
        self.routes.get(route.0).map(|route| route.name.clone()).unwrap_or_default()
    }

    /// The number of its requests.
    pub fn count(&self, route: RouteId) -> u64 {
        self.routes.get(route.0).map_or(0, |route| route.count)
    }

    /// The sum of the `handle` phases of its requests, in nanoseconds.
    pub fn handled(&self, route: RouteId) -> u128 {
        self.routes.get(route.0).map_or(0, |route| route.phases[2].0)
    }

    /// The distribution of the total request times of all routes together.
    pub fn total(&self) -> Option<Distribution> {
        let mut all = Durations::default();
        self.routes.iter().for_each(|route| all.merge(&route.total));
        all.into_distribution()
    }

    /// The route with the most total time comes first.
    pub fn into_summaries(self) -> Vec<RouteSummary> {
        let mut routes: Vec<_> = self.routes.into_iter().filter(|route| route.count > 0).collect();
        routes.sort_by(|a, b| (b.total.sum, b.count).cmp(&(a.total.sum, a.count)).then_with(|| a.name.cmp(&b.name)));
        routes.into_iter().map(Route::into_summary).collect()
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

    fn into_summary(self) -> RouteSummary {
        let (method, route) = self.name;
        let (parts, opened) = self.parts;
        RouteSummary {
            method,
            route,
            count: self.count,
            errors: self.errors,
            incomplete: self.incomplete,
            handle_mean: (opened > 0).then(|| parts.map(|sum| sum as f64 / opened as f64)),
            total: self.total.into_distribution(),
            phase_mean: self.phases.map(|(sum, count)| (count > 0).then(|| sum as f64 / count as f64)),
        }
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
        let ended =
            CountedRequest { outcome, error: outcome == Outcome::ServerClosed, boundaries: &boundaries, parts: None };
        // One number for each of the routes below.
        let number = route[1..].parse().unwrap_or(route.len() + usize::from(route.ends_with('b')));
        statistics.add(RouteId(number), || ("GET".into(), route.into()), &ended);
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
        let route = RouteId(3);
        let boundaries = Boundaries { received: Some(0), responded: Some(40), ended: 40, ..Default::default() };
        let parts = |running| Some(Parts { running, waiting: 40 - running, ..Parts::default() });
        for (outcome, parts) in [
            (Outcome::Complete, parts(10)),
            (Outcome::Complete, parts(20)),
            (Outcome::Complete, None),
            (Outcome::StillOpen, parts(40)),
        ] {
            let counted = CountedRequest { outcome, error: false, boundaries: &boundaries, parts };
            statistics.add(route, || ("GET".into(), "/".into()), &counted);
        }
        assert_eq!((statistics.count(route), statistics.handled(route)), (4, 120));
        assert_eq!(statistics.into_summaries()[0].handle_mean, Some([15.0, 0.0, 0.0, 0.0, 25.0]));
    }

    #[test]
    fn the_route_with_the_most_time_comes_first() {
        let mut statistics = RouteStatistics::default();
        for n in 1..=5 {
            add(&mut statistics, &format!("/{n}"), n, Outcome::Complete);
        }
        let routes: Vec<_> = statistics.into_summaries().iter().map(|summary| summary.route.to_string()).collect();
        assert_eq!(routes, ["/5", "/4", "/3", "/2", "/1"]);
    }
}
