//! What the test runner is given to run, and what it says of it.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::output::TestOutput;
use crate::launch::guard::Guard;
use crate::launch::process_tree::Grouping;
use crate::launch::suspended::Stdout;
use crate::launch::user::InvokingUser;
use crate::workspace::program::Program;
use crate::workspace::test_workspace::list::Unlisted;
use cargo_beyla_core::model::test::{TestId, TestResult};

/// A test that will run.
#[derive(Clone, Debug)]
pub struct PlannedTest {
    /// Its name.
    pub name: Arc<str>,
    /// The arguments that have its binary run it alone.
    pub arguments: Vec<OsString>,
    /// The groups that it belongs to: their places in [`TestOptions::groups`].
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
    /// Why its tests are not known. That is a failure of its own, reported once and before all others.
    pub unlisted: Option<Unlisted>,
}

/// How tests run.
#[derive(Clone, Debug)]
pub struct TestOptions {
    /// How many run at a time.
    pub at_a_time: NonZeroUsize,
    /// How many of each group run at a time; a test counts until what it left behind has ended too.
    pub groups: Vec<NonZeroUsize>,
    /// A test that takes longer is stopped, and has failed.
    pub timeout: Option<Duration>,
    /// After a failure no other binary is begun; the tests of those that were begun still run.
    pub fail_fast: bool,
    /// How many times everything runs: a round begins when the one before is over.
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

impl TestOptions {
    pub(super) fn grouping(&self, test: TestId) -> Grouping {
        let TestId(number) = test;
        if self.in_our_group { Grouping::Marked { by: std::process::id(), number } } else { Grouping::ProcessGroup }
    }
}

/// Something that has happened to a test.
#[derive(Debug)]
pub enum TestEvent {
    /// It has begun.
    Started {
        /// Which test.
        test: TestId,
        /// Its process, and the id of its process group; 0 if nothing was run.
        pid: u32,
        /// When, just before its process was made.
        at: Instant,
    },
    /// It is over.
    Ended(TestEnd),
}

/// How a test ended.
#[derive(Debug)]
pub struct TestEnd {
    /// Which test.
    pub test: TestId,
    /// The verdict.
    pub result: TestResult,
    /// What it printed, if that was kept.
    pub output: TestOutput,
    /// When its process ended.
    pub at: Instant,
    /// How long that took.
    pub took: Duration,
    /// Whether it left processes behind, which then were killed.
    pub leaky: bool,
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
