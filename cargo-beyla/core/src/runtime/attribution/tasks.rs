//! The tasks that read requests, and the tasks that these spawn.

use std::collections::VecDeque;

use hashbrown::HashMap;

/// The tasks that are known at a time.
const TASKS_MAX: usize = 64 * 1024;

/// How many tasks are looked at to find one that can be forgotten.
const LOOKED_AT_MAX: usize = 64;

/// So far back are the ancestors of a task looked for.
const ANCESTORS_MAX: usize = 8;

/// A task. tokio never uses an id twice in a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct TaskKey {
    pub(super) process: u32,
    pub(super) task: u64,
}

/// Set in the number of a task that is known by the address of its header; ids are smaller.
const ADDRESS: u64 = 1 << 63;

impl TaskKey {
    /// Of the task that has this address now. No two living tasks have the same, whatever their processes.
    pub(super) fn of_address(address: u64) -> Self {
        Self { process: 0, task: address | ADDRESS }
    }
}

/// All tasks that have to do with requests.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    known: HashMap<TaskKey, Task>,
    /// The oldest first.
    order: VecDeque<TaskKey>,
}

/// The request that a task works for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WorksFor {
    pub(super) request: u64,
    /// It can work for no other.
    pub(super) is_sure: bool,
}

/// The request that a task has from the task that spawned it.
#[derive(Clone, Copy, Debug)]
struct Inherited {
    request: u64,
    /// The spawner reads interleaved requests, and has spawned the task for this one: it serves no other, whoever wakes it.
    is_served: bool,
}

#[derive(Debug, Default)]
struct Task {
    parent: Option<TaskKey>,
    /// When it was spawned, if that was seen, in nanoseconds.
    born_ns: Option<u64>,
    /// The request that its spawner worked on.
    inherits: Option<Inherited>,
    /// The task of a request has woken it: it may do something for that request too.
    is_asked: bool,
    /// The requests that it has read and that are not answered, the oldest first.
    reads: Vec<u64>,
    /// It reads requests that are under way at the same time, each in a task of its own.
    is_interleaved: bool,
    /// Those of `reads` for which it has spawned no task yet, the oldest first.
    unspawned: VecDeque<u64>,
    /// Nobody knows which of `reads` its next task is for.
    is_out_of_step: bool,
}

impl Task {
    /// The one request that it works on itself.
    fn works_on(&self) -> Option<u64> {
        match self.reads[..] {
            [request] => Some(request),
            [oldest, ..] if !self.is_interleaved => Some(oldest),
            _ => None,
        }
    }

    /// The request that the task is for that it spawns now.
    fn hands_on(&mut self) -> Option<Inherited> {
        if self.reads.is_empty() {
            return self.inherits.map(|inherited| Inherited { is_served: false, ..inherited });
        }
        if let Some(request) = self.unspawned.pop_front() {
            return Some(Inherited { request, is_served: true });
        }
        let request = self.works_on();
        self.is_out_of_step |= request.is_none();
        request.map(|request| Inherited { request, is_served: false })
    }
}

impl Tasks {
    fn enter(&mut self, key: TaskKey) -> &mut Task {
        if self.known.len() >= TASKS_MAX && !self.known.contains_key(&key) {
            self.forget_one();
        }
        self.known.entry(key).or_insert_with(|| {
            self.order.push_back(key);
            Task::default()
        })
    }

    /// Forgets the oldest task that works on no request.
    fn forget_one(&mut self) {
        for _ in 0..LOOKED_AT_MAX {
            let Some(oldest) = self.order.pop_front() else { return };
            match self.known.get(&oldest) {
                Some(task) if !task.reads.is_empty() => self.order.push_back(oldest),
                Some(_) => {
                    self.known.remove(&oldest);
                    return;
                }
                None => {}
            }
        }
        // So many requests are under way that one has to go.
        if let Some(oldest) = self.order.pop_front() {
            self.known.remove(&oldest);
        }
    }

    /// A task has read a request.
    pub(super) fn read(&mut self, key: TaskKey, request: u64, is_interleaved: bool) {
        let task = self.enter(key);
        task.is_interleaved = is_interleaved;
        task.reads.push(request);
        if is_interleaved && !task.is_out_of_step {
            task.unspawned.push_back(request);
        }
    }

    /// A request that a task has read is answered.
    pub(super) fn answered(&mut self, key: TaskKey, request: u64) {
        let Some(task) = self.known.get_mut(&key) else { return };
        task.reads.retain(|other| *other != request);
        if task.unspawned.contains(&request) {
            // It had no task, or nobody has seen that. Then the tasks that follow are not for whom they seem to be.
            task.unspawned.clear();
            task.is_out_of_step = true;
        }
        if task.reads.is_empty() {
            task.unspawned.clear();
            task.is_out_of_step = false;
        }
    }

