//! Which request an outbound call belongs to.
//!
//! A request is read by a task, or by a thread where there are no tasks. What that task calls until the request is
//! answered is the request's, and so is what the tasks call that it spawns. The exception is a *driver*: a task that was
//! spawned to work on one connection for whoever sends it messages, such as the connection task of an HTTP client. Its
//! calls belong to a request only if no other was open when the call began.
//!
//! With `--explain`, the wakes between the tasks of requests and a driver tell more: who has asked it, and whom it
//! answers.
//!
//! No rule guesses. A call that none of them decides belongs to no request, and is counted.

mod driven;
mod orders;
mod relays;
mod servers;
mod tasks;
mod wakes;

use std::collections::VecDeque;
use std::sync::Arc;

use cargo_beyla_events::{TaskChange, task};
use hashbrown::hash_map::Entry;
use hashbrown::{HashMap, HashSet};

use crate::model::call::{CallOf, Certainty};
use crate::model::connection::Endpoint;
use crate::model::trace_context::{Caller, TraceId};
use crate::runtime::tracker::TaskId;
use driven::Asked;
use orders::Reply;
use servers::{OpenRequests, Servers};
use tasks::{TaskKey, Tasks, WorksFor};
use wakes::Wakes;

pub(crate) use driven::{Driven, Told};

/// A spawned task may go on calling for this long after its request was answered, in nanoseconds. One that calls later
/// serves others as well.
const AFTERWARDS_NS: u64 = 1_000_000_000;

/// The requests that are remembered after their end, for the sake of the tasks that they have spawned.
const ENDED_MAX: usize = 4096;

/// What calls ask for while no request is open is remembered up to this number.
const SUMMARIES_MAX: usize = 4096;

/// Who makes a system call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Operator {
    /// The process, in a run that traces several; else 0.
    pub(crate) process: u32,
    /// The thread; 0 if it is not known.
    pub(crate) thread: u32,
    /// The id of the task that the thread was polling; 0 if it polled none, or that is not known.
    pub(crate) task: u64,
}

impl Operator {
    /// The task, if it is known.
    pub(crate) fn task_id(self) -> Option<TaskId> {
        TaskId::new(self.process, self.task)
    }

    fn key(self) -> Option<TaskKey> {
        (self.task != 0).then_some(TaskKey { process: self.process, task: self.task })
    }
}

/// Who uses a connection that the process opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallConnection {
    opener: Operator,
    opened_ns: u64,
    /// Whether a task of a request has opened it.
    is_of_request: bool,
    user: User,
    /// Calls on it have begun while no request was open: something beside requests uses it.
    is_used_without_requests: bool,
}

/// The tasks that have made calls on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum User {
    Nobody,
    One(TaskKey),
    Several,
}

/// A call that begins. Times are nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewCall<'a> {
    /// Who makes its send call.
    pub(crate) maker: Operator,
    /// What it asks for, in words.
    pub(crate) summary: &'a Arc<str>,
    /// When its time starts, with that of its connection if it waits for one.
    pub(crate) start_ns: u64,
    /// Entry of its first send call.
    pub(crate) begun_ns: u64,
}

/// What was known when a call began of the request that it belongs to.
#[derive(Clone, Debug)]
pub(crate) struct CallStart {
    /// The request whose task, or thread, makes the call.
    own: Option<CallOf>,
    /// The requests that have woken the task that makes it. Only under `--explain`.
    candidates: Box<[u64]>,
    /// Entry of its first send call, in nanoseconds.
    begun_ns: u64,
    /// How the task that makes it was asked for it. Only under `--explain`.
    asked: Asked,
    /// One task makes all calls on the connection, and none while no request is open.
    is_driven: bool,
    /// Calls that ask for the same have begun while no request was open.
    comes_without_requests: bool,
}

/// What can be judged after something has happened to a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ToJudge {
    /// What a thread has read in its poll, which is over; and whatever waits for a relay that has ended with it.
    Poll { thread: u32, relay: Option<u64> },
    /// The only answer that a thread has read, if it is one.
    Wake(u32),
    /// The call whose answer this relay hands on.
    Relay(u64),
}

/// What is known of the requests and the tasks of a run.
#[derive(Debug, Default)]
pub(crate) struct Attribution {
    servers: Servers,
    tasks: Tasks,
    wakes: Wakes,
    requests: HashMap<u64, Request>,
    /// Those of `requests` that have ended, the oldest first.
    ended: VecDeque<u64>,
    /// What calls have asked for while no request was open.
    without_requests: HashSet<Arc<str>>,
}

