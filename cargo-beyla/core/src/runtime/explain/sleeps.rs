//! Threads: when they are off the CPU, and the stacks that were seen of them.

use cargo_beyla_events::{OffCpu, stack};

use crate::analysis::findings::{Findings, GroupId, Key, Lasted};
use crate::event::UnwoundStack;
use crate::model::explanation::Cause;
use crate::model::finding::FindingKind;

use super::Explain;
use super::cause::{cause, of_thread};
use super::clock::Part;
use super::unit::Unit;

/// The time between two ticks of the sampler, in nanoseconds: it ticks 997 times a second.
const SAMPLE_NS: u64 = 1_000_000_000 / 997;

impl Explain {
    /// A thread was off the CPU.
    pub(crate) fn off_cpu(&mut self, off: &OffCpu) {
        let Some(thread) = self.threads.get_mut(off.thread) else { return };
        let end = off.header.time_ns;
        let begin = off.begin_ns.min(end);
        let woken = if off.woken_ns == 0 { end } else { off.woken_ns.clamp(begin, end) };
        let (stack, lock) = thread.woke_up(off.begin_ns);
        let cause = cause(off, lock, self.architecture);
        let slept = woken - begin;
        let current = thread.current.and_then(|task| self.tasks.get_mut(task));
        let task = current.filter(|task| task.polled.is_some_and(|(by, _)| by == off.thread));
        let polls = task.is_some();
        if let Some(task) = task {
            task.unit.clock.off_cpu(begin, woken, end, Part::Blocked);
            thread.poll.off_cpu = thread.poll.off_cpu.saturating_add(end - begin);
            if slept > 0 {
                task.unit.spent(cause, stack, begin, woken);
            }
            if cause == Cause::Lock {
                // The pool may block, unless it handles requests.
                if !task.blocking || task.unit.latest.is_some() {
                    let group = locked(&mut task.unit, stack, slept, &mut self.findings);
                    let long = group.filter(|_| slept >= self.findings.threshold());
                    thread.poll.lock = thread.poll.lock.max(long.map(|group| (slept, group)));
                }
            } else if slept > 0 {
                thread.poll.slept(cause, stack, slept);
            }
        }
        if thread.unit.open > 0 {
            let asleep = of_thread(cause);
            thread.unit.clock.off_cpu(begin, woken, end, asleep);
            if slept > 0 && asleep == Part::Blocked {
                thread.unit.spent(cause, stack, begin, woken);
                if cause == Cause::Lock && !polls {
                    locked(&mut thread.unit, stack, slept, &mut self.findings);
                }
            }
        }
    }

    /// A thread's stack.
    pub(crate) fn stack(&mut self, record: &UnwoundStack) {
        let Some(thread) = self.threads.get_mut(record.thread) else { return };
        let at = record.time_ns;
        let current = thread.current.and_then(|task| self.tasks.get_mut(task));
        let task = current.filter(|task| task.polled.is_some_and(|(by, _)| by == record.thread));
        match record.occasion {
            // What it sleeps for is told when it wakes up; until then, this is what is known.
            stack::SLEEP => {
                if let Some(task) = task {
                    task.unit.clock.switch(at, Part::Blocked);
                }
                if thread.unit.open > 0 {
                    thread.unit.clock.switch(at, if record.lock { Part::Blocked } else { Part::Waiting });
                }
                thread.sleeps(record);
            }
            stack::SAMPLE => {
                let begin = at.saturating_sub(SAMPLE_NS);
                if let Some(task) = task {
                    task.unit.spent(Cause::Running, record.stack, begin, at);
                    thread.poll.sampled(record.stack);
                }
                if thread.unit.open > 0 {
                    thread.unit.spent(Cause::Running, record.stack, begin, at);
                }
            }
            _ => {}
        }
    }
}

/// A unit has waited for a lock.
fn locked(unit: &mut Unit, stack: u32, slept: u64, findings: &mut Findings) -> Option<GroupId> {
    let route = unit.latest;
    // What is done for no request has nothing that it could be too much of.
    if slept == 0 || (route.is_none() && slept < findings.threshold()) {
        return None;
    }
    let key = Key { kind: FindingKind::LockContention, route, cause: Cause::Lock, stack };
    let counted = route.is_some().then_some(&mut unit.counted);
    Some(findings.found(key, Lasted { total: slept, max: slept }, counted))
}
