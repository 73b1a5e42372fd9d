//! Stacks of the process's threads, copied as they are: Rust code keeps no frame pointers that the kernel
//! could follow.

use aya_ebpf::{
    helpers::bpf_get_current_pid_tgid,
    macros::{map, perf_event},
    maps::PerCpuArray,
    programs::PerfEventContext,
};
use cargo_beyla_events::{kind, stack, Header, Stack, STACK_MAX};

use super::threads::{self, Thread};
use crate::kernel::fields::setting;
use crate::kernel::memory::user;
use crate::kernel::output;
use crate::kernel::registers::Registers;
use crate::kernel::volatile::get;
use crate::process::target;

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
    let Some(thread) = threads::known() else { return 0 };
    let time_ns = output::now();
    if !thread.is_busy() || time_ns.wrapping_sub(thread.busy_since_ns) < setting!(long_poll_ns) {
        return 0;
    }
    copy(Registers::of_current(), stack::SAMPLE, bpf_get_current_pid_tgid() as u32, time_ns);
    0
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
pub fn copy(registers: &Registers, why: u16, thread: u32, time_ns: u64) {
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
        thread,
        process: (bpf_get_current_pid_tgid() >> 32) as u32,
    };
    output::frequent((scratch as *const Scratch).cast(), u64::from(size));
}
