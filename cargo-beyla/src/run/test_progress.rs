//! What is said while tests run: a line as each ends, and at the end what failed once more.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::address_conflicts::AddressConflicts;
use crate::console::status::{self, Status};
use crate::launch::test_runner::TestRunner;
use crate::launch::test_runner::output::{Excerpt, TestOutput};
use crate::launch::test_runner::plan::{TestEnd, TestOptions};
use crate::report::units::{bytes, count, counted, duration, time};
use crate::workspace::test_workspace::arguments::HarnessArguments;
use cargo_beyla_core::model::test::{TestId, TestResult};

/// The most failed tests whose output is kept: where more fail, all have one reason.
const OUTPUTS_MAX: usize = 500;
/// The most bytes that are kept of the output of a test.
const OUTPUT_MAX: usize = 64 * 1024;

/// A test that takes longer is named while it runs, as the standard harness does.
const LONG: Duration = Duration::from_mins(1);

/// Prints on stderr how the tests go, and counts them.
pub(crate) struct TestProgress {
    status: Status,
    since: Instant,
    /// The tests that run and were not said to take long, with their beginnings.
    running: Vec<(TestId, Instant)>,
    /// How long the tests took, once they are over.
    took: Option<Duration>,
    /// Whether tests that passed have no line.
    quiet: bool,
    /// Whether the output of tests that passed is shown too.
    show_output: bool,
    /// Whether tests print to the terminal by themselves.
    inherited: bool,
    rounds: usize,
    ignored: usize,
    passed: u64,
    leaky: u64,
    failures: Vec<(TestId, TestResult)>,
    conflicts: AddressConflicts,
    /// What failed tests have printed, if that is asked for.
    outputs: Option<BTreeMap<TestId, String>>,
}

impl TestProgress {
    pub(crate) fn new(
        status: Status,
        harness: &HarnessArguments,
        options: &TestOptions,
        ignored: usize,
        keep_outputs: bool,
    ) -> Self {
        Self {
            status,
            since: Instant::now(),
            running: Vec::new(),
            took: None,
            quiet: harness.quiet,
            show_output: harness.show_output,
            inherited: options.inherited.is_some(),
            rounds: options.rounds.get(),
            ignored,
            passed: 0,
            leaky: 0,
            failures: Vec::new(),
            conflicts: AddressConflicts::default(),
            outputs: keep_outputs.then(BTreeMap::new),
        }
    }

    /// The first test is about to start.
    pub(crate) fn begin(&mut self) {
        self.since = Instant::now();
    }

    /// The last test has ended.
    pub(crate) fn end(&mut self) {
        self.took = Some(self.since.elapsed());
    }

    /// Everything was stopped for this time.
    pub(crate) fn resume(&mut self, paused: Duration) {
        self.since += paused;
        for (_, begun) in &mut self.running {
            *begun += paused;
        }
    }

    /// Says of tests that they take long, once.
    pub(crate) fn remind(&mut self, runner: &TestRunner) {
        let (status, now) = (self.status, Instant::now());
        let is_long = |begun: Instant| now.duration_since(begun) >= LONG;
        if self.running.iter().any(|(_, begun)| is_long(*begun)) {
            let (long, others): (Vec<_>, Vec<_>) = self.running.drain(..).partition(|(_, begun)| is_long(*begun));
            self.running = others;
            for (test, _) in long {
                status.say(
                    "Slow",
                    format_args!("{} has been running for over {} s", self.name(runner, test), LONG.as_secs()),
                );
            }
        }
    }

    pub(crate) fn started(&mut self, runner: &TestRunner, test: TestId) {
        self.running.push((test, Instant::now()));
        self.conflicts.started(test);
        // Output that passes as it comes needs a name above it.
        if self.inherited && !self.quiet {
            self.status.say("Running", self.name(runner, test));
        }
    }

    pub(crate) fn ended(&mut self, runner: &TestRunner, ended: &TestEnd, requests: u64) {
        let TestEnd { test, result, output, at: _, took, leaky } = ended;
        let (test, result, leaky) = (*test, *result, *leaky);
        self.running.retain(|(running, _)| *running != test);
        let name = self.name(runner, test);
        let took = time(took.as_nanos() as u64);
        let left = if leaky { "  (left processes behind, which were killed)" } else { "" };
        let made = if requests == 0 { String::new() } else { format!("  {}", counted(requests, "request")) };
        let why = reason(runner, test);
        let line = format!("{took:>8}  {name}{why}{made}{left}");
        self.leaky += u64::from(leaky);
        let passed = result == TestResult::Passed;
        if passed {
            self.conflicts.ended(test, None);
            self.passed += 1;
            if !self.quiet || leaky {
                self.status.say(&verb(result), line);
            }
        } else {
            self.failures.push((test, result));
            // Where reading fails, a line below says so.
            let excerpt = output.read().unwrap_or_default();
            self.conflicts.ended(test, Some(&excerpt));
            if let Some(outputs) = self.outputs.as_mut().filter(|outputs| outputs.len() < OUTPUTS_MAX) {
                outputs.insert(test, end(&excerpt));
            }
            self.status.say_failed(&verb(result), line);
        }
        if !passed || self.show_output {
            show_output(&name, output, self.status);
        }
    }

    /// Whether a test failed.
    pub(crate) fn has_failures(&self) -> bool {
        !self.failures.is_empty()
    }

    /// The end of what failed tests have printed.
    pub(crate) fn outputs(&mut self) -> BTreeMap<TestId, String> {
        self.outputs.take().unwrap_or_default()
    }

