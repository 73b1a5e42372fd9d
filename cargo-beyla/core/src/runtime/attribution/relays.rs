//! Tasks that stand between a driver and the tasks of requests: each is spawned for one call, is woken by the driver
//! once the call is answered, and wakes the task that waits for the answer. hyper does this for every call over HTTP/2.
//!
//! One task, the *spawner*, takes the calls out of a channel one after the other and spawns a relay for each. So of the
//! answers that a driver reads at once, the one to the earlier call goes to the older relay.

use std::collections::VecDeque;

use hashbrown::HashMap;

use super::driven::Driven;
use super::orders::Reply;
use crate::model::call::{CallOf, Certainty};

/// The relays that are known at a time.
const RELAYS_MAX: usize = 16 * 1024;

/// The drivers that are known at a time.
const DRIVERS_MAX: usize = 4096;

/// A driver is proven once this number of answers have fitted its relays. Each answer that does not fit adds the same
/// number to what it needs.
const PROVEN: u32 = 16;

/// All relays, by their numbers. The address of a relay may be used again before it is known what the relay has done.
#[derive(Debug, Default)]
pub(super) struct Relays {
    /// The oldest first.
    known: VecDeque<Relay>,
    /// The number of the oldest.
    oldest: u64,
    /// The relays that still live: from the address of each to its number.
    living: HashMap<u64, u64>,
    /// Those that wake relays, by their addresses.
    drivers: HashMap<u64, Driver>,
}

/// A task that a task has spawned which works for several requests.
#[derive(Debug)]
pub(super) struct Relay {
    /// The address of its header.
    pub(super) address: u64,
    /// The task that has spawned it.
    pub(super) spawner: u64,
    /// The requests whose tasks had woken the spawner.
    pub(super) asked_by: Box<[u64]>,
    /// When it was spawned, in nanoseconds.
    pub(super) born_ns: u64,
    /// The request whose task it has woken first.
    pub(super) woke: Option<u64>,
}

/// A task that wakes relays.
#[derive(Clone, Copy, Debug, Default)]
struct Driver {
    /// The task that spawns them.
    spawner: u64,
    /// How many answers have fitted them.
    agreed: u32,
    disagreed: u32,
}

impl Driver {
    fn is_proven(&self) -> bool {
        self.agreed >= self.disagreed.saturating_add(1).saturating_mul(PROVEN)
    }
}

impl Relays {
    fn get(&self, number: u64) -> Option<&Relay> {
        self.known.get(usize::try_from(number.checked_sub(self.oldest)?).ok()?)
    }

    /// A relay is spawned.
    pub(super) fn spawned(&mut self, relay: Relay) {
        if self.known.len() >= RELAYS_MAX
            && let Some(oldest) = self.known.pop_front()
        {
            if self.living.get(&oldest.address) == Some(&self.oldest) {
                self.living.remove(&oldest.address);
            }
            self.oldest += 1;
        }
        self.living.insert(relay.address, self.oldest + self.known.len() as u64);
        self.known.push_back(relay);
    }

    /// A task begins, whatever the last one with its address was.
    pub(super) fn forget(&mut self, address: u64) {
        self.living.remove(&address);
        self.drivers.remove(&address);
    }

    /// The task with this address ends. Returns the number of the relay that it is.
    pub(super) fn ends(&mut self, address: u64) -> Option<u64> {
        self.living.remove(&address)
    }

    /// The number of the relay that has this address now, if it has an answer to wait for: one that has woken somebody
    /// has handed its answer on.
    pub(super) fn waiting_at(&self, address: u64) -> Option<u64> {
        let number = *self.living.get(&address)?;
        self.get(number).filter(|relay| relay.woke.is_none()).map(|_| number)
    }

    /// Whether a relay may still hand on an answer.
    pub(super) fn is_waiting(&self, number: u64) -> bool {
        self.get(number).is_some_and(|relay| self.waiting_at(relay.address) == Some(number))
    }

    /// The task with this address wakes one of this request. Returns the number of the relay that it is, if it wakes for
    /// the first time.
    pub(super) fn wakes(&mut self, address: u64, request: u64) -> Option<u64> {
        let number = self.waiting_at(address)?;
        let place = usize::try_from(number.checked_sub(self.oldest)?).ok()?;
        self.known.get_mut(place)?.woke = Some(request);
        Some(number)
    }

