//! The summary that people read at the end of a run.

mod brief;
mod budgets;
mod comparison;
mod findings;
mod headline;
mod notes;
mod remarks;
mod requests;
mod routes;
mod suite;

pub use brief::brief;

use super::colors::Paint;
use super::run_info::{Exit, RunInfo};
use super::verdicts::Verdicts;
use crate::request::summary::Summary;

/// With so many requests or fewer, each has a line of its own.
const EACH_REQUEST: u64 = 20;

/// A method is a word of the client's choice, of any length.
const METHOD_WIDTH: usize = 12;

/// No table is made narrower than this; a narrower terminal breaks the lines.
const WIDTH_MIN: usize = 80;

/// How the summary is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TerminalOptions {
    /// How many of the slowest requests are shown.
    pub slowest: usize,
    /// Whether colours are used.
    pub color: bool,
    /// Columns of the terminal; tables are made to fit, but not into less than 80.
    pub width: usize,
}

/// The human summary of a run that lasted `duration_ns`. `exit` is `None` where it is not known how the server
/// ended, and of a run of tests.
pub fn render(
    summary: &Summary,
    run: &RunInfo,
    duration_ns: u64,
    exit: Option<Exit>,
    verdicts: &Verdicts,
    options: &TerminalOptions,
) -> String {
    let paint = Paint { color: options.color };
    let width = options.width.max(WIDTH_MIN);
    let mut sections = vec![headline::headline(summary, run, duration_ns, exit, paint)];
    if let Some(explained) = &summary.explained {
        sections.extend(findings::findings(explained, &summary.tests, paint, width));
    }
    if !summary.tests.is_empty() {
        sections.push(suite::suite(&summary.tests, paint, width));
    }
    if !summary.routes.is_empty() {
        sections.push(routes::routes(&summary.routes, paint, width));
    }
    let each = !summary.requests.is_empty() && summary.totals.requests <= EACH_REQUEST;
    if each {
        sections.push(requests::each(summary, run, paint, width));
    }
    // The only request has been shown.
    if summary.requests.len() > 1 && options.slowest > 0 {
        sections.push(requests::slowest(summary, options.slowest, each, run, paint, width));
    }
    sections.extend(notes::notes(summary, paint, width));
    // What a reader must not miss comes last.
    sections.extend(verdicts.comparison.iter().map(|known| comparison::comparison(known, paint, width)));
    sections.extend(budgets::budgets(&verdicts.budgets, summary, paint, width));
    sections.join("\n")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
