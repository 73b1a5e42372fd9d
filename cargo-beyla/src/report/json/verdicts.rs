//! What budgets add to the contract.

use serde::Serialize;

use cargo_beyla_core::analysis::budget::judge::{BudgetVerdict, Subject};
use cargo_beyla_core::analysis::budget::metric::Metric;

#[derive(Serialize)]
pub(super) struct BudgetRow<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    budget: &'a str,
    metric: &'static str,
    verdict: &'static str,
    fails: bool,
    judged: usize,
    values: Vec<ValueRow<'a>>,
    requests: Vec<u64>,
}

#[derive(Serialize)]
struct ValueRow<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    test: Option<u32>,
    value: u64,
}

pub(super) fn budget(verdict: &BudgetVerdict) -> BudgetRow<'_> {
    let BudgetVerdict { budget, outcome, judged, values, requests } = verdict;
    let values = values.iter().map(|value| {
        let (method, route, test) = match &value.subject {
            Subject::Everything => (None, None, None),
            Subject::Route { method, route } => (Some(&**method), Some(&**route), None),
            Subject::Test(test) => (None, None, Some(test.0)),
        };
        ValueRow { method, route, test, value: value.value }
    });
    BudgetRow {
        name: budget.name.as_deref(),
        budget: &budget.text,
        metric: Metric::WORDS.iter().find(|(_, of)| *of == budget.metric).map_or("", |(word, _)| word),
        verdict: outcome.label(),
        fails: verdict.fails(),
        judged: *judged,
        values: values.collect(),
        requests: requests.iter().map(|request| request.id).collect(),
    }
}
