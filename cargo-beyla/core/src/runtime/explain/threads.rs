//! The threads of the process: what each polls, and what it has polled for long.

use std::collections::VecDeque;

use hashbrown::HashMap;

use crate::analysis::findings::GroupId;
use crate::event::UnwoundStack;
use crate::model::explanation::Cause;

use super::clock::Part;
use super::tally::Holder;
use super::tasks::TaskRef;
use super::unit::Unit;

/// The threads that are known at a time.
const THREADS_MAX: usize = 16 * 1024;

/// The long polls that a thread remembers.
const RECENT_MAX: usize = 16;

/// A poll is remembered if it has lasted so long, in nanoseconds.
pub(super) const LONG_NS: u64 = 1_000_000;

/// The sleeps and the stacks that are told apart in one poll.
const EACH_MAX: usize = 8;

/// A thread.
#[derive(Debug)]
pub(super) struct Thread {
    pub(super) generation: u32,
    /// Whose it was when it last began a poll; 0 where there is only one process.
    pub(super) process: u32,
    /// The task that it polls.
    pub(super) current: Option<TaskRef>,
    /// The poll of that task.
    pub(super) poll: Poll,
    /// The stack with which it went to sleep.
    asleep: Option<UnwoundStack>,
    /// The oldest first.
    recent: VecDeque<LongPoll>,
    /// For the requests that it handles without a task.
    pub(super) unit: Unit,
}

/// A poll of a task.
#[derive(Debug, Default)]
pub(super) struct Poll {
    /// The task's address.
    pub(super) address: u64,
    /// Counts the polls of the thread.
    pub(super) number: u64,
    pub(super) begin: u64,
    /// Time off the CPU, in nanoseconds.
    pub(super) off_cpu: u64,
    /// Another thread has taken over what this one would have to do: `block_in_place`.
    pub(super) in_place: bool,
    /// Sleeps that lasted long: cause, stack, sum and longest in nanoseconds.
    pub(super) sleeps: Vec<(Cause, u32, u64, u64)>,
    /// The longest that it waited for a lock, if that was long, and where that counts.
    pub(super) lock: Option<(u64, GroupId)>,
    /// The stacks that it was met with on a CPU, and how often.
    pub(super) samples: Vec<(u32, u32)>,
}

/// A poll that lasted long.
#[derive(Clone, Copy, Debug)]
pub(super) struct LongPoll {
    pub(super) task: TaskRef,
    pub(super) number: u64,
    pub(super) begin: u64,
    pub(super) end: u64,
    /// Whose it was.
    pub(super) by: Holder,
    /// What is found wrong with it.
    pub(super) group: Option<GroupId>,
    pub(super) in_place: bool,
}

/// All threads that are known.
#[derive(Debug, Default)]
pub(super) struct Threads {
    known: HashMap<u32, Thread>,
    /// How many there have been.
    count: u32,
}

impl Threads {
    pub(super) fn get(&self, thread: u32) -> Option<&Thread> {
        self.known.get(&thread)
    }

    pub(super) fn all(&mut self) -> impl Iterator<Item = &mut Thread> {
        self.known.values_mut()
    }

    pub(super) fn get_mut(&mut self, thread: u32) -> Option<&mut Thread> {
        self.known.get_mut(&thread)
    }

    /// A thread, which may be new.
    pub(super) fn enter(&mut self, thread: u32, at: u64) -> &mut Thread {
        if self.known.len() >= THREADS_MAX && !self.known.contains_key(&thread) {
            self.known.retain(|_, known| known.current.is_some() || known.unit.open > 0);
            // Records were lost, so they seem to be at work for ever.
            if self.known.len() > THREADS_MAX / 2 {
                self.known.clear();
            }
        }
        self.known.entry(thread).or_insert_with(|| {
            self.count = self.count.wrapping_add(1);
            Thread::new(self.count, at)
        })
    }
}

impl Thread {
    fn new(generation: u32, at: u64) -> Self {
        Self {
            generation,
            process: 0,
            current: None,
            poll: Poll::default(),
            asleep: None,
            recent: VecDeque::new(),
            unit: Unit::new(Part::Running, at),
        }
    }

