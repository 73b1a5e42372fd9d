//! Who woke a driver, and whom it wakes: the requests that its calls may belong to. Only a run with `--explain` knows.
//!
//! Between the task of a request and the driver there may be others. On the way there, what wakes them is handed on with
//! their own wakes. On the way back, a task that was spawned for one call, a *relay*, wakes the task that waits for it.

use std::collections::VecDeque;

use hashbrown::HashMap;

use super::driven::{Asked, Driven, Told};
use super::orders::{self, Message, Orders, Reply};
use super::relays::{Relay, Relays};
use crate::model::call::Certainty;

/// The threads that are known at a time.
const THREADS_MAX: usize = 16 * 1024;

/// The tasks of which it is known at a time who woke them.
const WOKEN_MAX: usize = 16 * 1024;

/// The requests that may have asked for one call; if there are more, nobody knows.
const CANDIDATES_MAX: usize = 64;

/// Polls and wakes of all tasks. A task is the address of its header.
#[derive(Debug, Default)]
pub(super) struct Wakes {
    polls: HashMap<u32, Poll>,
    /// The requests whose tasks have woken a task since its last poll began.
    woken: HashMap<u64, Vec<u64>>,
    /// The tasks of `woken`, the oldest first.
    order: VecDeque<u64>,
    pub(super) relays: Relays,
    orders: Orders,
}

/// The poll that a thread is in.
#[derive(Debug)]
struct Poll {
    task: u64,
    begin_ns: u64,
    /// The requests whose tasks had woken the task before.
    woken_by: Vec<u64>,
    /// Whom it has woken since the last read.
    replies: Vec<Reply>,
}

impl Wakes {
    /// A thread begins to poll a task, at a moment in nanoseconds.
    pub(super) fn poll_begins(&mut self, thread: u32, task: u64, begin_ns: u64) {
        if self.polls.len() >= THREADS_MAX && !self.polls.contains_key(&thread) {
            self.polls.clear();
        }
        let woken_by = self.woken.get_mut(&task).map(std::mem::take).unwrap_or_default();
        self.polls.insert(thread, Poll { task, begin_ns, woken_by, replies: Vec::new() });
    }

    /// The poll of a thread is over.
    pub(super) fn poll_ends(&mut self, thread: u32) {
        if let Some(poll) = self.polls.remove(&thread) {
            self.orders.poll_ends(poll.task, poll.begin_ns);
        }
    }

    /// The task that a thread polls.
    pub(super) fn polled(&self, thread: u32) -> Option<u64> {
        self.polls.get(&thread).map(|poll| poll.task)
    }

    /// A task of this request wakes another task.
    pub(super) fn wakes(&mut self, task: u64, request: u64) {
        if !self.woken.contains_key(&task) {
            self.order.push_back(task);
            if self.order.len() > WOKEN_MAX
                && let Some(oldest) = self.order.pop_front()
            {
                self.woken.remove(&oldest);
            }
        }
        let requests = self.woken.entry(task).or_default();
        if requests.len() <= CANDIDATES_MAX && !requests.contains(&request) {
            requests.push(request);
        }
    }

    /// A task of this request puts a message into a channel.
    pub(super) fn signals(&mut self, thread: u32, channel: u64, sender: Reply, at_ns: u64) {
        let driver = self.orders.signals(thread, channel);
        self.orders.sent(channel, Message { reply: sender, at_ns });
        // A driver that is awake is not woken.
        if let (Some(driver), Reply::Request { request, .. }) = (driver, sender) {
            self.wakes(driver, request);
        }
    }

    /// The task that a thread polls wakes another.
    pub(super) fn learns(&mut self, thread: u32, task: u64) {
        self.orders.wakes(thread, task);
    }

    /// Something happens on a thread that is no wake.
    pub(super) fn passes(&mut self, thread: u32) {
        self.orders.passes(thread);
    }

    /// The task that a thread polls begins a call at this time, in nanoseconds, or sends something that gets no answer.
    pub(super) fn takes(&mut self, thread: u32, begun_ns: u64) -> Asked {
        let Some(driver) = self.polled(thread) else { return Asked::default() };
        Asked { driver, message: self.orders.takes(driver, begun_ns) }
    }

    /// The task that a thread polls, which works for no request, wakes another.
    pub(super) fn hands_on(&mut self, thread: u32, task: u64) {
        for request in self.candidates(thread, u64::MAX) {
            self.wakes(task, request);
        }
    }

    /// The task that a thread polls replies to another.
    pub(super) fn replies(&mut self, thread: u32, reply: Reply) {
        if let Some(poll) = self.polls.get_mut(&thread)
            && poll.replies.len() <= CANDIDATES_MAX
        {
            poll.replies.push(reply);
        }
    }

