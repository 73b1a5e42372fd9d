//! The story of a request: its calls beneath it, in the order in which they began.
//!
//! Calls that ask the same peer for the same are one line, which says whether they ran one after the other.

use std::cmp::Reverse;

use super::Width;
use super::calls::name;
use crate::report::colors::TextStyle;
use crate::report::run_report::RunReport;
use crate::report::table::{Cell, GAP};
use crate::report::text;
use crate::report::units::{count, counted, time};
use cargo_beyla_core::model::call::{Call, CallKind, CallPhases, Certainty};
use cargo_beyla_core::model::grpc::status_name;
use cargo_beyla_core::model::request::{Outcome, Request};

/// How many lines a story has, besides those that say what is left out.
const LINES_MAX: usize = 8;

/// A shorter part of a call's time is not worth a word.
const WORTH_A_WORD_NS: u64 = 300_000;

/// Nor is one that is a smaller part of it than one in this number.
const SHARE: u64 = 5;

/// Where the columns of the table are in which the request stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Columns {
    /// Where the moment at which it began ends.
    pub(super) at_end: usize,
    /// Where its total time ends.
    pub(super) total_end: usize,
    /// Where its bar begins, and how wide it is.
    pub(super) bar: Option<(usize, usize)>,
    /// Where further lines about it begin.
    pub(super) indent: usize,
}

/// The lines of a request that made calls.
pub(super) fn story(request: &Request, report: &RunReport, columns: Columns, width: Width) -> Vec<Cell> {
    let groups = groups(report.calls_of(request));
    let mut longest: Vec<usize> = (0..groups.len()).collect();
    longest.sort_by_key(|&place| Reverse(groups[place].took));
    let mut shown: Vec<usize> = longest.into_iter().take(LINES_MAX).collect();
    shown.sort_unstable();
    let of: u64 = shown.iter().map(|&place| groups[place].calls.len() as u64).sum();
    let mut lines: Vec<Cell> = shown.iter().flat_map(|&place| groups[place].lines(request, columns, width)).collect();
    let rest = (request.calls.len() as u64).saturating_sub(of) + request.calls_not_kept;
    if rest > 0 {
        let more = format!("and {}", counted(rest, "more call"));
        lines.push(Cell::plain(" ".repeat(columns.indent)).and(TextStyle::Faint, more));
    }
    lines
}

/// Calls of one request that ask the same peer for the same.
#[derive(Debug)]
struct Group<'a> {
    calls: Vec<&'a Call>,
    /// From the beginning of the first to the end of the last.
    from: u64,
    until: u64,
    /// The time in which at least one of them ran.
    took: u64,
    /// How many ran at the same time, at the most.
    at_once: usize,
}

/// The calls in groups, both in the order in which they began.
fn groups<'a>(calls: impl Iterator<Item = &'a Call>) -> Vec<Group<'a>> {
    let mut groups: Vec<Vec<&Call>> = Vec::new();
    for call in calls {
        let is_like =
            |other: &Call| (other.kind, &other.summary, other.peer()) == (call.kind, &call.summary, call.peer());
        match groups.iter_mut().find(|group| group.first().is_some_and(|first| is_like(first))) {
            Some(group) => group.push(call),
            None => groups.push(vec![call]),
        }
    }
    groups.into_iter().map(Group::new).collect()
}

impl<'a> Group<'a> {
    fn new(calls: Vec<&'a Call>) -> Self {
        let ends = |call: &&Call| (call.boundaries.start(), call.boundaries.ended.max(call.boundaries.start()));
        let mut spans: Vec<(u64, u64)> = calls.iter().map(ends).collect();
        spans.sort_unstable();
        let (mut took, mut at_once, mut reached) = (0, 0, 0);
        let mut running: Vec<u64> = Vec::new();
        for &(from, until) in &spans {
            took += until.saturating_sub(from.max(reached));
            reached = reached.max(until);
            running.retain(|&end| end > from);
            running.push(until);
            at_once = at_once.max(running.len());
        }
        let from = spans.first().map_or(0, |(from, _)| *from);
        Self { calls, from, until: reached, took, at_once }
    }

