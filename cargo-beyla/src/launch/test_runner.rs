//! Runs tests, each in a process of its own, and never waits: whoever owns the loop calls [`TestRunner::step`].
//!
//! Processes that a test has started and that still run when it ends are left behind: they get a moment to end too, and
//! are then killed, so that a forgotten server neither holds a port that the next test wants nor outlives the run.
//!
//! Without a terminal, a test's process leads a process group, and the processes of the group are its own. With one, tests
//! stay in our group (see [`super::terminal`]): what they leave behind becomes our child, and a variable of its
//! environment says which test it belongs to. A daemon that leaves its session and its environment is not found.
//!
//! Processes are killed when a [`TestRunner`] is dropped, and by the [`super::guard::Guard`] if we are killed ourselves.

mod adopted;
pub mod output;
pub mod plan;
mod process;
mod queue;

use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::unistd::Pid;

use self::adopted::Adopted;
use self::output::TestOutput;
use self::plan::{PlannedBinary, TestEnd, TestEvent, TestName, TestOptions};
use self::process::{Left, Running};
use self::queue::{Place, Queue};
use super::received::{EndRequests, Received};
use crate::error::Error;
use crate::workspace::test_workspace::list::Unlisted;
use cargo_beyla_core::model::test::{TestId, TestResult};

/// How long a test that has taken too long has, from SIGTERM to SIGKILL.
const TERM_GRACE: Duration = Duration::from_secs(1);

/// How long processes that a test has left behind have to end by themselves.
const LEFT_GRACE: Duration = Duration::from_millis(200);

/// The name that stands for the tests of a binary without a list of them.
const LIST_OF_TESTS: &str = "(list of tests)";

/// How often processes left behind are looked for: no signal reports their end.
const LOOK: Duration = Duration::from_millis(50);

/// Runs the tests of a plan.
#[derive(Debug)]
pub struct TestRunner {
    plan: Vec<PlannedBinary>,
    options: TestOptions,
    queue: Queue,
    /// By their ids.
    begun: Vec<Place>,
    /// The name that stands for the tests of a binary without a list of them, and whether such binaries were reported.
    list_of_tests: Arc<str>,
    unlisted_reported: bool,
    running: Vec<Running>,
    left: Vec<Left>,
    /// Why [`Self::stop`] was called.
    stops: EndRequests,
    /// What tests have left behind, where it becomes ours.
    adopted: Option<Adopted>,
}

impl TestRunner {
    /// Starts nothing yet.
    pub fn new(mut plan: Vec<PlannedBinary>, options: TestOptions) -> Self {
        plan.retain(|binary| !binary.tests.is_empty() || binary.unlisted.is_some());
        let unlisted = (0..plan.len()).filter(|binary| plan[*binary].unlisted.is_some());
        Self {
            adopted: options.in_our_group.then(Adopted::begin).flatten(),
            begun: unlisted.map(|binary| Place { round: 0, binary, test: 0 }).collect(),
            queue: Queue::new(&plan, &options.groups, options.rounds),
            plan,
            options,
            list_of_tests: LIST_OF_TESTS.into(),
            unlisted_reported: false,
            running: Vec::new(),
            left: Vec::new(),
            stops: EndRequests::default(),
        }
    }

    /// Does what is due, and waits for nothing: takes note of tests that have ended, stops those that take too long,
    /// and starts others. To be called after each SIGCHLD, and when [`Self::wake_at`] has come. What has happened is
    /// added to `events`, before an error too.
    ///
    /// # Errors
    /// If a test could not be started. Tests that run go on.
    pub fn step(&mut self, now: Instant, events: &mut Vec<TestEvent>) -> Result<(), Error> {
        self.report_unlisted(events);
        self.reap(now, events)?;
        let mut started = false;
        while let Some(begun) = self.take_next() {
            events.push(self.start(begun)?);
            started = true;
        }
        if started {
            // Those that have ended since then may have sent no SIGCHLD of their own.
            self.reap(Instant::now(), events)?;
        }
        Ok(())
    }

    /// When [`Self::step`] wants to be called though no process may have ended.
    pub fn wake_at(&self, now: Instant) -> Option<Instant> {
        if !self.unlisted_reported || (self.has_room() && self.queue.has_next(self.is_idle())) {
            return Some(now);
        }
        let left = (!self.left.is_empty()).then(|| now + LOOK);
        let deadlines = self.running.iter().filter_map(|running| running.deadline(self.options.timeout, TERM_GRACE));
        deadlines.chain(left).min()
    }

    /// The tests that run, by their ids.
    pub fn running(&self) -> impl Iterator<Item = TestId> {
        self.running.iter().map(|running| running.test)
    }

    /// Whether all is over that will be run.
    pub fn is_over(&self) -> bool {
        self.unlisted_reported && self.is_idle() && self.queue.is_over()
    }

    /// The tests that would have run and did not start.
    pub fn not_started(&self) -> usize {
        self.queue.not_started()
    }

