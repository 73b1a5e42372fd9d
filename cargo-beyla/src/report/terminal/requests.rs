//! Single requests: each one, and the slowest.

use std::sync::Arc;

use super::METHOD_WIDTH;
use crate::report::colors::{Paint, Role};
use crate::report::phases;
use crate::report::run_info::RunInfo;
use crate::report::table::{Align, Cell, GAP, Table};
use crate::report::text;
use crate::report::units::{bytes, count, offset, time};
use crate::request::boundaries::Phases;
use crate::request::model::{Outcome, Request};

/// Columns of a time bar.
const BAR: usize = 24;

/// Columns of a time bar where there is no room for a longer one.
const SMALL_BAR: usize = 12;

/// Below this, a request is shortened past recognition.
const REQUEST_WIDTH: usize = 30;

/// What is left of a method and path in any case.
const TARGET_WIDTH: usize = 8;

/// An accept wait from here on is worth a word.
const ACCEPT_WAIT_NS: u64 = 1_000_000;

/// Which columns there are beside those that always are.
#[derive(Clone, Copy)]
struct Columns {
    bar: Option<usize>,
    phases: bool,
    bytes: bool,
}

/// A line for each request, in the order in which they came.
pub(super) fn each(requests: &[Arc<Request>], run: &RunInfo, paint: Paint, width: usize) -> String {
    let rows: Vec<Row<'_>> = requests.iter().map(|request| Row::new(request, run)).collect();
    let layouts = [
        Columns { bar: None, phases: true, bytes: true },
        Columns { bar: Some(BAR), phases: false, bytes: true },
        Columns { bar: Some(SMALL_BAR), phases: false, bytes: true },
    ];
    let (table, columns) = fit(&rows, layouts, width);
    section("Every request, in order", &table, columns, paint)
}

/// The slowest requests with a bar of their phases.
pub(super) fn slowest(requests: &[Arc<Request>], number: usize, run: &RunInfo, paint: Paint, width: usize) -> String {
    let mut slowest: Vec<&Request> = requests.iter().map(AsRef::as_ref).collect();
    slowest.sort_unstable_by_key(|request| (std::cmp::Reverse(request.boundaries.total()), request.id));
    slowest.truncate(number);
    let rows: Vec<Row<'_>> = slowest.into_iter().map(|request| Row::new(request, run)).collect();
    let layouts = [
        Columns { bar: Some(BAR), phases: true, bytes: false },
        Columns { bar: Some(BAR), phases: false, bytes: false },
        Columns { bar: Some(SMALL_BAR), phases: false, bytes: false },
    ];
    let (table, columns) = fit(&rows, layouts, width);
    let title = match rows.len() {
        1 => "The slowest request".to_owned(),
        number => format!("The {} slowest requests", count(number as u64)),
    };
    section(&title, &table, columns, paint)
}

fn section(title: &str, table: &Table, columns: Columns, paint: Paint) -> String {
    let mut out = paint.paint(Role::Strong, title);
    if columns.bar.is_some() {
        out.push_str("    ");
        out.push_str(&phases::legend(paint));
    }
    out.push('\n');
    table.render(paint, &mut out);
    out
}

