//! What `--explain` finds wrong.

use std::sync::Arc;

use crate::model::explanation::Place;
use crate::model::test::TestId;

/// One thing that made requests slow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub kind: FindingKind,
    /// Method and route of the requests that do it, or suffer it; `None` where it is of all.
    pub route: Option<(Arc<str>, Arc<str>)>,
    /// Where in the code, if that was seen.
    pub place: Option<Place>,
    /// How many requests of the route it was seen in. Without a route, of all; of what tasks do that handle no
    /// request, how many polls. Where one request met it by several stacks that lead to one place, it may count
    /// more than once, up to `of`.
    pub count: u64,
    /// How many requests there were; of polls, the same as `count`.
    pub of: u64,
    /// How long it lasted in all, in nanoseconds.
    pub total_ns: u64,
    /// The longest time, in nanoseconds.
    pub max_ns: u64,
    /// The requests that it held up, by route: the one with the most delay in all first.
    pub delayed: Vec<Delayed>,
    /// The tests whose requests do it, or suffer it, in a run of tests.
    pub tests: Vec<TestId>,
}

/// What a [`Finding`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FindingKind {
    /// A call that blocks, on a worker of the async runtime.
    BlockingCall,
    /// A poll that computes for long.
    CpuBoundPoll,
    /// Tasks are woken and wait for a worker, and no single poll is to blame.
    RuntimeSaturated,
    /// Threads want a CPU and get none.
    CpuSaturated,
    /// Connections wait to be accepted.
    AcceptWait,
    /// The client is slow to send its request.
    SlowUpload,
    /// The client is slow to read the response.
    SlowReader,
    /// Threads wait for each other's lock.
    LockContention,
}

impl FindingKind {
    /// As it stands in the JSON report.
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
    /// How many.
    pub count: u64,
    /// How long in all, in nanoseconds.
    pub total_ns: u64,
    /// The longest, in nanoseconds.
    pub max_ns: u64,
}
