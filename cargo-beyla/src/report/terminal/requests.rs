//! Single requests: each one, and the slowest.

use super::remarks::remarks;
use super::story::{self, story};
use super::{METHOD_WIDTH, Width};
use crate::report::bar;
use crate::report::colors::{Paint, TextStyle};
use crate::report::run_report::RunReport;
use crate::report::segments::{self, Lengths, Segment};
use crate::report::table::{Align, Cell, GAP, Table};
use crate::report::text;
use crate::report::units::{bytes, count, offset, time};
use cargo_beyla_core::model::grpc::{Grpc, is_server_error, status_name};
use cargo_beyla_core::model::request::{Outcome, Request};

/// Columns of a time bar.
const BAR: usize = 24;

/// Columns of a time bar where there is no room for a longer one.
const SMALL_BAR: usize = 12;

/// For requests no longer than this, columns give way; a longer one that does not fit stands beneath its row.
const REQUEST_WIDTH: usize = 30;

/// Calls beneath their requests need as much, or the bars become smaller.
const STORY_WIDTH: usize = 24;

/// An accept wait, or a handshake of TLS, from here on is worth a word.
const ACCEPT_WAIT_NS: u64 = 1_000_000;

/// What stands above the requests themselves.
const HEADER: &str = "request";

/// Which column has the moment at which a request began.
const AT: usize = 1;

/// Which column has the total time; that of the bar follows, if there is one.
const TOTAL: usize = 2;

/// What comes before the name of a test.
const IN: &str = "in ";

/// Which columns there are beside those that always are.
#[derive(Clone, Copy, Default)]
struct Columns {
    bar: Option<usize>,
    segments: bool,
    bytes: bool,
}

/// The layouts of a table of all requests, the widest first.
const OF_EACH: &[Columns] = &[
    Columns { bar: Some(BAR), segments: true, bytes: true },
    Columns { bar: Some(SMALL_BAR), segments: true, bytes: true },
    Columns { bar: None, segments: true, bytes: true },
    Columns { bar: Some(BAR), segments: false, bytes: true },
    Columns { bar: Some(SMALL_BAR), segments: false, bytes: true },
    Columns { bar: Some(SMALL_BAR), segments: false, bytes: false },
    Columns { bar: None, segments: false, bytes: false },
];

/// The same where `handle` is opened, and there are more segments.
const OF_EACH_OPENED: &[Columns] = &[
    Columns { bar: Some(BAR), segments: true, bytes: true },
    Columns { bar: Some(SMALL_BAR), segments: true, bytes: true },
    Columns { bar: None, segments: true, bytes: true },
    Columns { bar: None, segments: true, bytes: false },
    Columns { bar: Some(BAR), segments: false, bytes: true },
    Columns { bar: Some(SMALL_BAR), segments: false, bytes: true },
    Columns { bar: Some(SMALL_BAR), segments: false, bytes: false },
    Columns { bar: None, segments: false, bytes: false },
];

/// The layouts of a table of the slowest.
const OF_SLOWEST: &[Columns] = &[
    Columns { bar: Some(BAR), segments: true, bytes: false },
    Columns { bar: Some(BAR), segments: false, bytes: false },
    Columns { bar: Some(SMALL_BAR), segments: false, bytes: false },
    Columns { bar: None, segments: false, bytes: false },
];

/// The same where `handle` is opened.
const OF_SLOWEST_OPENED: &[Columns] = &[
    Columns { bar: Some(BAR), segments: true, bytes: false },
    Columns { bar: Some(SMALL_BAR), segments: true, bytes: false },
    Columns { bar: Some(BAR), segments: false, bytes: false },
    Columns { bar: Some(SMALL_BAR), segments: false, bytes: false },
    Columns { bar: None, segments: false, bytes: false },
];

/// A line for each request, in the order in which they came.
pub(super) fn each(report: &RunReport, paint: Paint, width: Width) -> String {
    let summary = &report.summary;
    let explained = summary.explained.as_ref();
    let rows: Vec<Row<'_>> = summary.requests.iter().map(|request| Row::new(request, report)).collect();
    let layouts = if explained.is_some() { OF_EACH_OPENED } else { OF_EACH };
    section("Every request, in order", &Listing::new(rows, report, width), layouts, paint)
}

/// The slowest requests, the slowest first.
pub(super) fn slowest(report: &RunReport, number: usize, paint: Paint, width: Width) -> String {
    let explained = report.summary.explained.as_ref();
    let rows: Vec<Row<'_>> = report.slowest().take(number).map(|request| Row::new(request, report)).collect();
    let title = match rows.len() {
        1 => "The slowest request".to_owned(),
        number => format!("The {} slowest requests", count(number as u64)),
    };
    let layouts = if explained.is_some() { OF_SLOWEST_OPENED } else { OF_SLOWEST };
    section(&title, &Listing::new(rows, report, width), layouts, paint)
}

