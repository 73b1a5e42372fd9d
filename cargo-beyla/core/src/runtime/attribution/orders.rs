//! In which order the calls of a driver were asked for. Only a run with `--explain` knows.
//!
//! A driver takes messages out of a channel, one after the other, and makes a call of each: so the order of the messages
//! is that of the calls. A message is seen when its sender signals the channel.
//!
//! Some drivers make several calls of one message, or none. So an order counts only once it has been found to agree with
//! the replies of the same driver many times.

use std::collections::VecDeque;

use hashbrown::HashMap;

/// The queues, and the drivers, that are known at a time.
const QUEUES_MAX: usize = 4096;

/// The messages that one queue remembers.
const MESSAGES_MAX: usize = 1024;

/// A sender signals a channel after it has put its message there, so the call may be seen first: by this much at most,
/// in nanoseconds.
const LATE_NS: u64 = 300_000;

/// The order has to agree with replies this number of times, and for every time that it does not.
const PROVEN: u32 = 16;

/// Whom a driver wakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// A task of this request. `is_sure`: it can work for no other.
    Request { request: u64, is_sure: bool },
    /// The relay with this number.
    Relay(u64),
}

/// A message that a driver was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// Whom the driver wakes once the call is answered.
    pub(super) reply: Reply,
    /// When it was sent, in nanoseconds.
    pub(super) at_ns: u64,
}

/// The messages that were sent and not taken yet.
#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<Message>,
    /// When those calls began that were seen before their messages, in nanoseconds.
    early: VecDeque<u64>,
}

/// A task that makes calls of messages.
#[derive(Debug, Default)]
struct Driver {
    /// The key of its queue.
    queue: u64,
    agreed: u32,
    disagreed: u32,
}

/// All queues, by the addresses of the wakers of their receivers.
#[derive(Debug, Default)]
pub(super) struct Orders {
    queues: HashMap<u64, Queue>,
    drivers: HashMap<u64, Driver>,
    /// The channel that each thread has signalled last, if nothing has happened on the thread since.
    signalled: HashMap<u32, u64>,
}

impl Reply {
    /// Whether it is for the same request, or relay, as another.
    pub(super) fn is_for(self, other: Self) -> bool {
        match (self, other) {
            (Self::Request { request, .. }, Self::Request { request: of_other, .. }) => request == of_other,
            (Self::Relay(relay), Self::Relay(other)) => relay == other,
            _ => false,
        }
    }
}

impl Queue {
    fn push(&mut self, message: Message) {
        while let Some(early_ns) = self.early.pop_front() {
            if message.at_ns <= early_ns.saturating_add(LATE_NS) {
                // Its call was seen before it.
                return;
            }
        }
        if self.messages.len() >= MESSAGES_MAX {
            self.messages.pop_front();
        }
        self.messages.push_back(message);
    }

    fn take(&mut self, begun_ns: u64) -> Option<Message> {
        let message = self.messages.pop_front_if(|message| message.at_ns <= begun_ns);
        if message.is_none() && self.early.len() < MESSAGES_MAX {
            self.early.push_back(begun_ns);
        }
        message
    }
}

impl Orders {
    fn enter(&mut self, queue: u64) -> &mut Queue {
        if self.queues.len() >= QUEUES_MAX && !self.queues.contains_key(&queue) {
            self.queues.clear();
        }
        self.queues.entry(queue).or_default()
    }

    /// A message was put into a queue.
    pub(super) fn sent(&mut self, queue: u64, message: Message) {
        self.enter(queue).push(message);
    }

    /// A thread signals a channel. Returns the driver that takes messages out of it, if that is known.
    pub(super) fn signals(&mut self, thread: u32, channel: u64) -> Option<u64> {
        if self.signalled.len() >= QUEUES_MAX && !self.signalled.contains_key(&thread) {
            self.signalled.clear();
        }
        self.signalled.insert(thread, channel);
        let is_its = |(task, driver): (&u64, &Driver)| (driver.queue == channel).then_some(*task);
        self.drivers.iter().find_map(is_its)
    }

    /// A thread wakes a task that works for no request: that is the receiver of the channel which it has just signalled.
    pub(super) fn wakes(&mut self, thread: u32, task: u64) {
        let Some(queue) = self.signalled.remove(&thread) else { return };
        if self.drivers.len() >= QUEUES_MAX && !self.drivers.contains_key(&task) {
            self.drivers.clear();
        }
        let driver = self.drivers.entry(task).or_default();
        if driver.queue != queue {
            *driver = Driver { queue, ..Driver::default() };
        }
    }

    /// Something else happens on a thread.
    pub(super) fn passes(&mut self, thread: u32) {
        self.signalled.remove(&thread);
    }

    /// A driver begins a call at this time, in nanoseconds, or sends something that gets no answer. Returns the message that
    /// asked for it.
    pub(super) fn takes(&mut self, driver: u64, begun_ns: u64) -> Option<Message> {
        let queue = self.drivers.get(&driver)?.queue;
        self.enter(queue).take(begun_ns)
    }

    /// A driver's poll, which began at this time in nanoseconds, is over. The driver has taken all messages that were there
    /// when it began.
    pub(super) fn poll_ends(&mut self, driver: u64, begin_ns: u64) {
        let Some(queue) = self.drivers.get(&driver).and_then(|driver| self.queues.get_mut(&driver.queue)) else {
            return;
        };
        let is_old = |message: &mut Message| message.at_ns < begin_ns && matches!(message.reply, Reply::Request { .. });
        while queue.messages.pop_front_if(is_old).is_some() {}
    }

    /// A task begins, whatever the last one with its address was.
    pub(super) fn forget(&mut self, task: u64) {
        self.drivers.remove(&task);
    }

