//! A poll of a task: what its thread spent the time on, and whether it held the thread up.
//!
//! [`Poll::end`] is where blocking calls and long computations are noticed.

use crate::model::explanation::Cause;
use crate::model::finding::FindingKind;

use super::observations::{ObservationId, ObservationKey, Observations, TimeInPoll};
use super::scheduling_entity::TaskRef;
use super::tasks::Task;
use super::time_breakdown::PollOwner;

/// A thread remembers polls that lasted at least this long, in nanoseconds.
pub(super) const LONG_NS: u64 = 1_000_000;

/// The sleeps, and the sampled stacks, that are kept apart in one poll.
const PLACES_MAX: usize = 8;

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
    /// Another thread has taken over the worker's other tasks: tokio's `block_in_place`.
    pub(super) in_place: bool,
    /// The longest wait for a lock that lasted at least the threshold, in nanoseconds, and its observation.
    pub(super) lock: Option<(u64, ObservationId)>,
    sleeps: Vec<Sleep>,
    /// The stacks that the sampler met, and how often.
    samples: Vec<(u32, u32)>,
}

/// The time that a poll slept in one place.
#[derive(Debug)]
struct Sleep {
    cause: Cause,
    stack: u32,
    time: TimeInPoll,
}

/// A poll that lasted long and has ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct LongPoll {
    pub(super) task: TaskRef,
    pub(super) number: u64,
    pub(super) begin: u64,
    pub(super) end: u64,
    pub(super) by: PollOwner,
    /// The worst that was observed in it.
    pub(super) observation: Option<ObservationId>,
    pub(super) in_place: bool,
}

impl Poll {
    /// Begins the next poll of the thread, in the same memory.
    pub(super) fn restart(&mut self, address: u64, begin: u64) {
        (self.address, self.number, self.begin) = (address, self.number + 1, begin);
        (self.off_cpu, self.in_place, self.lock) = (0, false, None);
        self.sleeps.clear();
        self.samples.clear();
    }

    /// Adds a sleep.
    pub(super) fn slept(&mut self, cause: Cause, stack: u32, ns: u64) {
        let room = self.sleeps.len() < PLACES_MAX;
        match self.sleeps.iter_mut().find(|sleep| (sleep.cause, sleep.stack) == (cause, stack)) {
            Some(Sleep { time, .. }) => {
                *time = TimeInPoll { total: time.total.saturating_add(ns), max: time.max.max(ns) };
            }
            None if room => self.sleeps.push(Sleep { cause, stack, time: TimeInPoll { total: ns, max: ns } }),
            None => {}
        }
    }

    /// Adds a sample: the poll was on a CPU with this stack.
    pub(super) fn sampled(&mut self, stack: u32) {
        let room = self.samples.len() < PLACES_MAX;
        match self.samples.iter_mut().find(|sample| sample.0 == stack) {
            Some((_, count)) => *count = count.saturating_add(1),
            None if room => self.samples.push((stack, 1)),
            None => {}
        }
    }

    fn most_sampled(&self) -> u32 {
        self.samples.iter().max_by_key(|(_, count)| *count).map_or(0, |(stack, _)| *stack)
    }

    /// Ends a poll of an async task, and observes whether it blocked or computed for too long. Returns what the thread
    /// remembers of it, if the poll was long.
    pub(super) fn end(
        &self,
        reference: TaskRef,
        task: &mut Task,
        at: u64,
        observations: &mut Observations,
    ) -> Option<LongPoll> {
        let length = at.saturating_sub(self.begin);
        let threshold = observations.threshold();
        if length < LONG_NS.min(threshold) || self.in_place {
            return None;
        }
        let route = task.entity.last_route;
        let mut worst = self.lock;
        let mut observe = |kind, cause, stack, time: TimeInPoll| {
            let counted = route.is_some().then_some(&mut task.entity.counted);
            let observation = observations.observe(ObservationKey { kind, route, cause, stack }, time, counted);
            if worst.is_none_or(|(total, _)| total < time.total) {
                worst = Some((time.total, observation));
            }
        };
        // Many short calls hold a worker up as one long call does. If only their sum is long, the worst is named.
        let totals = || self.sleeps.iter().map(|sleep| sleep.time.total);
        let held_up = totals().fold(0, u64::saturating_add) >= threshold;
        let most = totals().max().unwrap_or(0).min(threshold);
        for Sleep { cause, stack, time } in self.sleeps.iter().filter(|sleep| held_up && sleep.time.total >= most) {
            observe(FindingKind::BlockingCall, *cause, *stack, *time);
        }
        let running = length.saturating_sub(self.off_cpu);
        if running >= threshold {
            let time = TimeInPoll { total: running, max: running };
            observe(FindingKind::CpuBoundPoll, Cause::Running, self.most_sampled(), time);
        }
        (length >= LONG_NS).then_some(LongPoll {
            task: reference,
            number: self.number,
            begin: self.begin,
            end: at,
            by: route.map_or(PollOwner::Task(task.vtable), PollOwner::Request),
            observation: worst.map(|(_, observation)| observation),
            in_place: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_poll_keeps_few_places_apart() {
        let mut poll = Poll::default();
        for stack in 0..100 {
            poll.slept(Cause::Unknown, stack, 1);
            poll.sampled(stack);
            poll.sampled(3);
        }
        assert_eq!((poll.sleeps.len(), poll.samples.len(), poll.most_sampled()), (PLACES_MAX, PLACES_MAX, 3));
    }
}