fn section(title: &str, listing: &Listing<'_>, layouts: &[Columns], paint: Paint) -> String {
    let (table, columns) = listing.fit(layouts);
    let mut out = paint.paint(TextStyle::Strong, title);
    if columns.bar.is_some() {
        out.push_str(&bar::legend(&listing.segments, text::width(title), listing.width.columns, paint));
    }
    out.push('\n');
    table.render(paint, &mut out);
    out
}

/// The rows of a table, and what they share.
struct Listing<'a> {
    rows: Vec<Row<'a>>,
    segments: Vec<Segment>,
    /// What has more to say of them: what made them slow, and their calls.
    report: &'a RunReport,
    width: Width,
}

impl<'a> Listing<'a> {
    fn new(rows: Vec<Row<'a>>, report: &'a RunReport, width: Width) -> Self {
        let lengths: Vec<Lengths> = rows.iter().map(|row| row.lengths).collect();
        let segments = segments::shown(&lengths);
        Self { rows, segments, report, width }
    }

    /// The first layout that leaves room enough for the requests themselves, else the last. What else there is to say of
    /// a request stands beneath it.
    fn fit(&self, layouts: &[Columns]) -> (Table, Columns) {
        let wanted = self.rows.iter().map(|row| text::width(&row.target)).max().unwrap_or(0);
        let tells = self.rows.iter().any(Row::makes_calls);
        let least = if tells { STORY_WIDTH } else { HEADER.len() };
        let wanted = wanted.clamp(least, REQUEST_WIDTH);
        // The last column has a gap of its own.
        let room = |columns| self.width.columns.saturating_sub(self.build(columns).width() + GAP);
        let fits = layouts.iter().copied().find(|&columns| room(columns) >= wanted);
        let columns = fits.or(layouts.last().copied()).unwrap_or_default();
        // Even with the second column.
        let digits = self.rows.iter().map(|row| row.request.id.to_string().len()).max().unwrap_or(0);
        let indent = GAP + digits + GAP;
        let placed = self.rows.iter().map(|row| self.width.place(&row.target, room(columns), indent));
        let (requests, targets): (Vec<Cell>, Vec<Option<Cell>>) = placed.unzip();
        let mut table = self.build(columns);
        table.column(Align::Left, HEADER, requests);
        let bounds = story::Columns {
            at_end: table.place(AT).1,
            total_end: table.place(TOTAL).1,
            bar: columns.bar.map(|width| (table.place(TOTAL + 1).0, width)),
            indent,
        };
        table.beneath(self.rows.iter().zip(targets).map(|(row, target)| {
            let mut lines: Vec<Cell> = target.into_iter().chain(row.asides(indent, self.width)).collect();
            lines.extend(story(row.request, self.report, bounds, self.width));
            let explained = self.report.summary.explained.iter();
            lines.extend(explained.flat_map(|explained| remarks(row.request, explained, indent, self.width.columns)));
            lines
        }));
        (table, columns)
    }

    /// All columns but that of the requests themselves.
    fn build(&self, columns: Columns) -> Table {
        let rows = || self.rows.iter();
        let mut table = Table::default();
        table.column(Align::Right, "#", rows().map(|row| Cell::new(TextStyle::Faint, row.request.id.to_string())));
        table.column(Align::Right, "at", rows().map(|row| Cell::plain(offset(row.offset_ns))));
        table.column(Align::Right, "total", rows().map(|row| Cell::plain(time(row.request.boundaries.total()))));
        if let Some(width) = columns.bar {
            let bar = |row: &Row<'_>| bar::bar(&row.lengths, &self.segments, width);
            table.column(Align::Left, "phases", rows().map(bar));
        }
        let segments = if columns.segments { &self.segments[..] } else { &[] };
        for &segment in segments {
            let cell = |row: &Row<'_>| match row.lengths.get(segment) {
                Some(length @ 1..) => Cell::new(TextStyle::Segment(segment), time(length)),
                Some(0) => Cell::new(TextStyle::Faint, time(0)),
                None => Cell::new(TextStyle::Faint, "-"),
            };
            table.column(Align::Right, segment.name(), rows().map(cell));
        }
        if columns.bytes {
            let cell = |size: Option<u64>| match size {
                Some(size @ 1..) => Cell::plain(bytes(size)),
                Some(0) => Cell::new(TextStyle::Faint, bytes(0)),
                None => Cell::new(TextStyle::Faint, "-"),
            };
            let sent = |row: &Row<'_>| row.request.response_bytes.and_then(|bytes| bytes.body);
            table.column(Align::Right, "body in", rows().map(|row| cell(row.request.request_bytes.body)));
            table.column(Align::Right, "body out", rows().map(|row| cell(sent(row))));
        }
        table.column(Align::Left, "status", rows().map(Row::status));
        table
    }
}

