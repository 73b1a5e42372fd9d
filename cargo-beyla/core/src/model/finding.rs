//! What is wrong with a run. Of what `--explain` sees, `runtime/polls.rs` notices what polls do, and `analysis/findings.rs`
//! makes findings of it; `analysis/call_findings.rs` makes some of the calls of any run.

use std::sync::Arc;

use crate::model::call_kind::CallKind;
use crate::model::connection::Endpoint;
use crate::model::explanation::Place;
use crate::model::test::TestId;

/// One thing that made requests slow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub kind: FindingKind,
    /// Method and route of the requests that do it or suffer from it; `None` if it concerns all of them.
    pub route: Option<(Arc<str>, Arc<str>)>,
    /// The place in the code, if it was seen.
    pub place: Option<Place>,
    /// The calls that it is about, if it is about calls.
    pub asked_for: Option<AskedFor>,
    /// The requests of the route in which it was seen; without a route, all requests in which it was seen. If tasks do
    /// it that handle no request, the polls in which it was seen. A request that met it by several stacks which lead
    /// to one place may count more than once, up to `of`.
    pub count: u64,
    /// All requests of the route, or of the run. For polls, the same as `count`.
    pub of: u64,
    /// The sum of its time, in nanoseconds.
    pub total_ns: u64,
    /// The longest time, in nanoseconds.
    pub max_ns: u64,
    /// The requests that it held up, by route: the route with the largest sum of delays first.
    pub delayed: Vec<Delayed>,
    /// The tests whose requests do it or suffer from it, in a run of tests.
    pub tests: Vec<TestId>,
}

impl Finding {
    /// The time that it cost in all, in nanoseconds.
    pub fn cost_ns(&self) -> u64 {
        self.delayed.iter().fold(self.total_ns, |sum, delayed| sum.saturating_add(delayed.total_ns))
    }
}

/// The calls that a [`Finding`] is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AskedFor {
    /// What they ask for.
    pub kind: CallKind,
    /// As [`crate::model::call::Call::summary`].
    pub summary: Arc<str>,
    /// Who could not be connected to, if that is it.
    pub peer: Option<Endpoint>,
    /// Why not, as [`crate::model::call::Call::status`].
    pub status: Option<Arc<str>>,
    /// The most of them in one request.
    pub most: u64,
}

/// What a [`Finding`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FindingKind {
    /// A worker of the async runtime makes a call that blocks.
    BlockingCall,
    /// A poll that computes for long.
    CpuBoundPoll,
    /// Woken tasks wait for a worker, and no single poll is to blame.
    RuntimeSaturated,
    /// Threads are ready to run, and all CPUs are busy.
    CpuSaturated,
    /// Connections wait to be accepted.
    AcceptWait,
    /// The client is slow to send its request.
    SlowUpload,
    /// The client is slow to read the response.
    SlowReader,
    /// Threads wait for each other's lock.
    LockContention,
    /// A request makes the same call again and again, one after the other.
    RepeatedCall,
    /// One kind of call takes most of the time of a route.
    SlowCall,
    /// A connection cannot be opened.
    FailedConnect,
}

impl FindingKind {
    /// Its name in the JSON report.
    pub fn label(self) -> &'static str {
        match self {
            Self::BlockingCall => "blocking-call",
            Self::CpuBoundPoll => "cpu-bound-poll",
            Self::RuntimeSaturated => "runtime-saturated",
            Self::CpuSaturated => "cpu-saturated",
            Self::AcceptWait => "accept-wait",
            Self::SlowUpload => "slow-upload",
            Self::SlowReader => "slow-reader",
            Self::LockContention => "lock-contention",
            Self::RepeatedCall => "repeated-call",
            Self::SlowCall => "slow-call",
            Self::FailedConnect => "failed-connect",
        }
    }
}

/// Requests of one route that a [`Finding`] held up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delayed {
    /// The request method.
    pub method: Arc<str>,
    /// The route.
    pub route: Arc<str>,
    /// The number of requests.
    pub count: u64,
    /// The sum of their delays, in nanoseconds.
    pub total_ns: u64,
    /// The longest delay, in nanoseconds.
    pub max_ns: u64,
}
