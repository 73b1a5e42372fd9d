//! The table of threads that do something which `--explain` wants to know of: poll a task, or handle a
//! request.

use aya_ebpf::{bindings::BPF_NOEXIST, helpers::bpf_get_current_pid_tgid, macros::map, maps::HashMap};
use cargo_beyla_events::{kind, Header, OffCpu};

use crate::kernel::fields::setting;
use crate::kernel::output;

const MAX_THREADS: u32 = 16 * 1024;

/// What is known of a thread between two events.
#[repr(C)]
pub struct Thread {
    /// The task that it polls; 0 if there is none.
    pub task: u64,
    /// When it began to poll it, or to handle a request.
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
    pub reserved: u32,
}

#[map]
static THREADS: HashMap<u32, Thread> = HashMap::with_max_entries(MAX_THREADS, 0);

impl Thread {
    const NEW: Self = Self {
        task: 0,
        busy_since_ns: 0,
        off_ns: 0,
        woken_ns: 0,
        stacks_ns: 0,
        stacks: 0,
        handling: 0,
        system_call: 0,
        reserved: 0,
    };

    /// Whether it does something that is to be known.
    #[inline(always)]
    pub fn is_busy(&self) -> bool {
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
    let _ = THREADS.insert(&number, &Thread::NEW, u64::from(BPF_NOEXIST));
    get(number)
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
    };
    thread.off_ns = 0;
    output::frequent((&raw const off).cast(), size_of::<OffCpu>() as u64);
}

#[inline(always)]
pub fn remove(thread: u32) {
    // Few threads are in it.
    let _ = THREADS.remove(&thread);
}

/// The current thread has received something of a request.
#[inline(always)]
pub fn received() {
    if setting!(explain) == 0 {
        return;
    }
    if let Some(thread) = current() {
        if !thread.is_busy() {
            thread.handling = 1;
            thread.busy_since_ns = output::now();
        }
    }
}

/// The current thread is about to send.
#[inline(always)]
pub fn sends() {
    if let Some(thread) = known() {
        thread.handling = 0;
    }
}