    /// The task that a thread polls spawns another, which does not work for a request that is known.
    pub(super) fn spawns(&mut self, thread: u32, child: u64, more: Option<u64>, born_ns: u64) {
        let mut asked_by = self.candidates(thread, u64::MAX).into_vec();
        asked_by.extend(more.filter(|request| !asked_by.contains(request)));
        for request in &asked_by {
            self.wakes(child, *request);
        }
        if let Some(spawner) = self.polled(thread) {
            let asked_by = asked_by.into();
            self.relays.spawned(Relay { address: child, spawner, asked_by, born_ns, woke: None });
        }
    }

    /// A task begins that is none, whatever the last one with its address was.
    pub(super) fn forget(&mut self, task: u64) {
        self.relays.forget(task);
        self.orders.forget(task);
    }

    /// The task that a thread polls has read something: wakes that come after this are replies to it.
    pub(super) fn reads(&mut self, thread: u32) {
        if let Some(poll) = self.polls.get_mut(&thread) {
            poll.replies.clear();
        }
    }

    /// The requests whose tasks may have asked the task that a thread polls for what it has
    /// done at a moment of this poll, in nanoseconds.
    pub(super) fn candidates(&self, thread: u32, at: u64) -> Box<[u64]> {
        let Some(poll) = self.polls.get(&thread).filter(|poll| poll.begin_ns <= at) else { return Box::default() };
        let mut all = poll.woken_by.clone();
        let since = self.woken.get(&poll.task).into_iter().flatten();
        all.extend(since.filter(|request| !poll.woken_by.contains(request)));
        if all.len() > CANDIDATES_MAX { Box::default() } else { all.into() }
    }

