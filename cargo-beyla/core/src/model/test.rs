//! The tests of a run of `cargo beyla test`.

use std::sync::Arc;

use crate::model::duration::Distribution;
use crate::model::trace_context::TestSpan;

/// A test of a run, by its place in [`crate::model::summary::Summary::tests`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TestId(pub u32);

/// How a test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestResult {
    /// It passed.
    Passed,
    /// It failed, with this exit code.
    Failed(i32),
    /// It was killed by this signal.
    Killed(i32),
    /// It took too long and was stopped.
    TimedOut,
    /// It stands for all tests of a binary that gave no list of them.
    Unlisted,
}

impl TestResult {
    /// Its name in reports.
    pub fn label(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed(_) | Self::Unlisted => "failed",
            Self::Killed(_) => "killed",
            Self::TimedOut => "timed out",
        }
    }
}

/// One test that ran, and its requests. Times are nanoseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct TestSummary {
    /// The test binary, as `package::target`.
    pub binary: Arc<str>,
    /// The test's name within it.
    pub name: Arc<str>,
    /// The repetition of the run that it belongs to, from 0.
    pub round: u32,
    /// How it ended; `None` if the run ended before.
    pub result: Option<TestResult>,
    /// Why it failed, if `result` does not say it.
    pub reason: Option<Arc<str>>,
    /// When it began, by the clock of the events.
    pub started_ns: u64,
    /// How long it took, without the time in which the whole run was stopped. If the run ended before the test, its
    /// time up to then.
    pub duration_ns: u64,
    /// Requests to servers that ran in the test or in a process that it started.
    pub requests: u64,
    /// The requests that the server failed.
    pub errors: u64,
    /// The requests without a whole response: they count in none of the times below.
    pub incomplete: u64,
    /// The calls that the test made, or a process that it started. Its calls to its own servers count as requests alone.
    pub calls: u64,
    /// The sum of the total request times.
    pub sum_ns: u64,
    /// The total request times; `None` if no request was complete.
    pub total: Option<Distribution>,
    /// Its root span, if it has one: see [`EndedTest`].
    pub span: Option<TestSpan>,
}

/// A test that has ended, as it is exported. Times are nanoseconds, by the clock of the events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedTest {
    /// The test binary, as `package::target`.
    pub binary: Arc<str>,
    /// The test's name within it.
    pub name: Arc<str>,
    /// The repetition of the run that it belongs to, from 0.
    pub round: u32,
    /// How it ended; `None` if the run ended before.
    pub result: Option<TestResult>,
    /// Why it failed, if `result` does not say it.
    pub reason: Option<Arc<str>>,
    /// When it began.
    pub started_ns: u64,
    /// When it ended, or when the run did if that came first.
    pub ended_ns: u64,
    /// Its root span.
    pub span: TestSpan,
}
