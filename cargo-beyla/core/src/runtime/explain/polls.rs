//! Tasks: who polls them, who wakes them, and what is wrong with a poll.

use cargo_beyla_events::{TaskChange, task};
use hashbrown::HashSet;

use crate::analysis::findings::{Findings, GroupId, Key, Lasted};
use crate::model::explanation::{Awaited, Cause, Wait};
use crate::model::finding::FindingKind;

use super::Explain;
use super::clock::Part;
use super::tally::{self, Held, Holder, add_delay, add_wait};
use super::tasks::{Task, TaskRef};
use super::threads::{LONG_NS, LongPoll, Thread};
use super::unit::Telling;

/// The tables of functions that are known of the pool, and of the loops.
const VTABLES_MAX: usize = 4096;

/// Of the threshold: a task that has waited less for a worker has only had to wait its turn, which one that
/// awaits often does often.
const STARVED_PART: u64 = 10;

/// Tables of functions that tell what a task is.
#[derive(Debug, Default)]
pub(super) struct Vtables {
    /// Of tasks that run on the pool of threads that may block.
    pool: HashSet<u64>,
    /// Of those that are the loop of a worker of the runtime: in their polls other tasks are polled.
    loops: HashSet<u64>,
}

impl Explain {
    /// Something happens to a task.
    pub(crate) fn task(&mut self, change: &TaskChange) {
        let at = change.header.time_ns;
        match change.header.flags {
            task::RUNNING => self.running(change, at),
            task::IDLE => self.polled(change, at, false),
            task::TERMINAL => self.polled(change, at, true),
            task::WOKEN => self.woken(change, at),
            task::SPAWNED => self.spawned(change, at, false),
            task::SPAWNED_BLOCKING => self.spawned(change, at, true),
            task::DEFERRED => self.deferred(change, at),
            _ => {}
        }
    }

    fn spawned(&mut self, change: &TaskChange, at: u64, blocking: bool) {
        // Another thread may be quicker to tell that it polls it.
        let known =
            self.tasks.at(change.task).filter(|&task| self.tasks.get(task).is_some_and(|known| known.born.at >= at));
        let Some(task) = known.or_else(|| self.tasks.insert(change.task, Part::Scheduled, at)) else {
            return;
        };
        let thread = self.threads.get(change.thread);
        let spawner = thread.and_then(|thread| Some((self.tasks.get(thread.current?)?, thread.poll.number)));
        let spawned_in = spawner.filter(|(spawner, _)| !spawner.blocking).map(|(_, number)| (change.thread, number));
        if let Some(task) = self.tasks.get_mut(task) {
            task.blocking |= blocking;
            task.spawned_in = spawned_in;
        }
    }

    fn running(&mut self, change: &TaskChange, at: u64) {
        if let Some(before) = self.threads.enter(change.thread, at).current.take() {
            self.replaced(before, change, at);
        }
        let Some((reference, first)) = self.task_of(change, at) else { return };
        if first && self.vtables.loops.contains(&change.vtable) {
            return self.is_loop(reference, at);
        }
        let (Some(task), Some(thread)) = (self.tasks.get_mut(reference), self.threads.get_mut(change.thread)) else {
            return;
        };
        if first && task.blocking {
            self.vtables.pool_knows(change.vtable);
        } else if first {
            task.blocking = self.vtables.pool.contains(&change.vtable);
        }
        let unit = &mut task.unit;
        if unit.clock.part() == Part::Scheduled && unit.open > 0 && unit.counts() {
            let since = unit.clock.since().max(unit.tally.since);
            let scheduled = at.saturating_sub(since);
            if scheduled >= self.findings.threshold() / STARVED_PART {
                unit.tally.starved = unit.tally.starved.saturating_add(scheduled);
            }
            for (poll, ns) in thread.held_up(since, at, Some(reference)) {
                add_delay(&mut unit.tally.delays, Held { by: poll.by, group: poll.group, ns });
            }
        }
        unit.clock.switch(at, Part::Running);
        task.polled = Some((change.thread, at));
        task.notified = false;
        thread.process = change.process;
        thread.polls(reference, change.task, at);
    }

