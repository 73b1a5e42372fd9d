//! The summary that people read at the end of a run.

mod advice;
mod brief;
mod budgets;
mod calls;
mod comparison;
mod findings;
mod headline;
mod notes;
mod remarks;
mod requests;
mod routes;
mod story;
mod suite;

pub use brief::brief;

use super::colors::{Paint, TextStyle};
use super::run_report::RunReport;
use super::table::Cell;
use super::text;

/// Up to this number of requests, each is listed, in order; of more, the slowest.
const EACH_REQUEST: u64 = 20;

/// The widest method that is shown whole: clients choose any word, and the longest registered one is UPDATEREDIRECTREF.
const METHOD_WIDTH: usize = 17;

/// No table is made narrower than this; a narrower terminal breaks the lines.
const WIDTH_MIN: usize = 80;

/// The width of tables and sentences without a terminal.
const WIDTH_OF_A_PIPE: usize = 120;

/// How wide a report is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Width {
    /// Tables choose their columns by it, and sentences wrap.
    columns: usize,
    /// The longest line: a longer one loses its middle. Without a terminal nothing breaks lines, so nothing is cut.
    line: usize,
}

impl Width {
    /// The width for a terminal with these columns, or for no terminal.
    fn of(terminal: Option<usize>) -> Self {
        match terminal.map(|columns| columns.max(WIDTH_MIN)) {
            Some(columns) => Self { columns, line: columns },
            None => Self { columns: WIDTH_OF_A_PIPE, line: usize::MAX },
        }
    }

    /// A text in the last column of a row, where that leaves `room` for it; else on a line of its own beneath the row.
    /// Columns never cost a name: it is cut only where a whole line is too short for it.
    fn place(self, text: &str, room: usize, indent: usize) -> (Cell, Option<Cell>) {
        if text::width(text) <= room || self.line == usize::MAX {
            (Cell::plain(text), None)
        } else {
            (Cell::default(), Some(self.beneath(TextStyle::Plain, text, indent)))
        }
    }

    /// A text on a line of its own.
    fn beneath(self, role: TextStyle, text: &str, indent: usize) -> Cell {
        Cell::plain(" ".repeat(indent)).and(role, text::shorten(text, self.line.saturating_sub(indent)))
    }
}

/// How the summary is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TerminalOptions {
    /// How many of the slowest requests are shown.
    pub slowest: usize,
    /// Whether colours are used.
    pub color: bool,
    /// Columns of the terminal, if it is one; tables are made to fit, but not into less than 80.
    pub width: Option<usize>,
}

/// The report for people.
pub fn render(report: &RunReport, options: &TerminalOptions) -> String {
    let RunReport { summary, verdicts, .. } = report;
    let paint = Paint { color: options.color };
    let width = Width::of(options.width);
    let mut sections = vec![headline::headline(report, paint)];
    sections.extend(findings::findings(report, paint, width.columns));
    if !summary.tests.is_empty() {
        sections.push(suite::suite(report, paint, width));
    }
    if !summary.routes.is_empty() {
        sections.push(routes::routes(&summary.routes, paint, width));
    }
    sections.extend(calls::calls(report, paint, width));
    if summary.requests.is_empty() {
        // Nothing can be listed.
    } else if summary.totals.requests <= EACH_REQUEST {
        sections.push(requests::each(report, paint, width));
    } else if options.slowest > 0 {
        sections.push(requests::slowest(report, options.slowest, paint, width));
    }
    sections.extend(notes::notes(report, paint, width.columns));
    // What a reader must not miss comes last.
    sections.extend(verdicts.comparison.iter().map(|known| comparison::comparison(known, paint, width)));
    sections.extend(budgets::budgets(report, paint, width));
    sections.join("\n")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
