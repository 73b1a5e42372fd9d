//! Threads off the CPU: for how long, why, and with which stacks; and the samples of those on a CPU.

use cargo_beyla_events::{NO_SYSTEM_CALL, OffCpu, stack};

use crate::event::UnwoundStack;
use crate::model::explanation::Cause;
use crate::model::finding::FindingKind;
use crate::model::system_call::{Architecture, SystemCall};
use crate::runtime::clock::Part;
use crate::runtime::observations::{ObservationId, ObservationKey, Observations, TimeInPoll};
use crate::runtime::scheduling_entity::SchedulingEntity;
use crate::runtime::tasks::TaskId;

use super::RuntimeTracker;

/// The time between two ticks of the sampler, in nanoseconds: it ticks 997 times a second.
pub(super) const SAMPLE_NS: u64 = 1_000_000_000 / 997;

impl RuntimeTracker {
    /// A thread was off the CPU, in a poll of `task` if that is known.
    pub(crate) fn off_cpu(&mut self, off: &OffCpu, task: Option<TaskId>) {
        let end = off.header.time_ns;
        let begin = off.begin_ns.min(end);
        let seen = task.and_then(|task| self.seen_poll(off.thread, task, begin));
        let Some(thread) = self.threads.get_mut(off.thread) else { return };
        let woken = if off.woken_ns == 0 { end } else { off.woken_ns.clamp(begin, end) };
        let (stack, acquires_lock) = thread.wakes_up(off.begin_ns);
        let cause = cause_of_sleep(off, acquires_lock, self.architecture);
        let slept = woken - begin;
        let current = seen.or(thread.current).and_then(|task| self.tasks.get_mut(task));
        let task = current.filter(|task| seen.is_some() || task.is_polled_by(off.thread));
        let polls = task.is_some();
        if let Some(task) = task {
            task.entity.clock.off_cpu(begin, woken, end, Part::Blocked);
            thread.poll.off_cpu = thread.poll.off_cpu.saturating_add(end - begin);
            if slept > 0 {
                task.entity.spent(cause, stack, begin, woken);
            }
            if cause == Cause::Lock {
                // Tasks of the blocking pool may wait for locks, unless they handle requests.
                if !task.blocking || task.entity.last_route.is_some() {
                    let observation = observe_lock(&mut task.entity, stack, slept, &mut self.observations);
                    let long = observation.filter(|_| slept >= self.observations.threshold());
                    thread.poll.lock = thread.poll.lock.max(long.map(|observation| (slept, observation)));
                }
            } else if slept > 0 {
                thread.poll.slept(cause, stack, slept);
            }
        }
        if thread.entity.open_requests > 0 {
            let asleep = part_without_task(cause);
            thread.entity.clock.off_cpu(begin, woken, end, asleep);
            if slept > 0 && asleep == Part::Blocked {
                thread.entity.spent(cause, stack, begin, woken);
                if cause == Cause::Lock && !polls {
                    observe_lock(&mut thread.entity, stack, slept, &mut self.observations);
                }
            }
        }
        if let Some(task) = seen {
            self.seen_until(off.thread, task, end);
            if slept > 0 {
                self.end_seen_poll(off.thread);
            }
        }
    }

    /// Takes a thread's stack: it goes to sleep, or the sampler met it on a CPU; in a poll of `task` if that is known.
    pub(crate) fn stack(&mut self, record: &UnwoundStack, task: Option<TaskId>) {
        let at = record.time_ns;
        let seen = task.and_then(|task| self.seen_poll(record.thread, task, at));
        let Some(thread) = self.threads.get_mut(record.thread) else { return };
        let current = seen.or(thread.current).and_then(|task| self.tasks.get_mut(task));
        let task = current.filter(|task| seen.is_some() || task.is_polled_by(record.thread));
        match record.occasion {
            // The cause becomes known when the thread wakes up. Until then, this is what counts.
            stack::SLEEP => {
                if let Some(task) = task {
                    task.entity.clock.switch(at, Part::Blocked);
                }
                if thread.entity.open_requests > 0 {
                    thread.entity.clock.switch(at, if record.lock { Part::Blocked } else { Part::Waiting });
                }
                thread.falls_asleep(at, record.stack, record.lock);
            }
            stack::SAMPLE => {
                let begin = at.saturating_sub(SAMPLE_NS);
                if let Some(task) = task {
                    task.entity.spent(Cause::Running, record.stack, begin, at);
                    thread.poll.sampled(record.stack);
                }
                if thread.entity.open_requests > 0 {
                    thread.entity.spent(Cause::Running, record.stack, begin, at);
                }
                if let Some(task) = seen {
                    self.seen_until(record.thread, task, at);
                }
            }
            _ => {}
        }
    }
}

