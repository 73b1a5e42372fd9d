//! What the scheduler runs and requests are measured on: a task, or a thread that handles a request without a task.

use crate::model::explanation::{Cause, Place};
use crate::model::request::RouteId;

use super::clock::{Clock, Part, Reading};
use super::observations::CountedObservations;
use super::time_breakdown::{TimeBreakdown, add_place};

/// The tasks that are remembered to have woken a task.
const WAKERS_MAX: usize = 16;

/// A task. Unlike its address, this never means a later task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TaskRef {
    pub(super) index: u32,
    pub(super) generation: u32,
}

/// The time of a task or a thread, and which of it belongs to requests.
///
/// A task may work for requests of its own, or for another task that waits until this one wakes it: then its time
/// explains that task's wait.
#[derive(Debug)]
pub(super) struct SchedulingEntity {
    pub(super) clock: Clock,
    /// Its time since it received its last request; without one, since it was spawned, or since its time explained the
    /// wait of another task.
    pub(super) breakdown: TimeBreakdown,
    /// The reading of its clock when it last became active, and the places where it has spent its time since.
    pub(super) activity: (Reading, Vec<Place>),
    /// The route of the last request that it received.
    pub(super) last_route: Option<RouteId>,
    /// Requests that it has received and not answered yet.
    pub(super) open_requests: u32,
    /// It is sending, so its time no longer belongs to the `handle` phase of the request.
    pub(super) sending: bool,
    /// The observations that have counted its last request.
    pub(super) counted: CountedObservations,
    /// The tasks that woke it, and the reading of its clock then: they may have asked it for something.
    wakers: Vec<(TaskRef, Reading)>,
    /// The task whose wait its time explained last, and the reading of its clock then.
    attributed: Option<(TaskRef, Reading)>,
    /// All of `breakdown` has explained the wait of another task, so it must not count again.
    is_breakdown_attributed: bool,
}

/// Which time of a task explains the wait of another task that it wakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attribution {
    /// All of its [`SchedulingEntity::breakdown`].
    Everything,
    /// What it did since it last became active.
    Activity,
    /// Nothing: all of it has explained the same task's wait before.
    Nothing,
}

impl SchedulingEntity {
    pub(super) fn new(part: Part, at: u64) -> Self {
        let clock = Clock::new(part, at);
        let born = clock.read(at);
        Self {
            clock,
            breakdown: TimeBreakdown { since: at, ..TimeBreakdown::default() },
            activity: (born, Vec::new()),
            last_route: None,
            open_requests: 0,
            sending: false,
            counted: CountedObservations::default(),
            wakers: Vec::new(),
            attributed: None,
            is_breakdown_attributed: false,
        }
    }

    /// Replaces it with a new one, in the same memory.
    pub(super) fn reset(&mut self, part: Part, at: u64) {
        let mut new = Self::new(part, at);
        std::mem::swap(&mut new.breakdown, &mut self.breakdown);
        std::mem::swap(&mut new.activity.1, &mut self.activity.1);
        std::mem::swap(&mut new.counted, &mut self.counted);
        std::mem::swap(&mut new.wakers, &mut self.wakers);
        new.breakdown.restart(at);
        new.activity.1.clear();
        new.counted.clear();
        new.wakers.clear();
        *self = new;
    }

    /// It has received a request, or `more` of a request than before. Returns the reading of its clock.
    pub(super) fn received(&mut self, at: u64, route: RouteId, more: bool) -> Reading {
        if self.open_requests == 0 {
            self.breakdown.restart(at);
            self.is_breakdown_attributed = false;
            self.sending = false;
        }
        self.open_requests += 1;
        self.last_route = Some(route);
        if !more {
            self.counted.clear();
        }
        self.clock.settle(at);
        self.clock.read(at)
    }

    /// One of its requests is answered, or never will be. Its breakdown goes to `breakdown`.
    pub(super) fn answered(&mut self, breakdown: &mut TimeBreakdown) {
        self.open_requests = self.open_requests.saturating_sub(1);
        if self.open_requests == 0 {
            std::mem::swap(breakdown, &mut self.breakdown);
            let now = self.clock.since();
            self.breakdown.restart(now);
        } else {
            breakdown.copy(&self.breakdown);
        }
    }

    /// Whether its time counts, for a request that it handles or for another task that waits for it.
    pub(super) fn counts(&self) -> bool {
        !self.sending && (self.open_requests > 0 || self.last_route.is_none())
    }

    /// It was waiting until now.
    pub(super) fn waited_until(&mut self, at: u64) {
        if self.open_requests > 0 && self.counts() {
            self.breakdown.add_waiting(self.clock.since()..at);
        }
    }

    /// It was woken: it has something to do again.
    pub(super) fn becomes_active(&mut self, at: u64) {
        self.activity.0 = self.clock.read(at);
        self.activity.1.clear();
    }

    /// It slept in a place, or computed there, from `begin` until `end`.
    pub(super) fn spent(&mut self, cause: Cause, stack: u32, begin: u64, end: u64) {
        let place = |since: u64| Place { cause, stack, ns: end.saturating_sub(begin.max(since)), count: 1 };
        add_place(&mut self.activity.1, place(self.activity.0.at));
        if self.counts() {
            self.drop_attributed();
            add_place(&mut self.breakdown.places, place(self.breakdown.since));
        }
    }

    /// Restarts the breakdown if it has explained the wait of another task, so that no time explains two waits.
    pub(super) fn drop_attributed(&mut self) {
        if self.is_breakdown_attributed {
            self.is_breakdown_attributed = false;
            let since = self.attributed.map_or(self.breakdown.since, |(_, reading)| reading.at);
            self.breakdown.restart(since);
        }
    }

    /// Another task wakes it.
    pub(super) fn woken_by(&mut self, waker: TaskRef, at: u64) {
        let reading = self.clock.read(at);
        if let Some((_, known)) = self.wakers.iter_mut().find(|(known, _)| *known == waker) {
            *known = reading;
            return;
        }
        if self.wakers.len() >= WAKERS_MAX {
            self.wakers.remove(0);
        }
        self.wakers.push((waker, reading));
    }

    /// Which of its time explains the wait of `waiting`, which it wakes, and since which reading. `waiting` works on
    /// its request since `since`, and this task was spawned at `born`.
    pub(super) fn attribution(&self, waiting: TaskRef, born: &Reading, since: u64) -> (Reading, Attribution) {
        let attributed = self.attributed.filter(|(other, _)| *other == waiting).map(|(_, reading)| reading);
        let woken = self.wakers.iter().find(|(other, reading)| *other == waiting && reading.at >= since);
        let (start, attribution) = match woken {
            _ if born.at >= since => (*born, Attribution::Everything),
            Some((_, woken)) => (*woken, Attribution::Activity),
            None => (self.activity.0, Attribution::Activity),
        };
        match attributed {
            Some(attributed) if attributed.at >= start.at => {
                (attributed, if self.is_breakdown_attributed { Attribution::Nothing } else { attribution })
            }
            _ => (start, attribution),
        }
    }

    /// Its time until `now` has explained the wait of `waiting`.
    pub(super) fn attribute(&mut self, waiting: TaskRef, now: Reading) {
        self.attributed = Some((waiting, now));
        self.is_breakdown_attributed = self.open_requests == 0;
    }
}
