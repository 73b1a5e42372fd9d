//! Two runs side by side: one row for each route and test of either run.

use std::collections::BTreeMap;

use crate::analysis::baseline::estimate;
use crate::analysis::baseline::estimate::{Change, Direction};
use crate::analysis::baseline::samples::{RouteSamples, Samples, TestRound, TestSamples};

/// The comparison of a run with a baseline.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// The name of the baseline.
    pub baseline: String,
    /// When it was saved, in nanoseconds since the Unix epoch.
    pub saved_unix_ns: u64,
    /// The rows, in the order of their verdicts; within a verdict, the largest change comes first.
    pub rows: Vec<Row>,
}

/// A route or a test in both runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The route or the test.
    pub subject: Subject,
    /// Values and rounds in the baseline.
    pub before: Evidence,
    /// Values and rounds now.
    pub now: Evidence,
    /// Whether it changed.
    pub verdict: Verdict,
    /// By how much it changed; `None` if there are too few values to say.
    pub change: Option<Change>,
}

/// The times that a row compares.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// The total times of a route's requests.
    Route {
        /// The request method.
        method: String,
        /// The route.
        route: String,
    },
    /// The sum of the request times of a test.
    TestRequests {
        /// The test binary.
        binary: String,
        /// The test's name within it.
        name: String,
    },
    /// The duration of a test.
    TestDuration {
        /// The test binary.
        binary: String,
        /// The test's name within it.
        name: String,
    },
}

/// The number of values on one side of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// The number of values.
    pub count: u64,
    /// The number of rounds that had any.
    pub rounds: usize,
}

/// Whether a row changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It is slower: surely, and by a relevant amount.
    Slower,
    /// It is faster: surely, and by a relevant amount.
    Faster,
    /// The baseline does not have it.
    New,
    /// Only the baseline has it.
    Gone,
    /// There are too few requests to say.
    TooFew,
    /// No change was seen.
    NoChange,
}

impl Verdict {
    /// Its name in reports.
    pub fn label(self) -> &'static str {
        match self {
            Self::Slower => "slower",
            Self::Faster => "faster",
            Self::New => "new",
            Self::Gone => "gone",
            Self::TooFew => "too few requests to tell",
            Self::NoChange => "no change seen",
        }
    }
}

impl Comparison {
    /// The number of rows with this verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.rows.iter().filter(|row| row.verdict == verdict).count()
    }
}

/// The values of one side of a row, by round, and the number of requests that they stand for.
#[derive(Clone, Debug, Default)]
struct Values {
    rounds: Vec<Vec<u64>>,
    count: u64,
}

impl Values {
    fn evidence(&self) -> Evidence {
        Evidence { count: self.count, rounds: self.rounds.len() }
    }
}

/// Compares a run with a baseline.
pub fn compare(baseline: &Samples, now: &Samples, name: &str, saved_unix_ns: u64) -> Comparison {
    let mut rows: BTreeMap<Subject, [Values; 2]> = BTreeMap::new();
    for (side, samples) in [baseline, now].into_iter().enumerate() {
        for (subject, values) in subjects(samples) {
            rows.entry(subject).or_default()[side] = values;
        }
    }
    let comparable = |[before, now]: &[Values; 2]| estimate::compare(&before.rounds, &now.rounds, 1).is_some();
    let number = rows.values().filter(|values| comparable(values)).count();
    let mut rows: Vec<Row> = rows.into_iter().map(|(subject, values)| row(subject, &values, number)).collect();
    let extent = |row: &Row| row.change.map_or(0.0, |change| (change.now_ns - change.baseline_ns).abs());
    rows.sort_by(|a, b| {
        let is_of_test = |row: &Row| !matches!(row.subject, Subject::Route { .. });
        let first = a.verdict.cmp(&b.verdict).then(is_of_test(a).cmp(&is_of_test(b)));
        first.then(extent(b).total_cmp(&extent(a))).then_with(|| a.subject.cmp(&b.subject))
    });
    Comparison { baseline: name.to_owned(), saved_unix_ns, rows }
}

