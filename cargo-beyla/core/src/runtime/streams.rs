//! HTTP/2: the heads that one poll of a connection's task reads, and the tasks that it spawns for their streams.
//!
//! hyper's server, which axum and tonic stand on, spawns one task for each request that it accepts: in the poll that
//! reads the request's head, and in the order of the heads (`poll_server` in hyper's `proto/h2/server.rs`). It spawns
//! none for a stream that it refuses. So where a poll spawns as many tasks as it accepts heads, the first task belongs
//! to the first head, and so on. Where the numbers differ, the application spawns tasks of its own there, or does not
//! spawn one for each stream; then nothing is certain.

use crate::model::request::RouteId;

use super::clock::Reading;
use super::scheduling_entity::TaskRef;

/// The heads, and the tasks, that are kept of one poll: the most streams that servers allow is a few hundred.
const EACH_MAX: usize = 4096;

/// Where the tracker keeps a request that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestSlot(pub(in crate::runtime) u32);

/// What a poll has read and spawned so far.
#[derive(Debug, Default)]
pub(super) struct StreamPoll {
    /// The connection's task, if the poll has read a head.
    pub(super) connection: Option<TaskRef>,
    heads: Vec<Head>,
    tasks: Vec<StreamTask>,
    is_full: bool,
}

/// The head of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    /// The request; `None` once it has ended.
    pub(super) slot: Option<RequestSlot>,
    pub(super) route: RouteId,
    /// How many tasks the poll had spawned before.
    spawned_before: usize,
}

/// A task that the poll spawned.
#[derive(Clone, Copy, Debug)]
pub(super) struct StreamTask {
    pub(super) task: TaskRef,
    /// The reading of the connection's clock then.
    pub(super) connection: Reading,
}

/// Which task handles which request, as far as the numbers tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Matching {
    /// Each request has the task at the same place.
    InOrder,
    /// The poll spawned no tasks.
    NoTasks,
    /// It cannot be told.
    Unknown,
}

impl StreamPoll {
    /// The poll has read the head of a request.
    pub(super) fn read(&mut self, connection: TaskRef, slot: RequestSlot, route: RouteId) {
        self.connection = Some(connection);
        if self.heads.len() < EACH_MAX {
            self.heads.push(Head { slot: Some(slot), route, spawned_before: self.tasks.len() });
        } else {
            self.is_full = true;
        }
    }

    /// The poll has spawned a task. Returns whether there is room for it.
    pub(super) fn spawned(&mut self, task: StreamTask) -> bool {
        let has_room = self.tasks.len() < EACH_MAX;
        if has_room {
            self.tasks.push(task);
        }
        self.is_full |= !has_room;
        has_room
    }

    /// A request has ended that this poll read. A request that the server refuses gets no task.
    pub(super) fn ended(&mut self, slot: RequestSlot, is_refused: bool) {
        let Some(place) = self.place(slot) else { return };
        if is_refused {
            self.heads.remove(place);
        } else {
            self.heads[place].slot = None;
        }
    }

    /// The heads and the tasks, in their order.
    pub(super) fn parts(&self) -> (&[Head], &[StreamTask]) {
        (&self.heads, &self.tasks)
    }

    /// Which task handles which request, at the end of the poll.
    pub(super) fn matching(&self) -> Matching {
        let in_order = || self.heads.iter().enumerate().all(|(place, head)| head.spawned_before <= place);
        if self.tasks.is_empty() && !self.is_full {
            Matching::NoTasks
        } else if self.is_full || self.heads.len() != self.tasks.len() || !in_order() {
            Matching::Unknown
        } else {
            Matching::InOrder
        }
    }

    /// While the poll goes on: the head of a request, and the tasks up to its own, provided that the poll spawns one for
    /// each head.
    pub(super) fn tasks_until(&self, slot: RequestSlot) -> Option<(Head, &[StreamTask])> {
        let place = self.place(slot)?;
        let head = self.heads[place];
        let is_possible = !self.is_full && self.tasks.len() <= self.heads.len() && head.spawned_before <= place;
        self.tasks.get(..=place).filter(|_| is_possible).map(|tasks| (head, tasks))
    }

    /// Begins anew, in the same memory.
    pub(super) fn clear(&mut self) {
        self.connection = None;
        self.heads.clear();
        self.tasks.clear();
        self.is_full = false;
    }

    fn place(&self, slot: RequestSlot) -> Option<usize> {
        self.heads.iter().position(|head| head.slot == Some(slot))
    }
}
