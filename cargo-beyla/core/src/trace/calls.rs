//! What is counted and kept of the calls that have ended.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use crate::analysis::calls::{CallRow, CallStatistics, CountedCall};
use crate::exchange::run_state::EndedCall;
use crate::exchange::trace_context::Identities;
use crate::model::call::{Call, CallSummary};
use crate::model::connection::{Endpoint, StreamId};
use crate::model::request::Request;

/// The calls of one request that are kept.
const OF_REQUEST_MAX: usize = 256;

/// The calls of no request that are kept: the first.
const OF_NONE_MAX: usize = 16 * 1024;

/// The calls of all requests that are kept; meanwhile, they may be twice as many.
const KEPT_MAX: usize = 100_000;

/// The rows of the statistics that one request counts in.
const ROWS_OF_REQUEST_MAX: usize = 256;

/// The calls of a run that have ended.
#[derive(Debug, Default)]
pub(super) struct EndedCalls {
    statistics: CallStatistics,
    /// The calls of requests that are under way, by the number of the request.
    under_way: HashMap<u64, CallsOfRequest>,
    /// The calls of requests that have ended and are kept.
    kept: HashMap<u64, KeptCalls>,
    /// How many `kept` has at least the calls of.
    kept_count: usize,
    of_none: Vec<Arc<Call>>,
    /// Whether any call has begun.
    pub(super) any: bool,
    pub(super) errors: u64,
    /// Calls that belong to no request, without those of tests to their own servers.
    pub(super) unattributed: u64,
}

/// The calls that a request has made so far.
#[derive(Debug, Default)]
struct CallsOfRequest {
    calls: KeptCalls,
    /// How often it has made calls of each row.
    rows: Vec<(CallRow, u64)>,
}

/// Calls of one request.
#[derive(Clone, Debug, Default)]
pub(super) struct KeptCalls {
    /// In the order in which they ended.
    pub(super) calls: Vec<Arc<Call>>,
    /// Those beside them.
    pub(super) not_kept: u64,
}

impl KeptCalls {
    fn push(&mut self, call: Arc<Call>) {
        if self.calls.len() < OF_REQUEST_MAX {
            self.calls.push(call);
        } else {
            self.not_kept += 1;
        }
    }

    /// Their ids, in the order in which the calls began.
    pub(super) fn ids(&self) -> Vec<u64> {
        self.calls.iter().map(|call| call.id).collect()
    }

    fn sort(&mut self) {
        self.calls.sort_by_key(|call| (call.boundaries.start(), call.id));
    }
}

impl EndedCalls {
    /// Takes one more. Returns the call if it is to be exported by itself: it does not come with a request, and is not one
    /// that a test makes to its own server (`is_of_test`), which is a request of the run.
    pub(super) fn add(&mut self, ended: &EndedCall, is_of_test: bool, identities: Identities) -> Option<Arc<Call>> {
        let EndedCall { call, connection, request, caller, is_within_request } = ended;
        let call = Arc::new(call.to_call(connection, *request, caller.as_ref(), identities));
        self.errors += u64::from(call.is_error);
        let row = self.statistics.add(&CountedCall {
            kind: call.kind,
            peer: call.peer(),
            summary: &call.summary,
            is_error: call.is_error,
            total_ns: ended.call.is_complete().then(|| call.boundaries.total()),
        });
        let Some(of) = request else {
            self.unattributed += u64::from(!is_of_test);
            if self.of_none.len() < OF_NONE_MAX {
                self.of_none.push(Arc::clone(&call));
            }
            return (!is_of_test).then_some(call);
        };
        if !is_within_request {
            if let Some(kept) = self.kept.get_mut(&of.request) {
                kept.push(Arc::clone(&call));
            }
            return Some(call);
        }
        let of_request = self.under_way.entry(of.request).or_default();
        of_request.calls.push(call);
        let has_room = of_request.rows.len() < ROWS_OF_REQUEST_MAX;
        match of_request.rows.iter_mut().find(|(known, _)| *known == row) {
            Some((_, count)) => *count += 1,
            None if has_room => of_request.rows.push((row, 1)),
            None => {}
        }
        None
    }

    /// A request has ended. Returns its calls, in the order in which they began.
    pub(super) fn of_ended(&mut self, request: u64) -> Option<KeptCalls> {
        let CallsOfRequest { mut calls, rows } = self.under_way.remove(&request)?;
        for (row, count) in rows {
            self.statistics.add_request(row, count);
        }
        calls.sort();
        Some(calls)
    }

    /// A request that has ended is kept, and so are its calls. `kept` are all that are.
    pub(super) fn keep<'a>(
        &mut self,
        request: u64,
        calls: KeptCalls,
        kept: impl ExactSizeIterator<Item = &'a Arc<Request>>,
    ) {
        if !self.any {
            return;
        }
        self.kept_count += calls.calls.len();
        self.kept.insert(request, calls);
        if self.kept_count > 2 * KEPT_MAX || self.kept.len() > 2 * kept.len() {
            let ids: HashSet<u64> = kept.map(|request| request.id).collect();
            self.kept.retain(|request, _| ids.contains(request));
            self.kept_count = self.kept.values().map(|calls| calls.calls.len()).sum();
            if self.kept_count > KEPT_MAX {
                // The calls of each request are too many.
                self.kept.values_mut().for_each(KeptCalls::drop_half);
                self.kept_count = self.kept.values().map(|calls| calls.calls.len()).sum();
            }
        }
    }

    /// The calls that are kept, by id, and all statistics. Each of these requests gets the ids of its calls. `served` are
    /// the servers of tests.
    pub(super) fn into_calls(
        mut self,
        requests: &mut [Arc<Request>],
        served: &HashSet<Endpoint>,
    ) -> (Vec<Arc<Call>>, Vec<CallSummary>) {
        let mut calls = self.of_none;
        for request in &mut *requests {
            let Some(mut kept) = self.kept.remove(&request.id) else { continue };
            kept.sort();
            let ids = kept.ids();
            if ids != request.calls || kept.not_kept != request.calls_not_kept {
                let request = Arc::make_mut(request);
                (request.calls, request.calls_not_kept) = (ids, kept.not_kept);
            }
            calls.append(&mut kept.calls);
        }
        calls.sort_unstable_by_key(|call| call.id);
        join(&mut calls, requests);
        (calls, self.statistics.into_summaries(served))
    }
}

impl KeptCalls {
    fn drop_half(&mut self) {
        let keep = self.calls.len().div_ceil(2);
        self.not_kept += (self.calls.len() - keep) as u64;
        self.calls.truncate(keep);
    }
}

/// Says of each call which request it is at its other end: the two share the addresses of a connection, and its time.
fn join(calls: &mut [Arc<Call>], requests: &[Arc<Request>]) {
    let mut served: HashMap<(&Endpoint, &Endpoint), Vec<&Request>> = HashMap::new();
    if calls.is_empty() {
        return;
    }
    for request in requests {
        let connection = &request.connection;
        served.entry((&connection.server, connection.peer())).or_default().push(request);
    }
    for call in calls.iter_mut().filter(|call| call.peer().is_some()) {
        let (begun, ended) = (call.boundaries.begun, call.boundaries.ended);
        let is_it = |request: &&&Request| {
            request.stream.is_none_or(|StreamId(stream)| stream == call.stream.0)
                && (begun..=ended).contains(&request.boundaries.read)
        };
        let connection = (&call.connection.server, &call.connection.client);
        let found = served.get(&connection).and_then(|requests| requests.iter().find(is_it)).map(|request| request.id);
        if found.is_some() {
            Arc::make_mut(call).served = found;
        }
    }
}
