//! Requests under way: what the clock of the one that received each shows at the boundaries of `handle`.

use crate::analysis::findings::Suffered;
use crate::analysis::statistics::Statistics;
use crate::exchange::in_flight::Exchange;
use crate::model::boundaries::Boundaries;
use crate::model::explanation;
use crate::model::explanation::{Delay, Explanation, Parts};
use crate::model::request::RouteId;
use crate::model::test::TestId;

use super::Explain;
use super::clock::{Part, Reading};
use super::tally::{Held, Holder, Tally, add_delay, fit_places, fit_waits};
use super::tasks::{TaskRef, Tasks};
use super::threads::{LONG_NS, Thread, Threads};
use super::unit::Unit;

/// A request under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot(u32);

/// How a request came to be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrived<'a> {
    /// The thread of the receive call that brought its head's end.
    pub(crate) thread: u32,
    /// Return of that call, in nanoseconds.
    pub(crate) at: u64,
    /// What is known of its boundaries.
    pub(crate) boundaries: &'a Boundaries,
}

/// All that are under way, in memory that is used again.
#[derive(Debug, Default)]
pub(super) struct Requests {
    slots: Vec<Opened>,
    free: Vec<u32>,
}

/// What is known of how a request is handled.
#[derive(Debug, Default)]
struct Opened {
    /// Who handles it, until it is answered.
    unit: Option<UnitRef>,
    /// What it is measured on, once it was received.
    measured: Option<explanation::Unit>,
    /// What the clock showed when it was received.
    start: Reading,
    /// When the last send call began, and what the clock showed then.
    sending: Option<(u64, Reading)>,
    /// When the client closed its end, and what the clock showed then.
    closed: Option<(u64, Reading)>,
    /// What the time until the answer consisted of.
    parts: Option<Parts>,
    /// Where it was spent.
    tally: Tally,
    /// What held it up before it was read.
    queued: Vec<Held>,
    /// How long its connection waited because of a poll with which something is wrong.
    accept_blamed: u64,
}

#[derive(Clone, Copy, Debug)]
enum UnitRef {
    Task(TaskRef),
    /// A thread, by its number and generation.
    Thread(u32, u32),
}

impl Requests {
    fn insert(&mut self) -> Option<Slot> {
        if let Some(free) = self.free.pop() {
            return Some(Slot(free));
        }
        let slot = u32::try_from(self.slots.len()).ok()?;
        self.slots.push(Opened::default());
        Some(Slot(slot))
    }

    fn get(&self, slot: Slot) -> Option<&Opened> {
        self.slots.get(slot.0 as usize)
    }

    fn get_mut(&mut self, slot: Slot) -> Option<&mut Opened> {
        self.slots.get_mut(slot.0 as usize)
    }
}

impl Opened {
    /// For another request.
    fn reset(&mut self) {
        let mut new = Self::default();
        std::mem::swap(&mut new.tally, &mut self.tally);
        std::mem::swap(&mut new.queued, &mut self.queued);
        new.tally.begin(0);
        new.queued.clear();
        *self = new;
    }

    /// The request is answered, or will not be.
    fn answered(&mut self, tasks: &mut Tasks, threads: &mut Threads) {
        let Some(reference) = self.unit.take() else { return };
        match unit_of(reference, tasks, threads) {
            Some(unit) => unit.answered(&mut self.tally),
            None => self.tally.begin(0),
        }
        if let UnitRef::Task(task) = reference {
            tasks.release(task);
        }
        // Another request was under way before, and it cannot be told whose time was spent where.
        if self.tally.since != self.start.at {
            self.tally.begin(0);
        }
    }
}

fn unit_of<'a>(reference: UnitRef, tasks: &'a mut Tasks, threads: &'a mut Threads) -> Option<&'a mut Unit> {
    match reference {
        UnitRef::Task(task) => tasks.get_mut(task).map(|task| &mut task.unit),
        UnitRef::Thread(thread, generation) => {
            threads.get_mut(thread).filter(|known| known.generation == generation).map(|known| &mut known.unit)
        }
    }
}

