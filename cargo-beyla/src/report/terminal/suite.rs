//! The table by test.

use std::collections::BTreeMap;

use super::Width;
use crate::report::colors::{Paint, TextStyle};
use crate::report::run_report::RunReport;
use crate::report::table::{Align, Cell, GAP, Table};
use crate::report::text;
use crate::report::units::{count, counted, time};
use cargo_beyla_core::model::test::{TestResult, TestSummary};

/// More tests than these are summed up in a line.
const TESTS_SHOWN: usize = 25;

/// Below this, a test's name is shortened past recognition.
const NAME_WIDTH: usize = 20;

/// Lines longer than this are hard to read, however wide the terminal.
const LINE: usize = 100;

/// A test in all its rounds.
#[derive(Default)]
struct Row {
    rounds: u64,
    passed: u64,
    /// Of the last round that did not pass.
    failure: Option<&'static str>,
    duration_ns: u64,
    requests: u64,
    errors: u64,
    calls: u64,
    slowest_ns: u64,
    sum_ns: u64,
}

impl Row {
    fn add(&mut self, test: &TestSummary) {
        self.rounds += 1;
        match test.result {
            Some(TestResult::Passed) => self.passed += 1,
            result => self.failure = Some(result.map_or("not ended", TestResult::label)),
        }
        self.duration_ns = self.duration_ns.saturating_add(test.duration_ns);
        self.requests += test.requests;
        self.errors += test.errors;
        self.calls += test.calls;
        self.slowest_ns = self.slowest_ns.max(test.total.map_or(0, |total| total.max));
        self.sum_ns = self.sum_ns.saturating_add(test.sum_ns);
    }

    fn status(&self) -> Cell {
        match (self.failure, self.passed) {
            (None, _) => Cell::plain(TestResult::Passed.label()),
            (Some(failure), 0) => Cell::new(TextStyle::Error, failure),
            (Some(failure), passed) => Cell::new(
                TextStyle::Error,
                format!("{failure} {} of {}", count(self.rounds - passed), count(self.rounds)),
            ),
        }
    }
}

/// The tests that made requests, that with the most time in them first, and how many made none.
pub(super) fn suite(report: &RunReport, paint: Paint, width: Width) -> String {
    let tests = &report.summary.tests;
    let mut by_name: BTreeMap<(&str, &str), Row> = BTreeMap::new();
    // Of a binary without a list nothing ran.
    for test in tests.iter().filter(|test| test.result != Some(TestResult::Unlisted)) {
        by_name.entry((&test.binary, &test.name)).or_default().add(test);
    }
    let (mut seen, unseen): (Vec<_>, Vec<_>) = by_name.into_iter().partition(|(_, row)| row.requests > 0);
    seen.sort_by(|(a_name, a), (b_name, b)| {
        (b.sum_ns, b.requests).cmp(&(a.sum_ns, a.requests)).then(a_name.cmp(b_name))
    });
    let rest = seen.split_off(seen.len().min(TESTS_SHOWN));
    let mut out = String::new();
    if !seen.is_empty() {
        out.push_str(&paint.paint(
            TextStyle::Strong,
            if report.is_repeated() {
                "Tests, the most time in requests first; durations as their mean"
            } else {
                "Tests, the most time in requests first"
            },
        ));
        out.push('\n');
        table(&seen, width).render(paint, &mut out);
    }
    if !rest.is_empty() {
        let requests = rest.iter().map(|(_, row)| row.requests).sum();
        let rest = format!(
            "  and {} with {}; the JSON report has all (--json)\n",
            counted(rest.len() as u64, "more test"),
            counted(requests, "request")
        );
        out.push_str(&paint.paint(TextStyle::Faint, rest));
    }
    if !unseen.is_empty() {
        let text = format!(
            "{} made no network requests that were seen: a service that is called in-process has no socket",
            counted(unseen.len() as u64, "test")
        );
        for line in text::wrap(&text, width.columns.min(LINE) - GAP) {
            out.extend(["  ", &*paint.paint(TextStyle::Faint, line), "\n"]);
        }
    }
    out
}

/// Without the slowest requests, which have a table of their own, where the terminal is too narrow for them.
fn table(rows: &[((&str, &str), Row)], width: Width) -> Table {
    let room = |table: &Table, width: usize| width.saturating_sub(table.width() + GAP);
    let mut table = numbers(rows, true);
    if room(&table, width.columns) < NAME_WIDTH {
        table = numbers(rows, false);
    }
    let room = room(&table, width.line).max(NAME_WIDTH / 2);
    table.column(Align::Left, "test", rows.iter().map(|((binary, name), _)| Cell::plain(label(binary, name, room))));
    table
}

fn numbers(rows: &[((&str, &str), Row)], slowest: bool) -> Table {
    let of = |cell: fn(&Row) -> Cell| rows.iter().map(move |(_, row)| cell(row));
    let mut table = Table::default();
    table.column(Align::Left, "status", of(Row::status));
    let repeated = rows.iter().any(|(_, row)| row.rounds > 1);
    if repeated {
        table.column(Align::Right, "rounds", of(|row| Cell::plain(count(row.rounds))));
    }
    // Their mean; what follows is of all rounds.
    table.column(Align::Right, "duration", of(|row| Cell::plain(time(row.duration_ns / row.rounds.max(1)))));
    table.column(Align::Right, "requests", of(|row| Cell::plain(count(row.requests))));
    table.column(
        Align::Right,
        "errors",
        of(|row| match row.errors {
            0 => Cell::new(TextStyle::Faint, "0"),
            errors => Cell::new(TextStyle::Error, count(errors)),
        }),
    );
    if rows.iter().any(|(_, row)| row.calls > 0) {
        table.column(Align::Right, "calls", of(|row| Cell::plain(count(row.calls))));
    }
    if slowest {
        table.column(Align::Right, "slowest", of(|row| known(row.slowest_ns)));
    }
    table.column(Align::Right, "total", of(|row| known(row.sum_ns)));
    table
}

/// A time; it is not known if no request was complete.
fn known(ns: u64) -> Cell {
    if ns == 0 { Cell::new(TextStyle::Faint, "-") } else { Cell::plain(time(ns)) }
}

/// Binary and name in at most `columns` columns. The end of each says the most, and the name says more than the binary.
pub(super) fn label(binary: &str, name: &str, columns: usize) -> String {
    let (binary, name) = (text::escape(binary), text::escape(name));
    let whole = text::width(&binary) + 1 + text::width(&name);
    if whole <= columns {
        return format!("{binary} {name}");
    }
    let room = columns.saturating_sub(text::width(&name) + 1);
    if room >= columns / 4 {
        return format!("{} {name}", text::shorten_start(&binary, room));
    }
    text::shorten_start(&name, columns).into_owned()
}
