//! A few lines for one process of many.

use super::{TerminalOptions, Width, notes, routes};
use crate::report::colors::{Paint, TextStyle};
use crate::report::run_report::RunReport;
use crate::report::text;
use crate::report::units::{count, counted};

/// How much there was and how it went, by route, and what could not be seen. `title` is what has served it.
pub fn brief(report: &RunReport, title: &str, options: &TerminalOptions) -> String {
    let paint = Paint { color: options.color };
    let width = Width::of(options.width);
    let totals = &report.summary.totals;
    let heading = format!("{}: {}", text::escape(title), counted(totals.requests, "request"));
    let errors = match totals.errors {
        0 => "no errors".to_owned(),
        errors => paint.paint(TextStyle::Error, counted(errors, "error")),
    };
    let incomplete = (totals.incomplete > 0)
        .then(|| paint.paint(TextStyle::Warning, format!("{} incomplete", count(totals.incomplete))));
    let parts: Vec<String> = [paint.paint(TextStyle::Strong, heading), errors].into_iter().chain(incomplete).collect();
    let routes = routes::routes(&report.summary.routes, paint, width);
    format!("{}\n{routes}{}", parts.join(", "), notes::notes(report, paint, width.columns).unwrap_or_default())
}
