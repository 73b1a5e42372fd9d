//! The scheduler: when the process's busy threads leave the CPU, could go on, and go on.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use cargo_beyla_events::{explain, stack, NO_SYSTEM_CALL, UNKNOWN_SYSTEM_CALL};

use super::{blocking_tasks, stacks, threads};
use crate::kernel::fields::{setting, TypedTask};
use crate::kernel::output;
use crate::kernel::registers::Registers;
use crate::process::{target, tree};

/// A CPU goes from one thread to another; the current one is still the former.
///
/// Linux 2.6.28; with BTF 5.5.
#[btf_tracepoint(function = "sched_switch")]
pub fn sched_switch(context: BtfTracePointContext) -> i32 {
    let (previous, next) = (TypedTask::argument(&context, 1), TypedTask::argument(&context, 2));
    if target::is_traced(previous.process()) {
        let preempted = context.arg::<u64>(0) as u8 != 0;
        let wants_cpu =
            if setting!(switch_tells_state) != 0 { context.arg::<u64>(3) as u32 == 0 } else { previous.wants_cpu() };
        leaves(preempted || wants_cpu);
    }
    if target::is_traced(next.process()) {
        goes_on(next.thread());
    }
    0
}

/// A thread may run again.
///
/// Linux 2.6.28; with BTF 5.5.
#[btf_tracepoint(function = "sched_wakeup")]
pub fn sched_wakeup(context: BtfTracePointContext) -> i32 {
    let woken = TypedTask::argument(&context, 0);
    if target::is_traced(woken.process()) {
        if let Some(thread) = threads::get(woken.thread()) {
            if thread.off_ns != 0 && thread.woken_ns == 0 {
                thread.woken_ns = output::now();
            }
        }
    }
    0
}

/// A thread ends. Linux 2.6.28; with BTF 5.5.
#[btf_tracepoint(function = "sched_process_exit")]
pub fn sched_process_exit(context: BtfTracePointContext) -> i32 {
    let ending = TypedTask::argument(&context, 0);
    tree::exited(ending);
    if setting!(explain) != explain::NEVER && target::is_traced(ending.process()) {
        threads::remove(ending.thread());
    }
    0
}

#[inline(always)]
fn leaves(wants_cpu: bool) {
    let Some(thread) = threads::at_work() else { return };
    let time_ns = output::now();
    if wants_cpu {
        (thread.off_ns, thread.woken_ns, thread.system_call) = (time_ns, time_ns, NO_SYSTEM_CALL);
        return;
    }
    if setting!(user_registers) == 0 {
        (thread.off_ns, thread.woken_ns, thread.system_call) = (time_ns, 0, UNKNOWN_SYSTEM_CALL);
        return;
    }
    let registers = Registers::of_current();
    if setting!(explain) == explain::AUTO && thread.polls != 0 {
        if registers.waits_for_readiness() {
            // The loop of a worker is a task as well, and has nothing to do.
            blocking_tasks::add(thread.polls);
            return;
        }
        // What polls on after this need not be the same poll.
        thread.busy_since_ns = 0;
    }
    (thread.off_ns, thread.woken_ns, thread.system_call) = (time_ns, 0, registers.number() as i32);
    if stacks::may_copy(thread, time_ns) {
        stacks::copy(registers, stack::SLEEP, thread, time_ns);
    }
}

#[inline(always)]
fn goes_on(number: u32) {
    if let Some(thread) = threads::get(number) {
        threads::is_back(number, thread);
    }
}