    /// It begins to poll a task.
    pub(super) fn polls(&mut self, task: TaskRef, address: u64, begin: u64) {
        self.current = Some(task);
        self.asleep = None;
        let poll = &mut self.poll;
        (poll.address, poll.number, poll.begin) = (address, poll.number + 1, begin);
        (poll.off_cpu, poll.in_place, poll.lock) = (0, false, None);
        poll.sleeps.clear();
        poll.samples.clear();
    }

    /// Remembers a poll that is over.
    pub(super) fn remember(&mut self, poll: LongPoll) {
        if self.recent.len() >= RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(poll);
    }

    /// Its poll of this number holds nothing up.
    pub(super) fn in_place(&mut self, number: u64) {
        if self.poll.number == number {
            self.poll.in_place = true;
        }
        for poll in self.recent.iter_mut().filter(|poll| poll.number == number) {
            poll.in_place = true;
        }
    }

    /// Whether it polls a task, and has since a moment before `at`.
    pub(super) fn began_to_poll_before(&self, at: u64) -> bool {
        self.current.is_some() && self.poll.begin <= at
    }

    /// The polls of other tasks than `except` that held it up between two moments, and how long.
    pub(super) fn held_up(
        &self,
        from: u64,
        to: u64,
        except: Option<TaskRef>,
    ) -> impl Iterator<Item = (&LongPoll, u64)> {
        let others = self.recent.iter().filter(move |poll| !poll.in_place && Some(poll.task) != except);
        others.filter_map(move |poll| {
            let length = poll.end.min(to).saturating_sub(poll.begin.max(from));
            (length > 0).then_some((poll, length))
        })
    }

    /// It goes to sleep.
    pub(super) fn sleeps(&mut self, record: &UnwoundStack) {
        self.asleep = Some(*record);
    }

    /// The stack of the sleep that began at `begin`, and whether it acquires a lock.
    pub(super) fn woke_up(&mut self, begin: u64) -> (u32, bool) {
        let of_sleep = self.asleep.take().filter(|record| record.time_ns == begin);
        of_sleep.map_or((0, false), |record| (record.stack, record.lock))
    }
}

impl Poll {
    /// It slept for long.
    pub(super) fn slept(&mut self, cause: Cause, stack: u32, ns: u64) {
        let room = self.sleeps.len() < EACH_MAX;
        match self.sleeps.iter_mut().find(|sleep| (sleep.0, sleep.1) == (cause, stack)) {
            Some((_, _, sum, longest)) => (*sum, *longest) = (sum.saturating_add(ns), ns.max(*longest)),
            None if room => self.sleeps.push((cause, stack, ns, ns)),
            None => {}
        }
    }

    /// It was met on a CPU.
    pub(super) fn sampled(&mut self, stack: u32) {
        let room = self.samples.len() < EACH_MAX;
        match self.samples.iter_mut().find(|sample| sample.0 == stack) {
            Some((_, count)) => *count = count.saturating_add(1),
            None if room => self.samples.push((stack, 1)),
            None => {}
        }
    }

    /// The stack that it was met with most.
    pub(super) fn most_sampled(&self) -> u32 {
        self.samples.iter().max_by_key(|(_, count)| *count).map_or(0, |(stack, _)| *stack)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_threads_are_known_than_there_is_room_for_and_those_at_work_stay() {
        let mut threads = Threads::default();
        threads.enter(0, 0).unit.open = 1;
        for thread in 1..3 * THREADS_MAX as u32 {
            threads.enter(thread, 0);
            assert!(threads.known.len() <= THREADS_MAX);
        }
        assert!(threads.get(0).is_some());
        for thread in 0..2 * THREADS_MAX as u32 {
            threads.enter(thread, 0).unit.open = 1;
            assert!(threads.known.len() <= THREADS_MAX);
        }
    }

    #[test]
    fn one_poll_tells_few_places_apart() {
        let mut poll = Poll::default();
        for stack in 0..100 {
            poll.slept(Cause::Unknown, stack, 1);
            poll.sampled(stack);
            poll.sampled(3);
        }
        assert_eq!((poll.sleeps.len(), poll.samples.len(), poll.most_sampled()), (EACH_MAX, EACH_MAX, 3));
    }
}
