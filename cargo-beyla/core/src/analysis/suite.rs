//! The tests of a run of `cargo beyla test`: which process serves for which test, and what each test's requests
//! came to.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cargo_beyla_events::{self as records, Exited, Forked};
use hashbrown::HashMap;

use crate::analysis::statistics::{Ended, Times};
use crate::event::{Executed, Paused, TestEnded, TestStarted};
use crate::exchange::trace_context::TestSpan;
use crate::model::summary::Distribution;

/// The processes that are remembered at a time; more than a machine lets a user have by default.
const PROCESSES_MAX: usize = 64 * 1024;

/// The tests that are told apart.
const TESTS_MAX: usize = 1024 * 1024;

/// A test of a run: its place in [`crate::model::summary::Summary::tests`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TestId(pub u32);

/// Whose a connection is, in a run that traces several processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The process, as its user numbers it; 0 where that is not known.
    pub pid: u32,
    /// The test that it belongs to; `None` where that was not seen.
    pub test: Option<TestId>,
}

/// Which processes of a run are followed, beside the one that starts the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Within {
    /// Those whose programs are in these folders, or are these files.
    pub folders: Vec<PathBuf>,
    /// Whether the one that starts the others is itself one of them, so that what it forks is as well.
    pub itself: bool,
}

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

/// What is known of tests and processes so far.
#[derive(Debug)]
pub(crate) struct Suite {
    within: Within,
    tests: Vec<Test>,
    /// Tests by process, as the run numbers it.
    roots: HashMap<u32, TestId>,
    /// By the number that records have.
    processes: HashMap<u32, Process>,
    /// Those that are over since they were taken last, each once: no more than there are tests.
    ended: Vec<TestId>,
}

#[derive(Debug)]
struct Test {
    binary: Arc<str>,
    name: Arc<str>,
    round: u32,
    result: Option<TestResult>,
    reason: Option<Arc<str>>,
    started_ns: u64,
    /// For how long it was stopped meanwhile, with all the others.
    paused_ns: u64,
    ended_ns: Option<u64>,
    requests: u64,
    errors: u64,
    incomplete: u64,
    total: Times,
    /// Whether it stood among those that have ended.
    told: bool,
}

