//! What a run of tests adds to the contract.

use serde::Serialize;

use super::TotalNs;
use crate::report::run_info::{Exit, RunInfo};
use cargo_beyla_core::model::test::{TestResult, TestSummary};

#[derive(Serialize)]
pub(super) struct TestRow<'a> {
    binary: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    round: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit: Option<Exit>,
    started_unix_ns: u64,
    duration_ns: u64,
    requests: u64,
    errors: u64,
    incomplete: u64,
    calls: u64,
    sum_ns: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_ns: Option<TotalNs>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    span_id: Option<String>,
}

/// A test, and its round where there are several.
pub(super) fn test<'a>(test: &'a TestSummary, rounds: bool, run: &RunInfo) -> TestRow<'a> {
    let TestSummary { binary, name, round, result, started_ns, duration_ns, .. } = test;
    TestRow {
        binary,
        name,
        round: rounds.then_some(*round),
        status: result.map(TestResult::label),
        reason: test.reason.as_deref(),
        exit: match result {
            Some(TestResult::Passed) => Some(Exit::Code(0)),
            Some(TestResult::Failed(code)) => Some(Exit::Code(*code)),
            Some(TestResult::Killed(signal)) => Some(Exit::Signal(*signal)),
            Some(TestResult::TimedOut | TestResult::Unlisted) | None => None,
        },
        started_unix_ns: run.unix_ns(*started_ns),
        duration_ns: *duration_ns,
        requests: test.requests,
        errors: test.errors,
        incomplete: test.incomplete,
        calls: test.calls,
        sum_ns: test.sum_ns,
        total_ns: test.total.map(TotalNs::from),
        trace_id: test.span.map(|span| span.trace_id.to_string()),
        span_id: test.span.map(|span| span.span_id.to_string()),
    }
}
