//! Runs tests, each in a process of its own, and never waits: whoever owns the loop calls [`Runner::step`].
//!
//! What a test has started and not ended when it ends itself, it has left behind: that gets a moment to end too, and is
//! then killed, so that a forgotten server neither holds a port that the next test wants nor outlives the run.
//!
//! Without a terminal, a test's process leads a process group, and what it has started is what is in the group. With one,
//! tests stay in our group (see [`super::terminal`]). There, what they leave behind becomes our child, and is known by a
//! variable of its environment. In both, what has gone to a session of its own and cuts its ties is not found.
//!
//! Processes are killed when a [`Runner`] is dropped, and by the [`Guard`] if we are killed ourselves.

mod adopted;
pub mod output;
mod process;
mod queue;

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::unistd::Pid;

use self::adopted::Adopted;
use self::output::TestOutput;
use self::process::{Left, Running};
use self::queue::{Place, Queue};
use super::family::Bond;
use super::guard::Guard;
use super::signals::Received;
use super::suspended::Stdout;
use super::user::InvokingUser;
use crate::error::Error;
use crate::workspace::program::Program;
use crate::workspace::tests::list::Unlisted;
use cargo_beyla_core::model::test::{TestId, TestResult};

/// How long a test that has taken too long has, from SIGTERM to SIGKILL.
const TERM_GRACE: Duration = Duration::from_secs(1);

/// How long processes that a test has left behind have to end by themselves.
const LEFT_GRACE: Duration = Duration::from_millis(200);

/// What stands for the tests of a binary that gave no list of them.
const LIST_OF_TESTS: &str = "(list of tests)";

/// How often processes left behind are looked after: nobody tells of their end.
const LOOK: Duration = Duration::from_millis(50);

/// A test to be run.
#[derive(Clone, Debug)]
pub struct PlannedTest {
    /// Its name.
    pub name: Arc<str>,
    /// The arguments that have its binary run it alone.
    pub arguments: Vec<OsString>,
    /// The groups that it belongs to: their places in [`Options::groups`].
    pub groups: Vec<usize>,
}

/// The tests of one binary.
#[derive(Clone, Debug)]
pub struct PlannedBinary {
    /// Its id.
    pub id: Arc<str>,
    /// Its executable.
    pub executable: PathBuf,
    /// How it is started.
    pub program: Program,
    /// The binaries that it is known to start.
    pub spawns: Vec<PathBuf>,
    /// Its tests, in the order in which they start.
    pub tests: Vec<PlannedTest>,
    /// Why its tests are not known. That is a failure of its own, told once and before all others.
    pub unlisted: Option<Unlisted>,
}

/// How tests run.
#[derive(Clone, Debug)]
pub struct Options {
    /// So many at a time.
    pub at_a_time: NonZeroUsize,
    /// Of each group, so many at a time: what a test has left behind counts as well.
    pub groups: Vec<NonZeroUsize>,
    /// What takes longer is stopped, and has failed.
    pub timeout: Option<Duration>,
    /// After a failure no other binary is begun; the tests of those that were begun still run.
    pub fail_fast: bool,
    /// So often, each time when the time before is over.
    pub rounds: NonZeroUsize,
    /// Where the tests' output goes; `None`: it is kept, and comes with the test's end.
    pub inherited: Option<Stdout>,
    /// The user to run as.
    pub user: Option<InvokingUser>,
    /// Whether tests stay in our process group, as they must where it has a terminal.
    pub in_our_group: bool,
    /// What kills them if we are killed.
    pub guard: Option<Arc<Guard>>,
}

impl Options {
    fn bond(&self, test: TestId) -> Bond {
        let TestId(number) = test;
        if self.in_our_group { Bond::Marked { by: std::process::id(), number } } else { Bond::Group }
    }
}

/// Something that has happened to a test.
#[derive(Debug)]
pub enum Happened {
    /// It has begun.
    Started {
        /// Which.
        test: TestId,
        /// Its process, and the id of its process group; 0 if nothing was run.
        pid: u32,
        /// When, just before its process was made.
        at: Instant,
    },
    /// It is over.
    Ended {
        /// Which.
        test: TestId,
        /// How it ended.
        result: TestResult,
        /// What it printed, if that was kept.
        output: TestOutput,
        /// When its process ended.
        at: Instant,
        /// How long that took.
        took: Duration,
        /// Whether it left processes behind, which then were killed.
        leaky: bool,
    },
}

/// A test as reports name it.
#[derive(Clone, Copy, Debug)]
pub struct TestName<'a> {
    /// Its binary's id.
    pub binary: &'a Arc<str>,
    /// Its own name.
    pub name: &'a Arc<str>,
    /// Which repetition it belongs to, from 0.
    pub round: u32,
    /// If it stands for the tests of a binary that gave no list of them: what that did instead.
    pub unlisted: Option<&'a str>,
}

/// Runs the tests of a plan.
#[derive(Debug)]
pub struct Runner {
    plan: Vec<PlannedBinary>,
    options: Options,
    queue: Queue,
    /// By their ids.
    begun: Vec<Place>,
    /// The name of what stands for the tests of a binary that gave no list of them, and whether those were told.
    list_of_tests: Arc<str>,
    told: bool,
    running: Vec<Running>,
    left: Vec<Left>,
    /// How often it was told to stop.
    stops: u32,
    /// What tests have left behind, where it becomes ours.
    adopted: Option<Adopted>,
}

