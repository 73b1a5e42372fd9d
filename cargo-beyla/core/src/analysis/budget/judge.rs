//! Judges the budgets of a run.

use std::cmp::Reverse;
use std::sync::Arc;

use crate::analysis::budget::definition::{Budget, Scope};
use crate::analysis::budget::metric::Metric;
use crate::model::duration::Distribution;
use crate::model::request::Request;
use crate::model::summary::{RouteSummary, Summary};
use crate::model::test::{TestId, TestSummary};

/// The requests that are named when a budget is broken.
const REQUESTS_MAX: usize = 5;

/// What the judgement of a budget says.
#[derive(Clone, Debug, PartialEq)]
pub struct BudgetVerdict {
    /// The budget.
    pub budget: Budget,
    /// Whether it holds.
    pub outcome: Outcome,
    /// The number of routes, tests or runs for which it was judged.
    pub judged: usize,
    /// The values that break it, the worst first. If it holds, the value that is nearest to its bound.
    pub values: Vec<Value>,
    /// A few of the requests that broke it, the slowest first.
    pub requests: Vec<Arc<Request>>,
}

/// Whether a budget holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It holds for everything in its scope.
    Holds,
    /// It does not hold for everything in its scope.
    Broken,
    /// Its scope matched nothing, although it should have: this fails the run as well.
    Unmatched,
    /// Its scope matched nothing, as only a part of the tests ran.
    NotJudged,
}

impl Outcome {
    /// Its name in reports.
    pub fn label(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Broken => "broken",
            Self::Unmatched => "matches nothing",
            Self::NotJudged => "not judged",
        }
    }
}

/// A number for which a budget was judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// The run, route or test that has this number.
    pub subject: Subject,
    /// The number; times are nanoseconds.
    pub value: u64,
}

/// What a budget may be judged for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The run.
    Everything,
    /// A route.
    Route {
        /// The request method.
        method: Arc<str>,
        /// The route.
        route: Arc<str>,
    },
    /// A test in a round.
    Test(TestId),
}

impl BudgetVerdict {
    /// Whether it fails the run.
    pub fn fails(&self) -> bool {
        matches!(self.outcome, Outcome::Broken | Outcome::Unmatched)
    }
}

/// Judges each budget. A budget whose scope matches nothing fails, as otherwise nobody would ever notice it. There are
/// two exceptions: a count of requests is 0 then, and in a `partial` run such a budget is not judged.
pub fn judge(budgets: &[Budget], summary: &Summary, partial: bool) -> Vec<BudgetVerdict> {
    budgets.iter().map(|budget| judge_one(budget, summary, partial)).collect()
}

fn judge_one(budget: &Budget, summary: &Summary, partial: bool) -> BudgetVerdict {
    let mut values = values(budget, summary);
    let judged = values.len();
    let metric = budget.metric;
    if values.is_empty() && metric == Metric::Requests && matches!(budget.scope, Scope::Routes { .. }) && !partial {
        // There is no request of any such route, and that breaks it.
        let (outcome, values) = if budget.holds(0) {
            (Outcome::Holds, values)
        } else {
            (Outcome::Broken, vec![Value { subject: Subject::Everything, value: 0 }])
        };
        return BudgetVerdict { budget: budget.clone(), outcome, judged, values, requests: Vec::new() };
    }
    if budget.operator.is_upper_bound() {
        values.sort_by_key(|value| Reverse(value.value));
    } else {
        values.sort_by_key(|value| value.value);
    }
    let nearest = values.first().cloned();
    values.retain(|value| !budget.holds(value.value));
    let outcome = match (judged, values.is_empty()) {
        (0, _) if partial => Outcome::NotJudged,
        (0, _) => Outcome::Unmatched,
        (_, true) => Outcome::Holds,
        (_, false) => Outcome::Broken,
    };
    let requests = requests(budget, &values, summary);
    if values.is_empty() {
        values.extend(nearest);
    }
    BudgetVerdict { budget: budget.clone(), outcome, judged, values, requests }
}

