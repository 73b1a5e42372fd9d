//! The statistics of calls by what they ask for: exact counts and the distribution of times, in bounded memory.

use std::cmp::Reverse;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use crate::analysis::distribution::Durations;
use crate::model::call::{CallKind, CallSummary, CallsPerRequest};
use crate::model::connection::Endpoint;

/// The rows that are told apart; further calls count in one row for each kind.
const ROWS_MAX: usize = 1000;

/// A row of the statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallRow(usize);

/// A call that has ended, as the statistics count it.
#[derive(Clone, Copy, Debug)]
pub struct CountedCall<'a> {
    /// What it asks for.
    pub kind: CallKind,
    /// Who is asked, if it is not asked within the process.
    pub peer: Option<&'a Endpoint>,
    /// What it asks for, in words.
    pub summary: &'a Arc<str>,
    /// Whether it failed.
    pub is_error: bool,
    /// How long it took, in nanoseconds, if it has a whole answer.
    pub total_ns: Option<u64>,
}

/// The statistics of all calls.
#[derive(Debug, Default)]
pub struct CallStatistics {
    rows: Vec<Row>,
    by_peer: HashMap<Endpoint, RowsOfPeer>,
    within_process: RowsOfPeer,
    others: HashMap<CallKind, CallRow>,
}

type RowsOfPeer = HashMap<(CallKind, Arc<str>), CallRow>;

#[derive(Debug)]
struct Row {
    kind: CallKind,
    peer: Option<Endpoint>,
    summary: Arc<str>,
    count: u64,
    errors: u64,
    incomplete: u64,
    total: Durations,
    /// The requests that have made such calls, how many they have made, and the most that one has made.
    requests: u64,
    by_requests: u64,
    most: u64,
}

impl CallStatistics {
    /// Counts a call. Returns the row that it counts in.
    pub fn add(&mut self, call: &CountedCall<'_>) -> CallRow {
        let place = self.row(call);
        let row = &mut self.rows[place.0];
        row.count += 1;
        row.errors += u64::from(call.is_error);
        match call.total_ns {
            Some(total_ns) => row.total.add(total_ns),
            None => row.incomplete += 1,
        }
        place
    }

    /// Counts a request that has made this number of calls.
    pub fn add_request(&mut self, CallRow(row): CallRow, calls: u64) {
        if let Some(row) = self.rows.get_mut(row) {
            row.requests += 1;
            row.by_requests += calls;
            row.most = row.most.max(calls);
        }
    }

    fn row(&mut self, call: &CountedCall<'_>) -> CallRow {
        let key = (call.kind, Arc::clone(call.summary));
        let rows = call.peer.map_or(Some(&self.within_process), |peer| self.by_peer.get(peer));
        if let Some(&row) = rows.and_then(|rows| rows.get(&key)) {
            return row;
        }
        if self.rows.len() < ROWS_MAX {
            let row = self.insert(call.kind, call.peer.cloned(), Arc::clone(call.summary));
            let rows = match call.peer {
                Some(peer) => self.by_peer.entry(peer.clone()).or_default(),
                None => &mut self.within_process,
            };
            rows.insert(key, row);
            return row;
        }
        if let Some(&other) = self.others.get(&call.kind) {
            return other;
        }
        let other = self.insert(call.kind, None, CallSummary::OTHER.into());
        self.others.insert(call.kind, other);
        other
    }

    fn insert(&mut self, kind: CallKind, peer: Option<Endpoint>, summary: Arc<str>) -> CallRow {
        self.rows.push(Row {
            kind,
            peer,
            summary,
            count: 0,
            errors: 0,
            incomplete: 0,
            total: Durations::default(),
            requests: 0,
            by_requests: 0,
            most: 0,
        });
        CallRow(self.rows.len() - 1)
    }

    /// What took the most time comes first. `served` are the servers of tests.
    pub fn into_summaries(self, served: &HashSet<Endpoint>) -> Vec<CallSummary> {
        let mut rows = self.rows;
        let by_name = |a: &Row, b: &Row| (a.kind, &a.peer, &a.summary).cmp(&(b.kind, &b.peer, &b.summary));
        let weight = |row: &Row| Reverse((row.total.sum, row.count));
        rows.sort_by(|a, b| weight(a).cmp(&weight(b)).then_with(|| by_name(a, b)));
        rows.into_iter().map(|row| row.into_summary(served)).collect()
    }
}

impl Row {
    fn into_summary(self, served: &HashSet<Endpoint>) -> CallSummary {
        let is_of_tests = self.requests == 0 && self.peer.as_ref().is_some_and(|peer| served.contains(peer));
        let mean = self.by_requests as f64 / self.requests as f64;
        CallSummary {
            kind: self.kind,
            peer: self.peer,
            summary: self.summary,
            count: self.count,
            errors: self.errors,
            incomplete: self.incomplete,
            total: self.total.into_distribution(),
            requests: self.requests,
            per_request: (self.requests > 0).then_some(CallsPerRequest { mean, max: self.most }),
            is_of_tests,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(statistics: &mut CallStatistics, port: u16, summary: &str, total_ns: Option<u64>) -> CallRow {
        let (peer, summary) = (Endpoint::Tcp(([127, 0, 0, 1], port).into()), Arc::from(summary));
        let is_error = total_ns.is_none();
        statistics.add(&CountedCall { kind: CallKind::Redis, peer: Some(&peer), summary: &summary, is_error, total_ns })
    }

    #[test]
    fn rows_are_those_of_kind_peer_and_summary() {
        let mut statistics = CallStatistics::default();
        let get = add(&mut statistics, 1, "GET", Some(10));
        let set = add(&mut statistics, 1, "SET", Some(50));
        assert_eq!(add(&mut statistics, 1, "GET", Some(20)), get);
        assert_eq!(add(&mut statistics, 1, "GET", None), get);
        assert_ne!(add(&mut statistics, 2, "GET", Some(70)), get);
        statistics.add_request(get, 1);
        statistics.add_request(get, 2);
        statistics.add_request(set, 1);
        let rows = statistics.into_summaries(&HashSet::new());
        let row = |row: &CallSummary| {
            let per_request = row.per_request.map(|per_request| (per_request.mean, per_request.max));
            let mean = row.total.map(|total| total.mean);
            (row.summary.to_string(), row.count, row.errors, row.incomplete, mean, row.requests, per_request)
        };
        assert_eq!(
            rows.iter().map(row).collect::<Vec<_>>(),
            [
                ("GET".into(), 1, 0, 0, Some(70.0), 0, None),
                ("SET".into(), 1, 0, 0, Some(50.0), 1, Some((1.0, 1))),
                ("GET".into(), 3, 1, 1, Some(15.0), 2, Some((1.5, 2))),
            ]
        );
    }

    #[test]
    fn rows_are_bounded_and_the_rest_counts_in_one() {
        let mut statistics = CallStatistics::default();
        for n in 0..2 * ROWS_MAX {
            add(&mut statistics, 1, &n.to_string(), Some(1));
        }
        let rows = statistics.into_summaries(&HashSet::new());
        assert_eq!((rows.len(), rows.iter().map(|row| row.count).sum::<u64>()), (ROWS_MAX + 1, 2 * ROWS_MAX as u64));
        let other = rows.iter().find(|row| row.peer.is_none()).expect("a row for the rest");
        assert_eq!((&*other.summary, other.count), (CallSummary::OTHER, ROWS_MAX as u64));
    }
}