    /// What it all came to, and the tests that failed.
    pub(crate) fn finish(&self, runner: &TestRunner) {
        let took = duration(self.took.unwrap_or_else(|| self.since.elapsed()).as_nanos() as u64);
        let summary = format!("{} in {took}: {}", counted(self.ran(), "test"), self.counts(runner));
        if self.has_failures() {
            self.status.say_failed("Summary", summary);
        } else {
            self.status.say("Summary", summary);
        }
        for (test, result) in &self.failures {
            let (name, why) = (self.name(runner, *test), reason(runner, *test));
            self.status.say_failed(&verb(*result), format_args!("{name}{why}"));
        }
        if self.failures.iter().any(|(_, result)| *result == TestResult::Unlisted) {
            self.status.hint(
                "a test binary that is asked with --list must print its tests on stdout and nothing else: have it \
                 print to stderr, and give one with a `main` of its own harness = false in its manifest",
            );
        }
        if let Some(sentence) = self.conflicts.sentence(|test| self.name(runner, test)) {
            self.status.warn(sentence);
        }
    }

    fn ran(&self) -> u64 {
        self.passed + self.failures.len() as u64
    }

    fn counts(&self, runner: &TestRunner) -> String {
        let failures =
            |which: fn(TestResult) -> bool| self.failures.iter().filter(|(_, result)| which(*result)).count() as u64;
        let not_run = runner.not_started() as u64;
        let why = if runner.is_stopping() { "" } else { " after a failure (--no-fail-fast runs them)" };
        let parts = [
            (failures(|result| matches!(result, TestResult::Failed(_) | TestResult::Unlisted)), "failed", ""),
            (failures(|result| matches!(result, TestResult::Killed(_))), "killed", ""),
            (failures(|result| result == TestResult::TimedOut), "timed out", ""),
            (self.leaky, "left processes behind", ""),
            (self.ignored as u64, "ignored", ""),
            (not_run, "not run", why),
        ];
        let passed = format!("{} passed", count(self.passed));
        let others = parts.into_iter().filter(|(number, ..)| *number > 0);
        let others = others.map(|(number, what, why)| format!("{} {what}{why}", count(number)));
        std::iter::once(passed).chain(others).collect::<Vec<_>>().join(", ")
    }

    fn name(&self, runner: &TestRunner, test: TestId) -> String {
        let Some(name) = runner.name(test) else { return String::new() };
        // Binaries are asked for their tests once.
        let round = if self.rounds > 1 && name.unlisted.is_none() {
            format!("  [{}/{}]", name.round + 1, self.rounds)
        } else {
            String::new()
        };
        format!("{} {}{round}", name.binary, name.name)
    }
}

/// Why a binary stands among the failures, if it is one without a list of its tests.
fn reason(runner: &TestRunner, test: TestId) -> String {
    let reason = runner.name(test).and_then(|name| name.unlisted);
    reason.map_or(String::new(), |reason| format!(": {reason}"))
}

/// How it ended, in a word.
fn verb(result: TestResult) -> String {
    match result {
        TestResult::Passed => "PASS".to_owned(),
        TestResult::Failed(_) | TestResult::Unlisted => "FAIL".to_owned(),
        TestResult::TimedOut => "TIMEOUT".to_owned(),
        TestResult::Killed(signal) => {
            Signal::try_from(signal).map_or_else(|_| format!("SIGNAL {signal}"), |signal| signal.as_str().to_owned())
        }
    }
}

/// The last of an excerpt, as text.
fn end(excerpt: &Excerpt) -> String {
    let mut bytes =
        if excerpt.omitted > 0 { excerpt.tail.clone() } else { [&excerpt.head[..], &excerpt.tail].concat() };
    bytes.drain(..bytes.len().saturating_sub(OUTPUT_MAX));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Shows what a test has printed, as it is.
fn show_output(name: &str, output: &TestOutput, status: Status) {
    match output.read() {
        Ok(excerpt) => status::write(delimited(name, &excerpt)),
        Err(error) => status.warn(format_args!("could not read what {name} has printed: {error}")),
    }
}

/// An excerpt between two lines that are ours; nothing for one that is empty.
fn delimited(name: &str, excerpt: &Excerpt) -> Vec<u8> {
    let Excerpt { head, omitted, tail } = excerpt;
    if head.is_empty() {
        return Vec::new();
    }
    let mut shown = format!("---- output of {name} ----\n").into_bytes();
    shown.extend(head);
    if *omitted > 0 {
        shown.extend(format!("\n---- {} left out ----\n", bytes(*omitted)).into_bytes());
    }
    shown.extend(tail);
    if shown.last() != Some(&b'\n') {
        shown.push(b'\n');
    }
    shown.extend(b"----\n");
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(head: &[u8], omitted: u64, tail: &[u8]) -> String {
        let excerpt = Excerpt { head: head.to_vec(), omitted, tail: tail.to_vec() };
        String::from_utf8(delimited("shop a", &excerpt)).expect("text")
    }

    #[test]
    fn output_stands_between_lines_of_ours() {
        assert_eq!(text(b"", 0, b""), "");
        assert_eq!(text(b"a\n", 0, b""), "---- output of shop a ----\na\n----\n");
        assert_eq!(text(b"a", 2048, b"b"), "---- output of shop a ----\na\n---- 2.0 KiB left out ----\nb\n----\n");
    }

    #[test]
    fn signals_have_their_names() {
        assert_eq!(verb(TestResult::Killed(6)), "SIGABRT");
        assert_eq!(verb(TestResult::Killed(64)), "SIGNAL 64");
        assert_eq!(verb(TestResult::TimedOut), "TIMEOUT");
    }
}
