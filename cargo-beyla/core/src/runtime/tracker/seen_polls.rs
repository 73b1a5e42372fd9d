//! `--explain=auto`: polls without a probe.
//!
//! A thread that leaves its CPU, or that the sampler meets on one, says which task it polls. Neither the beginning nor the
//! end of such a poll is known. It is taken to reach from what was seen of it first to what was seen last, as long as
//! the thread neither sleeps, nor moves bytes, nor polls another task in between. So sleeps and the want of a CPU are
//! exact, computing is known to a tick of the sampler, and all other time of the task counts as waiting.
//!
//! While a window is open, probes report each poll that begins, and only what they report counts.

use cargo_beyla_events::Sample;

use crate::runtime::clock::Part;
use crate::runtime::scheduling_entity::TaskRef;
use crate::runtime::tasks::{SpawnedIn, TaskId};
use crate::runtime::threads::SeenPoll;

use super::off_cpu::SAMPLE_NS;
use super::{Polls, RuntimeTracker};

/// Ticks of the sampler that meet the same poll are at most this far apart, in nanoseconds: one may come late.
const GAP_NS: u64 = 3 * SAMPLE_NS;

impl RuntimeTracker {
    /// From here on, probes report every poll that begins.
    pub(crate) fn window_opened(&mut self) {
        if let Polls::Seen { window, windows } = &mut self.polls {
            *windows += 1;
            *window = Some(*windows);
        }
    }

    /// From here on, probes report no poll. This may be known before older records of the kernel are read. So whatever a poll
    /// that goes on has done since its last record is unknown.
    pub(crate) fn window_closed(&mut self) {
        if !matches!(self.polls, Polls::Seen { window: Some(_), .. }) {
            return;
        }
        for thread in self.threads.numbers(|_| true) {
            self.match_stream_tasks(thread, false);
        }
        for thread in self.threads.all() {
            thread.current = None;
        }
        for task in self.tasks.living() {
            (task.polled, task.notified) = (None, false);
            let clock = &mut task.entity.clock;
            if matches!(clock.part(), Part::Running | Part::Scheduled | Part::Runnable) {
                clock.switch(clock.since(), Part::Waiting);
            }
        }
        if let Polls::Seen { window, .. } = &mut self.polls {
            *window = None;
        }
    }

    /// The window that is open.
    pub(super) fn window(&self) -> Option<u32> {
        match self.polls {
            Polls::Seen { window, .. } => window,
            Polls::Probed => None,
        }
    }

    /// Whether the polls of a task are known without probes.
    pub(crate) fn sees_polls(&self) -> bool {
        matches!(self.polls, Polls::Seen { .. })
    }

    /// A task was spawned, in a poll of `parent` if it is known.
    pub(crate) fn spawned_with_id(
        &mut self,
        parent: Option<TaskId>,
        child: TaskId,
        is_blocking: bool,
        thread: u32,
        at: u64,
    ) {
        if !self.sees_polls() {
            return;
        }
        let Some(task) = self.tasks.with_id(child).or_else(|| self.tasks.insert_with_id(child, at)) else { return };
        if let Some(task) = self.tasks.get_mut(task) {
            task.blocking = is_blocking;
            if task.spawned_in == SpawnedIn::Unseen {
                task.spawned_in = SpawnedIn::NoPoll;
            }
        }
        // While polls are probed, the probe's own record tells the same.
        if self.window().is_none()
            && let Some(parent) = parent.and_then(|parent| self.tasks.with_id(parent))
        {
            self.stream_task_spawned(task, thread, Some(parent));
        }
    }

    /// The sampler met a thread on a CPU.
    pub(crate) fn sample(&mut self, sample: &Sample, task: Option<TaskId>) {
        let at = sample.header.time_ns;
        let begin = at.saturating_sub(SAMPLE_NS);
        if let Some(task) = task.and_then(|task| self.seen_poll(sample.thread, task, begin)) {
            self.seen_until(sample.thread, task, at);
        }
    }

    /// A thread moves bytes, in a poll of `task` if that is known: what it polls from here on need not be the same poll.
    pub(crate) fn moves_bytes(&mut self, thread: u32, task: Option<TaskId>, at: u64) {
        if !self.sees_polls() {
            return;
        }
        if self.seen_polls_open > 0 {
            self.end_seen_poll(thread);
        }
        if let Some(thread) = self.threads.get_mut(thread) {
            thread.other_until = at;
        }
        if self.stream_polls_open > 0 {
            let task = task.and_then(|task| self.tasks.with_id(task));
            self.leave_stream_poll(thread, task);
        }
    }

    /// A thread polls a task from `from` on, or goes on to poll it. Returns the task unless it is one of the pool, or a
    /// probe has reported the poll.
    pub(super) fn seen_poll(&mut self, number: u32, id: TaskId, from: u64) -> Option<TaskRef> {
        if !self.sees_polls() {
            return None;
        }
        let reference = self.tasks.with_id(id).or_else(|| self.tasks.insert_with_id(id, from))?;
        if self.tasks.get(reference)?.blocking {
            return None;
        }
        let thread = self.threads.enter(number, from);
        if thread.current == Some(reference) {
            return None;
        }
        // The record of the end of its poll was lost, or came before the window closed.
        if let Some(stale) = thread.current.take().and_then(|task| self.tasks.get_mut(task))
            && stale.is_polled_by(number)
        {
            stale.polled = None;
            stale.entity.clock.switch(from, Part::Waiting);
        }
        let goes_on = |seen: &SeenPoll| seen.task == reference && from <= seen.last.saturating_add(GAP_NS);
        let start = if let Some(seen) = thread.seen.filter(goes_on) {
            seen.last
        } else {
            self.end_seen_poll(number);
            let thread = self.threads.enter(number, from);
            let from = from.max(thread.other_until);
            thread.seen = Some(SeenPoll { task: reference, last: from });
            thread.poll.restart(0, from);
            self.seen_polls_open += 1;
            from
        };
        let entity = &mut self.tasks.get_mut(reference)?.entity;
        if entity.clock.part() == Part::Waiting {
            entity.waited_until(start);
            entity.clock.switch(start, Part::Running);
        }
        Some(reference)
    }

    /// A poll was seen until `at`: nobody knows whether it goes on.
    pub(super) fn seen_until(&mut self, thread: u32, task: TaskRef, at: u64) {
        if let Some(seen) = self.threads.get_mut(thread).and_then(|thread| thread.seen.as_mut()) {
            seen.last = seen.last.max(at);
        }
        if let Some(task) = self.tasks.get_mut(task) {
            task.entity.clock.switch(at, Part::Waiting);
        }
    }

    /// What was seen of a poll is all that will be.
    pub(super) fn end_seen_poll(&mut self, thread: u32) {
        let Some(thread) = self.threads.get_mut(thread) else { return };
        let Some(SeenPoll { task: reference, last }) = thread.seen.take() else { return };
        self.seen_polls_open = self.seen_polls_open.saturating_sub(1);
        thread.other_until = last;
        // A worker that has nothing to do sleeps in a task as well, whose beginning nobody has seen.
        if let Some(task) = self.tasks.get_mut(reference).filter(|task| task.is_async()) {
            thread.end_poll(reference, task, last, &mut self.observations);
        }
    }
}
