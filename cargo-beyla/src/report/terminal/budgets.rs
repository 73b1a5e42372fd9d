//! The budgets of a run, and what broke them.

use super::Width;
use super::suite::label;
use crate::report::colors::{Paint, TextStyle};
use crate::report::finding::sentence::route;
use crate::report::run_report::{RunReport, test_id};
use crate::report::table::GAP;
use crate::report::text::{self, escape, shorten};
use crate::report::units::{count, time};
use cargo_beyla_core::analysis::budget::judge::{BudgetVerdict, Outcome, Subject, Value};
use cargo_beyla_core::analysis::budget::metric::Metric;
use cargo_beyla_core::model::request::Request;
use cargo_beyla_core::model::test::TestId;

/// How many routes or tests are named that break one budget.
const VALUES_SHOWN: usize = 5;

/// Columns of a test's name.
const TEST_WIDTH: usize = 48;

/// A line for each budget that fails the run, with what breaks it, and one for all others.
pub(super) fn budgets(report: &RunReport, paint: Paint, width: Width) -> Option<String> {
    let verdicts = &report.verdicts.budgets;
    if verdicts.is_empty() {
        return None;
    }
    let failing: Vec<&BudgetVerdict> = verdicts.iter().filter(|verdict| verdict.fails()).collect();
    let holding = verdicts.iter().filter(|verdict| verdict.outcome == Outcome::Holds).count();
    let all = count(verdicts.len() as u64);
    let title = match failing.len() {
        0 if holding == verdicts.len() => format!("Budgets: {all} hold"),
        0 => format!("Budgets: {} of {all} hold", count(holding as u64)),
        failing => format!("Budgets: {} of {all} broken", count(failing as u64)),
    };
    let mut out = paint.paint(if failing.is_empty() { TextStyle::Strong } else { TextStyle::Error }, title) + "\n";
    let mut line = |indent: usize, role: TextStyle, text: &str| {
        let text = shorten(text, width.line - indent);
        out.extend([&*" ".repeat(indent), &*paint.paint(role, text), "\n"]);
    };
    // What is said of it stands beneath it, where a line has no room for both.
    let mut both = |indent: usize, role: TextStyle, text: &str, gap: &str, more: &str| {
        let joined = [text, gap, more].concat();
        if more.is_empty() || text::width(&joined) <= width.line - indent {
            line(indent, role, joined.trim_end());
        } else {
            line(indent, role, text);
            line(indent + 2 * GAP, role, more);
        }
    };
    for verdict in verdicts {
        let label = escape(&verdict.budget.label()).into_owned();
        match verdict.outcome {
            Outcome::Holds => {
                let nearest = verdict.values.first().map_or(String::new(), |value| {
                    format!("({}{})", if verdict.judged > 1 { "nearest: " } else { "" }, number(verdict, value))
                });
                both(2, TextStyle::Faint, &format!("holds   {label}"), "  ", &nearest);
            }
            Outcome::NotJudged => {
                both(
                    2,
                    TextStyle::Faint,
                    &format!("not judged  {label}"),
                    "  ",
                    "(nothing of it was among what was run)",
                );
            }
            Outcome::Unmatched => {
                both(2, TextStyle::Error, &format!("broken  {label}"), "", "");
                both(
                    10,
                    TextStyle::Plain,
                    "it matches nothing that was measured: is it spelled as in the report?",
                    "",
                    "",
                );
            }
            Outcome::Broken => {
                both(2, TextStyle::Error, &format!("broken  {label}"), "", "");
                for value in verdict.values.iter().take(VALUES_SHOWN) {
                    both(10, TextStyle::Plain, &number(verdict, value), " ", &of(&value.subject, report));
                }
                let rest = verdict.values.len().saturating_sub(VALUES_SHOWN);
                if rest > 0 {
                    both(10, TextStyle::Faint, &format!("and {} more", count(rest as u64)), "", "");
                }
                for request in &verdict.requests {
                    let (said, test) = said(request, report);
                    both(12, TextStyle::Faint, &said, "  ", &test);
                }
            }
        }
    }
    Some(out)
}

/// `p99 23.1 ms`.
fn number(verdict: &BudgetVerdict, value: &Value) -> String {
    let metric = verdict.budget.metric;
    let name = Metric::WORDS.iter().find(|(_, of)| *of == metric).map_or("", |(word, _)| *word);
    if metric.is_time() { format!("{name} {}", time(value.value)) } else { format!("{name} {}", count(value.value)) }
}

fn of(subject: &Subject, report: &RunReport) -> String {
    match subject {
        Subject::Everything => "in all".to_owned(),
        Subject::Route { method, route: path } => format!("of {}", route(method, path)),
        Subject::Test(test) => format!("of {}", test_name(*test, report)),
    }
}

fn test_name(test: TestId, report: &RunReport) -> String {
    let Some(of) = report.summary.tests.get(test.0 as usize) else { return "a test".to_owned() };
    let name = label(&of.binary, &of.name, TEST_WIDTH);
    if report.is_repeated() { format!("{name}, round {}", of.round + 1) } else { name }
}

/// `#12  1.20 ms  200  GET /users/7` and `in shop::api users::create`.
fn said(request: &Request, report: &RunReport) -> (String, String) {
    let status = request.status.map_or_else(|| request.outcome.label().to_owned(), |status| status.to_string());
    let target = route(&request.method, &request.path);
    let said = format!("#{}  {}  {status}  {target}", request.id, time(request.boundaries.total()));
    let test = test_id(request);
    debug_assert!(!said.contains(text::is_unfit));
    (said, test.map_or(String::new(), |test| format!("in {}", test_name(test, report))))
}
