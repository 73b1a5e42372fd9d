use std::sync::Arc;

use insta::assert_snapshot;

use super::*;
use crate::report::fixtures;
use crate::report::text::width;
use cargo_beyla_core::analysis::budget::judge::judge;
use cargo_beyla_core::analysis::budget::parse::parse;
use cargo_beyla_core::model::test::TestId;

fn of_tests(summary: &Summary, verdicts: &Verdicts, columns: usize) -> String {
    let options = TerminalOptions { slowest: 5, color: false, width: Some(columns) };
    let mut report = fixtures::report(summary.clone(), fixtures::run_of_tests(), 2_310_000_000);
    report.verdicts = verdicts.clone();
    let text = render(&report, &options);
    assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text}");
    for line in text.lines() {
        assert!(width(line) <= columns && !line.ends_with(' '), "{columns}: {line}\n{text}");
    }
    text
}

fn verdicts(summary: &Summary) -> Verdicts {
    let budgets = [
        "GET /hello p99 < 2ms",
        "test users::* requests <= 1",
        "errors == 0",
        "requests < 100",
        "* * max < 13ms",
        "GET /helo p50 < 1s",
    ];
    let budgets = budgets.map(|text| parse(text).expect(text));
    Verdicts { budgets: judge(&budgets, summary, false), comparison: Some(fixtures::comparison()) }
}

#[test]
fn the_tests_and_their_requests() {
    assert_snapshot!(of_tests(&fixtures::suite(), &Verdicts::default(), 120));
}

#[test]
fn the_tests_on_a_narrow_terminal_in_rounds_with_verdicts() {
    let mut summary = fixtures::suite();
    let again = summary.tests.clone();
    summary.tests.extend(again.into_iter().map(|test| TestSummary { round: 1, ..test }));
    summary.tests[2].result = Some(TestResult::Passed);
    assert_snapshot!(of_tests(&summary, &verdicts(&summary), 80));
}

#[test]
fn verdicts_on_a_wide_terminal() {
    let summary = fixtures::suite();
    let text = of_tests(&summary, &verdicts(&summary), 120);
    assert_snapshot!(&text[text.find("Compared").expect("a comparison")..]);
    let none =
        Verdicts { budgets: judge(&[parse("requests < 100").expect("valid")], &summary, false), comparison: None };
    let text = of_tests(&summary, &none, 120);
    assert_snapshot!(&text[text.find("Budgets").expect("budgets")..], @"
    Budgets: 1 hold
      holds   requests < 100  (requests 9)
    ");
}

#[test]
fn budgets_that_nothing_was_run_of() {
    let summary = fixtures::suite();
    let budgets = ["requests < 100", "GET /other p50 < 1s"].map(|text| parse(text).expect(text));
    let partial = Verdicts { budgets: judge(&budgets, &summary, true), comparison: None };
    let text = of_tests(&summary, &partial, 120);
    assert_snapshot!(&text[text.find("Budgets").expect("budgets")..], @"
    Budgets: 1 of 2 hold
      holds   requests < 100  (requests 9)
      not judged  GET /other p50 < 1s  (nothing of it was among what was run)
    ");
}

#[test]
fn tests_without_requests() {
    let mut summary = fixtures::summary(Vec::new(), Vec::new());
    summary.tests = vec![fixtures::test("adds", 0)];
    assert_snapshot!(of_tests(&summary, &Verdicts::default(), 80), @"
    No requests in 1 test, 2.31 s: no server of this workspace was connected to
    shop, 1 passed

      1 test made no network requests that were seen: a service that is called
      in-process has no socket
    ");
}

#[test]
fn no_tests() {
    let summary = fixtures::summary(Vec::new(), Vec::new());
    assert_snapshot!(of_tests(&summary, &Verdicts::default(), 80), @"
    No requests in 0 tests, 2.31 s: there was no test to run
    shop
    ");
}

#[test]
fn many_tests_with_hostile_names_fit_and_are_summed_up() {
    let mut summary = fixtures::suite();
    for number in 0..60 {
        let name = format!("\x1b[2J{}::日本語{number}", "very_long_module".repeat(number % 9));
        let mut test = TestSummary { requests: 2, sum_ns: number as u64, ..fixtures::test(&name, 0) };
        test.binary = "a-package-with-a-long-name::integration\u{202e}".into();
        summary.tests.push(test);
        let mut request = fixtures::request(100 + number as u64, &"/long".repeat(number));
        fixtures::assign(&mut request, TestId(5 + number as u32));
        summary.requests.push(Arc::new(request));
    }
    summary.explained = fixtures::explained().explained;
    for finding in summary.explained.iter_mut().flat_map(|explained| &mut explained.findings) {
        finding.tests = (3..12).map(TestId).collect();
    }
    for columns in [80, 100, 120, 200] {
        let verdicts = verdicts(&summary);
        let text = of_tests(&summary, &verdicts, columns);
        assert!(text.contains("and 37 more tests with 74 requests"), "{text}");
        assert!(text.contains("in the tests "), "{text}");
    }
}

#[test]
fn each_request_names_its_test_however_little_room_there_is() {
    let mut summary = fixtures::suite();
    for request in &mut summary.requests {
        let request = Arc::make_mut(request);
        request.outcome = cargo_beyla_core::model::request::Outcome::ClientClosed;
        request.path = "/a/path/that/is/longer/than/the/room/for/it".into();
        fixtures::assign(request, TestId(1));
    }
    for columns in [80, 100, 120] {
        let text = of_tests(&summary, &Verdicts::default(), columns);
        let requests = text.lines().filter(|line| line.contains("client closed"));
        for line in requests {
            assert!(line.contains("  in "), "{columns}: {line}");
        }
    }
}