    /// When it began, from the beginning of the request; how long it took, what it asks for, and what else there is to
    /// say; that on lines of its own where there is no room beside.
    fn lines(&self, request: &Request, columns: Columns, width: Width) -> Vec<Cell> {
        let at = format!("+{}", time(self.from.saturating_sub(request.boundaries.start())));
        let took = time(self.took);
        let before = |end: usize, text: &str| " ".repeat(end.saturating_sub(text::width(text)));
        let mut line = Cell::plain(before(columns.at_end, &at))
            .and(TextStyle::Faint, at)
            .and(TextStyle::Plain, before(columns.total_end.saturating_sub(columns.at_end), &took))
            .and(if self.failed() > 0 { TextStyle::Error } else { TextStyle::Plain }, took);
        let mut indent = columns.total_end.max(GAP);
        if let Some((at, length)) = columns.bar {
            line = line.and(TextStyle::Plain, " ".repeat(at.saturating_sub(indent)));
            line = line.and(TextStyle::Faint, self.bar(request, length));
            indent = at + length;
        }
        indent += GAP;
        let room = width.line.saturating_sub(indent);
        let name = text::shorten(&self.name(), room).into_owned();
        let mut used = text::width(&name);
        line = line.and(TextStyle::Plain, " ".repeat(GAP)).and(TextStyle::Plain, name);
        let asides = self.asides();
        let needed: usize = asides.iter().map(|(_, aside)| GAP + text::width(aside)).sum();
        let peer = self.peer();
        // Where it is missing, the table of calls has it.
        let peer = Some(peer).filter(|peer| {
            let columns = GAP + text::width(peer);
            !peer.is_empty() && (self.must_name_peer() || indent + used + columns + needed <= width.columns)
        });
        let peer = peer.map(|peer| (TextStyle::Faint, peer));
        let mut lines = Vec::new();
        for (role, aside) in peer.into_iter().chain(asides) {
            let columns = text::width(&aside);
            if indent + used + GAP + columns > width.columns {
                lines.push(line);
                (line, used) = (Cell::plain(" ".repeat(indent)), 0);
            }
            line = line.and(TextStyle::Plain, " ".repeat(GAP)).and(role, aside);
            used += GAP + columns;
        }
        lines.push(line);
        lines
    }

    /// The time of the request as a bar, with a sign for each part in which they ran: it stands beneath that of its
    /// phases, and has its scale.
    fn bar(&self, request: &Request, columns: usize) -> String {
        let boundaries = &request.boundaries;
        let (start, total) = (boundaries.start(), boundaries.total().max(1));
        let column = |at: u64| {
            let at = at.saturating_sub(start).min(total);
            (u128::from(at) * columns as u128 / u128::from(total)) as usize
        };
        let from = column(self.from).min(columns.saturating_sub(1));
        let until = column(self.until).clamp(from + 1, columns.max(from + 1));
        format!("{}{}{}", " ".repeat(from), "━".repeat(until - from), " ".repeat(columns.saturating_sub(until)))
    }

