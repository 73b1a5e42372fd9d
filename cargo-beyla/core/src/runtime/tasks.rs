//! The tasks of the async runtime, in bounded memory.

use hashbrown::HashMap;

use super::clock::{Part, Reading};
use super::scheduling_entity::{SchedulingEntity, TaskRef};

/// The tasks that are known at a time.
const TASKS_MAX: usize = 256 * 1024;

/// How many tasks are looked at to find one that can be forgotten.
const LOOKED_AT_MAX: usize = 64;

/// The id that the runtime has given a task. It never means a later task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TaskId {
    /// The process, in a run that traces several; else 0.
    pub(crate) process: u32,
    /// As in [`cargo_beyla_events::Transfer::task`]; never 0.
    pub(crate) id: u64,
}

impl TaskId {
    /// `None` for 0, which stands for no task.
    pub(crate) fn new(process: u32, id: u64) -> Option<Self> {
        (id != 0).then_some(Self { process, id })
    }
}

/// A task.
#[derive(Debug)]
pub(super) struct Task {
    generation: u32,
    /// `None` where no probe has met it.
    address: Option<u64>,
    /// `None` where it is known by its address alone.
    id: Option<TaskId>,
    /// The address of its table of functions; 0 while it has not been polled.
    pub(super) vtable: u64,
    /// It runs on the pool of threads that may block.
    pub(super) blocking: bool,
    /// It has ended; requests may still refer to it.
    dead: bool,
    /// The reading of its clock when it was spawned.
    pub(super) born: Reading,
    /// The thread that polls it, and since when.
    pub(super) polled: Option<(u32, u64)>,
    /// It was woken during the current poll.
    pub(super) notified: bool,
    pub(super) spawned_in: SpawnedIn,
    /// HTTP/2: the task of the connection, if this one may be the task of a stream.
    pub(super) connection: Option<TaskRef>,
    /// HTTP/2: the readings of its own clock and of the connection's at the end of its last poll.
    pub(super) handed_over: Option<(Reading, Reading)>,
    /// How many responses are measured on it, so that its slot is still needed.
    pub(super) responses: u32,
    pub(super) entity: SchedulingEntity,
}

/// Where a task was spawned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SpawnedIn {
    /// Nobody saw it.
    Unseen,
    /// Not in a poll of an async task.
    NoPoll,
    /// In a poll, by its thread and its number.
    Poll(u32, u64),
}

/// All tasks that are known.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    slots: Vec<Task>,
    free: Vec<u32>,
    by_address: HashMap<u64, u32>,
    by_id: HashMap<TaskId, u32>,
    /// How many are not dead.
    living: usize,
    /// Where the search for the next task to forget begins.
    next: usize,
}

impl Tasks {
    pub(super) fn get(&self, task: TaskRef) -> Option<&Task> {
        self.slots.get(task.index as usize).filter(|slot| slot.generation == task.generation)
    }

    pub(super) fn get_mut(&mut self, task: TaskRef) -> Option<&mut Task> {
        self.slots.get_mut(task.index as usize).filter(|slot| slot.generation == task.generation)
    }

    /// The task that has this address now.
    pub(super) fn at(&self, address: u64) -> Option<TaskRef> {
        self.by_address.get(&address).and_then(|index| self.reference(*index))
    }

    /// The task that has this id.
    pub(super) fn with_id(&self, id: TaskId) -> Option<TaskRef> {
        self.by_id.get(&id).and_then(|index| self.reference(*index))
    }

    fn reference(&self, index: u32) -> Option<TaskRef> {
        self.slots.get(index as usize).map(|slot| TaskRef { index, generation: slot.generation })
    }

    /// Adds a task that is known by its address; it replaces a task that had the same. `None` if there is no room.
    pub(super) fn insert(&mut self, address: u64, part: Part, at: u64) -> Option<TaskRef> {
        if let Some(old) = self.at(address) {
            self.remove(old, at);
        }
        let task = self.add(part, at)?;
        self.get_mut(task)?.address = Some(address);
        self.by_address.insert(address, task.index);
        Some(task)
    }

    /// Adds a waiting task that is known by its id alone. `None` if there is no room.
    pub(super) fn insert_with_id(&mut self, id: TaskId, at: u64) -> Option<TaskRef> {
        let task = self.add(Part::Waiting, at)?;
        self.get_mut(task)?.id = Some(id);
        self.by_id.insert(id, task.index);
        Some(task)
    }

    /// The task of this id turns out to have this address.
    pub(super) fn met_at(&mut self, task: TaskRef, address: u64, at: u64) {
        match self.at(address) {
            Some(known) if known == task => return,
            // Its end was not seen.
            Some(old) => self.remove(old, at),
            None => {}
        }
        if let Some(slot) = self.get_mut(task) {
            if let Some(before) = slot.address.replace(address) {
                self.by_address.remove(&before);
            }
            self.by_address.insert(address, task.index);
        }
    }

    /// All that have not ended.
    pub(super) fn living(&mut self) -> impl Iterator<Item = &mut Task> {
        self.slots.iter_mut().filter(|slot| !slot.dead)
    }

