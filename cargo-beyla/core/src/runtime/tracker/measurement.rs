//! Readings of the clocks of a request's task at the boundaries of its phases.

use crate::model::explanation::{Parts, Unit};
use crate::runtime::clock::{Part, Reading};
use crate::runtime::scheduling_entity::{SchedulingEntity, TaskRef};
use crate::runtime::tasks::{Task, Tasks};
use crate::runtime::threads::Threads;

/// A task or a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EntityRef {
    Task(TaskRef),
    /// A thread, by its number and generation.
    Thread(u32, u32),
}

/// The time of a request since a moment, by the clock of what handles it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measurement {
    pub(super) entity: EntityRef,
    /// Time that was measured before, on the task of the connection.
    pub(super) before: Parts,
    pub(super) start: Reading,
    /// HTTP/2: the task of the connection, which sends what the request's own task hands to it; and the reading of its
    /// clock at the start.
    pub(super) connection: Option<(TaskRef, Reading)>,
}

/// When the task of a stream has handed its work to the task of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HandedOver {
    /// At the end of its last poll, unless it has work again since: the head of a response is one message.
    Idle,
    /// When it has ended: the content of a response may come in several.
    Ended,
    /// Not at all: what is measured is the task alone.
    Never,
}

impl EntityRef {
    pub(super) fn unit(self) -> Unit {
        match self {
            Self::Task(_) => Unit::Task,
            Self::Thread(..) => Unit::Thread,
        }
    }

    pub(super) fn get<'a>(self, tasks: &'a Tasks, threads: &'a Threads) -> Option<&'a SchedulingEntity> {
        match self {
            Self::Task(task) => tasks.get(task).map(|task| &task.entity),
            Self::Thread(thread, generation) => {
                threads.get(thread).filter(|known| known.generation == generation).map(|known| &known.entity)
            }
        }
    }

    pub(super) fn get_mut<'a>(
        self,
        tasks: &'a mut Tasks,
        threads: &'a mut Threads,
    ) -> Option<&'a mut SchedulingEntity> {
        match self {
            Self::Task(task) => tasks.get_mut(task).map(|task| &mut task.entity),
            Self::Thread(thread, generation) => {
                threads.get_mut(thread).filter(|known| known.generation == generation).map(|known| &mut known.entity)
            }
        }
    }
}

impl Measurement {
    /// The same measurement, begun anew at `at`.
    pub(super) fn restarted(&self, at: u64, tasks: &Tasks, threads: &Threads) -> Option<Self> {
        let connection = self.connection.and_then(|(task, _)| Some((task, tasks.get(task)?.entity.clock.read(at))));
        let start = self.entity.get(tasks, threads)?.clock.read(at);
        Some(Self { entity: self.entity, before: Parts::default(), start, connection })
    }

    /// What the time until `at` consisted of. `None` if the clocks no longer tell.
    pub(super) fn until(&self, at: u64, handed_over: HandedOver, tasks: &Tasks, threads: &Threads) -> Option<Parts> {
        let handed = match (self.entity, self.connection) {
            (EntityRef::Task(task), Some(connection)) => tasks.get(task).map(|task| (task, connection)),
            _ => None,
        };
        if let Some((task, (connection, connection_start))) = handed
            && let Some((own, at_hand_over)) = task.handed_over.filter(|_| has_handed_over(task, handed_over))
            && own.at <= at
        {
            let connection = tasks.get(connection)?.entity.clock.read(at);
            let (own, rest) = if own.at >= self.start.at {
                (own.since(&self.start)?, connection.since(&at_hand_over)?)
            } else {
                (Parts::default(), connection.since(&connection_start)?)
            };
            return self.before.checked_add(&own)?.checked_add(&rest);
        }
        self.before.checked_add(&self.entity.get(tasks, threads)?.clock.read(at).since(&self.start)?)
    }
}

fn has_handed_over(task: &Task, when: HandedOver) -> bool {
    match when {
        HandedOver::Idle => task.polled.is_none() && task.entity.clock.part() == Part::Waiting,
        HandedOver::Ended => task.is_dead(),
        HandedOver::Never => false,
    }
}
