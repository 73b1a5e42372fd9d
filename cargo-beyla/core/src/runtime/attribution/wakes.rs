//! Who woke a driver, and whom it wakes: the requests that its calls may belong to. Only a run with `--explain` knows.

use std::collections::VecDeque;

use hashbrown::HashMap;

use crate::model::call::{CallOf, Certainty};

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
}

/// The poll that a thread is in.
#[derive(Debug)]
struct Poll {
    task: u64,
    begin_ns: u64,
    /// The requests whose tasks had woken the task before.
    woken_by: Vec<u64>,
    /// The requests whose tasks it has woken since the last read.
    replies: Vec<u64>,
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
        self.polls.remove(&thread);
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

    /// The task that a thread polls wakes one of this request.
    pub(super) fn replies(&mut self, thread: u32, request: u64) {
        if let Some(poll) = self.polls.get_mut(&thread)
            && poll.replies.len() <= CANDIDATES_MAX
        {
            poll.replies.push(request);
        }
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

    /// The requests of calls whose answers a thread has read at once, by the tasks that it has woken since. `candidates`
    /// are those of each call.
    pub(super) fn matched<'a>(
        &self,
        thread: u32,
        candidates: impl Iterator<Item = &'a [u64]> + Clone,
    ) -> Vec<Option<CallOf>> {
        let calls = candidates.clone().count();
        let mut replies = self.polls.get(&thread).map(|poll| poll.replies.clone()).unwrap_or_default();
        if replies.len() != calls {
            // One reply may wake a task twice.
            replies.dedup();
        }
        let is_asked = |(candidates, reply): (&[u64], &u64)| candidates.contains(reply);
        if replies.len() == calls {
            // A message may come without a wake, if the driver was awake: then its request is no candidate.
            let all_have_asked = candidates.zip(&replies).all(is_asked);
            let certainty = if all_have_asked { Certainty::Certain } else { Certainty::Likely };
            return replies.into_iter().map(|request| Some(CallOf { request, certainty })).collect();
        }
        if calls != 1 {
            return vec![None; calls];
        }
        // Some are woken for another reason.
        replies.sort_unstable();
        replies.dedup();
        replies.retain(|request| candidates.clone().any(|of| of.contains(request)));
        let [request] = replies[..] else { return vec![None] };
        vec![Some(CallOf { request, certainty: Certainty::Likely })]
    }

    /// Whether the first wake since the last read is a reply to the one call whose answer was read: one of its
    /// candidates is woken.
    pub(super) fn is_replied(&self, thread: u32, candidates: &[u64]) -> bool {
        self.polls.get(&thread).is_some_and(|poll| poll.replies.len() == 1 && candidates.contains(&poll.replies[0]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRIVER: u64 = 0x9000;

    fn matched(replies: &[u64], candidates: &[&[u64]]) -> Vec<Option<(u64, Certainty)>> {
        let mut wakes = Wakes::default();
        wakes.poll_begins(1, DRIVER, 100);
        replies.iter().for_each(|request| wakes.replies(1, *request));
        let found = wakes.matched(1, candidates.iter().copied());
        found.into_iter().map(|of| of.map(|of| (of.request, of.certainty))).collect()
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
        (0..=CANDIDATES_MAX as u64).for_each(|request| wakes.wakes(DRIVER, 10 + request));
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
        // Fewer wakes than replies.
        assert_eq!(matched(&[1], &[&[1, 2], &[2]]), [None, None]);
    }

    #[test]
    fn memory_is_bounded() {
        let mut wakes = Wakes::default();
        for n in 0..2 * WOKEN_MAX as u64 {
            wakes.wakes(n, 1);
            wakes.poll_begins(n as u32, n, n);
            assert!(wakes.woken.len() <= WOKEN_MAX && wakes.polls.len() <= THREADS_MAX);
        }
    }
}
