//! The threads of the process: the poll that each is in, and its last long polls.

use std::collections::VecDeque;

use hashbrown::HashMap;

use super::clock::Part;
use super::observations::Observations;
use super::polls::{LongPoll, Poll};
use super::scheduling_entity::{SchedulingEntity, TaskRef};
use super::streams::StreamPoll;
use super::tasks::Task;

/// The threads that are known at a time.
const THREADS_MAX: usize = 16 * 1024;

/// The long polls that a thread remembers.
const LONG_POLLS_MAX: usize = 16;

/// A thread.
#[derive(Debug)]
pub(super) struct Thread {
    /// Tells it from an earlier thread with the same number.
    pub(super) generation: u32,
    /// The process that it belonged to when it last began a poll; 0 where only one process is traced.
    pub(super) process: u32,
    /// The task that it polls.
    pub(super) current: Option<TaskRef>,
    /// Its poll of that task, or its last poll.
    pub(super) poll: Poll,
    /// The requests of HTTP/2 that this poll has read.
    pub(super) streams: StreamPoll,
    /// `--explain=auto`: the poll that the scheduler and the sampler have seen, where no probe tells of polls.
    pub(super) seen: Option<SeenPoll>,
    /// When it was last known to do something else than to poll the task that is seen next, in nanoseconds.
    pub(super) other_until: u64,
    asleep: Option<Asleep>,
    /// The oldest comes first.
    long_polls: VecDeque<LongPoll>,
    /// Its time, for the requests that it handles without a task.
    pub(super) entity: SchedulingEntity,
}

/// A poll that is seen in parts.
#[derive(Clone, Copy, Debug)]
pub(super) struct SeenPoll {
    pub(super) task: TaskRef,
    /// When it was seen last, in nanoseconds.
    pub(super) last: u64,
}

/// A sleep that has begun.
#[derive(Clone, Copy, Debug)]
struct Asleep {
    begin: u64,
    stack: u32,
    acquires_lock: bool,
}

/// All threads that are known.
#[derive(Debug, Default)]
pub(super) struct Threads {
    known: HashMap<u32, Thread>,
    /// How many threads there have been.
    count: u32,
}

impl Threads {
    pub(super) fn get(&self, thread: u32) -> Option<&Thread> {
        self.known.get(&thread)
    }

    pub(super) fn get_mut(&mut self, thread: u32) -> Option<&mut Thread> {
        self.known.get_mut(&thread)
    }

    pub(super) fn all(&mut self) -> impl Iterator<Item = &mut Thread> {
        self.known.values_mut()
    }

    /// The numbers of some threads.
    pub(super) fn numbers(&self, which: impl Fn(&Thread) -> bool) -> Vec<u32> {
        self.known.iter().filter(|(_, thread)| which(thread)).map(|(number, _)| *number).collect()
    }

    /// Returns a thread, which may be new.
    pub(super) fn enter(&mut self, thread: u32, at: u64) -> &mut Thread {
        if self.known.len() >= THREADS_MAX && !self.known.contains_key(&thread) {
            self.known.retain(|_, known| known.current.is_some() || known.entity.open_requests > 0);
            // So many threads cannot be at work: the records of their ends were lost.
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
            streams: StreamPoll::default(),
            seen: None,
            other_until: 0,
            asleep: None,
            long_polls: VecDeque::new(),
            entity: SchedulingEntity::new(Part::Running, at),
        }
    }

    /// The thread begins to poll a task.
    pub(super) fn begin_poll(&mut self, task: TaskRef, address: u64, begin: u64) {
        self.current = Some(task);
        self.asleep = None;
        self.poll.restart(address, begin);
    }

    /// The thread's poll of this async task has ended. If it was long, the thread remembers it.
    pub(super) fn end_poll(&mut self, reference: TaskRef, task: &mut Task, at: u64, observations: &mut Observations) {
        if let Some(poll) = self.poll.end(reference, task, at, observations) {
            if self.long_polls.len() >= LONG_POLLS_MAX {
                self.long_polls.pop_front();
            }
            self.long_polls.push_back(poll);
        }
    }

    /// The poll with this number called `block_in_place`, so it holds up no other task.
    pub(super) fn mark_in_place(&mut self, number: u64) {
        if self.poll.number == number {
            self.poll.in_place = true;
        }
        for poll in self.long_polls.iter_mut().filter(|poll| poll.number == number) {
            poll.in_place = true;
        }
    }

    /// Whether the thread polls a task, and began to at or before `at`.
    pub(super) fn began_to_poll_before(&self, at: u64) -> bool {
        self.current.is_some() && self.poll.begin <= at
    }

    /// The long polls of tasks other than `except` that held the thread up between two moments, and for how long.
    pub(super) fn held_up(
        &self,
        from: u64,
        to: u64,
        except: Option<TaskRef>,
    ) -> impl Iterator<Item = (&LongPoll, u64)> {
        let others = self.long_polls.iter().filter(move |poll| !poll.in_place && Some(poll.task) != except);
        others.filter_map(move |poll| {
            let length = poll.end.min(to).saturating_sub(poll.begin.max(from));
            (length > 0).then_some((poll, length))
        })
    }

    /// The thread goes to sleep with this stack, perhaps to acquire a lock.
    pub(super) fn falls_asleep(&mut self, begin: u64, stack: u32, acquires_lock: bool) {
        self.asleep = Some(Asleep { begin, stack, acquires_lock });
    }

    /// The stack of the sleep that began at `begin`, and whether it acquires a lock.
    pub(super) fn wakes_up(&mut self, begin: u64) -> (u32, bool) {
        let asleep = self.asleep.take().filter(|asleep| asleep.begin == begin);
        asleep.map_or((0, false), |asleep| (asleep.stack, asleep.acquires_lock))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_threads_are_known_than_there_is_room_for_and_those_at_work_stay() {
        let mut threads = Threads::default();
        threads.enter(0, 0).entity.open_requests = 1;
        for thread in 1..3 * THREADS_MAX as u32 {
            threads.enter(thread, 0);
            assert!(threads.known.len() <= THREADS_MAX);
        }
        assert!(threads.get(0).is_some());
        for thread in 0..2 * THREADS_MAX as u32 {
            threads.enter(thread, 0).entity.open_requests = 1;
            assert!(threads.known.len() <= THREADS_MAX);
        }
    }
}