/// A request that is under way, or has ended and left tasks behind.
#[derive(Debug)]
struct Request {
    reader: Operator,
    /// The reader's task by its address, if that is known.
    reader_address: Option<TaskKey>,
    /// The trace that it came with.
    caller: Option<Box<(TraceId, Caller)>>,
    /// When it was answered, in nanoseconds.
    answered_ns: Option<u64>,
    /// Whether tasks have inherited it.
    has_tasks: bool,
    is_over: bool,
}

impl CallStart {
    /// Whether its request is that of the task, or of the thread, that makes the call.
    pub(crate) fn is_of_maker(&self) -> bool {
        self.own.is_some()
    }

    /// What the wakes of its driver are held against.
    pub(crate) fn driven(&self, number: u64, is_answer_begun: bool) -> Driven<'_> {
        Driven { number, is_answer_begun, candidates: &self.candidates, begun_ns: self.begun_ns, asked: self.asked }
    }
}

impl CallConnection {
    /// Who opened it.
    pub(crate) fn opener(&self) -> Operator {
        self.opener
    }

    /// The process whose connection it is.
    pub(crate) fn process(&self) -> u32 {
        self.opener.process
    }

    fn used_by(&mut self, key: Option<TaskKey>) {
        self.user = match (self.user, key) {
            (User::Nobody, Some(key)) => User::One(key),
            (User::One(user), Some(key)) if user != key => User::Several,
            (user, _) => user,
        };
    }
}

impl Attribution {
    /// A process has accepted a connection at this address.
    pub(crate) fn accepted(&mut self, process: u32, address: &Endpoint) {
        self.servers.accepted(process, address);
    }

    /// A connection is opened at `opened_ns`, in nanoseconds.
    pub(crate) fn opens(&self, opener: Operator, opened_ns: u64) -> CallConnection {
        let is_of_request = opener.key().is_some_and(|key| self.tasks.works_for(key).is_some());
        CallConnection { opener, opened_ns, is_of_request, user: User::Nobody, is_used_without_requests: false }
    }

    /// The head of a request was read by `at`, in nanoseconds. `interleaved`: others of its connection may be under way at
    /// the same time, each in a task of its own.
    pub(crate) fn read(
        &mut self,
        request: u64,
        reader: Operator,
        interleaved: bool,
        caller: Option<&(TraceId, Caller)>,
        at: u64,
    ) {
        self.servers.opened(reader.process, request, at);
        let reader_address = self.wakes.polled(reader.thread).map(TaskKey::of_address);
        if let Some(key) = reader_address {
            self.tasks.read(key, request, interleaved);
        }
        match reader.key() {
            Some(key) => {
                self.servers.has_tasks(reader.process);
                self.tasks.read(key, request, interleaved);
            }
            None => self.servers.read_by_thread(reader, request),
        }
        let caller = caller.cloned().map(Box::new);
        let record = Request { reader, reader_address, caller, answered_ns: None, has_tasks: false, is_over: false };
        self.requests.insert(request, record);
    }

    /// The response of a request is whole, or will never be. `by` made the last send call on its connection.
    pub(crate) fn answered(&mut self, request: u64, by: Operator, at: u64) {
        let Some(record) = self.requests.get_mut(&request).filter(|record| record.answered_ns.is_none()) else {
            return;
        };
        record.answered_ns = Some(at);
        self.servers.closed(record.reader.process, request, at);
        if let Some(key) = record.reader_address {
            self.tasks.answered(key, request);
        }
        match record.reader.key() {
            Some(key) => self.tasks.answered(key, request),
            None => self.servers.answered_by_thread(record.reader, by, request),
        }
    }

    /// A request is over, and its connection says nothing more of it.
    pub(crate) fn ended(&mut self, request: u64, at: u64) {
        self.answered(request, Operator::default(), at);
        let Entry::Occupied(mut record) = self.requests.entry(request) else { return };
        if !record.get().has_tasks {
            record.remove();
            return;
        }
        record.get_mut().is_over = true;
        self.ended.push_back(request);
        if self.ended.len() > ENDED_MAX
            && let Some(oldest) = self.ended.pop_front()
        {
            self.requests.remove(&oldest);
        }
    }

    /// Whether a request is still under way.
    pub(crate) fn is_under_way(&self, request: u64) -> bool {
        self.requests.get(&request).is_some_and(|record| !record.is_over)
    }

    /// The trace that a request came with.
    pub(crate) fn caller(&self, request: u64) -> Option<&(TraceId, Caller)> {
        self.requests.get(&request)?.caller.as_deref()
    }

    /// A task spawns another one.
    pub(crate) fn spawned(&mut self, process: u32, parent: u64, child: u64, at: u64) {
        if parent == 0 || child == 0 {
            return;
        }
        let key = |task: u64| TaskKey { process, task };
        if let Some(request) = self.tasks.spawned(key(parent), key(child), at)
            && let Some(record) = self.requests.get_mut(&request)
        {
            record.has_tasks = true;
        }
    }

