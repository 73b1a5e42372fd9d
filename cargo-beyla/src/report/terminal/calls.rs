//! The table of calls.

use std::sync::Arc;

use super::Width;
use super::advice::advice;
use crate::report::colors::{Paint, TextStyle};
use crate::report::run_report::RunReport;
use crate::report::table::{Align, Cell, GAP, Table};
use crate::report::text;
use crate::report::units::{count, counted, time};
use cargo_beyla_core::model::call::{Call, CallKind, CallSummary};
use cargo_beyla_core::model::connection::Endpoint;

/// More rows than these are summed up in a line.
const ROWS_SHOWN: usize = 25;

/// For names of what is asked for that are no longer than this, addresses give way; a longer one that does not fit
/// stands beneath its row.
const NAME_WIDTH: usize = 40;

/// What stands above the names.
const HEADER: &str = "call";

/// How much room there is for addresses, which stand beneath their row if they are wider. With little room, headers are
/// short, and what failed stands beneath as well.
#[derive(Clone, Copy)]
enum Peers {
    Whole,
    /// On this machine the port is enough.
    Ports,
}

/// A row for each peer and what it is asked for, with counts and times, and advice where something is wrong. `None` if
/// there are no calls.
pub(super) fn calls(report: &RunReport, paint: Paint, width: Width) -> Option<String> {
    let rows: Vec<&CallSummary> = report.call_rows().collect();
    let (shown, rest) = rows.split_at(rows.len().min(ROWS_SHOWN));
    if shown.is_empty() {
        return None;
    }
    let mut out = paint.paint(TextStyle::Strong, "Calls, the most time first");
    out.push('\n');
    let names: Vec<String> = shown.iter().map(|row| name(row.kind, &row.summary)).collect();
    let wanted = names.iter().map(|name| text::width(name)).max().unwrap_or(0).clamp(HEADER.len(), NAME_WIDTH);
    // What a table without names leaves, whose column is as wide as its header.
    let room = |peers| (width.columns + HEADER.len()).saturating_sub(build(shown, &names, 0, peers, width).0.width());
    let peers = if room(Peers::Whole) >= wanted { Peers::Whole } else { Peers::Ports };
    let (mut table, mut beneath) = build(shown, &names, room(peers).max(HEADER.len()), peers, width);
    for (row, beneath) in shown.iter().zip(&mut beneath) {
        beneath.extend(wrong(row, &report.summary.calls, peers, width));
    }
    table.beneath(beneath);
    table.render(paint, &mut out);
    if !rest.is_empty() {
        let calls = rest.iter().map(|row| row.count).sum();
        let rest = format!(
            "  and {} with {}; the JSON report has all (--json)\n",
            counted(rest.len() as u64, "more row"),
            counted(calls, "call")
        );
        out.push_str(&paint.paint(TextStyle::Faint, rest));
    }
    Some(out)
}

/// How many calls of a row failed, if no column says it, and what is wrong with them.
fn wrong(row: &CallSummary, calls: &[Arc<Call>], peers: Peers, width: Width) -> Option<Cell> {
    let advice = advice(row, calls);
    if row.errors == 0 || matches!(peers, Peers::Whole) {
        return advice.map(|advice| width.beneath(TextStyle::Warning, &advice, 2 * GAP));
    }
    let failed = width.beneath(TextStyle::Error, &format!("{} failed", count(row.errors)), 2 * GAP);
    Some(match advice {
        Some(advice) => failed.and(TextStyle::Warning, format!(": {advice}")),
        None => failed,
    })
}

/// What a call asks for, as people read it: a protocol that is not read has no words for it.
pub(super) fn name(kind: CallKind, summary: &str) -> String {
    match summary {
        "" => kind.label().to_owned(),
        summary => format!("{} {}", kind.label(), text::escape(summary)),
    }
}

/// The table, and for each row the lines to put beneath it: addresses that are too wide for their column.
fn build(
    rows: &[&CallSummary],
    names: &[String],
    name_width: usize,
    peers: Peers,
    width: Width,
) -> (Table, Vec<Vec<Cell>>) {
    let mut table = Table::default();
    let mut beneath: Vec<Vec<Cell>> = vec![Vec::new(); rows.len()];
    let mut placed = |texts: Vec<String>, room: usize| -> Vec<Cell> {
        let places = texts.into_iter().zip(&mut beneath).map(|(text, beneath)| {
            if text::width(&text) <= room {
                return Cell::plain(text);
            }
            beneath.push(width.beneath(TextStyle::Plain, &text, 2 * GAP));
            Cell::default()
        });
        places.collect()
    };
    let names = placed(names.to_vec(), name_width);
    let addresses = rows.iter().map(|row| row.peer.as_ref().map_or_else(String::new, |peer| address(peer, peers)));
    let addresses = placed(addresses.collect(), peers.width());
    table.column(Align::Left, HEADER, names);
    table.column(Align::Left, "peer", addresses);
    let number = |role: TextStyle, number: u64| match number {
        0 => Cell::new(TextStyle::Faint, "0"),
        number => Cell::new(role, count(number)),
    };
    table.column(Align::Right, "count", rows.iter().map(|row| Cell::plain(count(row.count))));
    if let Peers::Whole = peers {
        table.column(Align::Right, "errors", rows.iter().map(|row| number(TextStyle::Error, row.errors)));
    }
    let unknown = || Cell::new(TextStyle::Faint, "-");
    let of = |ns: Option<u64>| ns.map_or_else(unknown, |ns| Cell::plain(time(ns)));
    table.column(Align::Right, "p50", rows.iter().map(|row| of(row.total.map(|total| total.p50))));
    table.column(Align::Right, "p99", rows.iter().map(|row| of(row.total.map(|total| total.p99))));
    let mean = |row: &&CallSummary| row.per_request.map_or_else(unknown, |per| Cell::plain(rounded(per.mean)));
    table.column(Align::Right, peers.per_request(), rows.iter().map(mean));
    (table, beneath)
}

