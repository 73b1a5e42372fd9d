//! Which task handles which request of HTTP/2 (see [`crate::runtime::streams`]).

use crate::model::explanation::{Parts, Unit};
use crate::model::request::RouteId;
use crate::runtime::scheduling_entity::TaskRef;
use crate::runtime::streams::{Head, Matching, RequestSlot, StreamTask};
use crate::runtime::tasks::{SpawnedIn, TaskId};
use crate::runtime::time_breakdown::add_place;

use super::RuntimeTracker;
use super::measurement::{EntityRef, Measurement};
use super::requests::StreamHandler;

impl RuntimeTracker {
    /// A thread has read the head of a request whose stream may get a task of its own. `task` reads, if it is known.
    pub(super) fn await_stream_task(
        &mut self,
        slot: RequestSlot,
        thread: u32,
        task: Option<TaskId>,
        at: u64,
        route: RouteId,
    ) {
        let probed = self.probed_poll(thread, task);
        let connection = probed.or_else(|| {
            let id = task.filter(|_| self.sees_polls())?;
            self.tasks.with_id(id).or_else(|| self.tasks.insert_with_id(id, at))
        });
        if probed.is_none() && self.sees_polls() {
            self.threads.enter(thread, at);
            self.leave_stream_poll(thread, connection);
        }
        let Some(handling) = self.requests.get_mut(slot) else { return };
        match connection.zip(self.threads.get_mut(thread)) {
            Some((connection, known)) => {
                handling.stream = StreamHandler::Awaited;
                handling.reading_poll = Some(thread);
                self.stream_polls_open += usize::from(known.streams.connection.is_none());
                known.streams.read(connection, slot, route);
            }
            None => handling.stream = StreamHandler::Unknown,
        }
    }

    /// The request was received as a whole, and its task is not spawned yet. Until it is, the task of the connection
    /// works for it.
    pub(super) fn received_before_spawn(&mut self, slot: RequestSlot, at: u64) {
        let Some(handling) = self.requests.get_mut(slot) else { return };
        let thread = handling.reading_poll.and_then(|thread| self.threads.get(thread));
        let Some(connection) = thread.and_then(|thread| thread.streams.connection) else { return };
        if let Some(task) = self.tasks.get_mut(connection) {
            if task.entity.open_requests == 0 {
                task.entity.breakdown.restart(at);
            }
            task.entity.clock.settle(at);
            handling.received = Some((connection, task.entity.clock.read(at)));
        }
    }

    /// A thread may have left the poll in which it has read heads, where polls have no probe: it now does something for
    /// `task`. In one poll all heads are read before tasks are spawned for them.
    pub(super) fn leave_stream_poll(&mut self, thread: u32, task: Option<TaskRef>) {
        let Some(known) = self.threads.get(thread) else { return };
        let Some(connection) = known.streams.connection.filter(|_| known.current.is_none()) else { return };
        let is_matched = known.streams.matching() == Matching::InOrder;
        if task != Some(connection) || is_matched {
            self.match_stream_tasks(thread, is_matched);
        }
    }

    /// A task was spawned in a poll of this thread: of `parent`, if that is known without a probe. It may be that of a stream.
    pub(super) fn stream_task_spawned(&mut self, reference: TaskRef, thread: u32, parent: Option<TaskRef>) {
        let Some(thread) = self.threads.get_mut(thread) else { return };
        let polled = parent.or(thread.current);
        let Some(connection) = thread.streams.connection.filter(|connection| polled == Some(*connection)) else {
            return;
        };
        let Some(task) = self.tasks.get(reference).filter(|task| !task.blocking) else { return };
        let born = task.born.at;
        let Some(reading) = self.tasks.get_mut(connection).map(|task| {
            task.entity.clock.settle(born);
            task.entity.clock.read(born)
        }) else {
            return;
        };
        if thread.streams.spawned(StreamTask { task: reference, connection: reading })
            && let Some(task) = self.tasks.get_mut(reference)
        {
            task.connection = Some(connection);
            // As long as it may be the request's, its time counts as such.
            task.entity.open_requests += 1;
        }
    }

    /// A response may begin while the poll that read its request still goes on. Then the task of its stream has been
    /// spawned and polled. All tasks until then must be of one type: another type is a task that the application spawned.
    pub(super) fn find_stream_task_early(&mut self, slot: RequestSlot) {
        let Some(handling) = self.requests.get(slot).filter(|handling| handling.stream == StreamHandler::Awaited)
        else {
            return;
        };
        let Some(thread) = handling.reading_poll.and_then(|thread| self.threads.get(thread)) else { return };
        let Some((head, until)) = thread.streams.tasks_until(slot) else { return };
        let (_, tasks) = thread.streams.parts();
        if (self.window().is_none() || until.iter().all(|task| self.type_of(task).is_some()))
            && !self.are_mixed(tasks)
            && let Some(&task) = until.last()
        {
            self.handled_by_own_task(&head, task);
        }
    }

