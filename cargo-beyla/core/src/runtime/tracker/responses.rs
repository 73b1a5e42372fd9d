//! The `respond` phase: what the task that responds does meanwhile, and how long the client keeps it waiting.

use crate::model::boundaries::Boundaries;
use crate::model::explanation::{Parts, RespondParts};
use crate::runtime::streams::RequestSlot;
use crate::runtime::tasks::Tasks;
use crate::runtime::threads::Threads;

use super::RuntimeTracker;
use super::measurement::{EntityRef, HandedOver, Measurement};

/// A response that has begun.
#[derive(Debug)]
pub(super) struct Responding {
    measured: Measurement,
    /// While it cannot go on because of the client: the parts until that began.
    stalled: Option<Parts>,
    /// How long the task waited for the client so far, in nanoseconds.
    client: u64,
    /// When the last of it was sent, as far as is known, and the parts until then.
    end: Option<(u64, Parts)>,
}

impl Responding {
    /// Keeps the task's clock readable until [`Self::release`]. `None` for a thread without a task: its clock stands
    /// still once it has begun to send.
    pub(super) fn new(measured: Measurement, tasks: &mut Tasks) -> Option<Self> {
        let EntityRef::Task(task) = measured.entity else { return None };
        tasks.get_mut(task)?.responses += 1;
        Some(Self { measured, stalled: None, client: 0, end: None })
    }

    pub(super) fn release(self, tasks: &mut Tasks) {
        if let EntityRef::Task(reference) = self.measured.entity
            && let Some(task) = tasks.get_mut(reference)
        {
            task.responses = task.responses.saturating_sub(1);
            tasks.release(reference);
        }
    }

    /// The parts from the beginning of the response until its end.
    pub(super) fn parts(&self, boundaries: &Boundaries, tasks: &Tasks, threads: &Threads) -> Option<RespondParts> {
        let end = self.end.filter(|(at, _)| *at == boundaries.ended).map(|(_, parts)| parts);
        let mut task = end.or_else(|| self.until(boundaries.ended, tasks, threads))?;
        if Some(task.sum()) != boundaries.phases().respond {
            return None;
        }
        let stalled = self.stalled.map_or(0, |begin| task.waiting.saturating_sub(begin.waiting));
        let client = self.client.saturating_add(stalled).min(task.waiting);
        task.waiting -= client;
        Some(RespondParts { task, client })
    }

    fn until(&self, at: u64, tasks: &Tasks, threads: &Threads) -> Option<Parts> {
        self.measured.until(at, HandedOver::Ended, tasks, threads)
    }
}

impl RuntimeTracker {
    /// A response that has begun cannot go on, because the client does not take it.
    pub(crate) fn client_stalls(&mut self, slot: RequestSlot, at: u64) {
        if let Some(response) = self.requests.get_mut(slot).and_then(|handling| handling.responding.as_mut())
            && response.stalled.is_none()
        {
            response.stalled = response.until(at, &self.tasks, &self.threads);
        }
    }

    /// It can go on.
    pub(crate) fn client_takes(&mut self, slot: RequestSlot, at: u64) {
        if let Some(response) = self.requests.get_mut(slot).and_then(|handling| handling.responding.as_mut())
            && let Some(begin) = response.stalled.take()
            && let Some(end) = response.until(at, &self.tasks, &self.threads)
        {
            response.client = response.client.saturating_add(end.waiting.saturating_sub(begin.waiting));
        }
    }

    /// The last of the response was sent, or is known to have reached the client, at `at`.
    pub(crate) fn response_ends(&mut self, slot: RequestSlot, at: u64) {
        if let Some(response) = self.requests.get_mut(slot).and_then(|handling| handling.responding.as_mut()) {
            response.end = response.until(at, &self.tasks, &self.threads).map(|parts| (at, parts));
        }
    }
}
