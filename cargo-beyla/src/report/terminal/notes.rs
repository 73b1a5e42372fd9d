//! The section on what was not seen.

use crate::report::colors::{Paint, TextStyle};
use crate::report::run_report::RunReport;
use crate::report::text;

/// Lines longer than this are hard to read, however wide the terminal.
const LINE: usize = 100;

/// The notes of the report as a list; `None` if there are none.
pub(super) fn notes(report: &RunReport, paint: Paint, width: usize) -> Option<String> {
    if report.notes().is_empty() {
        return None;
    }
    let mut out = paint.paint(TextStyle::Strong, "Not in this report") + "\n";
    for sentence in report.notes() {
        for (index, line) in text::wrap(sentence, width.min(LINE) - 4).iter().enumerate() {
            out.push_str(if index == 0 { "  - " } else { "    " });
            out.push_str(line);
            out.push('\n');
        }
    }
    Some(out)
}
