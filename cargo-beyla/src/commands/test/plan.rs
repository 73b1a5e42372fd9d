//! Which tests run, and by which command each.

use std::ffi::OsString;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use crate::cli::test::TestArguments;
use crate::config::test_groups::TestGroup;
use crate::error::Error;
use crate::launch::test_runner::plan::{PlannedBinary, PlannedTest};
use crate::workspace::test_workspace::TestBinary;
use crate::workspace::test_workspace::arguments::HarnessArguments;
use crate::workspace::test_workspace::list::{PATIENCE, list};

/// The shortest time that a binary gets to list its tests, however short `--timeout` is.
const PATIENCE_MIN: Duration = Duration::from_secs(10);

/// The tests to run.
pub(super) struct Plan {
    pub(super) binaries: Vec<PlannedBinary>,
    /// How many more there are, which are marked `#[ignore]`.
    pub(super) ignored: usize,
    /// How many tests there are that the user's filters leave out, where they leave out all.
    pub(super) left_out: usize,
}

impl Plan {
    /// Asks the binaries for their tests, `at_a_time` of them at once; `prepare` has the last word on each command.
    ///
    /// A binary without the standard harness is one test, which gets the user's arguments, whatever they mean to it.
    pub(super) fn make(
        binaries: Vec<TestBinary>,
        harness: &HarnessArguments,
        arguments: &TestArguments,
        groups: &[&TestGroup],
        at_a_time: usize,
        prepare: impl Fn(&mut Command),
    ) -> Result<Self, Error> {
        let asked: Vec<&TestBinary> = binaries.iter().filter(|binary| binary.harness).collect();
        // A list is no test, and comes within milliseconds where nothing is wrong.
        let patience = arguments.run.timeout.map_or(PATIENCE, |timeout| timeout.clamp(PATIENCE_MIN, PATIENCE));
        let answers = list(&asked, harness, at_a_time, patience, &prepare)?;
        let is_empty = answers
            .iter()
            .all(|answer| answer.as_ref().is_ok_and(|listed| listed.tests.is_empty() && listed.ignored == 0));
        let left_out = if is_empty && harness.choose() {
            let all = list(&asked, &HarnessArguments::default(), at_a_time, patience, &prepare)?;
            all.into_iter().flatten().map(|listed| listed.tests.len() + listed.ignored).sum()
        } else {
            0
        };
        let mut answers = answers.into_iter();
        let mut plan = Self { binaries: Vec::with_capacity(binaries.len()), ignored: 0, left_out };
        for binary in binaries {
            let TestBinary { id, name, executable, program, spawns, harness: standard } = binary;
            let planned = |name: Arc<str>, arguments| {
                let matching = groups.iter().enumerate().filter(|(_, group)| group.has_test(&id, &name));
                PlannedTest { groups: matching.map(|(place, _)| place).collect(), arguments, name }
            };
            let answer = if standard { answers.next() } else { None };
            let (tests, unlisted) = match answer {
                None if standard => (Vec::new(), None),
                None => (vec![planned(name, as_given(arguments))], None),
                Some(Ok(listed)) => {
                    plan.ignored += listed.ignored;
                    let tests = listed.tests.into_iter();
                    (tests.map(|name| planned(Arc::clone(&name), harness.to_run(&name))).collect(), None)
                }
                Some(Err(unlisted)) => (Vec::new(), Some(unlisted)),
            };
            plan.binaries.push(PlannedBinary { id, executable, program, spawns, tests, unlisted });
        }
        Ok(plan)
    }
}

/// The arguments that cargo hands to each test binary.
fn as_given(arguments: &TestArguments) -> Vec<OsString> {
    let TestArguments { filter, harness_arguments, .. } = arguments;
    filter.iter().map(OsString::from).chain(harness_arguments.iter().cloned()).collect()
}
