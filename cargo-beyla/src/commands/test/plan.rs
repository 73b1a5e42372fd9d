//! Which tests run, and by which command each.

use std::ffi::OsString;
use std::process::Command;
use std::sync::Arc;

use crate::cli::test::TestArguments;
use crate::error::Error;
use crate::launch::runner::{PlannedBinary, PlannedTest};
use crate::workspace::tests::TestBinary;
use crate::workspace::tests::arguments::HarnessArguments;
use crate::workspace::tests::list::list;

/// The tests to run.
pub(super) struct Plan {
    pub(super) binaries: Vec<PlannedBinary>,
    /// How many more there are, which are marked `#[ignore]`.
    pub(super) ignored: usize,
}

impl Plan {
    /// Asks the binaries for their tests, so many at a time; `prepare` has the last word on each command.
    ///
    /// A binary without the standard harness is one test, which gets the user's arguments, whatever they mean to it.
    pub(super) fn make(
        binaries: Vec<TestBinary>,
        harness: &HarnessArguments,
        arguments: &TestArguments,
        at_a_time: usize,
        prepare: impl Fn(&mut Command),
    ) -> Result<Self, Error> {
        let asked: Vec<&TestBinary> = binaries.iter().filter(|binary| binary.harness).collect();
        let mut answers = list(&asked, harness, at_a_time, prepare)?.into_iter();
        let mut plan = Self { binaries: Vec::with_capacity(binaries.len()), ignored: 0 };
        for binary in binaries {
            let TestBinary { id, name, executable, program, spawns, harness: standard } = binary;
            let tests = if standard {
                let listed = answers.next().unwrap_or_default();
                plan.ignored += listed.ignored;
                let planned = |name: Arc<str>| PlannedTest { arguments: harness.to_run(&name), name };
                listed.tests.into_iter().map(planned).collect()
            } else {
                vec![PlannedTest { name, arguments: as_given(arguments) }]
            };
            plan.binaries.push(PlannedBinary { id, executable, program, spawns, tests });
        }
        Ok(plan)
    }
}

/// The arguments that cargo hands to each test binary.
fn as_given(arguments: &TestArguments) -> Vec<OsString> {
    let TestArguments { filter, harness_arguments, .. } = arguments;
    filter.iter().map(OsString::from).chain(harness_arguments.iter().cloned()).collect()
}