    /// The table of functions of a task, once it was polled.
    fn type_of(&self, spawned: &StreamTask) -> Option<u64> {
        self.tasks.get(spawned.task).map(|task| task.vtable).filter(|vtable| *vtable != 0)
    }

    fn are_mixed(&self, tasks: &[StreamTask]) -> bool {
        let mut types = tasks.iter().filter_map(|task| self.type_of(task));
        let first = types.next();
        types.any(|other| Some(other) != first)
    }

    /// A request has ended while the poll may go on that read it.
    pub(super) fn leave_reading_poll(&mut self, slot: RequestSlot, is_refused: bool) {
        if let Some(handling) = self.requests.get_mut(slot)
            && let Some(thread) = handling.reading_poll.take()
            && let Some(thread) = self.threads.get_mut(thread)
        {
            thread.streams.ended(slot, is_refused && !matches!(handling.stream, StreamHandler::Own(_)));
        }
    }

    /// A poll ends: all that it spawned is known, unless records of it were lost.
    pub(super) fn match_stream_tasks(&mut self, thread: u32, is_complete: bool) {
        let Some(known) = self.threads.get_mut(thread) else { return };
        let Some(connection) = known.streams.connection else { return };
        let mut streams = std::mem::take(&mut known.streams);
        let matching = if is_complete { streams.matching() } else { Matching::Unknown };
        let matching = self.judged(connection, matching, streams.parts().1);
        let (heads, tasks) = streams.parts();
        for (place, head) in heads.iter().enumerate() {
            if let Some(slot) = head.slot
                && let Some(handling) = self.requests.get_mut(slot)
            {
                handling.reading_poll = None;
                match (matching, handling.stream) {
                    (Matching::InOrder, StreamHandler::Awaited) => self.handled_by_own_task(head, tasks[place]),
                    (Matching::InOrder, _) => {}
                    (Matching::NoTasks, _) => self.handled_by_reader(head, connection),
                    (Matching::Unknown, _) => {
                        handling.answered(&mut self.tasks, &mut self.threads);
                        (handling.stream, handling.unit) = (StreamHandler::Unknown, None);
                    }
                }
            }
        }
        for (place, spawned) in tasks.iter().enumerate() {
            let has_request = matching == Matching::InOrder && heads[place].slot.is_some();
            if !has_request {
                self.is_no_stream_task(spawned.task);
            }
        }
        streams.clear();
        self.stream_polls_open = self.stream_polls_open.saturating_sub(1);
        if let Some(thread) = self.threads.get_mut(thread) {
            thread.streams = streams;
        }
    }

    /// What the numbers tell, unless something else speaks against it.
    fn judged(&self, connection: TaskRef, matching: Matching, tasks: &[StreamTask]) -> Matching {
        let was_spawned = self.tasks.get(connection).is_some_and(|task| task.spawned_in != SpawnedIn::Unseen);
        match matching {
            Matching::InOrder if self.are_mixed(tasks) => Matching::Unknown,
            // Spawns are not seen in this server: the connection's own was not.
            Matching::NoTasks if !was_spawned => Matching::Unknown,
            matching => matching,
        }
    }

    fn handled_by_own_task(&mut self, head: &Head, spawned: StreamTask) {
        let Some(handling) = head.slot.and_then(|slot| self.requests.get_mut(slot)) else { return };
        let Some(task) = self.tasks.get(spawned.task) else { return };
        let (start, connection) = (task.born, task.connection);
        let before = match handling.received {
            Some((_, received)) => spawned.connection.since(&received),
            None => Some(Parts::default()),
        };
        let (Some(before), Some(connection)) = (before, connection) else { return };
        let places = self.tasks.get(connection).map(|task| task.entity.breakdown.places.clone()).unwrap_or_default();
        let Some(task) = self.tasks.get_mut(spawned.task) else { return };
        task.entity.last_route = Some(head.route);
        for place in places {
            add_place(&mut task.entity.breakdown.places, place);
        }
        let entity = EntityRef::Task(spawned.task);
        handling.stream = StreamHandler::Own(spawned.task);
        handling.measured =
            Some(Measurement { entity, before, start, connection: Some((connection, spawned.connection)) });
        handling.unit = handling.received.is_some().then_some(Unit::Task);
    }

    fn handled_by_reader(&mut self, head: &Head, connection: TaskRef) {
        let Some(handling) = head.slot.and_then(|slot| self.requests.get_mut(slot)) else { return };
        handling.stream = StreamHandler::Reader;
        if let Some((_, start)) = handling.received
            && let Some(task) = self.tasks.get_mut(connection)
        {
            task.entity.open_requests += 1;
            task.entity.last_route = Some(head.route);
            task.entity.sending = false;
            let entity = EntityRef::Task(connection);
            handling.measured = Some(Measurement { entity, before: Parts::default(), start, connection: None });
            handling.unit = Some(Unit::Task);
        }
    }

    fn is_no_stream_task(&mut self, reference: TaskRef) {
        if let Some(task) = self.tasks.get_mut(reference) {
            task.connection = None;
            task.entity.open_requests = task.entity.open_requests.saturating_sub(1);
            self.tasks.release(reference);
        }
    }
}
