//! The async runtime's tasks: probes on tokio's own functions in the process's executable.
//!
//! The first argument is the address of the task's header unless stated, of which tokio's state is the first
//! field. Entry probes only: a return probe would change the process's stack.

use aya_ebpf::{
    bindings::BPF_NOEXIST,
    helpers::{bpf_get_current_pid_tgid, bpf_probe_read_user, generated::bpf_probe_read_user as probe_read_user},
    macros::{map, uprobe},
    maps::HashMap,
    programs::ProbeContext,
};
use cargo_beyla_events::{
    explain, kind, task, Header, Spawned, TaskChange, Vtable, SPAWNED_BLOCKING, TASK_ID_BITS, VTABLE_WORDS,
};

use super::{blocking_tasks, task_at_hand, threads};
use crate::kernel::fields::setting;
use crate::kernel::output;
use crate::kernel::volatile::Word;
use crate::process::{current, target};

/// Of tokio's `Header`: the state, the link of a queue, and then the table of functions.
const VTABLE: u64 = 16;
/// Of tokio's `Vtable`: seven functions, the offset of the trailer, and then those of the scheduler and the id.
const VTABLE_SCHEDULER: u64 = 64;
/// More than the offset of an id.
const TASK_MAX: u64 = 4096;

/// The helper hears of this spawn: if nothing has made a call by then, spawns are of no interest.
const SPAWNS_MAX: u64 = 4096;

/// About how many tasks have been spawned.
#[unsafe(no_mangle)]
static SPAWNS: Word = Word::new();

/// The tables of functions that were told of.
#[map]
static VTABLES: HashMap<u64, u8> = HashMap::with_max_entries(16 * 1024, 0);

/// `State::transition_to_running`: a worker begins to poll a task.
#[uprobe]
pub fn task_running(context: ProbeContext) -> u32 {
    let Some(task) = argument(&context, 0) else { return 0 };
    // SAFETY: the helper checks the address.
    let vtable = unsafe { bpf_probe_read_user((task + VTABLE) as *const u64) }.unwrap_or(0);
    if vtable != 0 {
        announce(vtable);
    }
    let time_ns = output::now();
    if let Some(thread) = threads::current() {
        thread.task = task;
        thread.handling = 0;
        thread.busy_since_ns = time_ns;
    }
    let id = if setting!(explain) == explain::AUTO { id(task).unwrap_or(0) } else { 0 };
    record(task::RUNNING, task, vtable, id, time_ns);
    0
}

/// `State::transition_to_idle`: the worker has polled it, and it is not complete.
#[uprobe]
pub fn task_idle(context: ProbeContext) -> u32 {
    polled(&context, task::IDLE)
}

/// `State::transition_to_terminal`: the worker is done with it, and those who waited for it were woken.
#[uprobe]
pub fn task_terminal(context: ProbeContext) -> u32 {
    polled(&context, task::TERMINAL)
}

/// `wake_by_ref` and `wake_by_val` of a task's waker.
#[uprobe]
pub fn task_woken(context: ProbeContext) -> u32 {
    if let Some(task) = argument(&context, 0) {
        record(task::WOKEN, task, 0, 0, output::now());
    }
    0
}

/// `Handle::schedule_option_task_without_yield`: a new task, the second argument.
#[uprobe]
pub fn task_spawned(context: ProbeContext) -> u32 {
    spawned(argument(&context, 1), task::SPAWNED)
}

/// `OwnedTasks::bind_inner`: a new task, the second argument.
#[uprobe]
pub fn task_bound(context: ProbeContext) -> u32 {
    spawned(argument(&context, 1), task::SPAWNED)
}

/// `Header::set_owner_id`: a new task, in a runtime or in a `LocalSet`.
#[uprobe]
pub fn task_owned(context: ProbeContext) -> u32 {
    spawned(argument(&context, 0), task::SPAWNED)
}

/// `AtomicWaker::wake`: something was put into a channel. The first argument is the waker of its receiver.
#[uprobe]
pub fn channel_signalled(context: ProbeContext) -> u32 {
    if let Some(waker) = argument(&context, 0) {
        record(task::SIGNALLED, waker, 0, 0, output::now());
    }
    0
}

/// `Spawner::spawn_task`: a new task of the blocking pool, the second argument.
#[uprobe]
pub fn task_spawned_blocking(context: ProbeContext) -> u32 {
    spawned(argument(&context, 1), task::SPAWNED_BLOCKING)
}

/// `Defer::defer`: the task that the thread polls gives way to others.
#[uprobe]
pub fn task_deferred(_context: ProbeContext) -> u32 {
    count_trap();
    if !target::is_current_or_found() {
        return 0;
    }
    if let Some(thread) = threads::known() {
        if thread.task != 0 {
            record(task::DEFERRED, thread.task, 0, 0, output::now());
        }
    }
    0
}

