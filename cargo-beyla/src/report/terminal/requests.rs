//! Single requests: each one, and the slowest.

use super::METHOD_WIDTH;
use super::remarks::remarks;
use crate::report::colors::{Paint, Role};
use crate::report::run_info::RunInfo;
use crate::report::segments::{self, Lengths, Segment};
use crate::report::table::{Align, Cell, GAP, Table};
use crate::report::text;
use crate::report::units::{bytes, count, offset, time};
use crate::request::model::{Outcome, Request};
use crate::request::summary::{Explained, Summary};

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

/// The same with the name of its test.
const REQUEST_WIDTH_WITH_TEST: usize = 48;

/// What is left of the name of a test in any case.
const TEST_WIDTH: usize = 8;

/// What comes before the name of a test.
const IN: &str = "  in ";

/// Which columns there are beside those that always are.
#[derive(Clone, Copy, Default)]
struct Columns {
    bar: Option<usize>,
    segments: bool,
    bytes: bool,
}

/// The layouts of a table of all requests, the one that tells the most first.
const OF_EACH: &[Columns] = &[
    Columns { bar: None, segments: true, bytes: true },
    Columns { bar: Some(BAR), segments: false, bytes: true },
    Columns { bar: Some(SMALL_BAR), segments: false, bytes: true },
];

/// The same where `handle` is opened, and there are more segments.
const OF_EACH_OPENED: &[Columns] = &[
    Columns { bar: None, segments: true, bytes: true },
    Columns { bar: None, segments: true, bytes: false },
    Columns { bar: Some(BAR), segments: false, bytes: true },
    Columns { bar: Some(SMALL_BAR), segments: false, bytes: true },
];

/// The layouts of a table of the slowest.
const OF_SLOWEST: &[Columns] = &[
    Columns { bar: Some(BAR), segments: true, bytes: false },
    Columns { bar: Some(BAR), segments: false, bytes: false },
    Columns { bar: Some(SMALL_BAR), segments: false, bytes: false },
];

/// The same where `handle` is opened.
const OF_SLOWEST_OPENED: &[Columns] = &[
    Columns { bar: Some(BAR), segments: true, bytes: false },
    Columns { bar: Some(SMALL_BAR), segments: true, bytes: false },
    Columns { bar: Some(BAR), segments: false, bytes: false },
    Columns { bar: Some(SMALL_BAR), segments: false, bytes: false },
];

/// What gives way to the names of tests where none of the others leaves room for them.
const NARROW: &[Columns] = &[
    Columns { bar: Some(SMALL_BAR), segments: false, bytes: false },
    Columns { bar: None, segments: false, bytes: false },
];

/// A line for each request, in the order in which they came.
pub(super) fn each(summary: &Summary, run: &RunInfo, paint: Paint, width: usize) -> String {
    let explained = summary.explained.as_ref();
    let rows: Vec<Row<'_>> = summary.requests.iter().map(|request| Row::new(request, summary, run)).collect();
    let layouts = if explained.is_some() { OF_EACH_OPENED } else { OF_EACH };
    section("Every request, in order", &Listing::new(rows, explained, width), layouts, paint)
}

/// The slowest requests with a bar of their phases. What there is to remark of them is left out where it
/// was `told` before.
pub(super) fn slowest(
    summary: &Summary,
    number: usize,
    told: bool,
    run: &RunInfo,
    paint: Paint,
    width: usize,
) -> String {
    let explained = summary.explained.as_ref();
    let mut slowest: Vec<&Request> = summary.requests.iter().map(AsRef::as_ref).collect();
    slowest.sort_unstable_by_key(|request| (std::cmp::Reverse(request.boundaries.total()), request.id));
    slowest.truncate(number);
    let rows: Vec<Row<'_>> = slowest.into_iter().map(|request| Row::new(request, summary, run)).collect();
    let title = match rows.len() {
        1 => "The slowest request".to_owned(),
        number => format!("The {} slowest requests", count(number as u64)),
    };
    let layouts = if explained.is_some() { OF_SLOWEST_OPENED } else { OF_SLOWEST };
    section(&title, &Listing::new(rows, explained.filter(|_| !told), width), layouts, paint)
}

fn section(title: &str, listing: &Listing<'_>, layouts: &[Columns], paint: Paint) -> String {
    let (table, columns) = listing.fit(layouts);
    let mut out = paint.paint(Role::Strong, title);
    if columns.bar.is_some() {
        out.push_str(&segments::legend(&listing.segments, text::width(title), listing.width, paint));
    }
    out.push('\n');
    table.render(paint, &mut out);
    out
}

/// The rows of a table, and what they share.
struct Listing<'a> {
    rows: Vec<Row<'a>>,
    segments: Vec<Segment>,
    /// Where there is something to remark.
    explained: Option<&'a Explained>,
    /// Of the terminal.
    width: usize,
}

impl<'a> Listing<'a> {
    fn new(rows: Vec<Row<'a>>, explained: Option<&'a Explained>, width: usize) -> Self {
        let lengths: Vec<Lengths> = rows.iter().map(|row| row.lengths).collect();
        let segments = segments::shown(&lengths);
        Self { rows, segments, explained, width }
    }

