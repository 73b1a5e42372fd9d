//! The tests of a run as `JUnit` XML, the requests of each as properties.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::time::Duration;

use chrono::DateTime;
use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite, XmlString};

use super::run_info::RunInfo;
use super::run_report::{RunReport, test_id};
use super::units::time;
use cargo_beyla_core::model::request::Request;
use cargo_beyla_core::model::test::{TestId, TestResult, TestSummary};

/// How many requests of one test have a property of their own: the slowest.
const REQUESTS_MAX: usize = 20;

/// How many bytes of a test's output are kept: the last.
const OUTPUT_MAX: usize = 256 * 1024;

/// Writes a suite a test binary, and a case a test, in each round.
pub fn write(report: &RunReport, writer: impl Write) -> io::Result<()> {
    let RunReport { run, summary, test_outputs, .. } = report;
    let mut slowest: BTreeMap<TestId, Vec<&Request>> = BTreeMap::new();
    for request in report.slowest() {
        if let Some(test) = test_id(request) {
            slowest.entry(test).or_default().push(request);
        }
    }
    let mut suites: BTreeMap<&str, (TestSuite, u64)> = BTreeMap::new();
    for (id, test) in (0..).map(TestId).zip(&summary.tests) {
        let (suite, time_ns) = suites.entry(&test.binary).or_insert_with(|| {
            let mut suite = TestSuite::new(xml(&test.binary));
            suite.set_timestamp(moment(run, test.started_ns));
            (suite, 0)
        });
        *time_ns = time_ns.saturating_add(test.duration_ns);
        let slowest = slowest.get(&id).map_or(&[][..], Vec::as_slice);
        suite.add_test_case(case(test, report, slowest, test_outputs.get(&id)));
    }
    let mut document = Report::new(xml(&run.name()));
    document.set_timestamp(moment(run, run.started_monotonic_ns)).set_time(Duration::from_nanos(report.duration_ns));
    for (mut suite, time_ns) in suites.into_values() {
        suite.set_time(Duration::from_nanos(time_ns));
        document.add_test_suite(suite);
    }
    let mut writer = BufWriter::new(writer);
    document.serialize(&mut writer).map_err(io::Error::other)?;
    writer.flush()
}