    /// A call begins on a connection.
    pub(crate) fn begins(&mut self, connection: &mut CallConnection, call: &NewCall<'_>) -> CallStart {
        let NewCall { maker, summary, start_ns: at, begun_ns } = *call;
        let key = maker.key();
        connection.used_by(key);
        if key.is_some() {
            self.servers.has_tasks(maker.process);
        }
        if self.servers.open_at(maker.process, begun_ns) == OpenRequests::None {
            connection.is_used_without_requests = true;
            if self.without_requests.len() < SUMMARIES_MAX {
                self.without_requests.insert(Arc::clone(summary));
            }
        }
        let own = match key {
            Some(key) => self.of_task(key, connection, at),
            None => self.servers.of_thread(maker),
        };
        if own.is_none()
            && let (Some(key), Some(task)) = (key, self.wakes.polled(maker.thread))
            && self.may_drive(key, connection)
        {
            // Whom it wakes has nothing to do with the request whose task has spawned it.
            self.tasks.forget(TaskKey::of_address(task));
        }
        let asked = if own.is_none() { self.wakes.takes(maker.thread, begun_ns) } else { Asked::default() };
        let candidates = if own.is_none() { self.wakes.candidates(maker.thread, begun_ns) } else { Box::default() };
        let is_driven = matches!(connection.user, User::One(_)) && !connection.is_used_without_requests;
        let comes_without_requests = self.without_requests.contains(summary);
        CallStart { own, candidates, begun_ns, asked, is_driven, comes_without_requests }
    }

    /// `maker` sends something, at a moment in nanoseconds, for which nobody awaits an answer.
    pub(crate) fn sends_without_call(&mut self, maker: Operator, begun_ns: u64) {
        self.wakes.takes(maker.thread, begun_ns);
    }

    /// The request of the task that makes a call.
    fn of_task(&self, key: TaskKey, connection: &CallConnection, at: u64) -> Option<CallOf> {
        if let Some(request) = self.tasks.reads(key) {
            return Some(CallOf { request, certainty: Certainty::Certain });
        }
        let request = self.tasks.inherits(key)?;
        if self.may_drive(key, connection) {
            return None;
        }
        let certainty = match self.requests.get(&request)?.answered_ns {
            None => Certainty::Certain,
            Some(answered_ns) if at <= answered_ns.saturating_add(AFTERWARDS_NS) => Certainty::Likely,
            Some(_) => return None,
        };
        Some(CallOf { request, certainty })
    }

    /// Whether a task may be the driver of a connection: the task that opened the connection, or one that this spawned,
    /// has spawned it afterwards, and nobody else has made a call on the connection.
    fn may_drive(&self, key: TaskKey, connection: &CallConnection) -> bool {
        let Some(opener) = connection.opener.key() else { return false };
        connection.user == User::One(key)
            && self.tasks.born_ns(key).is_some_and(|born_ns| born_ns >= connection.opened_ns)
            && self.tasks.descends(key, opener)
    }

    /// The request of a call to `peer` that has ended. Its answer began, or it broke off, at `answered_ns`, in nanoseconds.
    pub(crate) fn ends(
        &self,
        connection: &CallConnection,
        peer: &Endpoint,
        start: &CallStart,
        answered_ns: u64,
    ) -> Option<CallOf> {
        if start.own.is_some() || connection.is_used_without_requests {
            return start.own;
        }
        // A test that serves asks its own server, too, and not only for a request.
        if !connection.is_of_request && self.servers.accepts(connection.process(), peer) {
            return None;
        }
        // A request that began later cannot have asked for it.
        let OpenRequests::Only { request, until_ns } = self.servers.open_at(connection.process(), start.begun_ns)
        else {
            return None;
        };
        // A request that was over before the answer did not wait for it.
        let is_certain = until_ns >= answered_ns && !start.comes_without_requests;
        let certainty = if is_certain { Certainty::Certain } else { Certainty::Likely };
        Some(CallOf { request, certainty })
    }

    /// Something happens to a task, by its address.
    pub(crate) fn task(&mut self, change: &TaskChange) -> Option<ToJudge> {
        let TaskChange { task, thread, .. } = *change;
        let at = change.header.time_ns;
        match change.header.flags {
            task::WOKEN => return self.woken(thread, task),
            task::SIGNALLED => return self.signalled(thread, task, at),
            _ => self.wakes.passes(thread),
        }
        match change.header.flags {
            task::RUNNING => self.wakes.poll_begins(thread, task, at),
            task::SPAWNED | task::SPAWNED_BLOCKING => self.spawned_at(thread, task, at),
            _ => {}
        }
        match change.header.flags {
            task::IDLE => Some(ToJudge::Poll { thread, relay: None }),
            task::TERMINAL => Some(ToJudge::Poll { thread, relay: self.wakes.relays.ends(task) }),
            _ => None,
        }
    }

