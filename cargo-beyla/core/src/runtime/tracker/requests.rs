//! Requests under way: the readings of a clock at the boundaries of their `handle` phase.

use std::ops::Range;
use std::sync::Arc;

use crate::model::boundaries::Boundaries;
use crate::model::explanation;
use crate::model::explanation::{Delay, Explanation, Parts};
use crate::model::request::RouteId;
use crate::model::test::TestId;
use crate::runtime::clock::{Part, Reading};
use crate::runtime::observations::RequestDelays;
use crate::runtime::polls::LONG_NS;
use crate::runtime::scheduling_entity::{SchedulingEntity, TaskRef};
use crate::runtime::tasks::Tasks;
use crate::runtime::threads::{Thread, Threads};
use crate::runtime::time_breakdown::{PollDelay, PollOwner, TimeBreakdown, add_delay, fit_places, fit_waits};

use super::RuntimeTracker;

/// Where the tracker keeps a request that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestSlot(u32);

/// A request whose head was read. Times are nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadRequest<'a> {
    /// The thread of the receive call that brought the end of the head.
    pub(crate) thread: u32,
    /// The return of that call.
    pub(crate) at: u64,
    /// The boundaries that are known so far.
    pub(crate) boundaries: &'a Boundaries,
}

/// A request that has ended. Times are nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EndedRequest<'a> {
    pub(crate) slot: Option<RequestSlot>,
    pub(crate) route: RouteId,
    /// The test that it belongs to, if it belongs to one.
    pub(crate) test: Option<TestId>,
    /// Its boundaries, in order.
    pub(crate) boundaries: &'a Boundaries,
    /// From reading its first byte to the arrival of its last.
    pub(crate) upload_ns: u64,
    /// How long the server waited for room in the send buffer.
    pub(crate) stalled_ns: u64,
}

/// All requests that are under way, in memory that is used again.
#[derive(Debug, Default)]
pub(super) struct Requests {
    slots: Vec<Handling>,
    free: Vec<u32>,
}

/// How a request is handled.
#[derive(Debug, Default)]
struct Handling {
    /// The task or thread that handles the request, until it is answered.
    entity: Option<EntityRef>,
    /// What the request is measured on, once it was received.
    unit: Option<explanation::Unit>,
    /// The reading of the clock when the request was received.
    start: Reading,
    /// When the last send call began, and the reading of the clock then.
    sending: Option<(u64, Reading)>,
    /// When the client closed its end, and the reading of the clock then.
    closed: Option<(u64, Reading)>,
    /// The parts of the time until the answer.
    parts: Option<Parts>,
    /// Where that time was spent.
    breakdown: TimeBreakdown,
    /// The polls that delayed the request before it was read.
    queued: Vec<PollDelay>,
    /// How long the connection waited to be accepted while a poll with an observation held the thread up.
    accept_wait_by_poll: u64,
}

/// A task or a thread.
#[derive(Clone, Copy, Debug)]
enum EntityRef {
    Task(TaskRef),
    /// A thread, by its number and generation.
    Thread(u32, u32),
}

impl Requests {
    fn insert(&mut self) -> Option<RequestSlot> {
        if let Some(free) = self.free.pop() {
            return Some(RequestSlot(free));
        }
        let slot = u32::try_from(self.slots.len()).ok()?;
        self.slots.push(Handling::default());
        Some(RequestSlot(slot))
    }

    fn get(&self, slot: RequestSlot) -> Option<&Handling> {
        self.slots.get(slot.0 as usize)
    }

    fn get_mut(&mut self, slot: RequestSlot) -> Option<&mut Handling> {
        self.slots.get_mut(slot.0 as usize)
    }
}

impl Handling {
    /// Makes room for another request, in the same memory.
    fn reset(&mut self) {
        let mut new = Self::default();
        std::mem::swap(&mut new.breakdown, &mut self.breakdown);
        std::mem::swap(&mut new.queued, &mut self.queued);
        new.breakdown.restart(0);
        new.queued.clear();
        *self = new;
    }

    /// The request is answered, or never will be.
    fn answered(&mut self, tasks: &mut Tasks, threads: &mut Threads) {
        let Some(reference) = self.entity.take() else { return };
        match entity_of(reference, tasks, threads) {
            Some(entity) => entity.answered(&mut self.breakdown),
            None => self.breakdown.restart(0),
        }
        if let EntityRef::Task(task) = reference {
            tasks.release(task);
        }
        // The entity worked on an earlier request as well, and nobody knows which time belongs to which request.
        if self.breakdown.since != self.start.at {
            self.breakdown.restart(0);
        }
    }

