//! The table of threads that do something which `--explain` wants to know of: poll a task, or handle a
//! request.

use aya_ebpf::{bindings::BPF_NOEXIST, helpers::bpf_get_current_pid_tgid, macros::map, maps::HashMap};
use cargo_beyla_events::{explain, kind, Header, OffCpu};

use super::{blocking_tasks, task_at_hand};
use crate::kernel::fields::setting;
use crate::kernel::output;
use crate::process::current;

const MAX_THREADS: u32 = 16 * 1024;

/// What is known of a thread between two events.
#[repr(C)]
pub struct Thread {
    /// The address of the task that it polls, as the probes on polls say; 0 if there is none.
    pub task: u64,
    /// The id of the task that it polled when it was last looked at; 0 if there was none.
    pub polls: u64,
    /// The task that the sampler met it with last, as `polls`.
    pub sampled: u64,
    /// When it began to poll its task, or to handle a request; where polls are not probed, since when every sample has met
    /// it with the same task, or 0.
    pub busy_since_ns: u64,
    /// When it left the CPU; 0 while it is on one, or nobody asks.
    pub off_ns: u64,
    /// When it could have gone on; 0 if it was not woken yet.
    pub woken_ns: u64,
    /// When `stacks` was last added to.
    pub stacks_ns: u64,
    /// How many stacks may still be copied.
    pub stacks: u32,
    /// 1 from the receipt of a request until the thread sends, where it polls no task.
    pub handling: u32,
    /// The system call that it sleeps in.
    pub system_call: i32,
    /// Its process, as it is numbered at the root of PID namespaces.
    pub process: u32,
}

#[map]
static THREADS: HashMap<u32, Thread> = HashMap::with_max_entries(MAX_THREADS, 0);

impl Thread {
    const NEW: Self = Self {
        task: 0,
        polls: 0,
        sampled: 0,
        busy_since_ns: 0,
        off_ns: 0,
        woken_ns: 0,
        stacks_ns: 0,
        stacks: 0,
        handling: 0,
        system_call: 0,
        process: 0,
    };

    /// Whether it does something that is to be known.
    #[inline(always)]
    fn is_busy(&self) -> bool {
        self.task != 0 || self.handling != 0
    }
}

#[inline(always)]
pub fn get(thread: u32) -> Option<&'static mut Thread> {
    // SAFETY: the verifier checks for null, and elements of a preallocated table are not freed while a
    // program runs. Only `woken_ns` is written by others than the thread itself or its CPU.
    THREADS.get_ptr_mut(&thread).map(|thread| unsafe { &mut *thread })
}

/// The current thread, if it is in the table.
#[inline(always)]
pub fn known() -> Option<&'static mut Thread> {
    let number = bpf_get_current_pid_tgid() as u32;
    let thread = get(number)?;
    is_back(number, thread);
    Some(thread)
}

/// The current thread, entered in the table if need be.
#[inline(always)]
pub fn current() -> Option<&'static mut Thread> {
    if let Some(thread) = known() {
        return Some(thread);
    }
    let number = bpf_get_current_pid_tgid() as u32;
    // With no room it goes without.
    let _ = THREADS.insert(&number, &Thread { process: current::process(), ..Thread::NEW }, u64::from(BPF_NOEXIST));
    get(number)
}

/// The current thread, if it does something that is to be known: polls a task that may not block, or handles a request.
#[inline(always)]
pub fn at_work() -> Option<&'static mut Thread> {
    if setting!(explain) == explain::ALWAYS {
        return known().filter(|thread| thread.is_busy());
    }
    let task = task_at_hand::task_at_hand();
    if task == 0 {
        let thread = known().filter(|thread| thread.handling != 0)?;
        thread.polls = 0;
        return Some(thread);
    }
    if blocking_tasks::is_known(task) {
        return None;
    }
    let thread = current()?;
    thread.polls = task;
    Some(thread)
}

/// A thread is on a CPU. Told when the scheduler puts it there, and wherever the thread itself is met: of very few
/// switches this program is not told.
#[inline(always)]
pub fn is_back(number: u32, thread: &mut Thread) {
    if thread.off_ns == 0 {
        return;
    }
    let off = OffCpu {
        header: Header {
            kind: kind::OFF_CPU,
            flags: 0,
            size: size_of::<OffCpu>() as u32,
            time_ns: output::now(),
            connection: 0,
        },
        begin_ns: thread.off_ns,
        woken_ns: thread.woken_ns,
        thread: number,
        system_call: thread.system_call,
        task: if setting!(explain) == explain::AUTO { thread.polls } else { 0 },
        process: thread.process,
        reserved: 0,
    };
    thread.off_ns = 0;
    output::frequent((&raw const off).cast(), size_of::<OffCpu>() as u64);
}

#[inline(always)]
pub fn remove(thread: u32) {
    // Few threads are in it.
    let _ = THREADS.remove(&thread);
}

/// The current thread has received something of a request, in a poll of `task` if that is known and not 0. Whether the
/// thread is to be watched for it: a task is known by its id.
#[inline(always)]
pub fn received(task: u64) -> bool {
    if setting!(explain) == explain::NEVER || (setting!(explain) == explain::AUTO && task != 0) {
        return false;
    }
    if let Some(thread) = current() {
        if !thread.is_busy() {
            thread.handling = 1;
            thread.busy_since_ns = output::now();
        }
    }
    true
}

/// The current thread is about to send.
#[inline(always)]
pub fn sends() {
    if let Some(thread) = known() {
        thread.handling = 0;
    }
}