fn case(test: &TestSummary, report: &RunReport, slowest: &[&Request], output: Option<&String>) -> TestCase {
    // Binaries are asked for their tests once.
    let rounds = report.is_repeated() && test.result != Some(TestResult::Unlisted);
    let name = if rounds { format!("{} (round {})", test.name, test.round + 1) } else { test.name.to_string() };
    let mut case = TestCase::new(xml(&name), status(test));
    case.set_classname(xml(&test.binary)).set_time(Duration::from_nanos(test.duration_ns));
    case.set_timestamp(moment(&report.run, test.started_ns));
    if let Some(output) = output {
        let start = output.ceil_char_boundary(output.len().saturating_sub(OUTPUT_MAX));
        case.set_system_out(xml(&output[start..]));
    }
    case.add_property(Property::new("beyla.requests", test.requests.to_string()));
    if test.calls > 0 {
        case.add_property(Property::new("beyla.calls", test.calls.to_string()));
    }
    if test.requests == 0 {
        return case;
    }
    case.add_property(Property::new("beyla.errors", test.errors.to_string()));
    case.add_property(Property::new("beyla.total_ns", test.sum_ns.to_string()));
    if let Some(total) = &test.total {
        case.add_property(Property::new("beyla.slowest_ns", total.max.to_string()));
    }
    for (number, request) in (1..).zip(slowest.iter().take(REQUESTS_MAX)) {
        case.add_property(Property::new(format!("request.{number}"), xml(&said(request))));
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
    status.set_message(xml(&message));
    status
}

/// Text of others made fit for XML, which all of it passes through.
///
/// Of what XML 1.0 does not allow (`Char` in section 2.2), quick-junit takes the control characters out and leaves the
/// two that are no characters: a document with one of them is not well-formed.
fn xml(text: &str) -> XmlString {
    XmlString::new(text.replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}"))
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

    use cargo_beyla_core::model::summary::Summary;

    use proptest::prelude::*;

    fn written(summary: &Summary) -> String {
        let mut report = fixtures::report(summary.clone(), fixtures::run_of_tests(), 2_310_000_000);
        report.test_outputs = [(TestId(2), "it \x1b[31mpanicked\x1b[0m & <died>\0".to_owned())].into();
        let mut out = Vec::new();
        write(&report, &mut out).expect("a Vec takes it");
        String::from_utf8(out).expect("XML is UTF-8 here")
    }

    #[test]
    fn a_suite_and_its_cases() {
        let mut summary = fixtures::suite();
        summary.tests[4].binary = "shop".into();
        insta::assert_snapshot!(written(&summary));
    }

    /// What XML 1.0 allows: `Char` in section 2.2.
    fn is_allowed(character: char) -> bool {
        matches!(character, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
    }

    /// A run in which everything that others name holds this text.
    fn hostile(text: &str) -> String {
        let mut summary = fixtures::suite();
        for test in &mut summary.tests {
            (test.binary, test.name) = (text.into(), text.into());
            test.reason = Some(text.into());
        }
        summary.tests[0].result = Some(TestResult::Unlisted);
        for request in &mut summary.requests {
            let request = Arc::make_mut(request);
            (request.method, request.path, request.query) = (text.into(), text.into(), Some(text.into()));
        }
        let mut run = fixtures::run_of_tests();
        run.traced = crate::report::run_info::Traced::Tests { workspace: text.into(), within: Vec::new() };
        let mut report = fixtures::report(summary, run, 1);
        report.test_outputs = (0..5).map(|test| (TestId(test), text.to_owned())).collect();
        let mut out = Vec::new();
        write(&report, &mut out).expect("a Vec takes it");
        String::from_utf8(out).expect("XML is UTF-8 here")
    }

    /// Whether a document is well-formed: it can be read again, and holds no character that is not allowed, nor the
    /// number of one.
    fn is_well_formed(document: &str) -> bool {
        let report = quick_junit::Report::deserialize_from_str(document);
        let by_number = document.split("&#").skip(1).filter_map(|rest| rest.split(';').next());
        let number = |digits: &str| match digits.strip_prefix('x') {
            Some(digits) => u32::from_str_radix(digits, 16).ok(),
            None => digits.parse().ok(),
        };
        let mut by_number = by_number.map(|digits| number(digits).and_then(char::from_u32));
        report.is_ok_and(|report| report.tests == 5)
            && document.chars().all(is_allowed)
            && by_number.all(|character| character.is_some_and(is_allowed))
    }

    #[test]
    fn what_xml_does_not_allow_is_nowhere_in_it() {
        let not_allowed: String = ('\0'..='\u{10ffff}').filter(|character| !is_allowed(*character)).collect();
        assert_eq!(not_allowed.chars().count(), 29 + 2, "control characters, and two that are none");
        // What follows an escape is a sequence for the terminal, and goes with it.
        let around = format!("before{}after &#xffff; &#0; ]]> <a b='c'>", not_allowed.replace('\x1b', ""));
        let document = hostile(&around);
        assert!(is_well_formed(&document), "{document}");
        assert!(document.contains("before") && document.contains("\u{fffd}\u{fffd}after &amp;#xffff;"), "{document}");
        assert!(!is_well_formed(&document.replace("before", "\u{ffff}")), "the check would see it");
        assert!(!is_well_formed(&document.replace("before", "&#xfffe;")), "and this");
    }

    proptest! {
        #[test]
        fn any_text_makes_a_document(text in "(\\PC|[\\x00-\\x1f\\u{7f}-\\u{9f}\\u{fffe}\\u{ffff}<>&'\"\\[\\]]){0,40}") {
            let document = hostile(&text);
            prop_assert!(is_well_formed(&document), "{}", document);
        }
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
