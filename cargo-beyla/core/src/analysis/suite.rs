//! The tests of a run of `cargo beyla test`: which processes belong to which test, and the sums of each test's
//! requests.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cargo_beyla_events::{self as records, Exited, Forked};
use hashbrown::{HashMap, HashSet};

use crate::analysis::distribution::Durations;
use crate::analysis::routes::CountedRequest;
use crate::event::{Executed, Open, Paused, TestEnded, TestStarted};
use crate::model::connection::{Endpoint, Owner, Role};
use crate::model::test::{EndedTest, TestId, TestResult, TestSummary};
use crate::model::trace_context::TestSpan;

/// The processes that are remembered at a time. By default a machine lets a user have fewer.
const PROCESSES_MAX: usize = 64 * 1024;

/// The addresses at which tests have taken connections that are remembered.
const SERVED_MAX: usize = 64 * 1024;

/// The tests that are counted one by one.
const TESTS_MAX: usize = 1024 * 1024;

/// Which processes of a run are followed, besides the one that starts the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Within {
    /// Processes whose program is one of these files, or lies in one of these folders.
    pub folders: Vec<PathBuf>,
    /// The process that starts the others, if it is followed itself, and with it what it forks.
    pub itself: Option<u32>,
}

/// The tests and processes that are known so far.
#[derive(Debug)]
pub(crate) struct Suite {
    within: Within,
    tests: Vec<Test>,
    /// The tests by the id of their first process, as the run numbers it.
    roots: HashMap<u32, TestId>,
    /// The processes by the number that records have.
    processes: HashMap<u32, Process>,
    /// Where processes of tests have taken connections.
    served: HashSet<Endpoint>,
    /// The tests that have ended since [`Suite::take_ended`] took them last. Each comes once, so they are bounded.
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
    /// For how long the whole run was stopped meanwhile.
    paused_ns: u64,
    ended_ns: Option<u64>,
    requests: u64,
    errors: u64,
    incomplete: u64,
    calls: u64,
    total: Durations,
    /// Whether its end has been announced.
    announced: bool,
}

impl Test {
    /// Whether its end is to be announced now: it has ended, and did not just pass without a request or a call. In a
    /// workspace with many unit tests, most do just that.
    fn announce(&mut self) -> bool {
        let matters = self.requests + self.calls > 0 || self.result != Some(TestResult::Passed);
        let announce = !self.announced && self.ended_ns.is_some() && matters;
        self.announced |= announce;
        announce
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Process {
    pid: u32,
    test: Option<TestId>,
    /// Whether the run follows its program.
    followed: bool,
}

impl Suite {
    pub(crate) fn new(within: Within) -> Self {
        Self {
            within,
            tests: Vec::new(),
            roots: HashMap::new(),
            processes: HashMap::new(),
            served: HashSet::new(),
            ended: Vec::new(),
        }
    }

    pub(crate) fn test_started(&mut self, started: &TestStarted<'_>) {
        if started.test.0 as usize != self.tests.len() || self.tests.len() >= TESTS_MAX {
            return;
        }
        // 0 is no process: a binary without a list is not run.
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
            calls: 0,
            total: Durations::default(),
            announced: false,
        });
    }

    pub(crate) fn test_ended(&mut self, ended: &TestEnded<'_>) {
        if let Some(test) = self.tests.get_mut(ended.test.0 as usize) {
            test.result = ended.result;
            test.reason = (!ended.reason.is_empty()).then(|| ended.reason.into());
            test.ended_ns = Some(ended.time_ns);
            if test.announce() {
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
            if test.announce() {
                self.ended.push(TestId(id));
            }
        }
    }

    /// Hands out the tests that have ended since the last call; `span` gives the root span of each, if it has one.
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
            let starter = Process { followed: self.within.itself.is_some(), ..Process::default() };
            let parent = self.processes.get(&forked.parent).copied().unwrap_or(starter);
            // Its own id becomes known once it executes a program or serves a connection.
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

    /// The owner of the connections of a process; `None` if the run does not follow its program.
    pub(crate) fn owner(&self, process: u32) -> Option<Owner> {
        let Some(process) = self.processes.get(&process) else {
            // The records of its start were lost.
            return Some(Owner { pid: 0, test: None });
        };
        if self.within.itself == Some(process.pid) {
            // Its connections come without a record of whose they are.
            return Some(Owner { pid: 0, test: process.test });
        }
        process.followed.then_some(Owner { pid: process.pid, test: process.test })
    }

    /// A process of a test has taken a connection.
    pub(crate) fn takes(&mut self, open: &Open) {
        if open.role == Role::Server && self.served.len() < SERVED_MAX && !self.served.contains(&open.server) {
            self.served.insert(open.server.clone());
        }
    }

    /// Whether a process of a test has taken connections there.
    pub(crate) fn serves(&self, server: &Endpoint) -> bool {
        self.served.contains(server)
    }

    /// Counts a request that has ended.
    pub(crate) fn add(&mut self, id: TestId, ended: &CountedRequest<'_>) {
        if let Some(test) = self.tests.get_mut(id.0 as usize) {
            test.requests += 1;
            test.errors += u64::from(ended.error);
            if ended.is_complete() {
                test.total.add(ended.boundaries.total());
            } else {
                test.incomplete += 1;
            }
            // A late request: when its test ended, it may have had none.
            if test.announce() {
                self.ended.push(id);
            }
        }
    }

    /// Counts a call that has ended, and is not one of a test to its own server.
    pub(crate) fn add_call(&mut self, id: TestId) {
        if let Some(test) = self.tests.get_mut(id.0 as usize) {
            test.calls += 1;
            if test.announce() {
                self.ended.push(id);
            }
        }
    }

    /// How many requests of a test have ended so far.
    pub(crate) fn requests_of(&self, test: TestId) -> u64 {
        self.tests.get(test.0 as usize).map_or(0, |test| test.requests)
    }

    /// The tests at the end of the run, and where they have served.
    pub(crate) fn into_summaries(
        self,
        now_ns: u64,
        span: impl Fn(TestId) -> Option<TestSpan>,
    ) -> (Vec<TestSummary>, HashSet<Endpoint>) {
        let summary = |(test, id): (Test, u32)| TestSummary {
            span: span(TestId(id)).filter(|_| test.announced),
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
            calls: test.calls,
            sum_ns: u64::try_from(test.total.sum).unwrap_or(u64::MAX),
            total: test.total.into_distribution(),
        };
        (self.tests.into_iter().zip(0..).map(summary).collect(), self.served)
    }
}