/// The numbers in the scope of a budget. Without a complete request there are no times.
fn values(budget: &Budget, summary: &Summary) -> Vec<Value> {
    let metric = budget.metric;
    match &budget.scope {
        Scope::Everything => {
            let totals = &summary.totals;
            let counts = Counts { requests: totals.requests, errors: totals.errors, incomplete: totals.incomplete };
            let value = of_times(metric, summary.total.as_ref(), counts);
            value.map(|value| Value { subject: Subject::Everything, value }).into_iter().collect()
        }
        scope @ Scope::Routes { .. } => {
            let routes = summary.routes.iter().filter(|route| scope.has_route(&route.method, &route.route));
            routes.filter_map(|route| of_route(metric, route)).collect()
        }
        scope @ Scope::Tests(_) => {
            let tests = (0..).map(TestId).zip(&summary.tests);
            let tests = tests.filter(|(_, test)| scope.has_test(&test.binary, &test.name));
            let value = |(id, test)| Some(Value { subject: Subject::Test(id), value: of_test(metric, test)? });
            tests.filter_map(value).collect()
        }
    }
}

/// Counts of requests. Times do not include requests without a whole response.
#[derive(Clone, Copy)]
struct Counts {
    requests: u64,
    errors: u64,
    incomplete: u64,
}

fn of_times(metric: Metric, total: Option<&Distribution>, counts: Counts) -> Option<u64> {
    let complete = counts.requests.saturating_sub(counts.incomplete);
    Some(match metric {
        Metric::Requests => counts.requests,
        Metric::Errors => counts.errors,
        Metric::P50 => total?.p50,
        Metric::P90 => total?.p90,
        Metric::P99 => total?.p99,
        Metric::Max => total?.max,
        Metric::Mean => total?.mean.round() as u64,
        Metric::Total => (total?.mean * complete as f64).round() as u64,
        Metric::Duration => return None,
    })
}

fn of_route(metric: Metric, route: &RouteSummary) -> Option<Value> {
    let counts = Counts { requests: route.count, errors: route.errors, incomplete: route.incomplete };
    let value = of_times(metric, route.total.as_ref(), counts)?;
    let subject = Subject::Route { method: Arc::clone(&route.method), route: Arc::clone(&route.route) };
    Some(Value { subject, value })
}

fn of_test(metric: Metric, test: &TestSummary) -> Option<u64> {
    let counts = Counts { requests: test.requests, errors: test.errors, incomplete: test.incomplete };
    match metric {
        Metric::Duration => Some(test.duration_ns),
        Metric::Total => Some(test.sum_ns),
        _ => of_times(metric, test.total.as_ref(), counts),
    }
}