    /// The task that begins to be polled, which may be new; and whether this first tells its table of
    /// functions.
    fn task_of(&mut self, change: &TaskChange, at: u64) -> Option<(TaskRef, bool)> {
        let same = |task: &Task| [0, change.vtable].contains(&task.vtable) || change.vtable == 0;
        let known = self.tasks.at(change.task).filter(|&task| self.tasks.get(task).is_some_and(same));
        let task = known.or_else(|| self.tasks.insert(change.task, Part::Running, at))?;
        let known = &mut self.tasks.get_mut(task)?.vtable;
        let first = *known == 0 && change.vtable != 0;
        if first {
            *known = change.vtable;
        }
        Some((task, first))
    }

    /// A thread that polls a task begins to poll another.
    fn replaced(&mut self, before: TaskRef, change: &TaskChange, at: u64) {
        let next = self.tasks.at(change.task);
        let blocking = next.and_then(|next| self.tasks.get(next)).is_some_and(|next| next.blocking);
        let blocking = blocking || self.vtables.pool.contains(&change.vtable);
        let Some(task) = self.tasks.get_mut(before).filter(|_| next != Some(before)) else { return };
        if task.blocking && blocking {
            // The pool goes from one to the next: the end of the first was lost.
            self.tasks.remove(before, at);
        } else if task.blocking {
            self.is_loop(before, at);
        } else if task.polled.is_some_and(|(thread, _)| thread == change.thread) {
            // The end of its poll was lost.
            task.polled = None;
            task.unit.clock.switch(at, Part::Waiting);
        }
    }

    /// A task turns out to be the loop of a worker. If it was begun in a poll, then to take the place of
    /// the worker that this poll holds up: `block_in_place`.
    fn is_loop(&mut self, reference: TaskRef, at: u64) {
        let Some(task) = self.tasks.get(reference) else { return };
        if task.vtable != 0 && self.vtables.loops.len() < VTABLES_MAX {
            self.vtables.loops.insert(task.vtable);
        }
        if let Some((thread, number)) = task.spawned_in
            && let Some(thread) = self.threads.get_mut(thread)
        {
            thread.in_place(number);
        }
        self.tasks.remove(reference, at);
    }

    /// The poll of a task is over.
    fn polled(&mut self, change: &TaskChange, at: u64, terminal: bool) {
        if let Some(thread) = self.threads.get_mut(change.thread)
            && thread.poll.address == change.task
            && let Some(current) = thread.current.take()
            && let Some(task) = self.tasks.get_mut(current).filter(|task| !task.blocking)
        {
            end_of_poll(thread, current, task, at, &mut self.findings);
        }
        let Some(reference) = self.tasks.at(change.task) else { return };
        let Some(task) = self.tasks.get_mut(reference).filter(|task| task.born.at <= at) else { return };
        if terminal {
            return self.tasks.remove(reference, at);
        }
        // Another thread may be quicker to tell that it polls it again.
        if task.polled.is_none_or(|(thread, _)| thread == change.thread) {
            task.unit.clock.switch(at, if task.notified { Part::Scheduled } else { Part::Waiting });
            task.polled = None;
            task.notified = false;
        }
    }

    fn woken(&mut self, change: &TaskChange, at: u64) {
        let Some(reference) = self.tasks.at(change.task) else { return };
        let by = self.threads.get(change.thread).and_then(|thread| thread.current);
        let Some(task) = self.tasks.get_mut(reference) else { return };
        if let Some(by) = by.filter(|by| *by != reference) {
            task.unit.asked(by, at);
        }
        if let Some((_, begun)) = task.polled {
            // The wake that this poll comes from may be told late.
            task.notified |= at >= begun;
            return;
        }
        if task.unit.clock.part() != Part::Waiting {
            return;
        }
        let wait = by.filter(|by| *by != reference).and_then(|by| self.wait(reference, by, at));
        if let Some(task) = self.tasks.get_mut(reference) {
            if let Some(wait) = wait {
                task.unit.refresh();
                add_wait(&mut task.unit.tally.waits, wait);
            }
            task.unit.clock.switch(at, Part::Scheduled);
            task.unit.becomes_active(at);
        }
    }

