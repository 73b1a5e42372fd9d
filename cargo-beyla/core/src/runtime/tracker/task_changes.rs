//! Tasks: which threads poll them, and which tasks wake them.

use cargo_beyla_events::{TaskChange, task};
use hashbrown::HashSet;

use crate::model::explanation::{Awaited, Wait};
use crate::runtime::clock::Part;
use crate::runtime::scheduling_entity::{Attribution, TaskRef};
use crate::runtime::tasks::{SpawnedIn, Task, TaskId};
use crate::runtime::threads::Thread;
use crate::runtime::time_breakdown::{PollDelay, add_delay, add_wait, wait_for};

use super::RuntimeTracker;

/// The tables of functions that are remembered of the blocking pool, and of worker loops.
const VTABLES_MAX: usize = 4096;

/// A task is starved if it waits for a worker longer than the threshold divided by this. A shorter wait is just its
/// turn in the queue, which a task that awaits often has often.
const STARVED_DIVISOR: u64 = 10;

/// The tables of functions by which two kinds of tasks are known.
#[derive(Debug, Default)]
pub(super) struct Vtables {
    /// Tasks that run on the pool of threads that may block.
    blocking_pool: HashSet<u64>,
    /// Tasks that are the loop of a worker: other tasks are polled within their polls.
    worker_loops: HashSet<u64>,
}

impl RuntimeTracker {
    /// Something happens to a task; `id` is its id, if that is known.
    pub(crate) fn task(&mut self, change: &TaskChange, id: Option<TaskId>) {
        if self.sees_polls() && self.window().is_none() {
            return;
        }
        let at = change.header.time_ns;
        match change.header.flags {
            task::RUNNING => self.poll_begins(change, id, at),
            task::IDLE => self.poll_ends(change, at, false),
            task::TERMINAL => self.poll_ends(change, at, true),
            task::WOKEN => self.woken(change, at),
            task::SPAWNED => self.spawned(change, id, at, false),
            task::SPAWNED_BLOCKING => self.spawned(change, id, at, true),
            task::DEFERRED => self.deferred(change, at),
            _ => {}
        }
    }

    fn spawned(&mut self, change: &TaskChange, id: Option<TaskId>, at: u64, blocking: bool) {
        let Some(task) = self.new_task(change, id, at) else { return };
        let thread = self.threads.get(change.thread);
        let spawner = thread.and_then(|thread| Some((self.tasks.get(thread.current?)?, thread.poll.number)));
        let spawned_in = spawner.filter(|(spawner, _)| !spawner.blocking).map(|(_, number)| (change.thread, number));
        if let Some(task) = self.tasks.get_mut(task) {
            task.blocking |= blocking;
            task.spawned_in = spawned_in.map_or(SpawnedIn::NoPoll, |(thread, number)| SpawnedIn::Poll(thread, number));
        }
        self.stream_task_spawned(task, change.thread, None);
    }

    /// The task that is spawned, which waits for its first poll.
    fn new_task(&mut self, change: &TaskChange, id: Option<TaskId>, at: u64) -> Option<TaskRef> {
        if let Some(id) = id {
            let task = self.tasks.with_id(id).or_else(|| self.tasks.insert_with_id(id, at))?;
            self.tasks.met_at(task, change.task, at);
            let known = self.tasks.get_mut(task)?;
            if known.polled.is_none() {
                known.entity.clock.switch(at, Part::Scheduled);
            }
            return Some(task);
        }
        // The record of another thread that polls it already may have come first.
        let known =
            self.tasks.at(change.task).filter(|&task| self.tasks.get(task).is_some_and(|known| known.born.at >= at));
        known.or_else(|| self.tasks.insert(change.task, Part::Scheduled, at))
    }