    /// Matches the calls whose answers a thread has just read with the tasks that it has woken since. The result has an
    /// element for each call.
    pub(super) fn matched(&mut self, thread: u32, calls: &[Driven<'_>]) -> Vec<Told> {
        let Some(poll) = self.polls.get(&thread) else { return vec![Told::Nothing; calls.len()] };
        let (driver, replies) = (poll.task, poll.replies.clone());
        if let Some(told) = self.by_relays(driver, calls, &replies) {
            return told;
        }
        self.by_order(calls, &replies).unwrap_or_else(|| self.by_number(calls, replies))
    }

    /// Matches calls with relays, if the driver gives all answers to relays.
    fn by_relays(&mut self, driver: u64, calls: &[Driven<'_>], replies: &[Reply]) -> Option<Vec<Told>> {
        let begun: Vec<Driven<'_>> = calls.iter().filter(|call| call.is_answer_begun).copied().collect();
        let woken = self.relays.woken_by(driver, &begun, replies)?;
        let mut told = vec![Told::Nothing; calls.len()];
        if !self.relays.fit(&begun, &woken) {
            return Some(told);
        }
        let certainty = if woken.len() == begun.len() { Certainty::Certain } else { Certainty::Likely };
        let woken: Vec<Reply> = woken.into_iter().map(Reply::Relay).collect();
        // The rest of an answer is read by whoever the relay has handed it on to.
        let of_begun = told.iter_mut().zip(calls).filter(|(_, call)| call.is_answer_begun);
        for ((told, _), of_call) in of_begun.zip(self.one_by_one(&begun, &woken, certainty)) {
            *told = of_call;
        }
        Some(told)
    }

    /// Matches calls with the replies to them by their number.
    fn by_number(&self, calls: &[Driven<'_>], mut replies: Vec<Reply>) -> Vec<Told> {
        if replies.len() != calls.len() {
            // One reply may wake a task twice.
            replies.dedup();
        }
        if replies.len() == calls.len() {
            self.one_by_one(calls, &replies, Certainty::Certain)
        } else {
            self.by_place(calls, &replies)
        }
    }

    /// The first replies are to the calls, one by one.
    fn one_by_one(&self, calls: &[Driven<'_>], replies: &[Reply], certainty: Certainty) -> Vec<Told> {
        // A message may come without a wake, if the driver was awake: then its request is no candidate.
        let all_have_asked = calls.iter().zip(replies).all(|(call, reply)| self.is_asked(call, *reply));
        let certainty = if all_have_asked { certainty } else { Certainty::Likely };
        replies.iter().take(calls.len()).map(|reply| Told::by(*reply, certainty)).collect()
    }

    /// Matches calls with replies of which there is another number: who is awake is not woken, and some are woken for
    /// another reason.
    fn by_place(&self, calls: &[Driven<'_>], replies: &[Reply]) -> Vec<Told> {
        let mut told = vec![Told::Nothing; calls.len()];
        // A relay may be seen after its call.
        let may_be = |call: usize, reply: usize| {
            matches!(replies[reply], Reply::Relay(_)) || self.is_asked(&calls[call], replies[reply])
        };
        if replies.len() < calls.len() {
            let Some(places) = placed(replies.len(), calls.len(), |reply, call| may_be(call, reply)) else {
                return told;
            };
            for (reply, (first, last)) in replies.iter().zip(places) {
                if first == last {
                    told[first] = Told::by(*reply, Certainty::Likely);
                }
            }
        } else if let Some(places) = placed(calls.len(), replies.len(), may_be) {
            for (told, (first, last)) in told.iter_mut().zip(places) {
                if replies[first] == replies[last] {
                    *told = Told::by(replies[first], Certainty::Likely);
                }
            }
        }
        told
    }

    /// Matches calls with the replies to them by the order in which they were asked for. `None` if that says nothing, or
    /// no more than the replies by themselves.
    fn by_order(&mut self, calls: &[Driven<'_>], replies: &[Reply]) -> Option<Vec<Told>> {
        let driver = calls.first()?.asked.driver;
        let asked = |call: &Driven<'_>| call.asked.message.filter(|_| call.asked.driver == driver);
        let asked: Vec<Reply> =
            calls.iter().map(|call| asked(call).map(|message| message.reply)).collect::<Option<_>>()?;
        let mut replies: Vec<Reply> = replies.to_vec();
        replies.retain(|reply| matches!(reply, Reply::Request { .. }));
        if replies.is_empty() {
            return None;
        }
        let fits = orders::fits(&asked, &replies);
        if replies.len() == asked.len() {
            self.orders.compared(driver, fits);
            return None;
        }
        let mut single = replies;
        single.dedup_by(|one, other| one.is_for(*other));
        let fits = fits || orders::fits(&asked, &single);
        (fits && self.orders.is_proven(driver))
            .then(|| asked.into_iter().map(|reply| Told::by(reply, Certainty::Likely)).collect())
    }

    /// Whether the request that a reply is for may have asked for a call.
    fn is_asked(&self, call: &Driven<'_>, reply: Reply) -> bool {
        match reply {
            Reply::Request { request, .. } => call.candidates.contains(&request),
            Reply::Relay(relay) => self.relays.is_older(relay, call),
        }
    }

    /// Whether the first wake since the last read is a reply to the one call whose answer was read: one of its
    /// candidates is woken.
    pub(super) fn is_replied(&self, thread: u32, call: &Driven<'_>) -> bool {
        let replies = self.polls.get(&thread).map_or(&[][..], |poll| &poll.replies);
        replies.len() == 1 && self.is_asked(call, replies[0])
    }
}

/// The first and the last places that each of `few` can have among `many`, all in their order.
fn placed(few: usize, many: usize, fits: impl Fn(usize, usize) -> bool) -> Option<Vec<(usize, usize)>> {
    let mut next = 0;
    let first: Option<Vec<usize>> = (0..few)
        .map(|one| {
            let place = (next..many).find(|&place| fits(one, place))?;
            next = place + 1;
            Some(place)
        })
        .collect();
    let mut end = many;
    let mut last = first.as_ref()?.clone();
    for one in (0..few).rev() {
        end = (0..end).rev().find(|&place| fits(one, place))?;
        last[one] = end;
    }
    Some(first?.into_iter().zip(last).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRIVER: u64 = 0x9000;

    fn matched(replies: &[u64], candidates: &[&[u64]]) -> Vec<Option<(u64, Certainty)>> {
        let mut wakes = Wakes::default();
        wakes.poll_begins(1, DRIVER, 100);
        for &request in replies {
            wakes.replies(1, Reply::Request { request, is_sure: true });
        }
        let calls: Vec<Driven<'_>> =
            candidates.iter().map(|&candidates| Driven { candidates, ..Driven::unasked(1, 1) }).collect();
        let found = wakes.matched(1, &calls);
        let request = |told| match told {
            Told::Of(of) => Some((of.request, of.certainty)),
            Told::Nothing | Told::Relay(..) => None,
        };
        found.into_iter().map(request).collect()
    }

    #[test]
    fn candidates_are_those_who_woke_the_driver_since_its_last_poll_began() {
        let mut wakes = Wakes::default();
        wakes.wakes(DRIVER, 1);
        wakes.wakes(DRIVER, 2);
        wakes.wakes(DRIVER, 1);
        wakes.poll_begins(1, DRIVER, 100);
        wakes.wakes(DRIVER, 3);
        assert_eq!(&*wakes.candidates(1, 150), [1, 2, 3]);
        wakes.poll_ends(1);
        wakes.poll_begins(2, DRIVER, 200);
        assert_eq!((&*wakes.candidates(2, 250), &*wakes.candidates(1, 150)), (&[3][..], &[][..]));
        // What it does now was begun in an earlier poll.
        assert_eq!(&*wakes.candidates(2, 150), []);
        for request in 0..=CANDIDATES_MAX as u64 {
            wakes.wakes(DRIVER, 10 + request);
        }
        assert_eq!(&*wakes.candidates(2, 250), []);
    }

    #[test]
    fn replies_come_in_the_order_of_the_calls() {
        use Certainty::{Certain, Likely};
        assert_eq!(matched(&[2, 1], &[&[1, 2], &[1, 2]]), [Some((2, Certain)), Some((1, Certain))]);
        // One reply may wake a task twice; and a request may make two calls at once.
        assert_eq!(matched(&[2, 2], &[&[1, 2]]), [Some((2, Certain))]);
        assert_eq!(matched(&[1, 1], &[&[1], &[1]]), [Some((1, Certain)); 2]);
        // One has asked while the driver was awake.
        assert_eq!(matched(&[1, 2], &[&[1], &[1]]), [Some((1, Likely)), Some((2, Likely))]);
        // Who has asked for nothing is woken for another reason.
        assert_eq!(matched(&[7, 2, 8], &[&[1, 2]]), [Some((2, Likely))]);
        assert_eq!(matched(&[1, 2], &[&[1, 2]]), [None]);
        assert_eq!(matched(&[], &[&[1, 2]]), [None]);
        // Fewer wakes than answers: what is awake is not woken.
        assert_eq!(matched(&[1], &[&[1, 2], &[2]]), [Some((1, Likely)), None]);
        assert_eq!(matched(&[1], &[&[1, 2], &[1]]), [None, None]);
        assert_eq!(matched(&[1, 2], &[&[1], &[1], &[2]]), [None, None, Some((2, Likely))]);
        // More wakes than answers.
        assert_eq!(matched(&[3, 1, 2], &[&[1, 3], &[2]]), [None, Some((2, Likely))]);
        assert_eq!(matched(&[3, 1], &[&[2]]), [None]);
    }

    #[test]
    fn once_a_driver_is_known_to_answer_relays_only_these_count_for_the_answers_that_begin() {
        use Certainty::{Certain, Likely};
        let mut wakes = Wakes::default();
        wakes.poll_begins(2, 0x8000, 0);
        for relay in 0..4 {
            wakes.spawns(2, 0x100 + relay, None, 10 * relay);
        }
        wakes.poll_begins(1, DRIVER, 100);
        let begins = |number: u64| Driven::unasked(number, 10 * number + 5);
        let goes_on = Driven { is_answer_begun: false, ..begins(3) };
        let request = Reply::Request { request: 7, is_sure: true };
        let mut told = |calls: &[Driven<'_>], replies: &[Reply]| {
            wakes.reads(1);
            for reply in replies {
                wakes.replies(1, *reply);
            }
            wakes.matched(1, calls)
        };
        let relay = |number, certainty| Told::Relay(number, certainty);
        // Nobody knows yet that the request's task does not wait for the second call.
        let calls = [begins(1), begins(2)];
        let of_request = Told::by(request, Likely);
        assert_eq!(told(&calls, &[Reply::Relay(1), request]), [relay(1, Likely), of_request]);
        for _ in 0..200 {
            assert_eq!(told(&[begins(1)], &[Reply::Relay(1)]), [relay(1, Certain)]);
        }
        assert_eq!(told(&calls, &[Reply::Relay(1), request]), [Told::Nothing; 2]);
        let calls = [begins(2), goes_on, begins(1)];
        let expected = [relay(2, Certain), Told::Nothing, relay(1, Certain)];
        assert_eq!(told(&calls, &[Reply::Relay(2), Reply::Relay(1)]), expected);
        assert_eq!(told(&calls, &[request, Reply::Relay(2), request, Reply::Relay(1)]), expected);
        // One that has something to send is woken as well.
        assert_eq!(told(&[begins(1)], &[Reply::Relay(1), Reply::Relay(3)]), [relay(1, Likely)]);
        // The older relay is not for the later call.
        assert_eq!(told(&[begins(2), begins(1)], &[Reply::Relay(1), Reply::Relay(2)]), [Told::Nothing; 2]);
        assert_eq!(told(&[goes_on], &[request]), [Told::Nothing]);
    }

    #[test]
    fn memory_is_bounded() {
        let mut wakes = Wakes::default();
        for n in 0..2 * WOKEN_MAX as u64 {
            wakes.wakes(n, 1);
            wakes.poll_begins(n as u32, n, n);
            wakes.spawns(n as u32, n, None, n);
            assert!(wakes.woken.len() <= WOKEN_MAX && wakes.polls.len() <= THREADS_MAX);
        }
    }
}
