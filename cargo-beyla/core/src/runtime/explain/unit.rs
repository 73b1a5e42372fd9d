//! What requests are measured on: a task, or a thread.

use crate::analysis::findings::GroupId;
use crate::model::explanation::{Cause, Place};
use crate::model::request::RouteId;

use super::clock::{Clock, Part, Reading};
use super::tally::{Tally, add_place};
use super::tasks::TaskRef;

/// Those who woke a task that are remembered.
const ASKED_MAX: usize = 16;

/// Findings that are remembered to have counted a request already.
const COUNTED_MAX: usize = 32;

/// The time of a task or a thread, and what of it belongs to requests.
#[derive(Debug)]
pub(super) struct Unit {
    pub(super) clock: Clock,
    /// Since the last request was received, or else since it was born or told another of itself.
    pub(super) tally: Tally,
    /// When it last had something to do again, and where it has been since.
    pub(super) activity: (Reading, Vec<Place>),
    /// The route of the request that it received last.
    pub(super) latest: Option<RouteId>,
    /// Requests that are received and not answered yet.
    pub(super) open: u32,
    /// It is sending: what it does now is no longer part of how the request was handled.
    pub(super) sending: bool,
    /// What has been found in its latest request.
    pub(super) counted: Counted,
    /// Who woke it, and what its clock showed then: they may have asked something of it.
    asked: Vec<(TaskRef, Reading)>,
    /// Whom it woke last, and what its clock showed then.
    told: Option<(TaskRef, Reading)>,
    /// The tally has been told and counts for nobody any more.
    stale: bool,
}

/// The findings that have counted a request.
#[derive(Debug, Default)]
pub(crate) struct Counted(Vec<GroupId>);

impl Counted {
    /// Whether it is the first time.
    pub(crate) fn first(&mut self, group: GroupId) -> bool {
        let first = self.0.len() < COUNTED_MAX && !self.0.contains(&group);
        if first {
            self.0.push(group);
        }
        first
    }
}

impl Unit {
    pub(super) fn new(part: Part, at: u64) -> Self {
        let clock = Clock::new(part, at);
        let born = clock.read(at);
        Self {
            clock,
            tally: Tally { since: at, ..Tally::default() },
            activity: (born, Vec::new()),
            latest: None,
            open: 0,
            sending: false,
            counted: Counted::default(),
            asked: Vec::new(),
            told: None,
            stale: false,
        }
    }

    /// Becomes a new one, in the same memory.
    pub(super) fn reset(&mut self, part: Part, at: u64) {
        let mut new = Self::new(part, at);
        std::mem::swap(&mut new.tally, &mut self.tally);
        std::mem::swap(&mut new.activity.1, &mut self.activity.1);
        std::mem::swap(&mut new.counted, &mut self.counted);
        std::mem::swap(&mut new.asked, &mut self.asked);
        new.tally.begin(at);
        new.activity.1.clear();
        new.counted.0.clear();
        new.asked.clear();
        *self = new;
    }

    /// It has received a request, or more of it than before; what its clock shows.
    pub(super) fn received(&mut self, at: u64, route: RouteId, more: bool) -> Reading {
        if self.open == 0 {
            self.tally.begin(at);
            self.stale = false;
            self.sending = false;
        }
        self.open += 1;
        self.latest = Some(route);
        if !more {
            self.counted.0.clear();
        }
        self.clock.read(at)
    }

    /// One of its requests is answered, or will not be. What it spent its time on goes to `tally`.
    pub(super) fn answered(&mut self, tally: &mut Tally) {
        self.open = self.open.saturating_sub(1);
        if self.open == 0 {
            std::mem::swap(tally, &mut self.tally);
            let now = self.clock.since();
            self.tally.begin(now);
        } else {
            tally.copy(&self.tally);
        }
    }

    /// Whether what it does counts for a request that it handles, or for others that wait for it.
    pub(super) fn counts(&self) -> bool {
        !self.sending && (self.open > 0 || self.latest.is_none())
    }

    /// It has something to do again.
    pub(super) fn becomes_active(&mut self, at: u64) {
        self.activity.0 = self.clock.read(at);
        self.activity.1.clear();
    }

    /// It slept in a place, or was seen to compute there, from `begin` until `end`.
    pub(super) fn spent(&mut self, cause: Cause, stack: u32, begin: u64, end: u64) {
        let place = |since: u64| Place { cause, stack, ns: end.saturating_sub(begin.max(since)), count: 1 };
        add_place(&mut self.activity.1, place(self.activity.0.at));
        if self.counts() {
            self.refresh();
            add_place(&mut self.tally.places, place(self.tally.since));
        }
    }

    /// What it has told, it does not tell again together with what is new.
    pub(super) fn refresh(&mut self) {
        if self.stale {
            self.stale = false;
            let since = self.told.map_or(self.tally.since, |(_, reading)| reading.at);
            self.tally.begin(since);
        }
    }

    /// It is woken by another task.
    pub(super) fn asked(&mut self, by: TaskRef, at: u64) {
        let reading = self.clock.read(at);
        if let Some((_, known)) = self.asked.iter_mut().find(|(known, _)| *known == by) {
            *known = reading;
            return;
        }
        if self.asked.len() >= ASKED_MAX {
            self.asked.remove(0);
        }
        self.asked.push((by, reading));
    }

    /// Since when it tells `whom` of itself, whom it wakes: one that has waited for something since
    /// `asked`. Whether its whole tally counts, rather than its last activity.
    pub(super) fn baseline(&self, whom: TaskRef, born: &Reading, asked: u64) -> (Reading, Telling) {
        let told = self.told.filter(|(other, _)| *other == whom).map(|(_, reading)| reading);
        let woken = self.asked.iter().find(|(other, reading)| *other == whom && reading.at >= asked);
        let (baseline, telling) = match woken {
            _ if born.at >= asked => (*born, Telling::Everything),
            Some((_, woken)) => (*woken, Telling::Activity),
            None => (self.activity.0, Telling::Activity),
        };
        match told {
            Some(told) if told.at >= baseline.at => (told, if self.stale { Telling::Nothing } else { telling }),
            _ => (baseline, telling),
        }
    }

    /// It has told `whom` of itself.
    pub(super) fn tells(&mut self, whom: TaskRef, now: Reading) {
        self.told = Some((whom, now));
        self.stale = self.open == 0;
    }
}

/// What one tells of itself to another that it wakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Telling {
    /// All that it did since it was born, or since it told of that before.
    Everything,
    /// What it did since it had something to do again.
    Activity,
    /// Nothing that it has not told before.
    Nothing,
}
