//! Stacks of the process's threads, copied as they are: Rust code keeps no frame pointers that the kernel
//! could follow.

use aya_ebpf::{
    helpers::bpf_get_current_pid_tgid,
    macros::{map, perf_event},
    maps::PerCpuArray,
    programs::PerfEventContext,
};
use cargo_beyla_events::{explain, kind, stack, Header, Sample, Stack, STACK_MAX};

use super::threads::{self, Thread};
use crate::capture::scratch;
use crate::kernel::fields::setting;
use crate::kernel::memory::user;
use crate::kernel::output;
use crate::kernel::registers::Registers;
use crate::kernel::volatile::get;
use crate::process::{current, target};

const PAGE: usize = 4096;
const PAGES: usize = STACK_MAX / PAGE;
/// A thread's stacks are copied without reserve up to this number, and then one about every millisecond:
/// a thread that sleeps much more often is told of by samples.
const STACKS_MAX: u32 = 64;
/// As a power of two, in nanoseconds.
const STACK_EVERY: u32 = 20;

/// Where a record and the stack that follows it are put together. The programs that use it run with
/// interrupts disabled, so none interrupts another.
#[repr(C)]
struct Scratch {
    record: Stack,
    bytes: [u8; STACK_MAX],
    copied: u32,
}

#[map]
static STACK_SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);

/// A tick of the sampler's clock, on every CPU: threads that have been busy for long are told of.
#[perf_event]
pub fn sample_stack(_: PerfEventContext) -> u32 {
    if setting!(user_registers) == 0 || !target::is_current() {
        return 0;
    }
    let Some(thread) = threads::at_work() else { return 0 };
    let time_ns = output::now();
    if setting!(explain) == explain::AUTO {
        sampled(thread, time_ns);
    }
    if time_ns.wrapping_sub(thread.busy_since_ns) >= setting!(long_poll_ns) {
        copy(Registers::of_current(), stack::SAMPLE, thread, time_ns);
    }
    0
}

/// Tells of a tick of the sampler, and notes since when the thread seems to be in the same poll: a task that neither sleeps
/// nor moves bytes from one tick to the next is likely to be.
#[inline(always)]
fn sampled(thread: &mut Thread, time_ns: u64) {
    let number = bpf_get_current_pid_tgid() as u32;
    if thread.polls != 0
        && (thread.busy_since_ns == 0
            || thread.sampled != thread.polls
            || scratch::has_moved_bytes(number, thread.busy_since_ns))
    {
        thread.sampled = thread.polls;
        thread.busy_since_ns = time_ns;
    }
    let sample = Sample {
        header: Header { kind: kind::SAMPLE, flags: 0, size: size_of::<Sample>() as u32, time_ns, connection: 0 },
        task: thread.polls,
        thread: number,
        process: current::process(),
    };
    output::frequent((&raw const sample).cast(), size_of::<Sample>() as u64);
}

/// Whether one more stack of this thread may be copied; if so, it counts.
#[inline(always)]
pub fn may_copy(thread: &mut Thread, time_ns: u64) -> bool {
    let earned = time_ns.wrapping_sub(thread.stacks_ns) >> STACK_EVERY;
    if earned > 0 {
        let stacks = u64::from(thread.stacks) + earned;
        thread.stacks = if stacks > u64::from(STACKS_MAX) { STACKS_MAX } else { stacks as u32 };
        thread.stacks_ns = time_ns;
    }
    if thread.stacks == 0 {
        return false;
    }
    thread.stacks -= 1;
    true
}

/// Records the current thread's stack.
#[inline(always)]
pub fn copy(registers: &Registers, why: u16, thread: &Thread, time_ns: u64) {
    let Some(scratch) = STACK_SCRATCH.get_ptr_mut(0) else { return };
    // SAFETY: the pointer is to this CPU's own element, and nothing that uses it interrupts us.
    let scratch = unsafe { &mut *scratch };
    let stack_pointer = registers.stack_pointer();
    scratch.copied = 0;
    // Page by page: above the thread's first frame there may be nothing.
    let first = PAGE - (stack_pointer as usize & (PAGE - 1));
    if user(scratch.bytes.as_mut_ptr(), first as u32, stack_pointer) {
        scratch.copied = first as u32;
        for page in 0..PAGES - 1 {
            let at = first + page * PAGE;
            // SAFETY: `first` is at most one page, and the pages that follow are one less than there is room for.
            let to = unsafe { scratch.bytes.as_mut_ptr().add(at) };
            if !user(to, PAGE as u32, stack_pointer + at as u64) {
                break;
            }
            scratch.copied = (at + PAGE) as u32;
        }
    }
    let copied = get(&scratch.copied);
    let copied = if copied > STACK_MAX as u32 { STACK_MAX as u32 } else { copied };
    let size = size_of::<Stack>() as u32 + copied;
    scratch.record = Stack {
        header: Header { kind: kind::STACK, flags: why, size, time_ns, connection: 0 },
        instruction: registers.instruction(),
        stack_pointer,
        frame_pointer: registers.frame_pointer(),
        link: registers.link(),
        thread: bpf_get_current_pid_tgid() as u32,
        process: current::process(),
        task: if setting!(explain) == explain::AUTO { thread.polls } else { 0 },
    };
    output::frequent((scratch as *const Scratch).cast(), u64::from(size));
}