/// The messages of a gRPC call, as far as they were counted; `None` if there is one in each direction at most.
fn streamed_messages(grpc: &Grpc) -> Option<String> {
    let counts = [(grpc.request_messages, "in"), (grpc.response_messages, "out")];
    if counts.iter().all(|(number, _)| number.is_none_or(|number| number <= 1)) {
        return None;
    }
    let parts = counts.iter().filter_map(|(number, way)| Some(format!("{} {way}", count((*number)?))));
    Some(format!("messages: {}", parts.collect::<Vec<_>>().join(", ")))
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
    ending: Option<(TextStyle, String)>,
    accept_wait: Option<(TextStyle, String)>,
    handshake: Option<(TextStyle, String)>,
    /// The deadline of a gRPC call, and the message counts of one that streams.
    deadline: Option<(TextStyle, String)>,
    messages: Option<(TextStyle, String)>,
    /// The name of the test that caused it, fit for a terminal.
    test: Option<String>,
}

impl<'a> Row<'a> {
    fn new(request: &'a Request, report: &RunReport) -> Self {
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
            Outcome::ServerClosed => Some(TextStyle::Error),
            Outcome::ClientClosed | Outcome::StillOpen | Outcome::NotSeen => Some(TextStyle::Warning),
        };
        let ending = ending.map(|role| (role, request.outcome.label().to_owned()));
        let wait = boundaries.accept_wait().filter(|&wait| wait >= ACCEPT_WAIT_NS);
        let wait = wait.map(|wait| (TextStyle::Faint, format!("+ {} accept wait", time(wait))));
        let handshake = request.handshake_ns().filter(|&handshake| handshake >= ACCEPT_WAIT_NS);
        let handshake = handshake.map(|took| (TextStyle::Faint, format!("+ {} TLS handshake", time(took))));
        let grpc = request.grpc.as_deref();
        let deadline = grpc.and_then(|grpc| grpc.timeout_ns).map(|timeout| format!("deadline {}", time(timeout)));
        let faint = |aside: String| (TextStyle::Faint, aside);
        let test = report.test_of(request);
        let explanation = request.explanation.as_ref();
        Self {
            request,
            lengths: Lengths::of_request(&boundaries.phases(), explanation.map(|explanation| &explanation.parts)),
            offset_ns: boundaries.start().saturating_sub(report.run.started_monotonic_ns),
            target: format!("{method} {}", text::escape(&target)),
            ending,
            accept_wait: wait,
            handshake,
            deadline: deadline.map(faint),
            messages: grpc.and_then(streamed_messages).map(faint),
            test: test.map(|test| text::escape(&test.name).into_owned()),
        }
    }

    fn makes_calls(&self) -> bool {
        !self.request.calls.is_empty()
    }

    /// Why it is not whole, how long its connection waited, what gRPC adds, and its test: in a line, or in as many as
    /// that takes.
    fn asides(&self, indent: usize, width: Width) -> Vec<Cell> {
        let test = self.test.as_ref().map(|test| {
            let room = width.line.saturating_sub(indent + IN.len());
            (TextStyle::Faint, format!("{IN}{}", text::shorten_start(test, room)))
        });
        let mut lines: Vec<(Cell, usize)> = Vec::new();
        for (role, aside) in [&self.ending, &self.accept_wait, &self.handshake, &self.deadline, &self.messages, &test]
            .into_iter()
            .flatten()
        {
            let columns = text::width(aside);
            match lines.last_mut() {
                Some((line, used)) if *used + GAP + columns <= width.columns => {
                    *line = std::mem::take(line).and(TextStyle::Plain, " ".repeat(GAP)).and(*role, aside);
                    *used += GAP + columns;
                }
                _ => lines.push((Cell::plain(" ".repeat(indent)).and(*role, aside), indent + columns)),
            }
        }
        lines.into_iter().map(|(line, _)| line).collect()
    }

    /// That of a gRPC call by its name, for the one of HTTP says little there.
    fn status(&self) -> Cell {
        if let Some(status) = self.request.grpc.as_ref().and_then(|grpc| grpc.status) {
            let role = match status {
                0 => TextStyle::Plain,
                status if is_server_error(status) => TextStyle::Error,
                _ => TextStyle::Warning,
            };
            return Cell::new(role, status_name(status).map_or_else(|| status.to_string(), str::to_owned));
        }
        match self.request.status {
            Some(status @ 500..) => Cell::new(TextStyle::Error, status.to_string()),
            Some(status @ 400..) => Cell::new(TextStyle::Warning, status.to_string()),
            Some(status) => Cell::plain(status.to_string()),
            None => Cell::plain("-"),
        }
    }
}