    /// The first layout that leaves room enough for the requests themselves, else the last.
    fn fit(&self, layouts: &[Columns]) -> (Table, Columns) {
        let tests = self.rows.iter().any(|row| row.test.is_some());
        let most = if tests { REQUEST_WIDTH_WITH_TEST } else { REQUEST_WIDTH };
        let wanted = self.rows.iter().map(Row::wanted).max().unwrap_or(0).min(most);
        // The last column has a gap of its own.
        let room = |columns| self.width.saturating_sub(self.build(columns, None).width() + GAP);
        let fits = layouts.iter().copied().find(|&columns| room(columns) >= wanted);
        let mut columns = fits.or(layouts.last().copied()).unwrap_or_default();
        let least = self.rows.iter().map(Row::least).max().unwrap_or(0);
        if tests && room(columns) < least {
            let fits = NARROW.iter().copied().find(|&columns| room(columns) >= least);
            columns = fits.unwrap_or_default();
        }
        let mut table = self.build(columns, Some(room(columns)));
        if let Some(explained) = self.explained {
            // Even with the second column.
            let digits = self.rows.iter().map(|row| row.request.id.to_string().len()).max().unwrap_or(0);
            let indent = GAP + digits + GAP;
            table.beneath(self.rows.iter().map(|row| remarks(row.request, explained, indent, self.width)));
        }
        (table, columns)
    }

    fn build(&self, columns: Columns, request_width: Option<usize>) -> Table {
        let rows = || self.rows.iter();
        let mut table = Table::default();
        table.column(Align::Right, "#", rows().map(|row| Cell::new(Role::Faint, row.request.id.to_string())));
        table.column(Align::Right, "at", rows().map(|row| Cell::plain(offset(row.offset_ns))));
        table.column(Align::Right, "total", rows().map(|row| Cell::plain(time(row.request.boundaries.total()))));
        if let Some(width) = columns.bar {
            let bar = |row: &Row<'_>| segments::bar(&row.lengths, &self.segments, width);
            table.column(Align::Left, "phases", rows().map(bar));
        }
        let segments = if columns.segments { &self.segments[..] } else { &[] };
        for &segment in segments {
            let cell = |row: &Row<'_>| match row.lengths.get(segment) {
                Some(length @ 1..) => Cell::new(Role::Segment(segment), time(length)),
                Some(0) => Cell::new(Role::Faint, time(0)),
                None => Cell::new(Role::Faint, "-"),
            };
            table.column(Align::Right, segment.name(), rows().map(cell));
        }
        if columns.bytes {
            let cell = |size: Option<u64>| match size {
                Some(size @ 1..) => Cell::plain(bytes(size)),
                Some(0) => Cell::new(Role::Faint, bytes(0)),
                None => Cell::new(Role::Faint, "-"),
            };
            let sent = |row: &Row<'_>| row.request.response_bytes.and_then(|bytes| bytes.body);
            table.column(Align::Right, "body in", rows().map(|row| cell(row.request.request_bytes.body)));
            table.column(Align::Right, "body out", rows().map(|row| cell(sent(row))));
        }
        table.column(Align::Left, "status", rows().map(Row::status));
        if let Some(width) = request_width {
            table.column(Align::Left, "request", rows().map(|row| row.label(width)));
        }
        table
    }
}

/// A request and what a line says of it.
struct Row<'a> {
    request: &'a Request,
    lengths: Lengths,
    /// From the start of the run.
    offset_ns: u64,
    /// Method and target, fit for a terminal.
    target: String,
    /// Why it is not whole, and how long its connection waited.
    ending: Option<(Role, String)>,
    accept_wait: Option<(Role, String)>,
    /// The name of the test that caused it, fit for a terminal.
    test: Option<String>,
}

impl<'a> Row<'a> {
    fn new(request: &'a Request, summary: &Summary, run: &RunInfo) -> Self {
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
        let test = request.connection.owner.and_then(|owner| summary.tests.get(owner.test?.0 as usize));
        let explanation = request.explanation.as_ref();
        Self {
            request,
            lengths: Lengths::of_request(&boundaries.phases(), explanation.map(|explanation| &explanation.parts)),
            offset_ns: boundaries.start().saturating_sub(run.started_monotonic_ns),
            target: format!("{method} {}", text::escape(&target)),
            ending,
            accept_wait: wait,
            test: test.map(|test| text::escape(&test.name).into_owned()),
        }
    }

    /// What else there is to say.
    fn remarks(&self, with_wait: bool) -> impl Iterator<Item = &(Role, String)> {
        self.ending.iter().chain(self.accept_wait.iter().filter(move |_| with_wait))
    }

    fn remarks_width(&self, with_wait: bool) -> usize {
        self.remarks(with_wait).map(|(_, remark)| text::width(remark)).sum()
    }

    /// Columns of the whole label.
    fn wanted(&self) -> usize {
        text::width(&self.target) + self.remarks_width(true) + self.test_width()
    }

    fn test_width(&self) -> usize {
        self.test.as_ref().map_or(0, |test| IN.len() + text::width(test))
    }

    /// Columns of the test's name at its shortest.
    fn least_test_width(&self) -> usize {
        self.test_width().min(IN.len() + TEST_WIDTH)
    }

    /// Columns of the label at its shortest.
    fn least(&self) -> usize {
        text::width(&self.target).min(TARGET_WIDTH) + self.remarks_width(false) + self.least_test_width()
    }

    fn label(&self, width: usize) -> Cell {
        let wait_width = self.remarks_width(true) - self.remarks_width(false);
        let with_wait = self.test.is_none() || self.least() + wait_width <= width;
        let room = width.saturating_sub(self.remarks_width(with_wait));
        // The test has half of it, and what the target leaves.
        let left = room.saturating_sub(text::width(&self.target));
        let test_room = self.test_width().min(left.max(room / 2)).max(self.least_test_width());
        let target_room = room.saturating_sub(test_room).max(TARGET_WIDTH);
        let label = Cell::plain(text::shorten(&self.target, target_room));
        let label = self.remarks(with_wait).fold(label, |label, (role, remark)| label.and(*role, remark));
        match &self.test {
            Some(test) => label.and(Role::Faint, format!("{IN}{}", text::shorten_start(test, test_room - IN.len()))),
            None => label,
        }
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