    fn poll_begins(&mut self, change: &TaskChange, id: Option<TaskId>, at: u64) {
        self.end_seen_poll(change.thread);
        if let Some(before) = self.threads.enter(change.thread, at).current.take() {
            self.match_stream_tasks(change.thread, false);
            self.replaced(before, change, at);
        }
        let Some((reference, first)) = self.polled_task(change, id, at) else { return };
        if first && self.vtables.worker_loops.contains(&change.vtable) {
            return self.is_worker_loop(reference, at);
        }
        let (Some(task), Some(thread)) = (self.tasks.get_mut(reference), self.threads.get_mut(change.thread)) else {
            return;
        };
        if first && task.blocking {
            self.vtables.add_to_pool(change.vtable);
        } else if first {
            task.blocking = self.vtables.blocking_pool.contains(&change.vtable);
        }
        let entity = &mut task.entity;
        if entity.clock.part() == Part::Scheduled && entity.open_requests > 0 && entity.counts() {
            let since = entity.clock.since().max(entity.breakdown.since);
            let scheduled = at.saturating_sub(since);
            if scheduled >= self.observations.threshold() / STARVED_DIVISOR {
                entity.breakdown.starved = entity.breakdown.starved.saturating_add(scheduled);
            }
            for (poll, ns) in thread.held_up(since, at, Some(reference)) {
                let delay = PollDelay { by: poll.by, observation: poll.observation, ns };
                add_delay(&mut entity.breakdown.delays, delay);
            }
        }
        if entity.clock.part() == Part::Waiting {
            // Its wake was not seen, as where the window opened after that.
            entity.waited_until(at);
        }
        entity.clock.switch(at, Part::Running);
        task.polled = Some((change.thread, at));
        task.notified = false;
        thread.process = change.process;
        thread.begin_poll(reference, change.task, at);
    }

    /// The task whose poll begins, which may be new; and whether its table of functions becomes known only now.
    fn polled_task(&mut self, change: &TaskChange, id: Option<TaskId>, at: u64) -> Option<(TaskRef, bool)> {
        let task = if let Some(id) = id {
            let task = self.tasks.with_id(id).or_else(|| self.tasks.insert_with_id(id, at))?;
            self.tasks.met_at(task, change.task, at);
            task
        } else {
            let same = |task: &Task| [0, change.vtable].contains(&task.vtable) || change.vtable == 0;
            let known = self.tasks.at(change.task).filter(|&task| self.tasks.get(task).is_some_and(same));
            known.or_else(|| self.tasks.insert(change.task, Part::Running, at))?
        };
        let vtable = &mut self.tasks.get_mut(task)?.vtable;
        let first = *vtable == 0 && change.vtable != 0;
        if first {
            *vtable = change.vtable;
        }
        Some((task, first))
    }

    /// A thread that polls one task begins to poll another.
    fn replaced(&mut self, before: TaskRef, change: &TaskChange, at: u64) {
        let next = self.tasks.at(change.task);
        let blocking = next.and_then(|next| self.tasks.get(next)).is_some_and(|next| next.blocking);
        let blocking = blocking || self.vtables.blocking_pool.contains(&change.vtable);
        let Some(task) = self.tasks.get_mut(before).filter(|_| next != Some(before)) else { return };
        if task.blocking && blocking {
            // A thread of the pool runs its tasks one by one: the record of the first one's end was lost.
            self.tasks.remove(before, at);
        } else if task.blocking {
            self.is_worker_loop(before, at);
        } else if task.polled.is_some_and(|(thread, _)| thread == change.thread) {
            // The record of the end of its poll was lost.
            task.polled = None;
            task.entity.clock.switch(at, Part::Waiting);
        }
    }

    /// A task turns out to be the loop of a worker. If a poll spawned it, that poll called `block_in_place`: the loop
    /// takes over the worker that the poll blocks.
    fn is_worker_loop(&mut self, reference: TaskRef, at: u64) {
        let Some(task) = self.tasks.get(reference) else { return };
        if task.vtable != 0 && self.vtables.worker_loops.len() < VTABLES_MAX {
            self.vtables.worker_loops.insert(task.vtable);
        }
        if let SpawnedIn::Poll(thread, number) = task.spawned_in
            && let Some(thread) = self.threads.get_mut(thread)
        {
            thread.mark_in_place(number);
        }
        self.tasks.remove(reference, at);
    }

    /// The poll of a task has ended; if `terminal`, so has the task.
    fn poll_ends(&mut self, change: &TaskChange, at: u64, terminal: bool) {
        if self.threads.get(change.thread).is_some_and(|thread| thread.poll.address == change.task) {
            self.match_stream_tasks(change.thread, true);
        }
        if let Some(thread) = self.threads.get_mut(change.thread)
            && thread.poll.address == change.task
            && let Some(current) = thread.current.take()
            && let Some(task) = self.tasks.get_mut(current).filter(|task| !task.blocking)
        {
            thread.end_poll(current, task, at, &mut self.observations);
        }
        let Some(reference) = self.tasks.at(change.task) else { return };
        self.hands_over(reference, at);
        let Some(task) = self.tasks.get_mut(reference).filter(|task| task.born.at <= at) else { return };
        if terminal {
            return self.tasks.remove(reference, at);
        }
        // The record of another thread that polls it again may have come first.
        if task.polled.is_none_or(|(thread, _)| thread == change.thread) {
            task.entity.clock.switch(at, if task.notified { Part::Scheduled } else { Part::Waiting });
            task.polled = None;
            task.notified = false;
        }
    }

