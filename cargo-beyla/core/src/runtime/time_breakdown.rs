//! Where a task or a thread has spent its time since a moment, in bounded memory.

use std::ops::Range;

use crate::model::explanation::{Awaited, Cause, Parts, Place, Wait};
use crate::model::request::RouteId;

use super::observations::ObservationId;

/// The places, the waits and the delays that are kept apart; when there are more, the shortest go.
const EACH_MAX: usize = 24;

/// The times of waiting that are kept one by one; what comes later is not known to be a wait for a call.
const WAITING_MAX: usize = 512;

/// How deep waits may lie within waits.
const DEPTH_MAX: usize = 4;

/// Where time was spent since `since`, in nanoseconds.
#[derive(Clone, Debug, Default)]
pub(super) struct TimeBreakdown {
    pub(super) since: u64,
    pub(super) places: Vec<Place>,
    pub(super) waits: Vec<Wait>,
    pub(super) delays: Vec<PollDelay>,
    /// When it waited, ascending.
    pub(super) waiting: Vec<Range<u64>>,
    /// Time between a wake and the next poll, without the moments that every await takes.
    pub(super) starved: u64,
}

/// Time in which a poll of another task held up the thread that was needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PollDelay {
    /// The task whose poll it was.
    pub(super) by: PollOwner,
    /// The worst that was observed in that poll, if anything.
    pub(super) observation: Option<ObservationId>,
    pub(super) ns: u64,
}

/// The task that a poll belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PollOwner {
    /// A task whose last request has this route.
    Request(RouteId),
    /// A task that has received no request, by the address of its table of functions.
    Task(u64),
}

impl TimeBreakdown {
    /// Begins anew, in the same memory.
    pub(super) fn restart(&mut self, since: u64) {
        self.since = since;
        self.places.clear();
        self.waits.clear();
        self.delays.clear();
        self.waiting.clear();
        self.starved = 0;
    }

    /// It has waited, as part of the time since `since`.
    pub(super) fn add_waiting(&mut self, waited: Range<u64>) {
        let waited = waited.start.max(self.since)..waited.end;
        if !waited.is_empty() && self.waiting.len() < WAITING_MAX {
            self.waiting.push(waited);
        }
    }

    /// Becomes equal to `other`, in the same memory.
    pub(super) fn copy(&mut self, other: &Self) {
        self.since = other.since;
        self.places.clone_from(&other.places);
        self.waits.clone_from(&other.waits);
        self.delays.clone_from(&other.delays);
        self.waiting.clone_from(&other.waiting);
        self.starved = other.starved;
    }
}

/// Adds time spent in a place.
pub(super) fn add_place(places: &mut Vec<Place>, new: Place) {
    if new.ns == 0 {
        return;
    }
    match places.iter_mut().find(|place| (place.cause, place.stack) == (new.cause, new.stack)) {
        Some(place) => {
            place.ns = place.ns.saturating_add(new.ns);
            place.count = place.count.saturating_add(new.count);
        }
        None => push(places, new, |place| place.ns),
    }
}

/// Adds a wait.
pub(super) fn add_wait(waits: &mut Vec<Wait>, new: Wait) {
    let Some(wait) = waits.iter_mut().find(|wait| wait.on == new.on) else {
        return push(waits, new, |wait| wait.ns);
    };
    wait.ns = wait.ns.saturating_add(new.ns);
    wait.count = wait.count.saturating_add(new.count);
    add_parts(&mut wait.parts, &new.parts);
    for place in new.places {
        add_place(&mut wait.places, place);
    }
    for inner in new.waits {
        add_wait(&mut wait.waits, inner);
    }
}

/// Adds a delay.
pub(super) fn add_delay(delays: &mut Vec<PollDelay>, new: PollDelay) {
    match delays.iter_mut().find(|held| (held.by, held.observation) == (new.by, new.observation)) {
        Some(held) => held.ns = held.ns.saturating_add(new.ns),
        None => push(delays, new, |held| held.ns),
    }
}

fn push<T>(all: &mut Vec<T>, new: T, ns: impl Fn(&T) -> u64) {
    if all.len() < EACH_MAX {
        all.push(new);
    } else if let Some(shortest) = all.iter_mut().min_by_key(|other| ns(other))
        && ns(shortest) < ns(&new)
    {
        *shortest = new;
    }
}

/// A wait for another task that took `ns`; meanwhile that task spent its time on these parts, places and waits.
pub(super) fn wait_for(on: Awaited, ns: u64, mut parts: Parts, places: &[Place], waits: &[Wait]) -> Wait {
    limit(&mut parts, ns);
    Wait { on, ns, count: 1, parts, waits: shallow(waits, DEPTH_MAX - 1), places: places.to_vec() }
}

fn shallow(waits: &[Wait], depth: usize) -> Vec<Wait> {
    if depth == 0 {
        return Vec::new();
    }
    let cut = |wait: &Wait| Wait {
        on: wait.on,
        ns: wait.ns,
        count: wait.count,
        parts: wait.parts,
        waits: shallow(&wait.waits, depth - 1),
        places: wait.places.clone(),
    };
    waits.iter().map(cut).collect()
}