    /// A test that has begun.
    pub fn name(&self, test: TestId) -> Option<TestName<'_>> {
        let Place { round, binary, test } = *self.begun.get(test.0 as usize)?;
        let binary = self.plan.get(binary)?;
        let unlisted = binary.unlisted.as_ref().map(|unlisted| &*unlisted.reason);
        let name = if unlisted.is_some() { &self.list_of_tests } else { &binary.tests.get(test)?.name };
        Some(TestName { binary: &binary.id, name, round: round as u32, unlisted })
    }

    /// Starts no other test, and hands the signal on to all that run, with all that they have started; when the user
    /// insists, they are killed.
    pub fn stop(&mut self, received: &Received) {
        let insists = self.stops.add(received, Instant::now());
        self.queue.close();
        for running in &self.running {
            if insists {
                running.tree.kill();
            } else {
                running.tree.end(received);
            }
        }
        for left in &self.left {
            left.kill();
        }
    }

    /// Hands a signal on to the tests that run.
    pub fn pass_on(&self, received: &Received) {
        for running in &self.running {
            running.tree.forward_to_root(received);
        }
    }

    /// Hands a signal on to the tests that run, with all that they have started.
    pub fn pass_on_to_all(&self, received: &Received) {
        for running in &self.running {
            running.tree.forward(received);
        }
    }

    /// Sends a signal of ours to the tests that run, with all that they have started.
    pub fn send_to_all(&self, signal: i32) {
        for running in &self.running {
            running.tree.send(signal);
        }
    }

    /// Everything was stopped for this time, which counts in no time of the tests.
    pub fn resume(&mut self, paused: Duration) {
        for running in &mut self.running {
            running.resume(paused);
        }
        for left in &mut self.left {
            left.at += paused;
        }
    }

    /// Whether [`Self::stop`] was called.
    pub fn is_stopping(&self) -> bool {
        self.stops.any()
    }

    fn reap(&mut self, now: Instant, events: &mut Vec<TestEvent>) -> Result<(), Error> {
        let mut index = 0;
        while let Some(running) = self.running.get_mut(index) {
            let ended = running.has_ended().map_err(|source| Error::System { what: "waiting for a test", source })?;
            let Some(result) = ended else {
                running.enforce(self.options.timeout, TERM_GRACE, now);
                index += 1;
                continue;
            };
            if result != TestResult::Passed && self.options.fail_fast {
                self.queue.begin_no_other();
            }
            let ended = self.running.swap_remove(index);
            let root = ended.tree.root;
            match ended.into_left(result, now) {
                // Nobody waits for what a test left behind that was stopped itself.
                Ok(left) if result == TestResult::TimedOut || self.stops.any() => {
                    left.kill();
                    self.forget(left.root());
                    self.end(left.into_ended(false), events);
                }
                Ok(left) => self.left.push(left),
                Err(ended) => {
                    self.forget(root);
                    self.end(ended, events);
                }
            }
        }
        if let Some(adopted) = &self.adopted {
            adopted.reap(|pid| self.running.iter().any(|running| running.tree.root == pid));
        }
        let mut index = 0;
        while let Some(left) = self.left.get(index) {
            let gone = !left.is_there();
            if gone || now.duration_since(left.at) >= LEFT_GRACE || self.stops.any() {
                if !gone {
                    left.kill();
                }
                self.forget(left.root());
                let ended = self.left.swap_remove(index).into_ended(!gone);
                self.end(ended, events);
            } else {
                index += 1;
            }
        }
        Ok(())
    }

    /// Reports the binaries that gave no list of their tests, before any test starts.
    fn report_unlisted(&mut self, events: &mut Vec<TestEvent>) {
        if std::mem::replace(&mut self.unlisted_reported, true) {
            return;
        }
        for (test, place) in (0..).map(TestId).zip(&self.begun) {
            let Some(Unlisted { reason: _, output, asked, ended }) = &self.plan[place.binary].unlisted else {
                continue;
            };
            events.push(TestEvent::Started { test, pid: 0, at: *asked });
            events.push(TestEvent::Ended(TestEnd {
                test,
                result: TestResult::Unlisted,
                output: TestOutput::of(output.clone()),
                at: *ended,
                took: ended.saturating_duration_since(*asked),
                leaky: false,
            }));
        }
    }

    /// The guard need not watch it any more.
    fn forget(&self, root: Pid) {
        if let Some(guard) = &self.options.guard {
            guard.forget(root);
        }
    }

    fn start(&mut self, begun: Place) -> Result<TestEvent, Error> {
        let test = TestId(self.begun.len() as u32);
        let binary = &self.plan[begun.binary];
        let running = Running::start(test, binary, &binary.tests[begun.test], &self.options)?;
        self.begun.push(begun);
        let started = TestEvent::Started { test, pid: running.pid(), at: running.started };
        self.running.push(running);
        Ok(started)
    }

    /// Takes the test to start now, if there is one.
    fn take_next(&mut self) -> Option<Place> {
        self.has_room().then(|| self.queue.take_next(self.is_idle()))?
    }

    fn has_room(&self) -> bool {
        let most = self.options.at_a_time.get();
        // One at a time is one after the other: what a test left behind may hold what the next one wants.
        let left = if most == 1 { self.left.len() } else { 0 };
        self.running.len() + left < most
    }

    fn is_idle(&self) -> bool {
        self.running.is_empty() && self.left.is_empty()
    }

    /// It is over with all that it left behind.
    fn end(&mut self, ended: TestEnd, events: &mut Vec<TestEvent>) {
        if let Some(Place { binary, test, .. }) = self.begun.get(ended.test.0 as usize) {
            self.queue.release(&self.plan[*binary].tests[*test].groups);
        }
        events.push(TestEvent::Ended(ended));
    }
}

impl Drop for TestRunner {
    fn drop(&mut self) {
        for running in &mut self.running {
            running.kill();
        }
        for left in &self.left {
            left.kill();
        }
    }
}

#[cfg(test)]
#[path = "test_runner_tests.rs"]
mod tests;