    /// The poll of a thread is over, and what it has woken is judged.
    pub(crate) fn poll_ends(&mut self, thread: u32) {
        self.wakes.poll_ends(thread);
    }

    /// A task that a thread polls puts a message into a channel, whose receiver has this waker.
    fn signalled(&mut self, thread: u32, channel: u64, at: u64) -> Option<ToJudge> {
        let polled = self.wakes.polled(thread)?;
        let WorksFor { request, is_sure } = self.tasks.works_for(TaskKey::of_address(polled))?;
        self.wakes.signals(thread, channel, Reply::Request { request, is_sure }, at);
        None
    }

    /// A task that a thread polls wakes another.
    fn woken(&mut self, thread: u32, task: u64) -> Option<ToJudge> {
        let polled = self.wakes.polled(thread)?;
        let woken = TaskKey::of_address(task);
        if self.tasks.works_for(woken).is_some_and(|woken| woken.is_sure) {
            self.wakes.passes(thread);
        } else {
            self.wakes.learns(thread, task);
        }
        let waker = self.tasks.works_for(TaskKey::of_address(polled));
        if let Some(WorksFor { request, .. }) = waker {
            self.tasks.asked(woken);
            self.wakes.wakes(task, request);
        }
        if waker.is_some_and(|waker| waker.is_sure) {
            return None;
        }
        if let Some(WorksFor { request, is_sure }) = self.tasks.works_for(woken) {
            self.wakes.replies(thread, Reply::Request { request, is_sure });
            if let Some(relay) = self.wakes.relays.wakes(polled, request) {
                return Some(ToJudge::Relay(relay));
            }
        } else {
            self.wakes.hands_on(thread, task);
            if let Some(relay) = self.wakes.relays.waiting_at(task) {
                self.wakes.replies(thread, Reply::Relay(relay));
            }
        }
        Some(ToJudge::Wake(thread))
    }

    /// A task that a thread polls spawns another, by its address, which an earlier task may have had.
    fn spawned_at(&mut self, thread: u32, child: u64, at: u64) {
        let key = TaskKey::of_address(child);
        self.tasks.forget(key);
        self.wakes.forget(child);
        let Some(parent) = self.wakes.polled(thread) else { return };
        let parent = TaskKey::of_address(parent);
        let of_parent = self.tasks.works_for(parent);
        if of_parent.is_some_and(|of| !of.is_sure) {
            return self.wakes.spawns(thread, child, of_parent.map(|of| of.request), at);
        }
        let Some(request) = self.tasks.spawned(parent, key, at) else {
            return self.wakes.spawns(thread, child, None, at);
        };
        // It may begin with something for its spawner.
        self.wakes.wakes(child, request);
        if let Some(record) = self.requests.get_mut(&request) {
            record.has_tasks = true;
        }
    }

    /// A thread has read something on a connection that the process opened.
    pub(crate) fn reads_answer(&mut self, thread: u32) {
        self.wakes.reads(thread);
    }

    /// Whether the wakes to come may tell whose call it is whose answer a thread has read.
    pub(crate) fn awaits_wakes(&self, start: &CallStart, thread: u32) -> bool {
        start.own.is_none()
            && (start.is_driven || !start.candidates.is_empty() || start.asked.is_known())
            && self.wakes.polled(thread).is_some()
    }

    /// Whether the last wake of a thread has told whose call this is, the only one whose answer it has read.
    pub(crate) fn is_replied(&self, thread: u32, call: &Driven<'_>) -> bool {
        self.wakes.is_replied(thread, call)
    }

    /// Matches the calls whose answers a thread has just read with the tasks that it has woken since. The result has an
    /// element for each call.
    pub(crate) fn by_wakes(&mut self, thread: u32, calls: &[Driven<'_>]) -> Vec<Told> {
        self.wakes.matched(thread, calls)
    }

    /// The request of a call of which this was told, if it is known by now.
    pub(crate) fn of_told(&self, told: Told) -> Option<CallOf> {
        match told {
            Told::Nothing => None,
            Told::Of(of) => Some(of),
            Told::Relay(relay, certainty) => self.wakes.relays.request_of(relay, certainty),
        }
    }

    /// Whether a relay may still wake the task of a request.
    pub(crate) fn is_waiting(&self, relay: u64) -> bool {
        self.wakes.relays.is_waiting(relay)
    }
}

#[cfg(test)]
mod tests;