impl Runner {
    /// Starts nothing yet.
    pub fn new(mut plan: Vec<PlannedBinary>, options: Options) -> Self {
        plan.retain(|binary| !binary.tests.is_empty() || binary.unlisted.is_some());
        let unlisted = (0..plan.len()).filter(|binary| plan[*binary].unlisted.is_some());
        Self {
            adopted: options.in_our_group.then(Adopted::begin).flatten(),
            begun: unlisted.map(|binary| Place { round: 0, binary, test: 0 }).collect(),
            queue: Queue::new(&plan, &options.groups, options.rounds),
            plan,
            options,
            list_of_tests: LIST_OF_TESTS.into(),
            told: false,
            running: Vec::new(),
            left: Vec::new(),
            stops: 0,
        }
    }

    /// Does what is due, and waits for nothing: takes note of tests that have ended, stops those that take too long,
    /// and starts others. To be called after each SIGCHLD, and when [`Self::wake_at`] has come. What has happened is
    /// added to `happened`, that before an error as well.
    ///
    /// # Errors
    /// If a test could not be started. Those that run go on.
    pub fn step(&mut self, now: Instant, happened: &mut Vec<Happened>) -> Result<(), Error> {
        self.tell_unlisted(happened);
        self.reap(now, happened)?;
        let mut started = false;
        while let Some(begun) = self.take_next() {
            happened.push(self.start(begun)?);
            started = true;
        }
        if started {
            // SIGCHLD of those that have ended meanwhile may be lost.
            self.reap(Instant::now(), happened)?;
        }
        Ok(())
    }

    /// When [`Self::step`] wants to be called though no process may have ended.
    pub fn wake_at(&self, now: Instant) -> Option<Instant> {
        if !self.told || (self.has_room() && self.queue.has_next(self.is_idle())) {
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
        self.told && self.is_idle() && self.queue.is_over()
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

    /// Starts no other test, and hands the signal on to all that run, with all that they have started; the second
    /// time they are killed.
    pub fn stop(&mut self, received: &Received) {
        self.stops += 1;
        self.queue.close();
        for running in &self.running {
            if self.stops > 1 {
                running.family.kill();
            } else {
                running.family.end(received);
            }
        }
        for left in &self.left {
            left.kill();
        }
    }

    /// Hands a signal on to the tests that run.
    pub fn pass_on(&self, received: &Received) {
        for running in &self.running {
            running.family.hand_on_to_root(received);
        }
    }

    /// Hands a signal on to the tests that run, with all that they have started.
    pub fn pass_on_to_all(&self, received: &Received) {
        for running in &self.running {
            running.family.hand_on(received);
        }
    }

    /// Sends a signal of ours to the tests that run, with all that they have started.
    pub fn send_to_all(&self, signal: i32) {
        for running in &self.running {
            running.family.send(signal);
        }
    }

    /// All was paused for so long, which counts in no time of theirs.
    pub fn resume(&mut self, paused: Duration) {
        for running in &mut self.running {
            running.resume(paused);
        }
        for left in &mut self.left {
            left.at += paused;
        }
    }

    /// Whether it was told to stop.
    pub fn is_stopping(&self) -> bool {
        self.stops > 0
    }

    fn reap(&mut self, now: Instant, happened: &mut Vec<Happened>) -> Result<(), Error> {
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
            let root = ended.family.root;
            match ended.into_left(result, now) {
                // Nobody waits for what a test left behind that was stopped itself.
                Ok(left) if result == TestResult::TimedOut || self.stops > 0 => {
                    left.kill();
                    self.forget(left.root());
                    self.end(left.into_ended(false), happened);
                }
                Ok(left) => self.left.push(left),
                Err(ended) => {
                    self.forget(root);
                    self.end(ended, happened);
                }
            }
        }
        if let Some(adopted) = &self.adopted {
            adopted.reap(|pid| self.running.iter().any(|running| running.family.root == pid));
        }
        let mut index = 0;
        while let Some(left) = self.left.get(index) {
            let gone = !left.is_there();
            if gone || now.duration_since(left.at) >= LEFT_GRACE || self.stops > 0 {
                if !gone {
                    left.kill();
                }
                self.forget(left.root());
                let ended = self.left.swap_remove(index).into_ended(!gone);
                self.end(ended, happened);
            } else {
                index += 1;
            }
        }
        Ok(())
    }

    /// Reports the binaries that gave no list of their tests, before any test starts.
    fn tell_unlisted(&mut self, happened: &mut Vec<Happened>) {
        if std::mem::replace(&mut self.told, true) {
            return;
        }
        for (test, place) in (0..).map(TestId).zip(&self.begun) {
            let Some(Unlisted { reason: _, output, asked, ended }) = &self.plan[place.binary].unlisted else {
                continue;
            };
            happened.push(Happened::Started { test, pid: 0, at: *asked });
            happened.push(Happened::Ended {
                test,
                result: TestResult::Unlisted,
                output: TestOutput::of(output.clone()),
                at: *ended,
                took: ended.saturating_duration_since(*asked),
                leaky: false,
            });
        }
    }

    /// Nobody needs to look after it any more.
    fn forget(&self, root: Pid) {
        if let Some(guard) = &self.options.guard {
            guard.forget(root);
        }
    }

    fn start(&mut self, begun: Place) -> Result<Happened, Error> {
        let test = TestId(self.begun.len() as u32);
        let binary = &self.plan[begun.binary];
        let running = Running::start(test, binary, &binary.tests[begun.test], &self.options)?;
        self.begun.push(begun);
        let happened = Happened::Started { test, pid: running.pid(), at: running.started };
        self.running.push(running);
        Ok(happened)
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
    fn end(&mut self, ended: Happened, happened: &mut Vec<Happened>) {
        if let Happened::Ended { test, .. } = ended
            && let Some(Place { binary, test, .. }) = self.begun.get(test.0 as usize)
        {
            self.queue.release(&self.plan[*binary].tests[*test].groups);
        }
        happened.push(ended);
    }
}

impl Drop for Runner {
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
#[path = "runner_tests.rs"]
mod tests;
