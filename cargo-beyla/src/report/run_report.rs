//! Everything that the reports of a run show, computed once. Renderers only format it.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::finding::cure::cure;
use super::finding::place::LocatedPlace;
use super::finding::sentence::{sentence, title};
use super::notes;
use super::run_info::{Exit, RunInfo};
use super::verdicts::Verdicts;
use cargo_beyla_core::model::call::{Call, CallSummary};
use cargo_beyla_core::model::finding::Finding;
use cargo_beyla_core::model::request::Request;
use cargo_beyla_core::model::summary::{Explained, Summary};
use cargo_beyla_core::model::test::{TestId, TestSummary};

/// A run that is over.
#[derive(Clone, Debug)]
pub struct RunReport {
    /// What was traced, when, and how.
    pub run: RunInfo,
    /// How long the run lasted, in nanoseconds, without the time for which everything was stopped.
    pub duration_ns: u64,
    /// How the server ended; `None` where that is not known, and for tests.
    pub exit: Option<Exit>,
    /// Requests, routes, tests and findings as they were counted.
    pub summary: Summary,
    /// What came of budgets and the baseline.
    pub verdicts: Verdicts,
    /// The output of failed tests, as far as it was kept.
    pub test_outputs: BTreeMap<TestId, String>,
    rounds: u64,
    /// The places of the requests in the summary, the slowest first.
    slowest: Vec<usize>,
    findings: Vec<FindingReport>,
    notes: Vec<String>,
}

/// What reports say of a finding.
#[derive(Clone, Debug)]
pub(super) struct FindingReport {
    /// What was found.
    pub(super) finding: Finding,
    /// The first words of the sentence: what kind of thing it is.
    pub(super) title: &'static str,
    /// What was found, where, and which routes it has delayed. Fit for a terminal.
    pub(super) sentence: String,
    /// What usually cures it.
    pub(super) cure: &'static str,
    /// Whether its line is unknown for lack of debug information.
    pub(super) lacks_debug_information: bool,
}

impl RunReport {
    /// The report of a run that ended at this moment of `CLOCK_MONOTONIC`.
    pub fn new(run: RunInfo, summary: Summary, ended_monotonic_ns: u64) -> Self {
        let requests = &summary.requests;
        let mut slowest: Vec<usize> = (0..requests.len()).collect();
        slowest.sort_unstable_by_key(|place| (Reverse(requests[*place].boundaries.total()), requests[*place].id));
        Self {
            duration_ns: run.duration_ns(&summary, ended_monotonic_ns),
            run,
            exit: None,
            verdicts: Verdicts::default(),
            test_outputs: BTreeMap::new(),
            rounds: summary.tests.iter().map(|test| u64::from(test.round) + 1).max().unwrap_or(0),
            slowest,
            findings: findings(&summary),
            notes: notes::notes(&summary),
            summary,
        }
    }

    /// The requests that were kept, the slowest first.
    pub(super) fn slowest(&self) -> impl Iterator<Item = &Request> {
        self.slowest.iter().filter_map(|place| self.summary.requests.get(*place)).map(AsRef::as_ref)
    }

    /// The calls of a request that are kept, in the order in which they began.
    pub(super) fn calls_of(&self, request: &Request) -> impl Iterator<Item = &Call> {
        let calls = &self.summary.calls;
        let of = request.calls.iter().filter_map(|id| calls.binary_search_by_key(id, |call| call.id).ok());
        of.filter_map(|place| calls.get(place)).map(AsRef::as_ref)
    }

    /// The rows of calls, without what tests ask their own servers: those are the requests.
    pub(super) fn call_rows(&self) -> impl Iterator<Item = &CallSummary> {
        self.summary.call_summaries.iter().filter(|row| !row.is_of_tests)
    }

    /// How many calls these rows count.
    pub(super) fn outbound_calls(&self) -> u64 {
        let of_tests = self.summary.call_summaries.iter().filter(|row| row.is_of_tests).map(|row| row.count);
        self.summary.totals.calls.saturating_sub(of_tests.sum())
    }

    /// The test that caused a request, if one did.
    pub(super) fn test_of(&self, request: &Request) -> Option<&TestSummary> {
        self.summary.tests.get(test_id(request)?.0 as usize)
    }

    /// How many rounds the tests ran in.
    pub(super) fn rounds(&self) -> u64 {
        self.rounds
    }

    /// Whether the tests ran more than once, so that a test's name needs its round.
    pub(super) fn is_repeated(&self) -> bool {
        self.rounds > 1
    }

    /// What was found wrong: what cost the most time first.
    pub(super) fn findings(&self) -> &[FindingReport] {
        &self.findings
    }

    /// What could not be seen or read, in sentences.
    pub(super) fn notes(&self) -> &[String] {
        &self.notes
    }
}

/// The test that caused a request, if one did.
pub(super) fn test_id(request: &Request) -> Option<TestId> {
    request.connection.owner.and_then(|owner| owner.test)
}

fn findings(summary: &Summary) -> Vec<FindingReport> {
    let nothing = Explained::default();
    let explained = summary.explained.as_ref().unwrap_or(&nothing);
    let mut all: Vec<&Finding> = explained.findings.iter().chain(&summary.call_findings).collect();
    all.sort_by_key(|finding| Reverse(finding.cost_ns()));
    let reports = all.into_iter().map(|finding| FindingReport {
        title: title(finding.kind),
        sentence: sentence(finding, explained),
        cure: cure(finding, explained),
        lacks_debug_information: finding
            .place
            .is_some_and(|place| LocatedPlace::of(&place, explained).lacks_debug_information),
        finding: finding.clone(),
    });
    reports.collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::report::fixtures;

    #[test]
    fn the_slowest_come_first_and_know_their_tests() {
        let report = fixtures::report(fixtures::suite(), fixtures::run_of_tests(), 1);
        let totals: Vec<u64> = report.slowest().map(|request| request.boundaries.total()).collect();
        assert!(totals.len() > 1 && totals.is_sorted_by(|a, b| a >= b), "{totals:?}");
        for request in report.slowest() {
            let owner = request.connection.owner.and_then(|owner| owner.test);
            let test = report.test_of(request).map(|test| Arc::clone(&test.name));
            assert_eq!(test, owner.map(|test| Arc::clone(&report.summary.tests[test.0 as usize].name)));
        }
        assert_eq!((report.rounds(), report.is_repeated()), (1, false));
        let mut repeated = fixtures::suite();
        repeated.tests[1].round = 2;
        let repeated = fixtures::report(repeated, fixtures::run_of_tests(), 1);
        assert_eq!((repeated.rounds(), repeated.is_repeated()), (3, true));
    }

    #[test]
    fn the_time_for_which_everything_was_stopped_does_not_count() {
        let run = fixtures::run();
        let ended = run.started_monotonic_ns + 5_000;
        let summary = Summary { paused_ns: 2_000, ..Summary::default() };
        assert_eq!(RunReport::new(run, summary, ended).duration_ns, 3_000);
    }
}
