//! What is known at the end of a run; reports are made of this and of nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::analysis::suite::TestSummary;
use crate::model::explanation::Frame;
use crate::model::finding::Finding;
use crate::model::request::{Endpoint, Request};

/// Everything that a run has shown of its requests.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Exact counts.
    pub totals: Totals,
    /// Where the process listened, in the order in which it began to.
    pub listening: Vec<Endpoint>,
    /// For how long all that was traced was stopped, as by ^Z, in nanoseconds.
    pub paused_ns: u64,
    /// Total request times of all complete requests; `None` if there were none.
    pub total: Option<Distribution>,
    /// By route, the one with the most total time first.
    pub routes: Vec<RouteSummary>,
    /// The requests kept, by id.
    pub requests: Vec<Arc<Request>>,
    /// What could not be seen or read.
    pub unseen: Unseen,
    /// What `--explain` has shown, if it was asked for.
    pub explained: Option<Explained>,
    /// The tests that ran, in the order in which they began, by [`crate::analysis::suite::TestId`]; empty but under
    /// `cargo beyla test`.
    pub tests: Vec<TestSummary>,
}

/// What `--explain` has shown of a run.
#[derive(Clone, Debug, Default)]
pub struct Explained {
    /// What is wrong: what cost the most time first.
    pub findings: Vec<Finding>,
    /// What `--explain` could not see, and why; empty if there is nothing of the kind.
    pub unseen: String,
    /// Requests whose `handle` could not be opened although they have one.
    pub requests_not_opened: u64,
    /// The stacks that requests and findings refer to; the innermost frame first.
    pub stacks: BTreeMap<u32, Vec<Frame>>,
    /// The types of the tasks that requests have waited for.
    pub task_types: BTreeMap<u64, Arc<str>>,
}

/// Exact counts of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests of which at least the request line and header were read.
    pub requests: u64,
    /// Of these, those that the server failed: see [`Request::is_error`].
    pub errors: u64,
    /// Of these, those without a whole response.
    pub incomplete: u64,
    /// Connections that the server touched.
    pub connections: u64,
    /// Requests that are counted but no longer kept one by one.
    pub requests_not_kept: u64,
}

/// Statistics of one route. Times are nanoseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteSummary {
    /// The request method.
    pub method: Arc<str>,
    /// The path with its variable parts folded.
    pub route: Arc<str>,
    /// Requests.
    pub count: u64,
    /// Of these, those that the server failed.
    pub errors: u64,
    /// Of these, those without a whole response: they count in none of the times below.
    pub incomplete: u64,
    /// Total request times; `None` if no request was complete.
    pub total: Option<Distribution>,
    /// Mean length of each phase, over the complete requests in which it is known, in the order of
    /// [`crate::model::boundaries::Phases::named`].
    pub phase_mean: [Option<f64>; 4],
    /// Mean length of each part of `handle`, over the complete requests in which it was opened, in the
    /// order of [`crate::model::explanation::Parts::named`]; `None` if there are none.
    pub handle_mean: Option<[f64; 5]>,
}

/// A distribution of times in nanoseconds; percentiles to three significant digits, the rest exact.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Distribution {
    /// The median.
    pub p50: u64,
    /// The 90th percentile.
    pub p90: u64,
    /// The 99th percentile.
    pub p99: u64,
    /// The largest.
    pub max: u64,
    /// The mean.
    pub mean: f64,
}

/// What could not be seen or read, each a count.
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
    /// Bytes that connections moved and no record told of.
    pub missing_bytes: u64,
    /// Connections taken over by another protocol (101 Switching Protocols, CONNECT).
    pub upgraded_connections: u64,
    /// Connections that spoke TLS.
    pub tls_connections: u64,
    /// Connections that spoke HTTP/2 from the start.
    pub http2_connections: u64,
    /// Connections that spoke something else, or HTTP/1 that could not be read.
    pub unreadable_connections: u64,
    /// Requests, or runs of them, that were not read: their heads lie in what was not captured of a call.
    pub unread_requests: u64,
    /// `io_uring`s that the process created.
    pub io_urings: u64,
    /// Connections that were open before anybody watched, and in whose bytes no request was found.
    pub unjoined_connections: u64,
    /// Connections of programs that are not the workspace's own, where several processes are traced.
    pub foreign_connections: u64,
}