/// The requests, among those kept one by one, that make a number too large.
fn requests(budget: &Budget, broken: &[Value], summary: &Summary) -> Vec<Arc<Request>> {
    if broken.is_empty() || !budget.operator.is_upper_bound() || budget.metric == Metric::Duration {
        return Vec::new();
    }
    let guilty = |request: &Request| match budget.metric {
        Metric::P50 | Metric::P90 | Metric::P99 | Metric::Max | Metric::Mean => {
            !budget.holds(request.boundaries.total())
        }
        Metric::Errors => request.is_error(),
        Metric::Total | Metric::Requests | Metric::Duration => true,
    };
    let within = |request: &Request| {
        broken.iter().any(|value| match &value.subject {
            Subject::Everything => true,
            Subject::Route { method, route } => *method == request.method && *route == request.route,
            Subject::Test(test) => request.connection.owner.and_then(|owner| owner.test) == Some(*test),
        })
    };
    let guilty = summary.requests.iter().filter(|request| guilty(request) && within(request));
    let mut requests: Vec<&Arc<Request>> = guilty.collect();
    requests.sort_unstable_by_key(|request| (Reverse(request.boundaries.total()), request.id));
    requests.into_iter().take(REQUESTS_MAX).map(Arc::clone).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::budget::parse::parse;
    use crate::fixtures;

    fn verdicts(texts: &[&str], summary: &Summary, partial: bool) -> Vec<BudgetVerdict> {
        let budgets: Vec<Budget> = texts.iter().map(|text| parse(text).expect(text)).collect();
        judge(&budgets, summary, partial)
    }

    fn outcome(text: &str, summary: &Summary) -> Outcome {
        verdicts(&[text], summary, false)[0].outcome
    }

    #[test]
    fn budgets_of_routes_and_of_the_run() {
        let summary = fixtures::troubled();
        for (text, expected) in [
            ("GET /status/{id} p99 < 2.2ms", Outcome::Holds),
            ("GET /status/{id} p99 < 2ms", Outcome::Broken),
            ("GET /status/* p99 < 2ms", Outcome::Broken),
            ("* /status/{id} requests <= 6", Outcome::Holds),
            ("* * requests <= 5", Outcome::Broken),
            ("GET /status/{id} errors == 2", Outcome::Holds),
            ("errors == 0", Outcome::Broken),
            ("requests == 7", Outcome::Holds),
            ("GET /status/{id} total < 1.9ms", Outcome::Holds),
            ("GET /status/{id} total < 1.8ms", Outcome::Broken),
            // It has no complete request.
            ("POST /status/{id} max < 1s", Outcome::Unmatched),
            ("GET /missing p50 < 1s", Outcome::Unmatched),
            ("GET /missing errors == 0", Outcome::Unmatched),
            ("GET /missing requests == 0", Outcome::Holds),
            ("GET /missing requests >= 1", Outcome::Broken),
            ("test missing requests == 0", Outcome::Unmatched),
        ] {
            assert_eq!(outcome(text, &summary), expected, "{text}");
        }
        assert_eq!(verdicts(&["GET /missing p50 < 1s"], &summary, true)[0].outcome, Outcome::NotJudged);
    }

    #[test]
    fn the_requests_that_broke_it() {
        let mut summary = fixtures::troubled();
        for request in &mut summary.requests {
            Arc::make_mut(request).route = "/status/{id}".into();
        }
        let ids = |text: &str| -> Vec<u64> {
            verdicts(&[text], &summary, false)[0].requests.iter().map(|request| request.id).collect()
        };
        assert_eq!(ids("GET /status/{id} p50 < 350us"), [6, 5, 4]);
        assert_eq!(ids("errors == 0"), [4, 1]);
        assert_eq!(ids("* * requests < 3"), [6, 5, 4, 3, 2]);
        assert_eq!(ids("requests > 100"), [0; 0]);
        assert_eq!(ids("GET /status/{id} p99 < 1s"), [0; 0]);
    }

    #[test]
    fn each_test_in_each_round() {
        let summary = fixtures::suite();
        let [verdict] = &verdicts(&["test * requests <= 3"], &summary, false)[..] else { panic!("one") };
        assert_eq!((verdict.outcome, verdict.judged), (Outcome::Broken, summary.tests.len()));
        assert_eq!(verdict.values, [Value { subject: Subject::Test(TestId(1)), value: 6 }]);
        assert!(
            verdict
                .requests
                .iter()
                .all(|request| { request.connection.owner.and_then(|owner| owner.test) == Some(TestId(1)) })
        );
        assert_eq!(outcome("test users::* duration < 1s", &summary), Outcome::Holds);
        assert_eq!(outcome("test shop::api* duration < 10ms", &summary), Outcome::Broken);
        // A test without requests has no times, and none to be judged by.
        assert_eq!(outcome("test pure::* p99 < 10ms", &summary), Outcome::Unmatched);
        assert_eq!(outcome("test pure::* total == 0", &summary), Outcome::Holds);
    }
}