    fn first(&self) -> Option<&'a Call> {
        self.calls.first().copied()
    }

    fn failed(&self) -> u64 {
        self.calls.iter().filter(|call| call.is_error).count() as u64
    }

    /// As in `41 × postgresql SELECT items`.
    fn name(&self) -> String {
        let name = self.first().map_or_else(String::new, |call| name(call.kind, &call.summary));
        match self.calls.len() {
            ..=1 => name,
            number => format!("{} × {name}", count(number as u64)),
        }
    }

    /// Empty of what is asked within the process.
    fn peer(&self) -> String {
        let peer = self.first().and_then(Call::peer);
        peer.map_or_else(String::new, |peer| text::escape(&peer.to_string()).into_owned())
    }

    /// Nothing else says what it was that was called.
    fn must_name_peer(&self) -> bool {
        self.calls.iter().any(|call| call.kind == CallKind::Tcp || call.boundaries.read.is_none())
    }

    /// What else there is to say.
    fn asides(&self) -> Vec<(TextStyle, String)> {
        let mut asides = Vec::new();
        match (self.calls.len(), self.at_once) {
            (..=1, _) => {}
            (_, 1) => asides.push((TextStyle::Warning, "one after the other".to_owned())),
            (all, at_once) if all == at_once => asides.push((TextStyle::Plain, "in parallel".to_owned())),
            (_, at_once) => asides.push((TextStyle::Plain, format!("up to {at_once} in parallel"))),
        }
        asides.extend(self.status());
        // An error code says more than how the call ended. A status of HTTP or gRPC does not: it came before the end.
        let is_open = |call: &&&Call| call.status.is_none() || matches!(call.kind, CallKind::Http | CallKind::Grpc);
        let mut endings: Vec<Outcome> = self.calls.iter().filter(is_open).map(|call| call.outcome).collect();
        endings.sort_unstable();
        endings.dedup();
        asides
            .extend(endings.into_iter().filter_map(|outcome| Some((TextStyle::Warning, ending(outcome)?.to_owned()))));
        asides.extend(self.parts());
        asides.extend(self.served().map(|request| (TextStyle::Faint, format!("= #{request}"))));
        if self.calls.iter().any(|call| call.request.is_some_and(|of| of.certainty == Certainty::Likely)) {
            asides.push((TextStyle::Faint, "likely".to_owned()));
        }
        asides
    }

    /// The request that the peer has served for the only call, if the peer is traced as well.
    fn served(&self) -> Option<u64> {
        self.first().filter(|_| self.calls.len() == 1)?.served
    }

    /// What took them a good part of their time, other than the peer.
    fn parts(&self) -> impl Iterator<Item = (TextStyle, String)> {
        let mut sums = CallPhases::default().named().map(|(name, _)| (name, 0));
        for call in &self.calls {
            for ((_, sum), (_, length)) in sums.iter_mut().zip(call.boundaries.phases().named()) {
                *sum += length.unwrap_or(0);
            }
        }
        let all: u64 = sums.iter().map(|(_, sum)| sum).sum();
        // A call that is all of one part says nothing by its name.
        let tells = move |&(name, sum): &(&str, u64)| {
            name != "wait" && sum >= WORTH_A_WORD_NS && sum >= all / SHARE && sum < all
        };
        sums.into_iter().filter(tells).map(|(name, sum)| (TextStyle::Plain, format!("{name} {}", time(sum))))
    }

    /// The status that all of them have; of those that failed, how many, and the status of the first.
    fn status(&self) -> Option<(TextStyle, String)> {
        let status = |call: &Call| {
            let status = call.status.as_deref()?;
            let name = status.parse().ok().filter(|_| call.kind == CallKind::Grpc).and_then(status_name);
            Some(name.map_or_else(|| text::escape(status).into_owned(), str::to_owned))
        };
        let failed = self.calls.iter().find(|call| call.is_error);
        match (failed, self.calls.len()) {
            (Some(failed), 1) => Some((TextStyle::Error, status(failed).unwrap_or_else(|| "failed".to_owned()))),
            (Some(failed), _) => {
                let first = status(failed).map_or_else(String::new, |status| format!(" ({status})"));
                Some((TextStyle::Error, format!("{} failed{first}", count(self.failed()))))
            }
            (None, _) => {
                let first = self.first()?;
                let same = self.calls.iter().all(|call| call.status == first.status);
                status(first).filter(|_| same).map(|status| (TextStyle::Plain, status))
            }
        }
    }
}

/// How calls ended that have no whole answer, from where the process stands.
fn ending(outcome: Outcome) -> Option<&'static str> {
    match outcome {
        Outcome::Complete => None,
        Outcome::ClientClosed => Some("given up"),
        Outcome::ServerClosed => Some("closed by the peer"),
        Outcome::StillOpen => Some("still open"),
        Outcome::NotSeen => Some("not seen"),
    }
}