    /// How long polls delayed the request, by `key`: the longest delay first, without short ones.
    fn delays_by<K: PartialEq>(&self, key: impl Fn(&PollDelay) -> Option<K>) -> Vec<(K, u64)> {
        let mut sums: Vec<(K, u64)> = Vec::new();
        for delay in self.queued.iter().chain(&self.breakdown.delays) {
            let Some(key) = key(delay) else { continue };
            match sums.iter_mut().find(|(known, _)| *known == key) {
                Some((_, sum)) => *sum = sum.saturating_add(delay.ns),
                None => sums.push((key, delay.ns)),
            }
        }
        sums.retain(|(_, ns)| *ns >= LONG_NS);
        sums.sort_by_key(|(_, ns)| std::cmp::Reverse(*ns));
        sums
    }
}

fn entity_of<'a>(
    reference: EntityRef,
    tasks: &'a mut Tasks,
    threads: &'a mut Threads,
) -> Option<&'a mut SchedulingEntity> {
    match reference {
        EntityRef::Task(task) => tasks.get_mut(task).map(|task| &mut task.entity),
        EntityRef::Thread(thread, generation) => {
            threads.get_mut(thread).filter(|known| known.generation == generation).map(|known| &mut known.entity)
        }
    }
}

impl RuntimeTracker {
    /// The head of a request was read.
    pub(crate) fn read(&mut self, request: &ReadRequest<'_>) -> Option<RequestSlot> {
        let slot = self.requests.insert()?;
        let handling = self.requests.get_mut(slot)?;
        let ReadRequest { thread, at, boundaries } = *request;
        // A head may come in several calls. The first of them was made by this thread as well if it belongs to the same
        // poll. (hyper first looks whether a connection begins like one of HTTP/2.)
        let first = |thread: &Thread| boundaries.read == at || thread.began_to_poll_before(boundaries.read);
        if let Some(thread) = self.threads.get(thread).filter(|thread| first(thread)) {
            let held_up = |from, to| thread.held_up(from, to, thread.current);
            if let Some(arrived) = boundaries.arrived {
                for (poll, ns) in held_up(arrived, boundaries.read) {
                    let delay = PollDelay { by: poll.by, observation: poll.observation, ns };
                    add_delay(&mut handling.queued, delay);
                }
            }
            if let (Some(connected), Some(accepted)) = (boundaries.connected, boundaries.accepted) {
                let observed = held_up(connected, accepted).filter(|(poll, _)| poll.observation.is_some());
                handling.accept_wait_by_poll = observed.fold(0, |sum, (_, ns)| sum.saturating_add(ns));
            }
        }
        Some(slot)
    }

    /// A thread received a request, as a whole or more of it than before. The task that the thread polls handles it.
    pub(crate) fn received(&mut self, slot: RequestSlot, thread: u32, at: u64, route: RouteId) {
        let Some(handling) = self.requests.get_mut(slot) else { return };
        let more = handling.unit.is_some();
        handling.answered(&mut self.tasks, &mut self.threads);
        let known = self.threads.enter(thread, at);
        let current = known
            .current
            .filter(|&task| self.tasks.get(task).is_some_and(|task| task.polled.is_some_and(|(by, _)| by == thread)));
        let (reference, unit) = match current {
            Some(task) => (EntityRef::Task(task), explanation::Unit::Task),
            None => (EntityRef::Thread(thread, known.generation), explanation::Unit::Thread),
        };
        if current.is_none() && known.entity.open_requests == 0 {
            known.entity.clock.switch(at, Part::Running);
        }
        if let Some(entity) = entity_of(reference, &mut self.tasks, &mut self.threads) {
            handling.start = entity.received(at, route, more);
            (handling.entity, handling.unit) = (Some(reference), Some(unit));
        }
    }

    /// A send call begins that may carry the answer. If a part of the answer's head was sent before, `begun` is when
    /// the call began that carried its first bytes.
    pub(crate) fn sending(&mut self, slot: RequestSlot, at: u64, begun: Option<u64>) {
        let Some(handling) = self.requests.get_mut(slot) else { return };
        let Some(reference) = handling.entity else { return };
        let Some(entity) = entity_of(reference, &mut self.tasks, &mut self.threads) else { return };
        entity.sending = true;
        if begun.is_none() || handling.sending.map(|(begin, _)| begin) != begun {
            handling.sending = Some((at, entity.clock.read(at)));
        }
    }

    /// A send call is over, and the request has no answer yet; the head of the answer may have `begun`.
    pub(crate) fn not_answered(&mut self, slot: RequestSlot, begun: bool) {
        if let Some(reference) = self.requests.get(slot).and_then(|handling| handling.entity)
            && let Some(entity) = entity_of(reference, &mut self.tasks, &mut self.threads)
        {
            entity.sending = begun;
        }
    }