    /// The request whose task a relay has woken.
    pub(super) fn request_of(&self, number: u64, certainty: Certainty) -> Option<CallOf> {
        let relay = self.get(number)?;
        let request = relay.woke?;
        let certainty = if relay.asked_by.contains(&request) { certainty } else { Certainty::Likely };
        Some(CallOf { request, certainty })
    }

    /// Whether a relay was there when a call began.
    pub(super) fn is_older(&self, number: u64, call: &Driven<'_>) -> bool {
        self.get(number).is_some_and(|relay| relay.born_ns <= call.begun_ns)
    }

    /// Holds the calls whose answers a driver has begun to read against the tasks that it has woken since, both in their
    /// order. Returns the relays among these, if it is known by now that the driver gives all answers to relays.
    pub(super) fn woken_by(&mut self, driver: u64, calls: &[Driven<'_>], replies: &[Reply]) -> Option<Vec<u64>> {
        let mut known = self.drivers.get(&driver).copied().unwrap_or_default();
        if calls.is_empty() {
            return known.is_proven().then(Vec::new);
        }
        let relays = replies.iter().filter_map(|reply| match reply {
            Reply::Relay(number) => Some((*number, self.get(*number)?.spawner)),
            Reply::Request { .. } => None,
        });
        if !known.is_proven()
            && let Some((_, spawner)) = relays.clone().next()
            && spawner != known.spawner
        {
            known = Driver { spawner, ..Driver::default() };
        }
        if known.spawner == 0 {
            return None;
        }
        let mut woken: Vec<u64> =
            relays.filter(|(_, spawner)| *spawner == known.spawner).map(|(number, _)| number).collect();
        woken.dedup();
        let count = if self.fit(calls, &woken) { &mut known.agreed } else { &mut known.disagreed };
        *count = count.saturating_add(u32::try_from(calls.len()).unwrap_or(u32::MAX));
        if self.drivers.len() >= DRIVERS_MAX && !self.drivers.contains_key(&driver) {
            self.drivers.clear();
        }
        self.drivers.insert(driver, known);
        known.is_proven().then_some(woken)
    }

    /// Whether the first of some relays are as old as the calls, one by one, and the others younger than all of these.
    /// A driver also wakes relays that can send more of a call, once it has read what there was to read.
    pub(super) fn fit(&self, calls: &[Driven<'_>], relays: &[u64]) -> bool {
        let Some((own, others)) = relays.split_at_checked(calls.len()) else { return false };
        let mut pairs: Vec<(u64, u64)> = calls.iter().map(|call| call.number).zip(own.iter().copied()).collect();
        pairs.sort_unstable();
        let youngest = pairs.last().map_or(0, |(_, relay)| *relay);
        let is_younger = |relay: &u64| *relay > youngest && !calls.iter().any(|call| self.is_older(*relay, call));
        pairs.is_sorted_by_key(|(_, relay)| *relay) && others.iter().all(is_younger)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRIVER: u64 = 0x9000;
    const SPAWNER: u64 = 0x8000;

    /// Relays that were spawned every 10 ns, each at the address that is its number; and one of another spawner.
    fn known(count: u64) -> Relays {
        let mut relays = Relays::default();
        for number in 0..=count {
            let spawner = if number < count { SPAWNER } else { 1 };
            relays.spawned(Relay { address: number, spawner, asked_by: [7].into(), born_ns: 10 * number, woke: None });
        }
        relays
    }

    /// The calls with these numbers, each begun after the relay of the same number was spawned.
    fn calls(numbers: &[u64]) -> Vec<Driven<'static>> {
        numbers.iter().map(|&number| Driven::unasked(number, 10 * number + 5)).collect()
    }

    fn woken_by(relays: &mut Relays, numbers: &[u64], woken: &[u64]) -> Option<Vec<u64>> {
        let replies: Vec<Reply> = woken.iter().map(|&number| Reply::Relay(number)).collect();
        relays.woken_by(DRIVER, &calls(numbers), &replies)
    }

    #[test]
    fn the_older_relay_is_for_the_earlier_call() {
        let relays = known(10);
        let fit = |numbers: &[u64], woken: &[u64]| relays.fit(&calls(numbers), woken);
        assert!(fit(&[1, 2, 3], &[1, 2, 3]) && fit(&[3, 1, 2], &[3, 1, 2]) && fit(&[3, 1], &[4, 2]));
        assert!(!fit(&[1, 2], &[2, 1]) && !fit(&[3, 1, 2], &[1, 2, 3]));
        // A relay was awake and got no wake, so nobody knows which relay is for which call.
        assert!(!fit(&[1, 2], &[1]) && !fit(&[1], &[]));
        // Relays without an answer must be younger than the others: their calls are not answered yet.
        assert!(fit(&[2, 1], &[2, 1, 3, 4]));
        assert!(!fit(&[2, 3], &[1, 2, 3]) && !fit(&[4], &[2, 4]) && !fit(&[2], &[2, 1]));
    }

    #[test]
    fn the_relays_of_a_driver_count_once_they_have_fitted_often_enough() {
        let mut relays = known(10);
        for _ in 2..PROVEN {
            assert_eq!(woken_by(&mut relays, &[1], &[1]), None);
        }
        assert_eq!(woken_by(&mut relays, &[], &[1]), None);
        assert_eq!(woken_by(&mut relays, &[2, 1], &[2, 10, 1, 1]), Some(vec![2, 1]));
        assert_eq!(woken_by(&mut relays, &[], &[1]), Some(vec![]));
        assert_eq!(woken_by(&mut relays, &[1], &[]), None);
        relays.forget(DRIVER);
        assert_eq!(woken_by(&mut relays, &[], &[]), None);
        // The count begins anew with relays of another spawner.
        for _ in 1..PROVEN {
            assert_eq!(woken_by(&mut relays, &[1], &[1]), None);
        }
        assert_eq!(woken_by(&mut relays, &[10], &[10]), None);
        assert_eq!(woken_by(&mut relays, &[1], &[1]), None);
    }

    #[test]
    fn a_driver_that_answers_requests_is_not_known_for_relays() {
        let mut relays = known(10);
        let reply = [Reply::Request { request: 7, is_sure: true }];
        for _ in 0..2 * PROVEN {
            assert_eq!(relays.woken_by(DRIVER, &calls(&[1]), &reply), None);
        }
        assert!(relays.drivers.is_empty());
    }

    #[test]
    fn a_relay_hands_on_one_answer_and_is_remembered_when_its_address_is_used_again() {
        let mut relays = known(3);
        assert_eq!((relays.wakes(2, 7), relays.wakes(2, 8), relays.wakes(99, 7)), (Some(2), None, None));
        assert_eq!((relays.waiting_at(2), relays.waiting_at(1)), (None, Some(1)));
        assert_eq!((relays.is_waiting(2), relays.is_waiting(1)), (false, true));
        assert_eq!((relays.ends(2), relays.ends(1), relays.ends(1)), (Some(2), Some(1), None));
        assert!(!relays.is_waiting(1));
        relays.spawned(Relay { address: 2, spawner: SPAWNER, asked_by: [].into(), born_ns: 50, woke: None });
        assert_eq!(relays.waiting_at(2), Some(4));
        assert_eq!(relays.wakes(2, 9), Some(4));
        let of = |number| relays.request_of(number, Certainty::Certain).map(|of| (of.request, of.certainty));
        // Request 9 was not seen to ask the spawner, so it is only likely.
        assert_eq!([of(2), of(4)], [Some((7, Certainty::Certain)), Some((9, Certainty::Likely))]);
        assert_eq!(of(1), None);
    }

    #[test]
    fn memory_is_bounded() {
        let mut relays = known(2 * RELAYS_MAX as u64);
        assert!(relays.known.len() <= RELAYS_MAX && relays.living.len() <= RELAYS_MAX);
        assert_eq!((relays.waiting_at(1), relays.request_of(1, Certainty::Certain)), (None, None));
        let newest = 2 * RELAYS_MAX as u64;
        assert_eq!(relays.waiting_at(newest), Some(newest));
        for driver in 0..2 * DRIVERS_MAX as u64 {
            relays.woken_by(driver, &calls(&[1]), &[Reply::Relay(newest)]);
        }
        assert!(relays.drivers.len() <= DRIVERS_MAX);
    }
}