/// The first layout that leaves room enough for the requests themselves, else the last.
fn fit(rows: &[Row<'_>], layouts: [Columns; 3], width: usize) -> (Table, Columns) {
    let wanted = rows.iter().map(Row::wanted).max().unwrap_or(0).min(REQUEST_WIDTH);
    // The last column has a gap of its own.
    let room = |columns| width.saturating_sub(build(rows, columns, None).width() + GAP);
    let [.., last] = layouts;
    let columns = layouts.into_iter().find(|&columns| room(columns) >= wanted).unwrap_or(last);
    (build(rows, columns, Some(room(columns))), columns)
}

fn build(rows: &[Row<'_>], columns: Columns, request_width: Option<usize>) -> Table {
    let mut table = Table::default();
    table.column(Align::Right, "#", rows.iter().map(|row| Cell::new(Role::Faint, row.request.id.to_string())));
    table.column(Align::Right, "at", rows.iter().map(|row| Cell::plain(offset(row.offset_ns))));
    table.column(Align::Right, "total", rows.iter().map(|row| Cell::plain(time(row.request.boundaries.total()))));
    if let Some(width) = columns.bar {
        table.column(Align::Left, "phases", rows.iter().map(|row| phases::bar(&row.phases, width)));
    }
    if columns.phases {
        for (index, header) in phases::NAMES.into_iter().enumerate() {
            let cell = |row: &Row<'_>| match row.phases.named()[index].1 {
                Some(length @ 1..) => Cell::new(Role::Phase(index), time(length)),
                Some(0) => Cell::new(Role::Faint, time(0)),
                None => Cell::new(Role::Faint, "-"),
            };
            table.column(Align::Right, header, rows.iter().map(cell));
        }
    }
    if columns.bytes {
        let cell = |size: Option<u64>| match size {
            Some(size @ 1..) => Cell::plain(bytes(size)),
            Some(0) => Cell::new(Role::Faint, bytes(0)),
            None => Cell::new(Role::Faint, "-"),
        };
        table.column(Align::Right, "body in", rows.iter().map(|row| cell(row.request.request_bytes.body)));
        table.column(
            Align::Right,
            "body out",
            rows.iter().map(|row| cell(row.request.response_bytes.and_then(|bytes| bytes.body))),
        );
    }
    table.column(Align::Left, "status", rows.iter().map(Row::status));
    if let Some(width) = request_width {
        table.column(Align::Left, "request", rows.iter().map(|row| row.label(width)));
    }
    table
}

/// A request and what a line says of it.
struct Row<'a> {
    request: &'a Request,
    phases: Phases,
    /// From the start of the run.
    offset_ns: u64,
    /// Method and target, fit for a terminal.
    target: String,
    /// What else there is to say: why it is not whole, how long its connection waited.
    remarks: Vec<(Role, String)>,
}

impl<'a> Row<'a> {
    fn new(request: &'a Request, run: &RunInfo) -> Self {
        let boundaries = &request.boundaries;
        let mut target = request.path.to_string();
        if let Some(query) = &request.query {
            target.push('?');
            target.push_str(query);
        }
        let method = text::escape(&request.method);
        let method = text::shorten(&method, METHOD_WIDTH);
        let ending = match request.outcome {
            Outcome::Complete => None,
            Outcome::ServerClosed => Some(Role::Error),
            Outcome::ClientClosed | Outcome::StillOpen | Outcome::NotSeen => Some(Role::Warning),
        };
        let ending = ending.map(|role| (role, format!("  {}", request.outcome.label())));
        let wait = boundaries.accept_wait().filter(|&wait| wait >= ACCEPT_WAIT_NS);
        let wait = wait.map(|wait| (Role::Faint, format!("  + {} accept wait", time(wait))));
        Self {
            request,
            phases: boundaries.phases(),
            offset_ns: boundaries.start().saturating_sub(run.started_monotonic_ns),
            target: format!("{method} {}", text::escape(&target)),
            remarks: ending.into_iter().chain(wait).collect(),
        }
    }

    fn remarks_width(&self) -> usize {
        self.remarks.iter().map(|(_, remark)| text::width(remark)).sum()
    }

    /// Columns of the whole label.
    fn wanted(&self) -> usize {
        text::width(&self.target) + self.remarks_width()
    }

    fn label(&self, width: usize) -> Cell {
        let room = width.saturating_sub(self.remarks_width()).max(TARGET_WIDTH);
        let label = Cell::plain(text::shorten(&self.target, room));
        self.remarks.iter().fold(label, |label, (role, remark)| label.and(*role, remark))
    }

    fn status(&self) -> Cell {
        match self.request.status {
            Some(status @ 500..) => Cell::new(Role::Error, status.to_string()),
            Some(status @ 400..) => Cell::new(Role::Warning, status.to_string()),
            Some(status) => Cell::plain(status.to_string()),
            None => Cell::plain("-"),
        }
    }
}
