//! What changed since the baseline.

use super::Width;
use crate::report::colors::{Paint, TextStyle};
use crate::report::finding::sentence::route;
use crate::report::table::{Align, Cell, GAP, Table};
use crate::report::text::{escape, wrap};
use crate::report::units::{counted, time};
use cargo_beyla_core::analysis::baseline::compare::{Comparison, Row, Subject, Verdict};

/// More rows than these are summed up in a line.
const ROWS_SHOWN: usize = 25;

/// So many routes are named that are on one side alone.
const ROUTES_NAMED: usize = 5;

/// A table of what changed, and a line for all that did not.
pub(super) fn comparison(comparison: &Comparison, paint: Paint, width: Width) -> String {
    let title = format!("Compared with the baseline `{}`", comparison.baseline);
    let mut out = paint.paint(TextStyle::Strong, title) + "\n";
    let changed = |row: &&Row| matches!(row.verdict, Verdict::Slower | Verdict::Faster);
    let rows: Vec<&Row> = comparison.rows.iter().filter(changed).collect();
    let (shown, rest) = rows.split_at(rows.len().min(ROWS_SHOWN));
    if !shown.is_empty() {
        table(shown, width).render(paint, &mut out);
    }
    let mut faint = |text: String| {
        for (index, line) in wrap(&text, width.columns - 2 * GAP).iter().enumerate() {
            let indent = if index == 0 { GAP } else { 2 * GAP };
            out.extend([&*" ".repeat(indent), &*paint.paint(TextStyle::Faint, line), "\n"]);
        }
    };
    if !rest.is_empty() {
        faint(format!("and {}; the JSON report has all (--json)", counted(rest.len() as u64, "more change")));
    }
    for (verdict, says) in [(Verdict::New, "not in the baseline"), (Verdict::Gone, "only in the baseline")] {
        let of_verdict = comparison.rows.iter().filter(|row| row.verdict == verdict);
        let mut routes: Vec<String> = Vec::new();
        let mut tests = 0;
        for row in of_verdict {
            match &row.subject {
                Subject::Route { method, route: path } => routes.push(route(method, path)),
                Subject::TestDuration { .. } => tests += 1,
                // Its duration is there as well.
                Subject::TestRequests { .. } => {}
            }
        }
        let number = counted(routes.len() as u64, "route");
        let more = if routes.len() > ROUTES_NAMED { ", ..." } else { "" };
        routes.truncate(ROUTES_NAMED);
        if !routes.is_empty() {
            faint(format!("{says}: {number}: {}{more}", routes.join(", ")));
        }
        if tests > 0 {
            faint(format!("{says}: {}", counted(tests, "test")));
        }
    }
    for verdict in [Verdict::TooFew, Verdict::NoChange] {
        let (routes, tests) = numbers(comparison, verdict);
        let what: Vec<String> = [(routes, "route"), (tests, "test")]
            .into_iter()
            .filter(|(number, _)| *number > 0)
            .map(|(number, thing)| counted(number, thing))
            .collect();
        match verdict {
            _ if what.is_empty() => {}
            Verdict::TooFew => faint(format!(
                "{}: {}: 5 values on each side are needed, or 3 rounds",
                verdict.label(),
                what.join(" and ")
            )),
            _ => faint(format!("{}: {}", verdict.label(), what.join(" and "))),
        }
    }
    out
}

/// Routes and tests with this verdict; a test by its duration, which each has.
fn numbers(comparison: &Comparison, verdict: Verdict) -> (u64, u64) {
    let (mut routes, mut tests) = (0, 0);
    for row in comparison.rows.iter().filter(|row| row.verdict == verdict) {
        match row.subject {
            Subject::Route { .. } => routes += 1,
            Subject::TestDuration { .. } => tests += 1,
            Subject::TestRequests { .. } => {}
        }
    }
    (routes, tests)
}

fn table(rows: &[&Row], width: Width) -> Table {
    let changes = || rows.iter().map(|row| row.change);
    let mut table = Table::default();
    let verdict = |row: &&Row| {
        let role = if row.verdict == Verdict::Slower { TextStyle::Error } else { TextStyle::Plain };
        Cell::new(role, row.verdict.label())
    };
    let of = |cell: fn((f64, f64), (f64, f64)) -> String| {
        changes().map(move |change| {
            Cell::plain(
                change.map_or(String::new(), |change| cell((change.baseline_ns, change.now_ns), change.interval_ns)),
            )
        })
    };
    table.column(Align::Left, "", rows.iter().map(verdict));
    table.column(Align::Right, "before", of(|(before, _), _| time(before.max(0.0) as u64)));
    table.column(Align::Right, "now", of(|(_, now), _| time(now.max(0.0) as u64)));
    table.column(Align::Right, "change", of(|(before, now), _| signed(now - before)));
    table.column(Align::Left, "95 % interval", of(|_, (low, high)| format!("{} to {}", signed(low), signed(high))));
    let room = width.columns.saturating_sub(table.width() + GAP);
    let placed = rows.iter().map(|row| width.place(&subject(&row.subject), room, 2 * GAP));
    let (cells, beneath): (Vec<Cell>, Vec<Option<Cell>>) = placed.unzip();
    table.column(Align::Left, "route or test", cells);
    table.beneath(beneath.into_iter().map(|line| line.into_iter().collect()));
    table
}

fn subject(subject: &Subject) -> String {
    match subject {
        Subject::Route { method, route: path } => route(method, path),
        Subject::TestRequests { binary, name } => format!("{} {}, time in requests", escape(binary), escape(name)),
        Subject::TestDuration { binary, name } => format!("{} {}, duration", escape(binary), escape(name)),
    }
}

fn signed(ns: f64) -> String {
    let sign = if ns < 0.0 { "-" } else { "+" };
    format!("{sign}{}", time(ns.abs() as u64))
}