    fn add(&mut self, part: Part, at: u64) -> Option<TaskRef> {
        if self.living >= TASKS_MAX {
            self.forget_one();
            if self.living >= TASKS_MAX {
                return None;
            }
        }
        let index = if let Some(free) = self.free.pop() {
            free
        } else {
            let new = u32::try_from(self.slots.len()).ok()?;
            self.slots.push(Task::new(part, at));
            new
        };
        let slot = self.slots.get_mut(index as usize)?;
        slot.reset(part, at);
        self.living += 1;
        Some(TaskRef { index, generation: slot.generation })
    }

    /// A task has ended. Requests that are measured on it wait from then on.
    pub(super) fn remove(&mut self, task: TaskRef, at: u64) {
        let Some(slot) = self.get_mut(task).filter(|slot| !slot.dead) else {
            return;
        };
        slot.dead = true;
        slot.polled = None;
        slot.entity.clock.switch(at, Part::Waiting);
        let (address, id) = (slot.address.take(), slot.id.take());
        self.living -= 1;
        if let Some(address) = address {
            self.by_address.remove(&address);
        }
        if let Some(id) = id {
            self.by_id.remove(&id);
        }
        self.release(task);
    }

    /// A request no longer refers to this task. Once none does, a dead task frees its slot.
    pub(super) fn release(&mut self, task: TaskRef) {
        if let Some(slot) = self.get_mut(task)
            && slot.dead
            && slot.entity.open_requests == 0
            && slot.responses == 0
        {
            slot.generation = slot.generation.wrapping_add(1);
            self.free.push(task.index);
        }
    }

    fn forget_one(&mut self) {
        for _ in 0..LOOKED_AT_MAX {
            self.next = if self.next + 1 < self.slots.len() { self.next + 1 } else { 0 };
            let Some(slot) = self.slots.get(self.next) else { return };
            if !slot.dead && slot.polled.is_none() && slot.entity.open_requests == 0 && slot.responses == 0 {
                let task = TaskRef { index: self.next as u32, generation: slot.generation };
                let at = slot.entity.clock.since();
                return self.remove(task, at);
            }
        }
    }
}

impl Task {
    fn new(part: Part, at: u64) -> Self {
        let entity = SchedulingEntity::new(part, at);
        Self {
            generation: 0,
            address: None,
            id: None,
            vtable: 0,
            blocking: false,
            dead: true,
            born: entity.clock.read(at),
            polled: None,
            notified: false,
            spawned_in: SpawnedIn::Unseen,
            connection: None,
            handed_over: None,
            responses: 0,
            entity,
        }
    }

    /// Whether this thread polls it.
    pub(super) fn is_polled_by(&self, thread: u32) -> bool {
        self.polled.is_some_and(|(by, _)| by == thread)
    }

    /// Whether it runs on the threads of async workers: it was seen to be spawned there, or has read requests.
    pub(super) fn is_async(&self) -> bool {
        !self.blocking && (self.spawned_in != SpawnedIn::Unseen || self.entity.last_route.is_some())
    }

    /// Whether it has ended.
    pub(super) fn is_dead(&self) -> bool {
        self.dead
    }

    fn reset(&mut self, part: Part, at: u64) {
        self.entity.reset(part, at);
        (self.address, self.id) = (None, None);
        self.vtable = 0;
        self.blocking = false;
        self.dead = false;
        self.born = self.entity.clock.read(at);
        self.polled = None;
        self.notified = false;
        self.spawned_in = SpawnedIn::Unseen;
        self.connection = None;
        self.handed_over = None;
        self.responses = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_used_again_and_requests_keep_the_task_that_had_it() {
        let mut tasks = Tasks::default();
        let first = tasks.insert(7, Part::Running, 10).expect("room");
        tasks.get_mut(first).expect("alive").entity.open_requests = 1;
        let second = tasks.insert(7, Part::Running, 20).expect("room");
        assert_eq!(tasks.at(7), Some(second));
        assert_eq!(tasks.get(first).expect("referred to").entity.clock.part(), Part::Waiting);
        tasks.get_mut(first).expect("referred to").entity.open_requests = 0;
        tasks.release(first);
        assert!(tasks.get(first).is_none() && tasks.get(second).is_some());
        let third = tasks.insert(8, Part::Running, 30).expect("room");
        assert_eq!(third.index, first.index);
        tasks.remove(first, 40);
        assert!(tasks.get(third).is_some());
        tasks.remove(third, 40);
        assert_eq!((tasks.at(8), tasks.slots.len()), (None, 2));
    }

    #[test]
    fn no_more_tasks_are_known_than_there_is_room_for() {
        let mut tasks = Tasks::default();
        for address in 0..TASKS_MAX as u64 {
            tasks.insert(address, Part::Waiting, address).expect("room");
        }
        let newest = tasks.insert(u64::MAX, Part::Waiting, 0).expect("another is forgotten");
        assert_eq!((tasks.at(u64::MAX), tasks.slots.len()), (Some(newest), TASKS_MAX));
    }
}