/// Counts a wait for a lock.
fn observe_lock(
    entity: &mut SchedulingEntity,
    stack: u32,
    slept: u64,
    observations: &mut Observations,
) -> Option<ObservationId> {
    let route = entity.last_route;
    // Short waits matter only by their part of the route's time, and a task without requests has no route.
    if slept == 0 || (route.is_none() && slept < observations.threshold()) {
        return None;
    }
    let key = ObservationKey { kind: FindingKind::LockContention, route, cause: Cause::Lock, stack };
    let counted = route.is_some().then_some(&mut entity.counted);
    Some(observations.observe(key, TimeInPoll { total: slept, max: slept }, counted))
}

/// Why a thread slept; `acquires_lock` says whether its stack acquires a lock.
fn cause_of_sleep(off: &OffCpu, acquires_lock: bool, architecture: Architecture) -> Cause {
    let call = SystemCall { architecture, number: off.system_call };
    match off.system_call {
        NO_SYSTEM_CALL => Cause::PageFault,
        number if acquires_lock && (number < 0 || call.name().is_some_and(is_futex)) => Cause::Lock,
        ..0 => Cause::Unknown,
        _ => Cause::SystemCall(call),
    }
}

/// The part to which a sleep belongs on a thread that polls no task. Such a thread may simply have nothing to do.
fn part_without_task(cause: Cause) -> Part {
    let Cause::SystemCall(call) = cause else {
        return Part::Blocked;
    };
    let idle = match call.name() {
        Some("epoll_wait" | "epoll_pwait" | "epoll_pwait2" | "poll" | "ppoll" | "select" | "pselect6") => true,
        // Parked: a condition variable, a channel.
        Some(name) => name == "io_uring_enter" || is_futex(name),
        None => false,
    };
    if idle { Part::Waiting } else { Part::Blocked }
}

fn is_futex(name: &str) -> bool {
    matches!(name, "futex" | "futex_wait" | "futex_waitv")
}

#[cfg(test)]
mod tests {
    use cargo_beyla_events::UNKNOWN_SYSTEM_CALL;

    use super::*;

    /// Each architecture has its own numbers of `epoll_pwait`, `futex`, `nanosleep` and `read`.
    #[test]
    fn causes_and_what_they_are_to_a_thread() {
        for (architecture, [epoll, futex, sleep, read]) in
            [(Architecture::X86_64, [281, 202, 35, 0]), (Architecture::Aarch64, [22, 98, 101, 63])]
        {
            let call = |number| Cause::SystemCall(SystemCall { architecture, number });
            for (system_call, lock, expected, part) in [
                (epoll, false, call(epoll), Part::Waiting),
                (futex, false, call(futex), Part::Waiting),
                (futex, true, Cause::Lock, Part::Blocked),
                (sleep, false, call(sleep), Part::Blocked),
                (read, true, call(read), Part::Blocked),
                (NO_SYSTEM_CALL, false, Cause::PageFault, Part::Blocked),
                (UNKNOWN_SYSTEM_CALL, false, Cause::Unknown, Part::Blocked),
                (UNKNOWN_SYSTEM_CALL, true, Cause::Lock, Part::Blocked),
                (i32::MIN, false, Cause::Unknown, Part::Blocked),
                (i32::MAX, false, call(i32::MAX), Part::Blocked),
            ] {
                let off = OffCpu { system_call, ..OffCpu::default() };
                let cause = cause_of_sleep(&off, lock, architecture);
                assert_eq!(
                    (cause, part_without_task(cause)),
                    (expected, part),
                    "{architecture:?} {system_call} {lock}"
                );
            }
        }
    }
}