    /// A poll of a stream's task ends. What it has produced is now with the task of the connection.
    fn hands_over(&mut self, reference: TaskRef, at: u64) {
        if let Some(connection) = self.tasks.get(reference).and_then(|task| task.connection)
            && let Some(connection) = self.tasks.get(connection).map(|task| task.entity.clock.read(at))
            && let Some(task) = self.tasks.get_mut(reference)
        {
            task.handed_over = Some((task.entity.clock.read(at), connection));
        }
    }

    fn woken(&mut self, change: &TaskChange, at: u64) {
        let Some(reference) = self.tasks.at(change.task) else { return };
        let waker = self.threads.get(change.thread).and_then(|thread| thread.current);
        let Some(task) = self.tasks.get_mut(reference) else { return };
        if let Some(waker) = waker.filter(|waker| *waker != reference) {
            task.entity.woken_by(waker, at);
        }
        if let Some((_, begun)) = task.polled {
            // The record of the wake that led to this poll may come late.
            task.notified |= at >= begun;
            return;
        }
        if task.entity.clock.part() != Part::Waiting {
            return;
        }
        let wait = waker.filter(|waker| *waker != reference).and_then(|waker| self.wait(reference, waker, at));
        if let Some(task) = self.tasks.get_mut(reference) {
            if let Some(wait) = wait {
                task.entity.drop_attributed();
                add_wait(&mut task.entity.breakdown.waits, wait);
            }
            task.entity.waited_until(at);
            task.entity.clock.switch(at, Part::Scheduled);
            task.entity.becomes_active(at);
        }
    }

    /// A task yields to others: its thread will wake it once it has nothing else to do. So the task is scheduled from
    /// now on, and does not wait.
    fn deferred(&mut self, change: &TaskChange, at: u64) {
        if let Some(reference) = self.tasks.at(change.task)
            && let Some(task) = self.tasks.get_mut(reference)
            && let Some((thread, begun)) = task.polled
        {
            task.notified |= thread == change.thread && at >= begun;
        }
    }

    /// The run is over: polls that go on have lasted until now, and are the worst of all.
    pub(crate) fn stop(&mut self, at: u64) {
        self.end_polls(at, |_| true);
    }

    /// A process has ended, and with it the polls of its threads.
    pub(crate) fn process_ended(&mut self, process: u32, at: u64) {
        self.end_polls(at, |thread| thread.process == process);
    }

    fn end_polls(&mut self, at: u64, of: impl Fn(&Thread) -> bool) {
        for thread in self.threads.numbers(&of) {
            self.match_stream_tasks(thread, false);
            self.end_seen_poll(thread);
        }
        for thread in self.threads.all().filter(|thread| of(thread)) {
            if let Some(current) = thread.current.take()
                && let Some(task) = self.tasks.get_mut(current).filter(|task| !task.blocking)
            {
                thread.end_poll(current, task, at, &mut self.observations);
            }
        }
    }

    /// The wait of a task that `waker` ends now.
    fn wait(&mut self, waiting: TaskRef, waker: TaskRef, at: u64) -> Option<Wait> {
        let entity = &self.tasks.get(waiting)?.entity;
        if !entity.counts() {
            return None;
        }
        let since = entity.breakdown.since;
        let ns = at.checked_sub(entity.clock.since().max(since)).filter(|ns| *ns > 0)?;
        let other = self.tasks.get_mut(waker).filter(|other| !self.vtables.worker_loops.contains(&other.vtable))?;
        let (start, attribution) = other.entity.attribution(waiting, &other.born, since);
        let now = other.entity.clock.read(at);
        let parts = now.since(&start).unwrap_or_default();
        let (places, waits) = match attribution {
            Attribution::Everything => (&other.entity.breakdown.places[..], &other.entity.breakdown.waits[..]),
            Attribution::Activity => (&other.entity.activity.1[..], &[][..]),
            Attribution::Nothing => (&[][..], &[][..]),
        };
        let on = if other.blocking { Awaited::BlockingPool } else { Awaited::Task(other.vtable) };
        let wait = wait_for(on, ns, parts, places, waits);
        other.entity.attribute(waiting, now);
        Some(wait)
    }
}

impl Vtables {
    fn add_to_pool(&mut self, vtable: u64) {
        if vtable != 0 && self.blocking_pool.len() < VTABLES_MAX {
            self.blocking_pool.insert(vtable);
        }
    }
}
