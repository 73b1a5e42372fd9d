//! What is known at the end of a run. Reports are made from this and nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::call::{Call, CallSummary};
use crate::model::connection::Endpoint;
use crate::model::duration::Distribution;
use crate::model::finding::Finding;
use crate::model::request::Request;
use crate::model::stack::Frame;
use crate::model::test::TestSummary;
use crate::model::tls_summary::TlsSummary;

/// Everything that is known about the requests of a run.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Exact counts.
    pub totals: Totals,
    /// The addresses on which the process listened, in the order in which it began to.
    pub listening: Vec<Endpoint>,
    /// For how long everything that was traced was stopped, as by ^Z, in nanoseconds.
    pub paused_ns: u64,
    /// Total request times of all complete requests; `None` if there were none.
    pub total: Option<Distribution>,
    /// The routes; the one with the most total time comes first.
    pub routes: Vec<RouteSummary>,
    /// The requests that are kept one by one, by id.
    pub requests: Vec<Arc<Request>>,
    /// The calls that are kept one by one, by id: those of the requests that are kept, and some of no request.
    pub calls: Vec<Arc<Call>>,
    /// What was called; what took the most time comes first.
    pub call_summaries: Vec<CallSummary>,
    /// What could not be seen or read.
    pub unseen: Unseen,
    /// What was seen of TLS beside requests and calls.
    pub tls: TlsSummary,
    /// Why calls of tasks that a request has spawned may be of no request, in sentences; empty if there is no reason.
    pub spawns_unseen: String,
    /// Which calls within the process are not seen, and why, in a sentence; empty if there is nothing to say.
    pub calls_unseen: String,
    /// What `--explain` found, if it was asked for.
    pub explained: Option<Explained>,
    /// What is wrong with the calls of requests; what cost the most time comes first.
    pub call_findings: Vec<Finding>,
    /// The tests that ran, in the order in which they began, which is that of [`crate::model::test::TestId`]. Only
    /// `cargo beyla test` has any.
    pub tests: Vec<TestSummary>,
}

/// What `--explain` found in a run.
#[derive(Clone, Debug, Default)]
pub struct Explained {
    /// What is wrong; what cost the most time comes first.
    pub findings: Vec<Finding>,
    /// What `--explain` could not see, and why; empty if it could see everything.
    pub unseen: String,
    /// Requests whose `handle` phase has a length, but whose parts are not known.
    pub requests_not_opened: u64,
    /// Requests that were opened by what the scheduler and the sampler see: [`crate::model::explanation::Tier::Seen`].
    pub requests_seen: u64,
    /// The stacks to which requests and findings refer; the innermost frame comes first.
    pub stacks: BTreeMap<u32, Vec<Frame>>,
    /// The types of the tasks to which requests refer, by the address of their table of functions.
    pub task_types: BTreeMap<u64, Arc<str>>,
}

/// Exact counts of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests whose head was read.
    pub requests: u64,
    /// The requests that the server failed: see [`Request::is_error`].
    pub errors: u64,
    /// The requests without a whole response.
    pub incomplete: u64,
    /// Connections that the server touched, without those that it opened itself.
    pub connections: u64,
    /// Requests that are counted, but not kept one by one.
    pub requests_not_kept: u64,
    /// Calls that the process made.
    pub calls: u64,
    /// The calls that failed.
    pub call_errors: u64,
    /// Calls that are counted, but not kept one by one.
    pub calls_not_kept: u64,
    /// Connections that the process opened, or tried to.
    pub client_connections: u64,
}

/// Statistics of one route. Times are nanoseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteSummary {
    /// The request method.
    pub method: Arc<str>,
    /// The path with its variable parts folded.
    pub route: Arc<str>,
    /// The number of requests.
    pub count: u64,
    /// The requests that the server failed.
    pub errors: u64,
    /// The requests without a whole response: they count in none of the times below.
    pub incomplete: u64,
    /// The total request times; `None` if no request was complete.
    pub total: Option<Distribution>,
    /// The mean length of each phase, over the complete requests in which the phase is known, in the order of
    /// [`crate::model::boundaries::Phases::named`].
    pub phase_mean: [Option<f64>; 4],
    /// The mean length of each part of `handle`, over the complete requests whose parts are known, in the order of
    /// [`crate::model::explanation::Parts::named`]; `None` if there are no such requests.
    pub handle_mean: Option<[f64; 5]>,
}

/// Counts of what could not be seen or read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unseen {
    /// Records for which the ring buffer had no room.
    pub lost_records: u64,
    /// Times the kernel skipped a probe.
    pub skipped_probes: u64,
    /// Times a probe could not read what it needed.
    pub failed_reads: u64,
    /// Directions of connections in which it was lost where the next frame begins.
    pub out_of_step: u64,
    /// Connections for which the kernel's table had no room.
    pub untracked_connections: u64,
    /// Bytes that connections moved and that no record covers.
    pub missing_bytes: u64,
    /// Connections that another protocol took over (101 Switching Protocols, CONNECT).
    pub upgraded_connections: u64,
    /// Connections that spoke TLS and could not be read.
    pub tls_connections: u64,
    /// Heads of HTTP/2 with fields that are not known, since they refer to what was not seen.
    pub partial_heads: u64,
    /// Responses that servers pushed, which nobody asked for.
    pub pushed_responses: u64,
    /// Connections that spoke something else, or HTTP/1 that could not be read.
    pub unreadable_connections: u64,
    /// Requests that were not read, as their heads lie in bytes that were not captured; several in a row may count
    /// once.
    pub unread_requests: u64,
    /// The `io_uring` instances that the process created.
    pub io_urings: u64,
    /// Connections that were open before the run began, and in which no request was found.
    pub unjoined_connections: u64,
    /// Connections of programs that do not belong to the workspace, in a run that traces several processes.
    pub foreign_connections: u64,
    /// Calls of which nobody knows which request made them, or whether one did. What tests ask their own servers does
    /// not count.
    pub unattributed_calls: u64,
    /// Calls that were not read, as what they ask for lies in bytes that were not captured; several in a row may count
    /// once.
    pub unread_calls: u64,
    /// Connections that the process opened, and that spoke TLS and could not be read: of their calls, only times and
    /// sizes are known.
    pub tls_client_connections: u64,
    /// Connections that the process opened and that another protocol took over.
    pub upgraded_client_connections: u64,
    /// Connections that the process opened and that could not be read any further.
    pub unreadable_client_connections: u64,
}
