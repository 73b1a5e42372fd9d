//! The table by route.

use std::borrow::Cow;

use super::{METHOD_WIDTH, Width};
use crate::report::colors::{Paint, TextStyle};
use crate::report::segments::{self, Lengths, Segment};
use crate::report::table::{Align, Cell, GAP, Table};
use crate::report::text;
use crate::report::units::{count, counted, share, time};
use cargo_beyla_core::model::duration::Distribution;
use cargo_beyla_core::model::summary::RouteSummary;

/// More routes than these are summed up in a line: a client that tries paths at random makes
/// thousands.
const ROUTES_SHOWN: usize = 25;

/// For routes no longer than this, columns give way; a longer one that does not fit stands beneath its row.
const ROUTE_WIDTH: usize = 24;

/// Methods that are no longer than this have a column; the others are rare.
const METHOD_COLUMN: usize = 8;

/// Counts, percentiles and the share of each phase; the shares in tables of their own where the terminal
/// is too narrow for one.
pub(super) fn routes(routes: &[RouteSummary], paint: Paint, width: Width) -> String {
    let (shown, rest) = routes.split_at(routes.len().min(ROUTES_SHOWN));
    let paths: Vec<_> = shown.iter().map(|route| text::escape(&route.route)).collect();
    // The header has a width of its own.
    let header = "route".len();
    let wanted = paths.iter().map(|path| text::width(path)).max().unwrap_or(0).clamp(header, ROUTE_WIDTH);
    let lengths: Vec<Lengths> = shown.iter().map(Lengths::of_route).collect();
    let segments = segments::shown(&lengths);
    let build = |times: bool, lengths: &[Lengths], segments: &[Segment]| {
        let build = |route_width: usize| {
            let mut table = Table::default();
            name_columns(&mut table, shown, &paths, route_width, width);
            if times {
                time_columns(&mut table, shown);
            }
            share_columns(&mut table, lengths, segments);
            table
        };
        // What a table without routes leaves, whose column is as wide as its header.
        let room = (width.columns + header).saturating_sub(build(0).width());
        (build(room.max(header)), room)
    };

    let mut out = paint.paint(TextStyle::Strong, "Routes, the most time first");
    let (whole, room) = build(true, &lengths, &segments);
    if room >= wanted {
        out.push_str(&paint.paint(TextStyle::Faint, "; phases as their mean share\n"));
        whole.render(paint, &mut out);
    } else {
        out.push('\n');
        build(true, &[], &[]).0.render(paint, &mut out);
        let parts: Vec<Segment> = segments.iter().copied().filter(|segment| segment.is_part()).collect();
        let (shares, room) = build(false, &lengths, &segments);
        let tables = if room >= wanted || parts.is_empty() {
            vec![("Mean share of each phase", shares)]
        } else {
            let whole: Vec<Lengths> = shown.iter().map(Lengths::of_phases).collect();
            let phases = build(false, &whole, &segments::shown(&whole)).0;
            let parts = build(false, &lengths, &parts).0;
            vec![("Mean share of each phase", phases), ("Mean share of each part of handle", parts)]
        };
        for (title, table) in tables {
            out.push('\n');
            out.push_str(&paint.paint(TextStyle::Strong, title));
            out.push('\n');
            table.render(paint, &mut out);
        }
    }
    if !rest.is_empty() {
        let requests = rest.iter().map(|route| route.count).sum();
        let rest = format!(
            "  and {} with {}; the JSON report has all (--json)\n",
            counted(rest.len() as u64, "more route"),
            counted(requests, "request")
        );
        out.push_str(&paint.paint(TextStyle::Faint, rest));
    }
    out
}

/// One number of a distribution.
type Statistic = fn(&Distribution) -> u64;

/// Method and route; those that have no room in their columns stand beneath the row.
fn name_columns(table: &mut Table, routes: &[RouteSummary], paths: &[Cow<'_, str>], route_width: usize, width: Width) {
    let mut columns: (Vec<Cell>, Vec<Cell>) = Default::default();
    let mut beneath: Vec<Vec<Cell>> = Vec::new();
    for (route, path) in routes.iter().zip(paths) {
        let method = text::escape(&route.method);
        let method = text::shorten(&method, METHOD_WIDTH);
        let names = match (text::width(&method) <= METHOD_COLUMN, text::width(path) <= route_width) {
            (true, true) => (Cell::plain(&*method), Cell::plain(&**path), None),
            (true, false) => (Cell::plain(&*method), Cell::default(), Some(path.to_string())),
            (false, _) => (Cell::default(), Cell::default(), Some(format!("{method} {path}"))),
        };
        columns.0.push(names.0);
        columns.1.push(names.1);
        beneath.push(names.2.iter().map(|name| width.beneath(TextStyle::Plain, name, 2 * GAP)).collect());
    }
    table.column(Align::Left, "method", columns.0);
    table.column(Align::Left, "route", columns.1);
    table.beneath(beneath);
}

fn time_columns(table: &mut Table, routes: &[RouteSummary]) {
    table.column(Align::Right, "count", routes.iter().map(|route| Cell::plain(count(route.count))));
    let number = |role: TextStyle, number: u64| match number {
        0 => Cell::new(TextStyle::Faint, "0"),
        number => Cell::new(role, count(number)),
    };
    table.column(Align::Right, "errors", routes.iter().map(|route| number(TextStyle::Error, route.errors)));
    if routes.iter().any(|route| route.incomplete > 0) {
        table.column(
            Align::Right,
            "incomplete",
            routes.iter().map(|route| number(TextStyle::Warning, route.incomplete)),
        );
    }
    let columns: [(&str, Statistic); 4] = [
        ("p50", |total| total.p50),
        ("p90", |total| total.p90),
        ("p99", |total| total.p99),
        ("max", |total| total.max),
    ];
    for (header, of) in columns {
        let cell = |route: &RouteSummary| match &route.total {
            Some(total) => Cell::plain(time(of(total))),
            None => Cell::new(TextStyle::Faint, "-"),
        };
        table.column(Align::Right, header, routes.iter().map(cell));
    }
}

fn share_columns(table: &mut Table, lengths: &[Lengths], segments: &[Segment]) {
    for &segment in segments {
        let cell = |lengths: &Lengths| {
            let whole = lengths.sum() as f64;
            match lengths.get(segment) {
                Some(part @ 1..) => Cell::new(TextStyle::Segment(segment), share(part as f64, whole)),
                Some(0) if whole > 0.0 => Cell::new(TextStyle::Faint, share(0.0, whole)),
                _ => Cell::new(TextStyle::Faint, "-"),
            }
        };
        table.column(Align::Right, segment.name(), lengths.iter().map(cell));
    }
}