    /// The request that a task has read and works on.
    pub(super) fn reads(&self, key: TaskKey) -> Option<u64> {
        self.known.get(&key)?.works_on()
    }

    /// The request that a task has read and works on, or that its spawner worked on.
    pub(super) fn works_for(&self, key: TaskKey) -> Option<WorksFor> {
        let task = self.known.get(&key)?;
        match task.works_on() {
            Some(request) => Some(WorksFor { request, is_sure: true }),
            None => task
                .inherits
                .map(|Inherited { request, is_served }| WorksFor { request, is_sure: is_served || !task.is_asked }),
        }
    }

    /// A task of a request wakes this one, which may then do something for that request.
    pub(super) fn asked(&mut self, key: TaskKey) {
        if let Some(task) = self.known.get_mut(&key) {
            task.is_asked = true;
        }
    }

    /// A task has ended.
    pub(super) fn forget(&mut self, key: TaskKey) {
        if let Some(task) = self.known.get_mut(&key) {
            // Its place in the order stays.
            *task = Task::default();
        }
    }

    /// The request that a task's spawner worked on.
    pub(super) fn inherits(&self, key: TaskKey) -> Option<u64> {
        Some(self.known.get(&key)?.inherits?.request)
    }

    /// When a task was spawned, if that was seen, in nanoseconds.
    pub(super) fn born_ns(&self, key: TaskKey) -> Option<u64> {
        self.known.get(&key)?.born_ns
    }

    /// A task spawns another one. Returns the request that this is for.
    pub(super) fn spawned(&mut self, parent: TaskKey, child: TaskKey, at: u64) -> Option<u64> {
        let inherited = self.known.get_mut(&parent)?.hands_on()?;
        let task = self.enter(child);
        (task.parent, task.born_ns, task.inherits) = (Some(parent), Some(at), Some(inherited));
        Some(inherited.request)
    }

    /// Whether a task was spawned by another, or by one that this has spawned.
    pub(super) fn descends(&self, key: TaskKey, ancestor: TaskKey) -> bool {
        let parent = |key: &TaskKey| self.known.get(key)?.parent;
        std::iter::successors(parent(&key), parent).take(ANCESTORS_MAX).any(|task| task == ancestor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(task: u64) -> TaskKey {
        TaskKey { process: 0, task }
    }

    #[test]
    fn the_tasks_of_streams_come_in_the_order_of_their_requests() {
        let mut tasks = Tasks::default();
        for request in 1..=3 {
            tasks.read(key(10), request, true);
        }
        let spawned: Vec<_> = (20..24).map(|child| tasks.spawned(key(10), key(child), child)).collect();
        // Whom the last one is for, nobody knows.
        assert_eq!(spawned, [Some(1), Some(2), Some(3), None]);
        assert_eq!((tasks.reads(key(10)), tasks.inherits(key(21))), (None, Some(2)));
        // A task of a stream has tasks of its own.
        assert_eq!(tasks.spawned(key(22), key(30), 30), Some(3));
        assert!(tasks.descends(key(30), key(10)) && !tasks.descends(key(10), key(30)));
        tasks.answered(key(10), 2);
        tasks.answered(key(10), 1);
        assert_eq!(tasks.reads(key(10)), Some(3));
    }

    #[test]
    fn a_stream_that_is_answered_without_a_task_puts_the_others_out_of_step_until_all_are_answered() {
        let mut tasks = Tasks::default();
        for request in 1..=3 {
            tasks.read(key(10), request, true);
        }
        tasks.answered(key(10), 1);
        assert_eq!(tasks.spawned(key(10), key(20), 0), None);
        tasks.answered(key(10), 2);
        tasks.answered(key(10), 3);
        tasks.read(key(10), 4, true);
        tasks.read(key(10), 5, true);
        assert_eq!(tasks.spawned(key(10), key(21), 0), Some(4));
    }

    #[test]
    fn no_more_tasks_are_known_than_there_is_room_for_and_those_at_work_stay() {
        let mut tasks = Tasks::default();
        tasks.read(key(1), 1, false);
        for task in 2..3 * TASKS_MAX as u64 {
            tasks.spawned(key(1), key(task), task);
            assert!(tasks.known.len() <= TASKS_MAX && tasks.order.len() <= TASKS_MAX);
        }
        assert_eq!(tasks.reads(key(1)), Some(1));
        for task in 2..2 * TASKS_MAX as u64 {
            tasks.read(key(task), task, false);
            assert!(tasks.known.len() <= TASKS_MAX && tasks.order.len() <= TASKS_MAX);
        }
    }
}
