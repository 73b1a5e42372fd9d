//! Requests under way: the readings of a clock at the boundaries of their `handle` phase.

use std::ops::Range;
use std::sync::Arc;

use crate::model::boundaries::Boundaries;
use crate::model::explanation::{self, Delay, Explanation, Parts, RespondParts, Tier};
use crate::model::request::RouteId;
use crate::model::test::TestId;
use crate::runtime::clock::{Part, Reading};
use crate::runtime::observations::RequestDelays;
use crate::runtime::polls::LONG_NS;
use crate::runtime::scheduling_entity::TaskRef;
use crate::runtime::streams::RequestSlot;
use crate::runtime::tasks::{TaskId, Tasks};
use crate::runtime::threads::{Thread, Threads};
use crate::runtime::time_breakdown::{PollDelay, PollOwner, TimeBreakdown, add_delay, fit_places, fit_waits};

use super::RuntimeTracker;
use super::measurement::{EntityRef, HandedOver, Measurement};
use super::responses::Responding;

/// A request whose head was read. Times are nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadRequest<'a> {
    /// The thread of the receive call that brought the end of the head.
    pub(crate) thread: u32,
    /// The task that it polled, if that is known.
    pub(crate) task: Option<TaskId>,
    /// The return of that call.
    pub(crate) at: u64,
    /// The boundaries that are known so far.
    pub(crate) boundaries: &'a Boundaries,
    pub(crate) route: RouteId,
    /// Its connection carries many requests at a time, each on a stream, so its task may be another than the one that
    /// read it.
    pub(crate) has_stream: bool,
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
    /// How long the response could not go on because the client was slow.
    pub(crate) stalled_ns: u64,
    /// The server broke it off without a response.
    pub(crate) is_refused: bool,
}

/// All requests that are under way, in memory that is used again.
#[derive(Debug, Default)]
pub(super) struct Requests {
    slots: Vec<Handling>,
    free: Vec<u32>,
}

/// How a request is handled.
#[derive(Debug, Default)]
pub(super) struct Handling {
    /// Which task handles it, where that may be another than the one that read it.
    pub(super) stream: StreamHandler,
    /// The thread whose poll read the head and goes on.
    pub(super) reading_poll: Option<u32>,
    /// The task of the connection, and the reading of its clock when the request was received.
    pub(super) received: Option<(TaskRef, Reading)>,
    /// The task or thread that handles the request, until it is answered.
    pub(super) measured: Option<Measurement>,
    /// What the request is measured on, once it was received.
    pub(super) unit: Option<explanation::Unit>,
    /// `--explain=auto`: the window in which its head was read, in a poll that was probed.
    window: Option<u32>,
    /// How its parts are known, once it has ended.
    tier: Tier,
    /// When the last send call began, the parts until then, and the measurement of the response if it begins there.
    sending: Option<(u64, Option<Parts>, Option<Measurement>)>,
    /// When the client closed its end, and the parts until then.
    closed: Option<(u64, Option<Parts>)>,
    /// The parts of the time until the answer.
    parts: Option<Parts>,
    /// Where that time was spent.
    breakdown: TimeBreakdown,
    /// The response, once it has begun.
    pub(super) responding: Option<Responding>,
    /// The parts of the time from the answer on.
    respond: Option<RespondParts>,
    /// The polls that delayed the request before it was read.
    queued: Vec<PollDelay>,
    /// How long the connection waited to be accepted while a poll with an observation held the thread up.
    accept_wait_by_poll: u64,
}

