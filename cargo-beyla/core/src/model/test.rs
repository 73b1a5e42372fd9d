//! The tests of a run of `cargo beyla test`.

use std::sync::Arc;

use crate::model::duration::Distribution;
use crate::model::trace_context::TestSpan;

/// A test of a run: its place in [`crate::model::summary::Summary::tests`].
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
    /// It took too long, and was stopped.
    TimedOut,
    /// It stands for the tests of a binary that gave no list of them.
    Unlisted,
}

impl TestResult {
    /// As it stands in reports.
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
    /// The test binary, as in `package::target`.
    pub binary: Arc<str>,
    /// The test's name within it.
    pub name: Arc<str>,
    /// Which repetition of the run it belongs to, from 0.
    pub round: u32,
    /// How it ended; `None` if the run ended first.
    pub result: Option<TestResult>,
    /// Why it failed, where `result` does not say it.
    pub reason: Option<Arc<str>>,
    /// When it began, by the clock of the events.
    pub started_ns: u64,
    /// How long it took, but for the time that all was stopped; to the end of the run if that came first.
    pub duration_ns: u64,
    /// Requests to servers that it, or what it started, ran.
    pub requests: u64,
    /// Of these, those that the server failed.
    pub errors: u64,
    /// Of these, those without a whole response: they count in none of the times below.
    pub incomplete: u64,
    /// The sum of the total request times.
    pub sum_ns: u64,
    /// Total request times; `None` if no request was complete.
    pub total: Option<Distribution>,
    /// Its root span, if it has one: see [`EndedTest`].
    pub span: Option<TestSpan>,
}

/// A test that is over, as it is exported. Times are nanoseconds, by the clock of the events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedTest {
    /// The test binary, as in `package::target`.
    pub binary: Arc<str>,
    /// The test's name within it.
    pub name: Arc<str>,
    /// Which repetition of the run it belongs to, from 0.
    pub round: u32,
    /// How it ended; `None` if the run ended first.
    pub result: Option<TestResult>,
    /// Why it failed, where `result` does not say it.
    pub reason: Option<Arc<str>>,
    /// When it began.
    pub started_ns: u64,
    /// When it ended, or the run.
    pub ended_ns: u64,
    /// Its root span.
    pub span: TestSpan,
}