impl Peers {
    fn width(self) -> usize {
        match self {
            Self::Whole => 48,
            Self::Ports => ":65535".len(),
        }
    }

    /// What stands above the calls of a request.
    fn per_request(self) -> &'static str {
        match self {
            Self::Whole => "per request",
            Self::Ports => "/request",
        }
    }
}

fn address(peer: &Endpoint, peers: Peers) -> String {
    match (peer, peers) {
        (Endpoint::Tcp(address), Peers::Ports) if address.ip().is_loopback() => format!(":{}", address.port()),
        _ => text::escape(&peer.to_string()).into_owned(),
    }
}

/// A mean of counts: `41`, `2.5`.
fn rounded(mean: f64) -> String {
    let tenths = (mean * 10.0).round();
    if tenths % 10.0 == 0.0 { count((tenths / 10.0) as u64) } else { format!("{:.1}", tenths / 10.0) }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::report::fixtures;
    use cargo_beyla_core::model::summary::Summary;

    fn rendered(call_summaries: &[CallSummary], columns: usize) -> String {
        let summary = Summary { call_summaries: call_summaries.to_vec(), ..Summary::default() };
        let report = fixtures::report(summary, fixtures::run(), 1);
        let text = calls(&report, Paint { color: false }, Width::of(Some(columns))).expect("there are calls");
        assert!(text.lines().all(|line| text::width(line) <= columns), "{text}");
        text
    }

    #[test]
    fn all_kinds_of_calls() {
        let summaries = fixtures::calling().call_summaries;
        assert_snapshot!(rendered(&summaries, 120), @"
        Calls, the most time first
          call                      peer                  count  errors      p50      p99  per request
          http GET /rates/{id}      127.0.0.1:9000            5       0  10.0 ms  10.0 ms          2.5
          postgresql SELECT items   127.0.0.1:5432           48       0   900 µs   900 µs           48
            up to 48 in one request: one statement can do all (JOIN, = ANY, unnest)
          postgresql SELECT orders  127.0.0.1:5432            1       0  3.60 ms  3.60 ms            1
          grpc /shop.Stock/Check    127.0.0.1:9000            1       1  2.00 ms  2.00 ms            1
          tcp                       127.0.0.1:9000            1       0  1.00 ms  1.00 ms            1
          postgresql SELECT jobs    127.0.0.1:5432            1       0   700 µs   700 µs            -
          redis GET                 unix:/run/redis.sock      1       0   400 µs   400 µs            1
          tcp connect               127.0.0.1:9000            1       1        -        -            1
          redis BLPOP               unix:/run/redis.sock      1       0        -        -            -
        ");
        assert_snapshot!(rendered(&summaries[..3], 80), @"
        Calls, the most time first
          call                      peer   count      p50      p99  /request
          http GET /rates/{id}      :9000      5  10.0 ms  10.0 ms       2.5
          postgresql SELECT items   :5432     48   900 µs   900 µs        48
            up to 48 in one request: one statement can do all (JOIN, = ANY, unnest)
          postgresql SELECT orders  :5432      1  3.60 ms  3.60 ms         1
        ");
    }

    #[test]
    fn many_rows_are_summed_up() {
        let summaries = fixtures::calling().call_summaries;
        // Of nine, one has a line beneath it.
        let others = summaries.iter().filter(|row| &*row.summary != "SELECT items");
        let many: Vec<CallSummary> = others.cycle().take(30).cloned().collect();
        let text = rendered(&many, 120);
        assert_eq!(text.lines().count(), 2 + ROWS_SHOWN + 1);
        assert!(text.ends_with("  and 5 more rows with 5 calls; the JSON report has all (--json)\n"), "{text}");
    }

    #[test]
    fn means_are_counts_or_tenths() {
        assert_eq!([41.0, 2.5, 1.04, 1200.0].map(rounded), ["41", "2.5", "1", "1,200"]);
    }
}