/// Which task handles a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum StreamHandler {
    /// The one that read it.
    #[default]
    Reader,
    /// One that is spawned in the poll that read the head, and that goes on.
    Awaited,
    /// One that was spawned for its stream.
    Own(TaskRef),
    /// It cannot be told.
    Unknown,
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

    pub(super) fn get(&self, slot: RequestSlot) -> Option<&Handling> {
        self.slots.get(slot.0 as usize)
    }

    pub(super) fn get_mut(&mut self, slot: RequestSlot) -> Option<&mut Handling> {
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

    /// The request is answered, or never will be, or is received further.
    pub(super) fn answered(&mut self, tasks: &mut Tasks, threads: &mut Threads) {
        let Some(measured) = self.measured.take() else { return };
        match measured.entity.get_mut(tasks, threads) {
            Some(entity) => entity.answered(&mut self.breakdown),
            None => self.breakdown.restart(0),
        }
        if let EntityRef::Task(task) = measured.entity {
            tasks.release(task);
        }
        // The entity worked on an earlier request as well, and nobody knows which time belongs to which request.
        if self.breakdown.since != measured.start.at {
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

impl RuntimeTracker {
    /// The head of a request was read.
    pub(crate) fn read(&mut self, request: &ReadRequest<'_>) -> Option<RequestSlot> {
        let slot = self.requests.insert()?;
        let probed = self.probed_poll(request.thread, request.task);
        let window = self.window().filter(|_| probed.is_some());
        let own = probed.or_else(|| self.tasks.with_id(request.task?));
        let handling = self.requests.get_mut(slot)?;
        handling.window = window;
        let ReadRequest { thread, task, at, boundaries, .. } = *request;
        // A head may come in several calls. The first of them was made by this thread as well if it belongs to the same
        // poll. (hyper first looks whether a connection begins like one of HTTP/2.)
        let first = |thread: &Thread| boundaries.read == at || thread.began_to_poll_before(boundaries.read);
        if let Some(thread) = self.threads.get(thread).filter(|thread| first(thread)) {
            let held_up = |from, to| thread.held_up(from, to, own);
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
        if request.has_stream {
            self.await_stream_task(slot, thread, task, at, request.route);
        }
        Some(slot)
    }

    /// A thread received a request, as a whole or more of it than before. The task that the thread polls handles it,
    /// or the task of its stream.
    pub(crate) fn received(&mut self, slot: RequestSlot, thread: u32, task: Option<TaskId>, at: u64, route: RouteId) {
        let Some(handling) = self.requests.get_mut(slot) else { return };
        let more = handling.unit.is_some();
        let entity = match handling.stream {
            StreamHandler::Reader => {
                handling.answered(&mut self.tasks, &mut self.threads);
                self.reader(thread, task, at)
            }
            StreamHandler::Own(task) => {
                handling.answered(&mut self.tasks, &mut self.threads);
                EntityRef::Task(task)
            }
            StreamHandler::Awaited => return self.received_before_spawn(slot, at),
            StreamHandler::Unknown => return,
        };
        let Some(handling) = self.requests.get_mut(slot) else { return };
        let Some(known) = entity.get_mut(&mut self.tasks, &mut self.threads) else { return };
        let start = known.received(at, route, more);
        let connection = match entity {
            EntityRef::Task(task) => self.tasks.get(task).and_then(|task| task.connection),
            EntityRef::Thread(..) => None,
        };
        let connection = connection.and_then(|task| Some((task, self.tasks.get(task)?.entity.clock.read(at))));
        handling.measured = Some(Measurement { entity, before: Parts::default(), start, connection });
        handling.unit = Some(entity.unit());
    }

    /// The task that a thread polls, as probes tell, unless the thread itself knows of another: then its end was not told.
    pub(super) fn probed_poll(&self, thread: u32, task: Option<TaskId>) -> Option<TaskRef> {
        let polled = |&polled: &TaskRef| {
            let is_another = task.is_some_and(|task| self.tasks.with_id(task) != Some(polled));
            self.tasks.get(polled).is_some_and(|known| known.is_polled_by(thread)) && !(self.sees_polls() && is_another)
        };
        self.threads.get(thread)?.current.filter(polled)
    }

    /// The task that a thread polls, or the thread itself.
    fn reader(&mut self, thread: u32, task: Option<TaskId>, at: u64) -> EntityRef {
        if let Some(task) = self.probed_poll(thread, task) {
            return EntityRef::Task(task);
        }
        if let Some(id) = task.filter(|_| self.sees_polls())
            && let Some(task) = self.tasks.with_id(id).or_else(|| self.tasks.insert_with_id(id, at))
        {
            return EntityRef::Task(task);
        }
        let known = self.threads.enter(thread, at);
        if known.entity.open_requests == 0 {
            known.entity.clock.switch(at, Part::Running);
        }
        EntityRef::Thread(thread, known.generation)
    }

    /// A send call begins that may carry the answer. If a part of the answer's head was sent before, `begun` is when
    /// the call began that carried its first bytes.
    pub(crate) fn sending(&mut self, slot: RequestSlot, at: u64, begun: Option<u64>) {
        self.find_stream_task_early(slot);
        let Some(handling) = self.requests.get_mut(slot) else { return };
        let Some(measured) = handling.measured.filter(|_| handling.unit.is_some()) else { return };
        let Some(entity) = measured.entity.get_mut(&mut self.tasks, &mut self.threads) else { return };
        // The task of a stream hands its answer to another task, which sends.
        entity.sending = measured.connection.is_none();
        if begun.is_none() || handling.sending.as_ref().map(|(begin, ..)| *begin) != begun {
            let parts = measured.until(at, HandedOver::Idle, &self.tasks, &self.threads);
            handling.sending = Some((at, parts, measured.restarted(at, &self.tasks, &self.threads)));
        }
    }

    /// A send call is over, and the request has no answer yet; the head of the answer may have `begun`.
    pub(crate) fn not_answered(&mut self, slot: RequestSlot, begun: bool) {
        if let Some(measured) = self.requests.get(slot).and_then(|handling| handling.measured)
            && let Some(entity) = measured.entity.get_mut(&mut self.tasks, &mut self.threads)
        {
            entity.sending = begun && measured.connection.is_none();
        }
    }

    /// The client closes its end. This may be the last that is heard of it.
    pub(crate) fn client_closes(&mut self, slot: RequestSlot, at: u64) {
        if let Some(handling) = self.requests.get_mut(slot)
            && let (Some(measured), None) = (handling.measured, handling.closed)
        {
            handling.closed = Some((at, measured.until(at, HandedOver::Never, &self.tasks, &self.threads)));
        }
    }

    /// A send call that began at `begin_ns` carried the head of the final response.
    pub(crate) fn responded(&mut self, slot: RequestSlot, begin_ns: u64) {
        let sees_polls = self.sees_polls();
        self.find_stream_task_early(slot);
        let Some(handling) = self.requests.get_mut(slot).filter(|handling| handling.measured.is_some()) else { return };
        if let Some((_, parts, response)) = handling.sending.take_if(|(at, ..)| *at == begin_ns) {
            handling.parts = parts;
            handling.responding = response.and_then(|response| Responding::new(response, &mut self.tasks));
        } else if let Some(measured) = handling.measured.filter(|_| sees_polls && handling.unit.is_some()) {
            // There was no record when the call began.
            if let Some(entity) = measured.entity.get_mut(&mut self.tasks, &mut self.threads) {
                if entity.clock.part() == Part::Waiting {
                    entity.waited_until(begin_ns);
                }
                entity.clock.settle(begin_ns);
            }
            handling.parts = measured.until(begin_ns, HandedOver::Idle, &self.tasks, &self.threads);
            let response = measured.restarted(begin_ns, &self.tasks, &self.threads);
            handling.responding = response.and_then(|response| Responding::new(response, &mut self.tasks));
        }
        handling.answered(&mut self.tasks, &mut self.threads);
    }

    /// A request has ended. Returns the parts of its `handle` phase.
    pub(crate) fn ended(&mut self, ended: &EndedRequest<'_>) -> Option<Parts> {
        let EndedRequest { slot, route, test, boundaries, upload_ns, stalled_ns, is_refused } = *ended;
        let phases = boundaries.phases();
        let handle = phases.handle;
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
        if let Some(slot) = slot {
            self.leave_reading_poll(slot, is_refused);
        }
        let (sees_polls, window) = (self.sees_polls(), self.window());
        let mut tier = Tier::Probed;
        if let Some(handling) = slot.and_then(|slot| self.requests.get_mut(slot)) {
            if let Some(measured) = handling.measured {
                if boundaries.responded.is_none() {
                    let at = boundaries.ended;
                    let closed = handling.closed.filter(|(closed, _)| *closed == at);
                    let now = || measured.until(at, HandedOver::Never, &self.tasks, &self.threads);
                    handling.parts = closed.map_or_else(now, |(_, parts)| parts);
                }
                handling.answered(&mut self.tasks, &mut self.threads);
            }
            if handle == Some(0) && handling.unit.is_some() {
                handling.parts = Some(Parts::default());
            }
            handling.parts = handling.parts.filter(|parts| Some(parts.sum()) == handle);
            if sees_polls && (handling.window.is_none() || handling.window != window) {
                tier = Tier::Seen;
                handling.tier = tier;
                // Outside of windows wakes are not seen. So it is not known what the request waited for, or who held it up then.
                handling.breakdown.waits.clear();
                handling.breakdown.delays.clear();
                handling.breakdown.starved = 0;
                if let Some(parts) = &mut handling.parts {
                    parts.waiting += std::mem::take(&mut parts.scheduled);
                }
            }
            let responding = handling.responding.as_ref();
            let respond = responding.and_then(|response| response.parts(boundaries, &self.tasks, &self.threads));
            handling.respond = respond;
            delays.parts = handling.parts;
            delays.stalled = respond.map_or(stalled_ns, |respond| respond.client);
            delays.accept_wait_by_poll = handling.accept_wait_by_poll;
            delays.starved = handling.breakdown.starved;
            let observed = handling.breakdown.delays.iter().filter(|delay| delay.observation.is_some());
            delays.starved_by_poll = observed.fold(0, |sum, delay| sum.saturating_add(delay.ns));
            for (observation, ns) in handling.delays_by(|delay| delay.observation) {
                self.observations.delayed(observation, route, ns);
            }
        }
        self.requests_not_opened += u64::from(delays.parts.is_none() && handle.is_some_and(|handle| handle > 0));
        self.requests_seen += u64::from(delays.parts.is_some() && tier == Tier::Seen);
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
        Some(Explanation {
            tier: handling.tier,
            unit,
            parts,
            respond: handling.respond,
            places,
            by_stack: Vec::new(),
            waits,
            calls: Vec::new(),
            delays,
        })
    }

    /// When a request that has ended waited within its `handle` phase, ascending.
    pub(crate) fn waiting(&self, slot: RequestSlot) -> &[Range<u64>] {
        self.requests.get(slot).map_or(&[], |handling| &handling.breakdown.waiting)
    }

    /// Frees the slot of a request.
    pub(crate) fn forget(&mut self, slot: RequestSlot) {
        if let Some(handling) = self.requests.get_mut(slot) {
            if let Some(responding) = handling.responding.take() {
                responding.release(&mut self.tasks);
            }
            handling.reset();
            self.requests.free.push(slot.0);
        }
    }
}
