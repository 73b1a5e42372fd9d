//! Which test starts next: in the order of the plan, round by round; of each group only as many run at a time as it
//! allows.

use std::collections::{BTreeSet, VecDeque};
use std::num::NonZeroUsize;

use super::plan::PlannedBinary;

/// A test of the plan in one of its rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) round: usize,
    pub(super) binary: usize,
    pub(super) test: usize,
}

/// A test that each round runs.
#[derive(Clone, Debug)]
struct Queued {
    binary: usize,
    test: usize,
    groups: Vec<usize>,
}

/// How many tests of a group may run at a time, and how many do.
#[derive(Clone, Copy, Debug)]
struct Group {
    most: usize,
    running: usize,
}

/// The tests that have not started.
#[derive(Debug)]
pub(super) struct Queue {
    /// What each round runs, in order.
    tests: Vec<Queued>,
    groups: Vec<Group>,
    /// Those of this round that have not started.
    waiting: VecDeque<Queued>,
    round: usize,
    /// How many rounds are to come after this one.
    to_come: usize,
    /// The binaries with a test that has started in this round.
    begun: BTreeSet<usize>,
    /// Those that would have run and never will.
    dropped: usize,
}

impl Queue {
    /// All tests of a plan, in `rounds` rounds; `groups` says how many tests of each group run at a time.
    pub(super) fn new(plan: &[PlannedBinary], groups: &[NonZeroUsize], rounds: NonZeroUsize) -> Self {
        let of_binary = |(index, binary): (usize, &PlannedBinary)| {
            let tests = binary.tests.iter().enumerate();
            let queued = tests.map(|(test, planned)| Queued { binary: index, test, groups: planned.groups.clone() });
            queued.collect::<Vec<_>>()
        };
        let tests: Vec<Queued> = plan.iter().enumerate().flat_map(of_binary).collect();
        Self {
            groups: groups.iter().map(|most| Group { most: most.get(), running: 0 }).collect(),
            waiting: tests.iter().cloned().collect(),
            round: 0,
            to_come: if tests.is_empty() { 0 } else { rounds.get() - 1 },
            begun: BTreeSet::new(),
            dropped: 0,
            tests,
        }
    }

    /// Whether no other test will ever start.
    pub(super) fn is_over(&self) -> bool {
        self.waiting.is_empty() && self.to_come == 0
    }

    /// The number of tests that have not started, those included that never will.
    pub(super) fn not_started(&self) -> usize {
        self.waiting.len() + self.to_come * self.tests.len() + self.dropped
    }

    /// Whether a test may start now. `idle`: none runs, which is when a round begins.
    pub(super) fn has_next(&self, idle: bool) -> bool {
        if self.waiting.is_empty() { idle && self.to_come > 0 } else { self.next().is_some() }
    }

    /// Takes the test that starts now, if one may; see [`Self::has_next`].
    pub(super) fn take_next(&mut self, idle: bool) -> Option<Place> {
        if !self.has_next(idle) {
            return None;
        }
        if self.waiting.is_empty() {
            self.round += 1;
            self.to_come -= 1;
            self.begun.clear();
            self.waiting.extend(self.tests.iter().cloned());
        }
        let Queued { binary, test, groups } = self.waiting.remove(self.next()?)?;
        for group in groups {
            self.groups[group].running += 1;
        }
        self.begun.insert(binary);
        Some(Place { round: self.round, binary, test })
    }

    /// A test is over that was taken, with all that it left behind: its groups have room for another.
    pub(super) fn release(&mut self, groups: &[usize]) {
        for &group in groups {
            self.groups[group].running -= 1;
        }
    }

    /// No other binary is begun, and no other round; the tests of binaries that were begun still start.
    pub(super) fn begin_no_other(&mut self) {
        let before = self.waiting.len();
        self.waiting.retain(|queued| self.begun.contains(&queued.binary));
        self.dropped += before - self.waiting.len() + self.to_come * self.tests.len();
        self.to_come = 0;
    }

    /// No other test starts.
    pub(super) fn close(&mut self) {
        self.begun.clear();
        self.begin_no_other();
    }

