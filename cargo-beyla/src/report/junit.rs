//! The tests of a run as `JUnit` XML, the requests of each as properties.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::time::Duration;

use chrono::DateTime;
use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};

use super::run_info::RunInfo;
use super::units::time;
use crate::request::model::Request;
use crate::request::suite::{TestId, TestResult, TestSummary};
use crate::request::summary::Summary;

/// Of one test, so many requests are told one by one: the slowest.
const REQUESTS_MAX: usize = 20;

/// Of the output of one test, so many bytes are kept: the last.
const OUTPUT_MAX: usize = 256 * 1024;

/// Writes a suite a test binary, and a case a test, in each round; `outputs` has what tests wrote.
pub fn write(
    summary: &Summary,
    run: &RunInfo,
    duration_ns: u64,
    outputs: &BTreeMap<TestId, String>,
    writer: impl Write,
) -> io::Result<()> {
    let mut requests: BTreeMap<TestId, Vec<&Request>> = BTreeMap::new();
    for request in &summary.requests {
        if let Some(test) = request.connection.owner.and_then(|owner| owner.test) {
            requests.entry(test).or_default().push(request);
        }
    }
    let rounds = summary.tests.iter().any(|test| test.round > 0);
    let mut suites: BTreeMap<&str, (TestSuite, u64)> = BTreeMap::new();
    for (id, test) in (0..).map(TestId).zip(&summary.tests) {
        let (suite, time_ns) = suites.entry(&test.binary).or_insert_with(|| {
            let mut suite = TestSuite::new(&*test.binary);
            suite.set_timestamp(moment(run, test.started_ns));
            (suite, 0)
        });
        *time_ns = time_ns.saturating_add(test.duration_ns);
        let requests = requests.get(&id).map_or(&[][..], Vec::as_slice);
        suite.add_test_case(case(test, rounds, run, requests, outputs.get(&id)));
    }
    let mut report = Report::new(run.name());
    report.set_timestamp(moment(run, run.started_monotonic_ns)).set_time(Duration::from_nanos(duration_ns));
    for (mut suite, time_ns) in suites.into_values() {
        suite.set_time(Duration::from_nanos(time_ns));
        report.add_test_suite(suite);
    }
    let mut writer = BufWriter::new(writer);
    report.serialize(&mut writer).map_err(io::Error::other)?;
    writer.flush()
}

fn case(test: &TestSummary, rounds: bool, run: &RunInfo, requests: &[&Request], output: Option<&String>) -> TestCase {
    let name = if rounds { format!("{} (round {})", test.name, test.round + 1) } else { test.name.to_string() };
    let mut case = TestCase::new(name, status(test));
    case.set_classname(&*test.binary).set_time(Duration::from_nanos(test.duration_ns));
    case.set_timestamp(moment(run, test.started_ns));
    if let Some(output) = output {
        let start = output.ceil_char_boundary(output.len().saturating_sub(OUTPUT_MAX));
        case.set_system_out(&output[start..]);
    }
    case.add_property(Property::new("beyla.requests", test.requests.to_string()));
    if test.requests == 0 {
        return case;
    }
    case.add_property(Property::new("beyla.errors", test.errors.to_string()));
    case.add_property(Property::new("beyla.total_ns", test.sum_ns.to_string()));
    if let Some(total) = &test.total {
        case.add_property(Property::new("beyla.slowest_ns", total.max.to_string()));
    }
    let mut slowest = requests.to_vec();
    slowest.sort_unstable_by_key(|request| (std::cmp::Reverse(request.boundaries.total()), request.id));
    for (number, request) in (1..).zip(slowest.into_iter().take(REQUESTS_MAX)) {
        case.add_property(Property::new(format!("request.{number}"), said(request)));
    }
    case
}

fn status(test: &TestSummary) -> TestCaseStatus {
    let (kind, message) = match test.result {
        Some(TestResult::Passed) => return TestCaseStatus::success(),
        Some(TestResult::Failed(code)) => (NonSuccessKind::Failure, format!("failed with exit code {code}")),
        Some(TestResult::Killed(signal)) => (NonSuccessKind::Error, format!("killed by signal {signal}")),
        Some(TestResult::TimedOut) => (NonSuccessKind::Error, "took too long, and was stopped".to_owned()),
        Some(TestResult::Unlisted) => {
            (NonSuccessKind::Error, test.reason.as_deref().unwrap_or("not listed").to_owned())
        }
        None => (NonSuccessKind::Error, "had not ended when the run did".to_owned()),
    };
    let mut status = TestCaseStatus::non_success(kind);
    status.set_message(message);
    status
}

/// `GET /users/7?full=1 200 1.24 ms`.
fn said(request: &Request) -> String {
    let query = request.query.as_ref().map_or(String::new(), |query| format!("?{query}"));
    let status = request.status.map_or_else(|| request.outcome.label().to_owned(), |status| status.to_string());
    format!("{} {}{query} {status} {}", request.method, request.path, time(request.boundaries.total()))
}

fn moment(run: &RunInfo, monotonic_ns: u64) -> DateTime<chrono::Utc> {
    DateTime::from_timestamp_nanos(i64::try_from(run.unix_ns(monotonic_ns)).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixtures;
    use std::sync::Arc;

    fn written(summary: &Summary) -> String {
        let outputs = [(TestId(2), "it \x1b[31mpanicked\x1b[0m & <died>\0".to_owned())].into();
        let mut out = Vec::new();
        write(summary, &fixtures::run_of_tests(), 2_310_000_000, &outputs, &mut out).expect("a Vec takes it");
        String::from_utf8(out).expect("XML is UTF-8 here")
    }

    #[test]
    fn a_suite_and_its_cases() {
        let mut summary = fixtures::suite();
        summary.tests[4].binary = "shop".into();
        insta::assert_snapshot!(written(&summary));
    }

    #[test]
    fn rounds_are_told_apart_and_requests_are_bounded() {
        let mut summary = fixtures::suite();
        summary.tests[1].round = 1;
        for id in 10..100 {
            let mut request = fixtures::request(id, "/]]>\"'<&");
            fixtures::assign(&mut request, TestId(1));
            summary.requests.push(Arc::new(request));
        }
        let text = written(&summary);
        assert!(text.contains("users::create_many_at_once (round 2)") && text.contains("pure::adds (round 1)"));
        assert!(text.contains("\"request.20\"") && !text.contains("\"request.21\""));
        let report = quick_junit::Report::deserialize_from_str(&text).expect("well-formed");
        assert_eq!(report.tests, 5);
    }
}
