//! What went wrong, as annotations of GitHub Actions.

use std::path::Path;

use super::finding::place::LocatedPlace;
use super::run_report::RunReport;
use super::units::{counted, time};
use super::verdicts::Verdicts;
use cargo_beyla_core::analysis::baseline::compare::{Subject, Verdict};
use cargo_beyla_core::analysis::budget::judge::Outcome;
use cargo_beyla_core::model::finding::FindingKind;
use cargo_beyla_core::model::summary::Summary;
use cargo_beyla_core::model::test::TestResult;

/// How many annotations of each kind are written: GitHub shows ten a step.
const OF_A_KIND_MAX: usize = 10;

/// Failed tests and broken budgets as errors; what is slower than the baseline, and what blocks async workers, as
/// warnings. Lines that GitHub understands on stdout and stderr.
pub fn annotations(report: &RunReport) -> String {
    let RunReport { summary, verdicts, .. } = report;
    let mut lines: Vec<String> = Vec::new();
    lines.extend(failed_tests(summary).take(OF_A_KIND_MAX));
    lines.extend(broken_budgets(verdicts).take(OF_A_KIND_MAX));
    lines.extend(slower(verdicts).take(OF_A_KIND_MAX));
    lines.extend(blocking_calls(report).take(OF_A_KIND_MAX));
    lines.concat()
}

fn failed_tests(summary: &Summary) -> impl Iterator<Item = String> {
    summary.tests.iter().filter_map(|test| {
        let how = match test.result? {
            TestResult::Passed => return None,
            TestResult::Failed(code) => format!("failed with exit code {code}"),
            TestResult::Killed(signal) => format!("was killed by signal {signal}"),
            TestResult::TimedOut => "took too long".to_owned(),
            TestResult::Unlisted => format!("failed: {}", test.reason.as_deref().unwrap_or("without a reason")),
        };
        let requests = format!("{}, {}", counted(test.requests, "request"), counted(test.errors, "error"));
        Some(line("error", &[("title", "test failed")], &format!("{} {} {how} ({requests})", test.binary, test.name)))
    })
}

fn broken_budgets(verdicts: &Verdicts) -> impl Iterator<Item = String> {
    verdicts.budgets.iter().filter(|verdict| verdict.fails()).map(|verdict| {
        let metric = verdict.budget.metric;
        let why = match (verdict.outcome, verdict.values.first()) {
            (Outcome::Unmatched, _) | (_, None) => "nothing that was measured matches it".to_owned(),
            (_, Some(worst)) if metric.is_time() => format!("it was {}", time(worst.value)),
            (_, Some(worst)) => format!("there were {}", worst.value),
        };
        line("error", &[("title", "budget broken")], &format!("{}: {why}", verdict.budget.label()))
    })
}

fn slower(verdicts: &Verdicts) -> impl Iterator<Item = String> {
    verdicts.comparison.iter().flat_map(|comparison| {
        let slower = comparison.rows.iter().filter(|row| row.verdict == Verdict::Slower);
        slower.map(|row| {
            let what = match &row.subject {
                Subject::Route { method, route } => format!("{method} {route}"),
                Subject::TestRequests { binary, name } => format!("{binary} {name}, time in requests"),
                Subject::TestDuration { binary, name } => format!("{binary} {name}, duration"),
            };
            let [before, now] = row.change.map_or([0.0; 2], |change| [change.baseline_ns, change.now_ns]);
            let [before, now] = [before, now].map(|ns| time(ns.max(0.0) as u64));
            let title = format!("slower than {}", comparison.baseline);
            line("warning", &[("title", &title)], &format!("{what}: {before} before, {now} now"))
        })
    })
}

fn blocking_calls(report: &RunReport) -> impl Iterator<Item = String> {
    let explained = report.summary.explained.as_ref();
    let blocking = report.findings().iter().filter(|found| found.finding.kind == FindingKind::BlockingCall);
    blocking.map(move |found| {
        let place = found.finding.place.as_ref().zip(explained);
        let source = place.and_then(|(place, explained)| LocatedPlace::of(place, explained).source);
        // GitHub knows the files of the workspace, whose paths are relative to it.
        let at = source.filter(|(file, _)| Path::new(file).is_relative()).map(|(file, line)| (file, line.to_string()));
        let mut properties: Vec<(&str, &str)> =
            at.iter().flat_map(|(file, line)| [("file", *file), ("line", line.as_str())]).collect();
        properties.push(("title", found.title));
        line("warning", &properties, &found.sentence)
    })
}

/// `::error title=test failed::shop::api users::create`, and a newline.
fn line(command: &str, properties: &[(&str, &str)], message: &str) -> String {
    let properties: Vec<String> = properties.iter().map(|(key, value)| format!("{key}={}", property(value))).collect();
    format!("::{command} {}::{}\n", properties.join(","), data(message))
}

/// As GitHub's own toolkit escapes a message.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// And the value of a property.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixtures;
    use cargo_beyla_core::analysis::budget::judge::judge;
    use cargo_beyla_core::analysis::budget::parse::parse;

    #[test]
    fn what_went_wrong_in_lines() {
        let mut summary = fixtures::suite();
        summary.tests[2].name = "users::100%\r\n::error::x".into();
        summary.explained = fixtures::explained().explained;
        let budgets = ["test * max < 650us", "GET /none p99 < 1s", "errors == 0", "requests < 99"]
            .map(|text| parse(text).unwrap());
        let budgets = judge(&budgets, &summary, false);
        let verdicts = Verdicts { budgets, comparison: Some(fixtures::comparison()) };
        let mut report = fixtures::report(summary, fixtures::run(), 0);
        report.verdicts = verdicts;
        insta::assert_snapshot!(annotations(&report));
    }

    #[test]
    fn properties_and_messages_are_escaped() {
        assert_eq!(line("error", &[("file", "a,b:c%")], "1% ::\n"), "::error file=a%2Cb%3Ac%25::1%25 ::%0A\n");
    }
}