    /// The order of some calls of a driver agrees with the replies to them, or does not.
    pub(super) fn compared(&mut self, driver: u64, agrees: bool) {
        if let Some(driver) = self.drivers.get_mut(&driver) {
            let count = if agrees { &mut driver.agreed } else { &mut driver.disagreed };
            *count = count.saturating_add(1);
        }
    }

    /// Whether the order of a driver's calls is known by now.
    pub(super) fn is_proven(&self, driver: u64) -> bool {
        let proven = |driver: &Driver| driver.agreed >= driver.disagreed.saturating_add(1).saturating_mul(PROVEN);
        self.drivers.get(&driver).is_some_and(proven)
    }
}

/// Whether the replies to some calls fit the order in which these were asked for: where there is another number of them,
/// one is a part of the other, and at least half of it.
pub(super) fn fits(asked: &[Reply], replies: &[Reply]) -> bool {
    let (part, whole) = if asked.len() <= replies.len() { (asked, replies) } else { (replies, asked) };
    2 * part.len() >= asked.len() && !part.is_empty() && is_part(part, whole)
}

/// Whether all of `part` is in `whole`, in its order.
fn is_part(part: &[Reply], whole: &[Reply]) -> bool {
    let mut rest = whole.iter();
    part.iter().all(|one| rest.any(|other| other.is_for(*one)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANNEL: u64 = 0x77;
    const DRIVER: u64 = 0x9000;

    fn to(request: u64) -> Reply {
        Reply::Request { request, is_sure: true }
    }

    fn sent(at_ns: u64, request: u64) -> Message {
        Message { reply: to(request), at_ns }
    }

    fn known() -> Orders {
        let mut orders = Orders::default();
        assert_eq!(orders.signals(1, CHANNEL), None);
        orders.wakes(1, DRIVER);
        assert_eq!(orders.signals(2, CHANNEL), Some(DRIVER));
        orders
    }

    #[test]
    fn messages_are_taken_in_their_order() {
        let mut orders = known();
        for at in [10, 20, 30] {
            orders.sent(CHANNEL, sent(at, at));
        }
        assert_eq!([25, 25, 25].map(|at| orders.takes(DRIVER, at)), [Some(sent(10, 10)), Some(sent(20, 20)), None]);
        assert_eq!(orders.takes(1, 40), None);
    }

    #[test]
    fn a_message_that_is_seen_after_its_call_is_not_the_next_calls() {
        let mut orders = known();
        assert_eq!(orders.takes(DRIVER, 10), None);
        orders.sent(CHANNEL, sent(11, 1));
        orders.sent(CHANNEL, sent(12, 2));
        assert_eq!(orders.takes(DRIVER, 20), Some(sent(12, 2)));
        assert_eq!(orders.takes(DRIVER, 30), None);
        orders.sent(CHANNEL, sent(31 + LATE_NS, 3));
        assert_eq!(orders.takes(DRIVER, 40 + LATE_NS), Some(sent(31 + LATE_NS, 3)));
    }

    #[test]
    fn what_a_driver_has_taken_without_a_call_is_gone_after_its_poll() {
        let mut orders = known();
        orders.sent(CHANNEL, sent(10, 1));
        orders.sent(CHANNEL, sent(20, 2));
        orders.poll_ends(DRIVER, 20);
        assert_eq!(orders.takes(DRIVER, 30), Some(sent(20, 2)));
    }

    #[test]
    fn another_event_on_the_thread_separates_a_signal_from_a_wake() {
        let mut orders = Orders::default();
        orders.signals(1, CHANNEL);
        orders.passes(1);
        orders.wakes(1, DRIVER);
        assert_eq!(orders.signals(1, CHANNEL), None);
    }

    #[test]
    fn an_order_counts_once_it_has_agreed_often_enough() {
        let mut orders = known();
        (1..PROVEN).for_each(|_| orders.compared(DRIVER, true));
        assert!(!orders.is_proven(DRIVER));
        orders.compared(DRIVER, true);
        assert!(orders.is_proven(DRIVER));
        orders.compared(DRIVER, false);
        assert!(!orders.is_proven(DRIVER));
        orders.forget(DRIVER);
        assert!(!orders.is_proven(DRIVER));
    }

    #[test]
    fn replies_fit_an_order_of_which_they_are_a_part_or_which_is_a_part_of_them() {
        let all = |requests: &[u64]| requests.iter().map(|&request| to(request)).collect::<Vec<_>>();
        let fits = |asked: &[u64], replies: &[u64]| fits(&all(asked), &all(replies));
        assert!(fits(&[1, 2, 3], &[1, 3]) && fits(&[1, 3], &[1, 2, 3]) && fits(&[1, 2], &[1, 2]));
        assert!(!fits(&[1, 2, 3], &[3, 1]) && !fits(&[1, 2, 3], &[1, 4]) && !fits(&[1, 2, 3], &[1]));
        assert!(!fits(&[1], &[]) && !fits(&[], &[1]) && !fits(&[1, 1], &[1, 2, 2]));
    }

    #[test]
    fn memory_is_bounded() {
        let mut orders = Orders::default();
        for n in 0..2 * QUEUES_MAX as u64 {
            orders.signals(n as u32, n);
            orders.wakes(n as u32, n);
            orders.sent(n, sent(n, n));
            orders.sent(7, sent(n, n));
            orders.takes(n, 0);
        }
        assert!(orders.queues.len() <= QUEUES_MAX && orders.drivers.len() <= QUEUES_MAX);
        assert!(orders.signalled.len() <= QUEUES_MAX && orders.queues[&7].messages.len() <= MESSAGES_MAX);
    }
}