    /// The first test all of whose groups have room.
    fn next(&self) -> Option<usize> {
        let has_room = |group: &usize| self.groups[*group].running < self.groups[*group].most;
        self.waiting.iter().position(|queued| queued.groups.iter().all(has_room))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::launch::test_runner::plan::PlannedTest;
    use crate::workspace::fixture;

    /// Binaries with tests, each with the groups that it belongs to.
    fn queue(binaries: &[&[&[usize]]], groups: &[usize], rounds: usize) -> Queue {
        let test = |groups: &&[usize]| PlannedTest { name: "t".into(), arguments: Vec::new(), groups: groups.to_vec() };
        let binary = |tests: &&[&[usize]]| PlannedBinary {
            id: "b".into(),
            executable: "b".into(),
            program: fixture::program(Path::new("/b"), &[]),
            spawns: Vec::new(),
            tests: tests.iter().map(test).collect(),
            unlisted: None,
        };
        let plan: Vec<PlannedBinary> = binaries.iter().map(binary).collect();
        let groups: Vec<NonZeroUsize> = groups.iter().filter_map(|most| NonZeroUsize::new(*most)).collect();
        Queue::new(&plan, &groups, NonZeroUsize::new(rounds).expect("a round"))
    }

    fn take(queue: &mut Queue, idle: bool) -> Option<(usize, usize, usize)> {
        queue.take_next(idle).map(|Place { round, binary, test }| (round, binary, test))
    }

    #[test]
    fn tests_go_in_order_and_rounds_when_the_one_before_is_over() {
        let mut queue = queue(&[&[&[], &[]], &[&[]]], &[], 2);
        assert_eq!(queue.not_started(), 6);
        assert_eq!([(); 3].map(|()| take(&mut queue, false)), [Some((0, 0, 0)), Some((0, 0, 1)), Some((0, 1, 0))]);
        assert!(!queue.has_next(false) && !queue.is_over());
        assert_eq!(take(&mut queue, false), None);
        assert_eq!((take(&mut queue, true), queue.not_started()), (Some((1, 0, 0)), 2));
        assert_eq!([(); 3].map(|()| take(&mut queue, false)), [Some((1, 0, 1)), Some((1, 1, 0)), None]);
        assert!(queue.is_over() && queue.not_started() == 0);
    }

    #[test]
    fn of_a_group_no_more_run_than_it_may_have_and_others_go_before() {
        let mut queue = queue(&[&[&[0], &[0], &[0, 1]], &[&[1], &[]]], &[2, 1], 1);
        assert_eq!([(); 2].map(|()| take(&mut queue, false)), [Some((0, 0, 0)), Some((0, 0, 1))]);
        assert_eq!([(); 3].map(|()| take(&mut queue, false)), [Some((0, 1, 0)), Some((0, 1, 1)), None]);
        // It waits for both of its groups.
        queue.release(&[0]);
        assert!(!queue.has_next(false) && !queue.is_over() && queue.not_started() == 1);
        queue.release(&[1]);
        assert_eq!(take(&mut queue, false), Some((0, 0, 2)));
        assert!(queue.is_over());
    }

    #[test]
    fn after_a_failure_binaries_that_were_begun_go_on() {
        let mut queue = queue(&[&[&[0], &[0], &[]], &[&[]], &[&[], &[]]], &[1], 2);
        assert_eq!([(); 3].map(|()| take(&mut queue, false)), [Some((0, 0, 0)), Some((0, 0, 2)), Some((0, 1, 0))]);
        queue.begin_no_other();
        assert!(!queue.has_next(false) && !queue.is_over());
        assert_eq!(queue.not_started(), 1 + 2 + 6);
        queue.release(&[0]);
        assert_eq!(take(&mut queue, true), Some((0, 0, 1)));
        assert!(queue.is_over() && !queue.has_next(true));
        assert_eq!(queue.not_started(), 2 + 6);
    }

    #[test]
    fn closed_nothing_starts() {
        let mut queue = queue(&[&[&[], &[]]], &[], 3);
        take(&mut queue, true);
        queue.close();
        queue.close();
        assert!(queue.is_over() && take(&mut queue, true).is_none() && queue.not_started() == 5);
        assert!(self::queue(&[], &[], 4).is_over());
    }
}