    /// A task gives way to others: its thread will wake it once nothing else is left to do. So it wants to go on from
    /// now on, and waits for nothing.
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

    /// A process has ended, and with it what its threads polled.
    pub(crate) fn process_ended(&mut self, process: u32, at: u64) {
        self.end_polls(at, |thread| thread.process == process);
    }

    fn end_polls(&mut self, at: u64, of: impl Fn(&Thread) -> bool) {
        for thread in self.threads.all().filter(|thread| of(thread)) {
            if let Some(current) = thread.current.take()
                && let Some(task) = self.tasks.get_mut(current).filter(|task| !task.blocking)
            {
                end_of_poll(thread, current, task, at, &mut self.findings);
            }
        }
    }

    /// What a task has waited for that is woken by another.
    fn wait(&mut self, waiting: TaskRef, by: TaskRef, at: u64) -> Option<Wait> {
        let unit = &self.tasks.get(waiting)?.unit;
        if !unit.counts() {
            return None;
        }
        let asked = unit.tally.since;
        let ns = at.checked_sub(unit.clock.since().max(asked)).filter(|ns| *ns > 0)?;
        let other = self.tasks.get_mut(by).filter(|other| !self.vtables.loops.contains(&other.vtable))?;
        let (baseline, telling) = other.unit.baseline(waiting, &other.born, asked);
        let now = other.unit.clock.read(at);
        let parts = now.since(&baseline).unwrap_or_default();
        let (places, waits) = match telling {
            Telling::Everything => (&other.unit.tally.places[..], &other.unit.tally.waits[..]),
            Telling::Activity => (&other.unit.activity.1[..], &[][..]),
            Telling::Nothing => (&[][..], &[][..]),
        };
        let on = if other.blocking { Awaited::BlockingPool } else { Awaited::Task(other.vtable) };
        let wait = tally::wait(on, ns, parts, places, waits);
        other.unit.tells(waiting, now);
        Some(wait)
    }
}

impl Vtables {
    fn pool_knows(&mut self, vtable: u64) {
        if vtable != 0 && self.pool.len() < VTABLES_MAX {
            self.pool.insert(vtable);
        }
    }
}

/// A thread has polled an async task: was it for too long?
fn end_of_poll(thread: &mut Thread, reference: TaskRef, task: &mut Task, at: u64, findings: &mut Findings) {
    let poll = &thread.poll;
    let length = at.saturating_sub(poll.begin);
    let threshold = findings.threshold();
    if length < LONG_NS.min(threshold) || poll.in_place {
        return;
    }
    let route = task.unit.latest;
    let mut worst: Option<(u64, GroupId)> = poll.lock;
    let mut found = |kind, cause, stack, lasted: Lasted| {
        let counted = route.is_some().then_some(&mut task.unit.counted);
        let group = findings.found(Key { kind, route, cause, stack }, lasted, counted);
        if worst.is_none_or(|(total, _)| total < lasted.total) {
            worst = Some((lasted.total, group));
        }
    };
    // Many short calls hold a worker up as one long one does. Of those that only do so together, the worst is named.
    let held_up = poll.sleeps.iter().fold(0, |sum: u64, (_, _, total, _)| sum.saturating_add(*total)) >= threshold;
    let most = poll.sleeps.iter().map(|(_, _, total, _)| *total).max().unwrap_or(0).min(threshold);
    for &(cause, stack, total, max) in poll.sleeps.iter().filter(|(_, _, total, _)| held_up && *total >= most) {
        found(FindingKind::BlockingCall, cause, stack, Lasted { total, max });
    }
    let running = length.saturating_sub(poll.off_cpu);
    if running >= threshold {
        found(FindingKind::CpuBoundPoll, Cause::Running, poll.most_sampled(), Lasted { total: running, max: running });
    }
    let group = worst.map(|(_, group)| group);
    if length >= LONG_NS {
        let (number, begin) = (poll.number, poll.begin);
        let by = route.map_or(Holder::Task(task.vtable), Holder::Request);
        thread.remember(LongPoll { task: reference, number, begin, end: at, by, group, in_place: false });
    }
}
