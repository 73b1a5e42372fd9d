//! The table of calls.

use super::Width;
use crate::report::colors::{Paint, TextStyle};
use crate::report::table::{Align, Cell, GAP, Table};
use crate::report::text;
use crate::report::units::{count, counted, time};
use cargo_beyla_core::model::call::{CallKind, CallSummary};
use cargo_beyla_core::model::connection::Endpoint;

/// More rows than these are summed up in a line.
const ROWS_SHOWN: usize = 25;

/// For names of what is asked for that are no longer than this, addresses give way; a longer one that does not fit
/// stands beneath its row.
const NAME_WIDTH: usize = 40;

/// What stands above the names.
const HEADER: &str = "call";

/// How much of an address there is room for; a wider one stands beneath its row.
#[derive(Clone, Copy)]
enum Peers {
    Whole,
    /// On this machine the port is enough.
    Ports,
}

/// What the calls ask for and of whom, with their counts and times.
pub(super) fn calls(summaries: &[CallSummary], paint: Paint, width: Width) -> String {
    let (shown, rest) = summaries.split_at(summaries.len().min(ROWS_SHOWN));
    let mut out = paint.paint(TextStyle::Strong, "Calls, the most time first");
    out.push('\n');
    let names: Vec<String> = shown.iter().map(|row| name(row.kind, &row.summary)).collect();
    let wanted = names.iter().map(|name| text::width(name)).max().unwrap_or(0).clamp(HEADER.len(), NAME_WIDTH);
    // What a table without names leaves, whose column is as wide as its header.
    let room = |peers| (width.columns + HEADER.len()).saturating_sub(build(shown, &names, 0, peers, width).width());
    let peers = if room(Peers::Whole) >= wanted { Peers::Whole } else { Peers::Ports };
    build(shown, &names, room(peers).max(HEADER.len()), peers, width).render(paint, &mut out);
    if !rest.is_empty() {
        let calls = rest.iter().map(|row| row.count).sum();
        let rest = format!(
            "  and {} with {}; the JSON report has all (--json)\n",
            counted(rest.len() as u64, "more row"),
            counted(calls, "call")
        );
        out.push_str(&paint.paint(TextStyle::Faint, rest));
    }
    out
}

/// What a call asks for, as people read it: a protocol that is not read has no words for it.
pub(super) fn name(kind: CallKind, summary: &str) -> String {
    match summary {
        "" => kind.label().to_owned(),
        summary => format!("{} {}", kind.label(), text::escape(summary)),
    }
}

fn build(rows: &[CallSummary], names: &[String], name_width: usize, peers: Peers, width: Width) -> Table {
    let mut table = Table::default();
    let mut beneath: Vec<Vec<Cell>> = vec![Vec::new(); rows.len()];
    let mut placed = |texts: Vec<String>, room: usize| -> Vec<Cell> {
        let places = texts.into_iter().zip(&mut beneath).map(|(text, beneath)| {
            if text::width(&text) <= room {
                return Cell::plain(text);
            }
            beneath.push(width.beneath(&text, 2 * GAP));
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
    table.column(Align::Right, "errors", rows.iter().map(|row| number(TextStyle::Error, row.errors)));
    let unknown = || Cell::new(TextStyle::Faint, "-");
    let of = |ns: Option<u64>| ns.map_or_else(unknown, |ns| Cell::plain(time(ns)));
    table.column(Align::Right, "p50", rows.iter().map(|row| of(row.total.map(|total| total.p50))));
    table.column(Align::Right, "p99", rows.iter().map(|row| of(row.total.map(|total| total.p99))));
    let mean = |row: &CallSummary| row.per_request.map_or_else(unknown, |per| Cell::plain(rounded(per.mean)));
    table.column(Align::Right, "per request", rows.iter().map(mean));
    table.beneath(beneath);
    table
}

impl Peers {
    fn width(self) -> usize {
        match self {
            Self::Whole => 48,
            Self::Ports => ":65535".len(),
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

    fn rendered(summaries: &[CallSummary], columns: usize) -> String {
        let text = calls(summaries, Paint { color: false }, Width::of(Some(columns)));
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
          call                      peer   count  errors      p50      p99  per request
          http GET /rates/{id}      :9000      5       0  10.0 ms  10.0 ms          2.5
          postgresql SELECT items   :5432     48       0   900 µs   900 µs           48
          postgresql SELECT orders  :5432      1       0  3.60 ms  3.60 ms            1
        ");
    }

    #[test]
    fn many_rows_are_summed_up() {
        let summaries = fixtures::calling().call_summaries;
        let many: Vec<CallSummary> = summaries.iter().cycle().take(30).cloned().collect();
        let text = rendered(&many, 120);
        assert_eq!(text.lines().count(), 2 + ROWS_SHOWN + 1);
        assert!(text.ends_with("  and 5 more rows with 56 calls; the JSON report has all (--json)\n"), "{text}");
    }

    #[test]
    fn means_are_counts_or_tenths() {
        assert_eq!([41.0, 2.5, 1.04, 1200.0].map(rounded), ["41", "2.5", "1", "1,200"]);
    }
}