/// Counts a trap, where the helper asks for the count.
#[inline(always)]
fn count_trap() {
    if setting!(explain) == explain::AUTO {
        output::count_trap();
    }
}

#[inline(always)]
fn argument(context: &ProbeContext, index: usize) -> Option<u64> {
    count_trap();
    if !target::is_current_or_found() {
        return None;
    }
    context.arg(index)
}

/// A task is new: told by its address with `--explain`, and by its id always.
#[inline(always)]
fn spawned(task: Option<u64>, what: u16) -> u32 {
    let Some(task) = task else { return 0 };
    let child = id(task);
    if setting!(explain) != explain::NEVER {
        let id = if setting!(explain) == explain::AUTO { child.unwrap_or(0) } else { 0 };
        record(what, task, 0, id, output::now());
    }
    let Some(child) = child else { return 0 };
    let blocking = what == task::SPAWNED_BLOCKING;
    if blocking && setting!(explain) == explain::AUTO {
        blocking_tasks::add(child);
    }
    tell_spawned(child, if blocking { SPAWNED_BLOCKING } else { 0 });
    0
}

#[inline(always)]
fn tell_spawned(child: u64, flags: u16) {
    let time_ns = output::now();
    let spawned = Spawned {
        header: Header { kind: kind::SPAWNED, flags, size: size_of::<Spawned>() as u32, time_ns, connection: 0 },
        parent: task_at_hand::task_at_hand(),
        child,
        thread: bpf_get_current_pid_tgid() as u32,
        process: current::process(),
    };
    output::frequent((&raw const spawned).cast(), size_of::<Spawned>() as u64);
    let count = SPAWNS.load().wrapping_add(1);
    SPAWNS.store(count);
    if count == SPAWNS_MAX {
        output::for_helper((&raw const spawned).cast(), size_of::<Spawned>() as u64);
    }
}

/// The id of a task: its table of functions says where it stands. Tokio 1.23.
#[inline(always)]
fn id(task: u64) -> Option<u64> {
    // SAFETY: the helper checks the address.
    let [scheduler, id] = unsafe {
        let vtable = bpf_probe_read_user((task + VTABLE) as *const u64).ok()?;
        bpf_probe_read_user((vtable + VTABLE_SCHEDULER) as *const [u64; 2]).ok()?
    };
    // The id follows the scheduler, which follows the header.
    if id <= scheduler || id >= TASK_MAX || id % 8 != 0 {
        return None;
    }
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_user((task + id) as *const u64) }.ok().filter(|id| *id >> TASK_ID_BITS == 0)
}

#[inline(always)]
fn polled(context: &ProbeContext, what: u16) -> u32 {
    let Some(task) = argument(context, 0) else { return 0 };
    let time_ns = output::now();
    if let Some(thread) = threads::known() {
        if thread.task == task {
            thread.task = 0;
        }
    }
    record(what, task, 0, 0, time_ns);
    0
}

#[inline(always)]
fn record(what: u16, task: u64, vtable: u64, id: u64, time_ns: u64) {
    let change = TaskChange {
        header: Header { kind: kind::TASK, flags: what, size: size_of::<TaskChange>() as u32, time_ns, connection: 0 },
        task: current::identity(task),
        vtable: if vtable == 0 { 0 } else { current::identity(vtable) },
        thread: bpf_get_current_pid_tgid() as u32,
        process: current::process(),
        id,
    };
    output::frequent((&raw const change).cast(), size_of::<TaskChange>() as u64);
}

/// Tells of a table of functions, once.
#[inline(always)]
fn announce(vtable: u64) {
    let identity = current::identity(vtable);
    // SAFETY: the value is not read.
    if unsafe { VTABLES.get(&identity) }.is_some() {
        return;
    }
    if VTABLES.insert(&identity, &1, u64::from(BPF_NOEXIST)).is_err() {
        return;
    }
    let mut record = Vtable {
        header: Header {
            kind: kind::VTABLE,
            flags: 0,
            size: size_of::<Vtable>() as u32,
            time_ns: output::now(),
            connection: 0,
        },
        vtable: identity,
        words: [0; VTABLE_WORDS],
        process: (bpf_get_current_pid_tgid() >> 32) as u32,
        reserved: 0,
    };
    // Unread, it stays zero.
    // SAFETY: `words` is as large as is said; the helper checks the address read from.
    unsafe {
        probe_read_user(record.words.as_mut_ptr().cast(), (VTABLE_WORDS * size_of::<u64>()) as u32, vtable as *const _)
    };
    output::frequent((&raw const record).cast(), size_of::<Vtable>() as u64);
}