/// Sorts the places, the longest first, and cuts them to the time that the parts have for them.
pub(super) fn fit_places(places: &mut Vec<Place>, parts: &Parts) {
    places.sort_by_key(|place| std::cmp::Reverse(place.ns));
    let (mut running, mut blocked) = (parts.running, parts.blocked);
    for place in &mut *places {
        let left = if place.cause == Cause::Running { &mut running } else { &mut blocked };
        place.ns = place.ns.min(*left);
        *left -= place.ns;
    }
    places.retain(|place| place.ns > 0);
}

/// Sorts the waits, the longest first, and cuts them to the time that is `left` for them.
pub(super) fn fit_waits(waits: &mut Vec<Wait>, mut left: u64) {
    waits.sort_by_key(|wait| std::cmp::Reverse(wait.ns));
    for wait in &mut *waits {
        wait.ns = wait.ns.min(left);
        left -= wait.ns;
        limit(&mut wait.parts, wait.ns);
        fit_places(&mut wait.places, &wait.parts);
        fit_waits(&mut wait.waits, wait.parts.waiting);
    }
    waits.retain(|wait| wait.ns > 0);
}

/// Cuts the parts until they sum to at most `ns`. `scheduled` and `waiting` go first: a task is scheduled and waits
/// before it works for the one that waits for it.
fn limit(parts: &mut Parts, ns: u64) {
    let mut excess = parts.sum().saturating_sub(ns);
    let Parts { running, runnable, blocked, scheduled, waiting } = parts;
    for part in [scheduled, waiting, running, runnable, blocked] {
        let cut = excess.min(*part);
        *part -= cut;
        excess -= cut;
    }
}

fn add_parts(parts: &mut Parts, more: &Parts) {
    // Waits do not overlap, so the sum stays below their end; but a recording may hold anything.
    let before = parts.sum();
    let Some(room) = u64::MAX.checked_sub(before) else { return };
    let mut more = *more;
    limit(&mut more, room);
    parts.running += more.running;
    parts.runnable += more.runnable;
    parts.blocked += more.blocked;
    parts.scheduled += more.scheduled;
    parts.waiting += more.waiting;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(stack: u32, ns: u64) -> Place {
        Place { cause: Cause::Unknown, stack, ns, count: 1 }
    }

    #[test]
    fn equal_places_are_one_and_of_many_the_shortest_go() {
        // Beside those that are longer than all of these.
        let mut places: Vec<Place> = (8..EACH_MAX as u32).map(|other| place(100 + other, 1000)).collect();
        for (stack, ns) in (1..=8).map(|stack| (stack, u64::from(stack) * 10)).chain([(9, 5), (10, 15), (3, 1), (4, 0)])
        {
            add_place(&mut places, place(stack, ns));
        }
        let mut found: Vec<_> = places.iter().map(|place| (place.stack, place.ns, place.count)).collect();
        found.retain(|(stack, ..)| *stack < 100);
        found.sort_unstable();
        let kept = [(2, 20, 1), (3, 31, 2), (4, 40, 1), (5, 50, 1), (6, 60, 1), (7, 70, 1), (8, 80, 1), (10, 15, 1)];
        assert_eq!(found, kept);
        places.retain(|place| place.stack < 100);
        fit_places(&mut places, &Parts { blocked: 130, running: 900, ..Parts::default() });
        let fitted: Vec<_> = places.iter().map(|place| (place.stack, place.ns)).collect();
        assert_eq!(fitted, [(8, 80), (7, 50)]);
    }

    #[test]
    fn waits_are_cut_to_what_there_was_time_for_and_to_four_levels() {
        let parts = |running, scheduled, waiting| Parts { running, scheduled, waiting, ..Parts::default() };
        let mut inner: Vec<Wait> = Vec::new();
        for _ in 0..6 {
            inner = vec![wait_for(Awaited::BlockingPool, 100, parts(50, 30, 100), &[place(1, 7)], &inner)];
        }
        let depth = std::iter::successors(inner.first(), |wait| wait.waits.first()).count();
        assert_eq!(depth, 4);
        assert_eq!(inner[0].parts, parts(50, 0, 50));
        fit_waits(&mut inner, 60);
        assert_eq!((inner[0].ns, inner[0].parts), (60, parts(50, 0, 10)));
        assert_eq!((inner[0].waits[0].ns, inner[0].waits[0].parts), (10, parts(10, 0, 0)));
        assert!(inner[0].waits[0].waits.is_empty() && inner[0].places.is_empty());
    }

    #[test]
    fn extreme_parts_do_not_overflow() {
        let most = Parts { blocked: u64::MAX, ..Parts::default() };
        let mut waits = Vec::new();
        for _ in 0..3 {
            add_wait(&mut waits, wait_for(Awaited::Task(1), u64::MAX, most, &[], &[]));
        }
        assert_eq!((waits[0].ns, waits[0].parts.sum(), waits[0].count), (u64::MAX, u64::MAX, 3));
    }
}