impl Explain {
    /// The head of a request was read.
    pub(crate) fn read(&mut self, arrived: &Arrived<'_>) -> Option<Slot> {
        let slot = self.requests.insert()?;
        let opened = self.requests.get_mut(slot)?;
        let Arrived { thread, at, boundaries } = *arrived;
        // If its head came in several calls, the first was this thread's too where it belongs to the same poll. (hyper
        // first looks whether a connection begins as those of HTTP/2 do.)
        let first = |thread: &Thread| boundaries.read == at || thread.began_to_poll_before(boundaries.read);
        if let Some(thread) = self.threads.get(thread).filter(|thread| first(thread)) {
            let held_up = |from, to| thread.held_up(from, to, thread.current);
            if let Some(arrived) = boundaries.arrived {
                for (poll, ns) in held_up(arrived, boundaries.read) {
                    add_delay(&mut opened.queued, Held { by: poll.by, group: poll.group, ns });
                }
            }
            if let (Some(connected), Some(accepted)) = (boundaries.connected, boundaries.accepted) {
                let blamed = held_up(connected, accepted).filter(|(poll, _)| poll.group.is_some());
                opened.accept_blamed = blamed.fold(0, |sum, (_, ns)| sum.saturating_add(ns));
            }
        }
        Some(slot)
    }

    /// A request was received by a thread, as a whole or more of it than before: it is in the hands of the
    /// task that this thread polls.
    pub(crate) fn received(&mut self, slot: Slot, thread: u32, at: u64, route: RouteId) {
        let Some(opened) = self.requests.get_mut(slot) else { return };
        let more = opened.measured.is_some();
        opened.answered(&mut self.tasks, &mut self.threads);
        let known = self.threads.enter(thread, at);
        let current = known
            .current
            .filter(|&task| self.tasks.get(task).is_some_and(|task| task.polled.is_some_and(|(by, _)| by == thread)));
        let (reference, measured) = match current {
            Some(task) => (UnitRef::Task(task), explanation::Unit::Task),
            None => (UnitRef::Thread(thread, known.generation), explanation::Unit::Thread),
        };
        if current.is_none() && known.unit.open == 0 {
            known.unit.clock.switch(at, Part::Running);
        }
        if let Some(unit) = unit_of(reference, &mut self.tasks, &mut self.threads) {
            opened.start = unit.received(at, route, more);
            (opened.unit, opened.measured) = (Some(reference), Some(measured));
        }
    }

    /// A send call begins that may carry the answer. `begun` is when the one began that carried the
    /// first bytes of an answer whose head is not whole yet.
    pub(crate) fn sending(&mut self, slot: Slot, at: u64, begun: Option<u64>) {
        let Some(opened) = self.requests.get_mut(slot) else { return };
        let Some(reference) = opened.unit else { return };
        let Some(unit) = unit_of(reference, &mut self.tasks, &mut self.threads) else { return };
        unit.sending = true;
        if begun.is_none() || opened.sending.map(|(begin, _)| begin) != begun {
            opened.sending = Some((at, unit.clock.read(at)));
        }
    }

    /// A send call is over; the request is still without an answer, whose head may have `begun`.
    pub(crate) fn not_answered(&mut self, slot: Slot, begun: bool) {
        if let Some(reference) = self.requests.get(slot).and_then(|opened| opened.unit)
            && let Some(unit) = unit_of(reference, &mut self.tasks, &mut self.threads)
        {
            unit.sending = begun;
        }
    }

    /// The client closes its end, and may be heard of no more.
    pub(crate) fn client_closes(&mut self, slot: Slot, at: u64) {
        if let Some(opened) = self.requests.get_mut(slot)
            && let (Some(reference), None) = (opened.unit, opened.closed)
            && let Some(unit) = unit_of(reference, &mut self.tasks, &mut self.threads)
        {
            opened.closed = Some((at, unit.clock.read(at)));
        }
    }

    /// The head of the final response was sent by a call that began at `begin_ns`.
    pub(crate) fn responded(&mut self, slot: Slot, begin_ns: u64) {
        let Some(opened) = self.requests.get_mut(slot).filter(|opened| opened.unit.is_some()) else { return };
        let sending = opened.sending.filter(|(at, _)| *at == begin_ns);
        opened.parts = sending.and_then(|(_, reading)| reading.since(&opened.start));
        opened.answered(&mut self.tasks, &mut self.threads);
    }

