//! What a baseline adds to the contract.

use serde::Serialize;

use cargo_beyla_core::analysis::baseline::compare::{Comparison, Evidence, Row, Subject};
use cargo_beyla_core::analysis::baseline::estimate::Change;

#[derive(Serialize)]
pub(super) struct ComparisonRow<'a> {
    baseline: &'a str,
    saved_unix_ns: u64,
    rows: Vec<ChangeRow<'a>>,
}

#[derive(Serialize)]
struct ChangeRow<'a> {
    of: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    binary: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    verdict: &'static str,
    before: SideRow,
    now: SideRow,
    #[serde(skip_serializing_if = "Option::is_none")]
    change_ns: Option<ChangeNs>,
}

#[derive(Serialize)]
struct SideRow {
    count: u64,
    rounds: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    typical_ns: Option<u64>,
}

#[derive(Serialize)]
struct ChangeNs {
    estimate: i64,
    low: i64,
    high: i64,
}

pub(super) fn comparison(comparison: &Comparison) -> ComparisonRow<'_> {
    let Comparison { baseline, saved_unix_ns, rows } = comparison;
    ComparisonRow { baseline, saved_unix_ns: *saved_unix_ns, rows: rows.iter().map(row).collect() }
}

fn row(row: &Row) -> ChangeRow<'_> {
    let Row { subject, before, now, verdict, change } = row;
    let (of, [method, route, binary, name]) = match subject {
        Subject::Route { method, route } => ("route", [Some(&**method), Some(&**route), None, None]),
        Subject::TestRequests { binary, name } => ("test requests", [None, None, Some(&**binary), Some(&**name)]),
        Subject::TestDuration { binary, name } => ("test duration", [None, None, Some(&**binary), Some(&**name)]),
    };
    let side = |&Evidence { count, rounds }: &Evidence, typical: fn(&Change) -> f64| SideRow {
        count,
        rounds,
        typical_ns: change.as_ref().map(|change| typical(change).max(0.0).round() as u64),
    };
    ChangeRow {
        of,
        method,
        route,
        binary,
        name,
        verdict: verdict.label(),
        before: side(before, |change| change.baseline_ns),
        now: side(now, |change| change.now_ns),
        change_ns: change.map(|change| ChangeNs {
            estimate: (change.now_ns - change.baseline_ns).round() as i64,
            low: change.interval_ns.0.round() as i64,
            high: change.interval_ns.1.round() as i64,
        }),
    }
}