    /// The client closes its end. This may be the last that is heard of it.
    pub(crate) fn client_closes(&mut self, slot: RequestSlot, at: u64) {
        if let Some(handling) = self.requests.get_mut(slot)
            && let (Some(reference), None) = (handling.entity, handling.closed)
            && let Some(entity) = entity_of(reference, &mut self.tasks, &mut self.threads)
        {
            handling.closed = Some((at, entity.clock.read(at)));
        }
    }

    /// A send call that began at `begin_ns` carried the head of the final response.
    pub(crate) fn responded(&mut self, slot: RequestSlot, begin_ns: u64) {
        let Some(handling) = self.requests.get_mut(slot).filter(|handling| handling.entity.is_some()) else { return };
        let sending = handling.sending.filter(|(at, _)| *at == begin_ns);
        handling.parts = sending.and_then(|(_, reading)| reading.since(&handling.start));
        handling.answered(&mut self.tasks, &mut self.threads);
    }

    /// A request has ended. Returns the parts of its `handle` phase.
    pub(crate) fn ended(&mut self, ended: &EndedRequest<'_>) -> Option<Parts> {
        let EndedRequest { slot, route, test, boundaries, upload_ns, stalled_ns } = *ended;
        let handle = boundaries.phases().handle;
        let mut delays = RequestDelays {
            route,
            test,
            boundaries,
            parts: None,
            starved: 0,
            starved_by_poll: 0,
            accept_wait_by_poll: 0,
            upload: upload_ns,
            stalled: stalled_ns,
        };
        if let Some(handling) = slot.and_then(|slot| self.requests.get_mut(slot)) {
            if let Some(reference) = handling.entity {
                if boundaries.responded.is_none()
                    && let Some(entity) = entity_of(reference, &mut self.tasks, &mut self.threads)
                {
                    let closed = handling.closed.filter(|(at, _)| *at == boundaries.ended);
                    let end = closed.map_or_else(|| entity.clock.read(boundaries.ended), |(_, reading)| reading);
                    handling.parts = end.since(&handling.start);
                }
                handling.answered(&mut self.tasks, &mut self.threads);
            }
            if handle == Some(0) && handling.unit.is_some() {
                handling.parts = Some(Parts::default());
            }
            handling.parts = handling.parts.filter(|parts| Some(parts.sum()) == handle);
            delays.parts = handling.parts;
            delays.accept_wait_by_poll = handling.accept_wait_by_poll;
            delays.starved = handling.breakdown.starved;
            let observed = handling.breakdown.delays.iter().filter(|delay| delay.observation.is_some());
            delays.starved_by_poll = observed.fold(0, |sum, delay| sum.saturating_add(delay.ns));
            for (observation, ns) in handling.delays_by(|delay| delay.observation) {
                self.observations.delayed(observation, route, ns);
            }
        }
        self.requests_not_opened += u64::from(delays.parts.is_none() && handle.is_some_and(|handle| handle > 0));
        self.observations.ended(&delays);
        delays.parts
    }

    /// What there is to say about a request that has ended; `name` gives method and route.
    pub(crate) fn explanation(
        &self,
        slot: RequestSlot,
        name: impl Fn(RouteId) -> (Arc<str>, Arc<str>),
    ) -> Option<Explanation> {
        let handling = self.requests.get(slot)?;
        let (unit, parts) = (handling.unit?, handling.parts?);
        let mut places = handling.breakdown.places.clone();
        fit_places(&mut places, &parts);
        let mut waits = handling.breakdown.waits.clone();
        fit_waits(&mut waits, parts.waiting);
        let named = |by: PollOwner| match by {
            PollOwner::Request(route) => explanation::Holder::Request(name(route)),
            PollOwner::Task(vtable) => explanation::Holder::Task(vtable),
        };
        let delays = handling.delays_by(|delay| Some(delay.by));
        let delays = delays.into_iter().map(|(by, ns)| Delay { by: named(by), ns }).collect();
        Some(Explanation { unit, parts, places, waits, calls: Vec::new(), delays })
    }

    /// When a request that has ended waited within its `handle` phase, ascending.
    pub(crate) fn waiting(&self, slot: RequestSlot) -> &[Range<u64>] {
        self.requests.get(slot).map_or(&[], |handling| &handling.breakdown.waiting)
    }

    /// Frees the slot of a request.
    pub(crate) fn forget(&mut self, slot: RequestSlot) {
        if let Some(handling) = self.requests.get_mut(slot) {
            handling.reset();
            self.requests.free.push(slot.0);
        }
    }
}
