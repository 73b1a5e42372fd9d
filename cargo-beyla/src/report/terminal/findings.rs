//! What `--explain` finds wrong, and what usually cures it.

use super::suite::label;
use crate::report::colors::{Paint, TextStyle};
use crate::report::run_report::RunReport;
use crate::report::text;
use crate::report::units::counted;
use cargo_beyla_core::model::finding::Finding;
use cargo_beyla_core::model::test::TestSummary;

/// Further findings are only counted.
const FINDINGS_SHOWN: usize = 10;

/// How many tests are named with a finding.
const TESTS_SHOWN: usize = 3;

/// Columns of a test's name.
const TEST_WIDTH: usize = 48;

/// Two paragraphs a finding, the worst first; `None` if nothing was found.
pub(super) fn findings(report: &RunReport, paint: Paint, width: usize) -> Option<String> {
    let findings = report.findings();
    let (shown, rest) = findings.split_at(findings.len().min(FINDINGS_SHOWN));
    if shown.is_empty() {
        return None;
    }
    let mut out = String::new();
    // The remark on missing lines stands once, where the first one is missing.
    let without_line = shown.iter().position(|found| found.lacks_debug_information);
    for (index, found) in shown.iter().enumerate() {
        headed(&found.sentence, found.title, paint, width, &mut out);
        if without_line == Some(index) {
            indented("(no line: build with debug = \"line-tables-only\" in its profile)", paint, width, &mut out);
        }
        if let Some(tests) = within(&found.finding, &report.summary.tests) {
            indented(&tests, paint, width, &mut out);
        }
        indented(found.cure, paint, width, &mut out);
    }
    if !rest.is_empty() {
        let rest = format!("and {}; the JSON report has all (--json)", counted(rest.len() as u64, "more finding"));
        indented(&rest, paint, width, &mut out);
    }
    Some(out)
}

/// `in the test users::create`, or in several.
fn within(finding: &Finding, tests: &[TestSummary]) -> Option<String> {
    let mut names: Vec<String> = Vec::new();
    for test in finding.tests.iter().filter_map(|test| tests.get(test.0 as usize)) {
        let name = label(&test.binary, &test.name, TEST_WIDTH);
        // Once, in however many rounds.
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let rest = names.split_off(names.len().min(TESTS_SHOWN));
    let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
    match names.len() {
        0 => None,
        1 => Some(format!("in the test {}", names[0])),
        _ => Some(format!("in the tests {}{more}", names.join(", "))),
    }
}

/// A paragraph that begins with its title.
fn headed(paragraph: &str, title: &str, paint: Paint, width: usize, out: &mut String) {
    for (index, line) in text::wrap(paragraph, width - 2).iter().enumerate() {
        match line.strip_prefix(title) {
            Some(line) if index == 0 => out.extend([&*paint.paint(TextStyle::Finding, title), line, "\n"]),
            _ => out.extend(["  ", line, "\n"]),
        }
    }
}

fn indented(paragraph: &str, paint: Paint, width: usize, out: &mut String) {
    for line in text::wrap(paragraph, width - 4) {
        out.extend(["    ", &*paint.paint(TextStyle::Faint, line), "\n"]);
    }
}