impl Test {
    /// Whether its end is to be told, now that it has come or one more request was seen: not that of a test that
    /// passed and served no requests, which would be most of them where unit tests are many.
    fn tell(&mut self) -> bool {
        let tell =
            !self.told && self.ended_ns.is_some() && (self.requests > 0 || self.result != Some(TestResult::Passed));
        self.told |= tell;
        tell
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Process {
    pid: u32,
    test: Option<TestId>,
    /// Whether its program is one that is followed.
    followed: bool,
}

impl Suite {
    pub(crate) fn new(within: Within) -> Self {
        Self { within, tests: Vec::new(), roots: HashMap::new(), processes: HashMap::new(), ended: Vec::new() }
    }

    pub(crate) fn test_started(&mut self, started: &TestStarted<'_>) {
        if started.test.0 as usize != self.tests.len() || self.tests.len() >= TESTS_MAX {
            return;
        }
        // 0 is no process: nobody is run for a binary without a list.
        if started.pid != 0 {
            self.roots.insert(started.pid, started.test);
        }
        self.tests.push(Test {
            binary: started.binary.into(),
            name: started.name.into(),
            round: started.round,
            result: None,
            reason: None,
            started_ns: started.time_ns,
            paused_ns: 0,
            ended_ns: None,
            requests: 0,
            errors: 0,
            incomplete: 0,
            total: Times::default(),
            told: false,
        });
    }

    pub(crate) fn test_ended(&mut self, ended: &TestEnded<'_>) {
        if let Some(test) = self.tests.get_mut(ended.test.0 as usize) {
            test.result = ended.result;
            test.reason = (!ended.reason.is_empty()).then(|| ended.reason.into());
            test.ended_ns = Some(ended.time_ns);
            if test.tell() {
                self.ended.push(ended.test);
            }
        }
    }

    pub(crate) fn paused(&mut self, paused: &Paused) {
        for test in self.tests.iter_mut().filter(|test| test.ended_ns.is_none()) {
            test.paused_ns = test.paused_ns.saturating_add(paused.after(test.started_ns));
        }
    }

    /// Ends what is under way at `now_ns`.
    pub(crate) fn close(&mut self, now_ns: u64) {
        for (test, id) in self.tests.iter_mut().zip(0..) {
            test.ended_ns.get_or_insert(now_ns);
            if test.tell() {
                self.ended.push(TestId(id));
            }
        }
    }

    /// Hands out the tests that are over since it did so last; `span` is the root span of each, if it has one.
    pub(crate) fn take_ended(&mut self, span: impl Fn(TestId) -> Option<TestSpan>, mut take: impl FnMut(EndedTest)) {
        let Self { tests, ended, .. } = self;
        for id in ended.drain(..) {
            if let (Some(test), Some(span)) = (tests.get(id.0 as usize), span(id)) {
                take(EndedTest {
                    binary: Arc::clone(&test.binary),
                    name: Arc::clone(&test.name),
                    round: test.round,
                    result: test.result,
                    reason: test.reason.clone(),
                    started_ns: test.started_ns,
                    ended_ns: test.ended_ns.unwrap_or(test.started_ns),
                    span,
                });
            }
        }
    }

    pub(crate) fn forked(&mut self, forked: &Forked) {
        if self.processes.len() < PROCESSES_MAX {
            let starter = Process { followed: self.within.itself, ..Process::default() };
            let parent = self.processes.get(&forked.parent).copied().unwrap_or(starter);
            // Its own number is known once it executes something, or serves a connection.
            self.processes.insert(forked.child, Process { pid: 0, ..parent });
        }
    }

    pub(crate) fn executed(&mut self, executed: &Executed<'_>) {
        if self.processes.len() >= PROCESSES_MAX && !self.processes.contains_key(&executed.process) {
            return;
        }
        let process = self.processes.entry(executed.process).or_default();
        process.pid = executed.pid;
        process.followed = self.within.folders.iter().any(|folder| Path::new(executed.path).starts_with(folder));
        if process.test.is_none() {
            process.test = self.roots.get(&executed.pid).copied();
        }
    }

    /// A process has taken a connection.
    pub(crate) fn owns(&mut self, owner: &records::Owner) {
        if let Some(process) = self.processes.get_mut(&owner.process)
            && owner.pid != 0
        {
            process.pid = owner.pid;
        }
    }

    pub(crate) fn exited(&mut self, exited: &Exited) {
        if let Some(process) = self.processes.remove(&exited.process)
            && let Some(test) = self.roots.get(&process.pid)
            && process.test == Some(*test)
        {
            self.roots.remove(&process.pid);
        }
    }

    /// Whose the connections of a process are; `None` where its program is not one that is followed.
    pub(crate) fn owner(&self, process: u32) -> Option<Owner> {
        let Some(process) = self.processes.get(&process) else {
            // The records that tell of it were lost.
            return Some(Owner { pid: 0, test: None });
        };
        process.followed.then_some(Owner { pid: process.pid, test: process.test })
    }

    /// Counts a request that has ended.
    pub(crate) fn add(&mut self, id: TestId, ended: &Ended<'_>) {
        if let Some(test) = self.tests.get_mut(id.0 as usize) {
            test.requests += 1;
            test.errors += u64::from(ended.error);
            if ended.is_complete() {
                test.total.add(ended.boundaries.total());
            } else {
                test.incomplete += 1;
            }
            // One that came late: its test may have ended without any, as far as was known.
            if test.tell() {
                self.ended.push(id);
            }
        }
    }

    /// How many requests of a test have ended so far.
    pub(crate) fn requests_of(&self, test: TestId) -> u64 {
        self.tests.get(test.0 as usize).map_or(0, |test| test.requests)
    }

    /// What is known at the end of the run.
    pub(crate) fn into_summaries(self, now_ns: u64, span: impl Fn(TestId) -> Option<TestSpan>) -> Vec<TestSummary> {
        let summary = |(test, id): (Test, u32)| TestSummary {
            span: span(TestId(id)).filter(|_| test.told),
            binary: test.binary,
            name: test.name,
            round: test.round,
            result: test.result,
            reason: test.reason,
            started_ns: test.started_ns,
            duration_ns: test.ended_ns.unwrap_or(now_ns).saturating_sub(test.started_ns).saturating_sub(test.paused_ns),
            requests: test.requests,
            errors: test.errors,
            incomplete: test.incomplete,
            sum_ns: test.total.sum(),
            total: test.total.into_distribution(),
        };
        self.tests.into_iter().zip(0..).map(summary).collect()
    }
}