    /// A request has ended, with its boundaries in order, of this test if of any. What its `handle` consisted of.
    pub(crate) fn ended(&mut self, exchange: &Exchange, test: Option<TestId>) -> Option<Parts> {
        let boundaries = &exchange.boundaries;
        let handle = boundaries.phases().handle;
        let opened = exchange.opened.and_then(|slot| self.requests.get_mut(slot));
        let mut suffered = Suffered {
            route: exchange.line.statistics,
            test,
            boundaries,
            parts: None,
            starved: 0,
            blamed: 0,
            accept_blamed: 0,
            upload: exchange.upload_ns,
            stalled: exchange.stalled_ns,
        };
        if let Some(opened) = opened {
            if let Some(reference) = opened.unit {
                if boundaries.responded.is_none()
                    && let Some(unit) = unit_of(reference, &mut self.tasks, &mut self.threads)
                {
                    let closed = opened.closed.filter(|(at, _)| *at == boundaries.ended);
                    let end = closed.map_or_else(|| unit.clock.read(boundaries.ended), |(_, reading)| reading);
                    opened.parts = end.since(&opened.start);
                }
                opened.answered(&mut self.tasks, &mut self.threads);
            }
            if handle == Some(0) && opened.measured.is_some() {
                opened.parts = Some(Parts::default());
            }
            opened.parts = opened.parts.filter(|parts| Some(parts.sum()) == handle);
            suffered.parts = opened.parts;
            suffered.accept_blamed = opened.accept_blamed;
            suffered.starved = opened.tally.starved;
            let blamed = opened.tally.delays.iter().filter(|held| held.group.is_some());
            suffered.blamed = blamed.fold(0, |sum, held| sum.saturating_add(held.ns));
            for (group, ns) in by(opened, |held| held.group) {
                self.findings.delayed(group, suffered.route, ns);
            }
        }
        self.not_opened += u64::from(suffered.parts.is_none() && handle.is_some_and(|handle| handle > 0));
        self.findings.ended(&suffered);
        suffered.parts
    }

    /// What there is to say of a request that has ended.
    pub(crate) fn explanation(&self, slot: Slot, statistics: &Statistics) -> Option<Explanation> {
        let opened = self.requests.get(slot)?;
        let (unit, parts) = (opened.measured?, opened.parts?);
        let mut places = opened.tally.places.clone();
        fit_places(&mut places, &parts);
        let mut waits = opened.tally.waits.clone();
        fit_waits(&mut waits, parts.waiting);
        let named = |by: Holder| match by {
            Holder::Request(route) => explanation::Holder::Request(statistics.name(route)),
            Holder::Task(vtable) => explanation::Holder::Task(vtable),
        };
        let delays = by(opened, |held| Some(held.by));
        let delays = delays.into_iter().map(|(by, ns)| Delay { by: named(by), ns }).collect();
        Some(Explanation { unit, parts, places, waits, delays })
    }

    /// Nothing more is asked of a request.
    pub(crate) fn forget(&mut self, slot: Slot) {
        if let Some(opened) = self.requests.get_mut(slot) {
            opened.reset();
            self.requests.free.push(slot.0);
        }
    }
}

/// What held a request up for long, by what is asked for: the longest first.
fn by<K: PartialEq>(opened: &Opened, key: impl Fn(&Held) -> Option<K>) -> Vec<(K, u64)> {
    let mut sums: Vec<(K, u64)> = Vec::new();
    for held in opened.queued.iter().chain(&opened.tally.delays) {
        let Some(key) = key(held) else { continue };
        match sums.iter_mut().find(|(known, _)| *known == key) {
            Some((_, sum)) => *sum = sum.saturating_add(held.ns),
            None => sums.push((key, held.ns)),
        }
    }
    sums.retain(|(_, ns)| *ns >= LONG_NS);
    sums.sort_by_key(|(_, ns)| std::cmp::Reverse(*ns));
    sums
}