fn row(subject: Subject, [before, now]: &[Values; 2], number: usize) -> Row {
    let change = estimate::compare(&before.rounds, &now.rounds, number);
    let verdict = match (before.count, now.count, &change) {
        (0, _, _) => Verdict::New,
        (_, 0, _) => Verdict::Gone,
        (_, _, None) => Verdict::TooFew,
        (_, _, Some(change)) => match change.direction {
            Direction::Slower => Verdict::Slower,
            Direction::Faster => Verdict::Faster,
            Direction::NoChange => Verdict::NoChange,
        },
    };
    Row { subject, before: before.evidence(), now: now.evidence(), verdict, change }
}

fn subjects(samples: &Samples) -> impl Iterator<Item = (Subject, Values)> {
    let route = |RouteSamples { method, route, rounds }: &RouteSamples| {
        let subject = Subject::Route { method: method.clone(), route: route.clone() };
        let count = rounds.iter().map(|round| round.count).fold(0, u64::saturating_add);
        (subject, Values { count, rounds: rounds.iter().map(|round| round.total_ns.clone()).collect() })
    };
    let test = |TestSamples { binary, name, rounds }: &TestSamples| {
        let values = |of: fn(&TestRound) -> u64| Values {
            count: rounds.len() as u64,
            rounds: rounds.iter().map(|round| vec![of(round)]).collect(),
        };
        let (binary, name) = (binary.clone(), name.clone());
        let duration = Subject::TestDuration { binary: binary.clone(), name: name.clone() };
        let requests = Subject::TestRequests { binary, name };
        // The duration of a test without requests does not concern this tool.
        let any = rounds.iter().any(|round| round.requests > 0);
        let rows = [(requests, values(|round| round.sum_ns)), (duration, values(|round| round.duration_ns))];
        rows.into_iter().filter(move |_| any)
    };
    samples.routes.iter().map(route).chain(samples.tests.iter().flat_map(test))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::baseline::samples::RouteRound;

    fn route(route: &str, rounds: usize, ms: u64) -> RouteSamples {
        let round =
            |round| RouteRound { round, count: 10, total_ns: (0..10).map(|n| ms * 1_000_000 + n * 10_000).collect() };
        RouteSamples { method: "GET".into(), route: route.into(), rounds: (0..rounds as u32).map(round).collect() }
    }

    fn test(name: &str, rounds: u32, ms: u64) -> TestSamples {
        let round = |round| TestRound { round, requests: 3, sum_ns: ms * 500_000, duration_ns: ms * 1_000_000 };
        TestSamples { binary: "api".into(), name: name.into(), rounds: (0..rounds).map(round).collect() }
    }

    fn without_requests(ms: u64) -> TestSamples {
        let mut test = test("in process", 5, ms);
        test.rounds.iter_mut().for_each(|round| (round.requests, round.sum_ns) = (0, 0));
        test
    }

    #[test]
    fn each_verdict_and_the_worst_first() {
        let before = Samples {
            routes: vec![route("/a", 1, 1), route("/b", 1, 1), route("/faster", 1, 40), route("/gone", 1, 1)],
            tests: vec![test("slow", 5, 10), test("once", 1, 10), without_requests(1)],
        };
        let now = Samples {
            routes: vec![route("/a", 1, 1), route("/b", 1, 9), route("/faster", 1, 1), route("/new", 1, 1)],
            tests: vec![test("slow", 5, 90), test("once", 1, 10), without_requests(90)],
        };
        let comparison = compare(&before, &now, "main", 7);
        let name = |row: &Row| match &row.subject {
            Subject::Route { route, .. } => route.clone(),
            Subject::TestRequests { name, .. } => format!("{name} requests"),
            Subject::TestDuration { name, .. } => format!("{name} duration"),
        };
        let rows: Vec<_> =
            comparison.rows.iter().map(|row| format!("{}: {}", name(row), row.verdict.label())).collect();
        assert_eq!(
            rows,
            [
                "/b: slower",
                "slow duration: slower",
                "slow requests: slower",
                "/faster: faster",
                "/new: new",
                "/gone: gone",
                "once requests: too few requests to tell",
                "once duration: too few requests to tell",
                "/a: no change seen",
            ]
        );
        assert_eq!(comparison.count(Verdict::Slower), 3);
    }
}
