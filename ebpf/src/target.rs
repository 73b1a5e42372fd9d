//! The traced process: found when it executes its program, recognised by its id from then on.

use core::cell::UnsafeCell;

use aya_ebpf::{
    bindings::bpf_pidns_info,
    helpers::{bpf_get_current_pid_tgid, bpf_get_ns_current_pid_tgid},
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use cargo_beyla_events::kind;

use crate::fields::{current_process_pid, setting};
use crate::{output, process_tree, task_at_hand};

/// The process id at the root of PID namespaces, which is what the cheapest helper tells; 0 before the
/// process has executed its program.
#[unsafe(no_mangle)]
static PROCESS: Word = Word::new();

/// `struct pid *` of the process.
#[unsafe(no_mangle)]
static PROCESS_PID: Word = Word::new();

/// In the place of [`PROCESS`]: what no process is numbered.
const NOBODY: u64 = u64::MAX;

/// A word that programs on all CPUs share. (The BPF back end has no atomic loads; a word is never torn.)
#[repr(transparent)]
pub struct Word(UnsafeCell<u64>);

// SAFETY: it is only read and written whole, by single instructions.
unsafe impl Sync for Word {}

impl Word {
    pub const fn new() -> Self {
        Self(UnsafeCell::new(0))
    }

    #[inline(always)]
    pub fn load(&self) -> u64 {
        // SAFETY: the cell is valid, and see `Sync`.
        unsafe { self.0.get().read_volatile() }
    }

    #[inline(always)]
    pub fn store(&self, value: u64) {
        // SAFETY: the cell is valid, and see `Sync`.
        unsafe { self.0.get().write_volatile(value) }
    }
}

/// Whether the current thread belongs to a traced process.
#[inline(always)]
pub fn is_current() -> bool {
    // Most servers are one process, which is recognised at less expense.
    is_itself() || (process_tree::has_begun() && process_tree::is_current())
}

/// Whether the current thread belongs to the process that was named, and that process is traced itself.
#[inline(always)]
pub fn is_itself() -> bool {
    let process = PROCESS.load();
    setting!(itself) != 0 && process != 0 && bpf_get_current_pid_tgid() >> 32 == process
}

/// A process begins. If it has the number of the one that was named, that has ended.
#[inline(always)]
pub fn number_is_given_to(process: u32) {
    if PROCESS.load() == u64::from(process) {
        PROCESS.store(NOBODY);
        PROCESS_PID.store(0);
    }
}

/// The number of that process at the root of PID namespaces; 0 while it is not known.
#[inline(always)]
pub fn number() -> u64 {
    PROCESS.load()
}

/// Whether the current thread belongs to a traced process. Makes those known that have executed their programs before
/// anybody watched.
#[inline(always)]
pub fn is_current_or_found() -> bool {
    if setting!(attached) != 0 && PROCESS.load() == 0 {
        adopt();
    }
    is_current() || (setting!(expected) != 0 && process_tree::is_current_expected())
}

/// Whether a thread that is in the table of threads belongs to a traced process, whose number at the root of
/// PID namespaces this is.
#[inline(always)]
pub fn is_traced(process: u32) -> bool {
    // None of others are in it.
    PROCESS.load() == u64::from(process) || process_tree::has_begun()
}

/// Whether this is the process, as `struct pid *`.
#[inline(always)]
pub fn is_process(pid: u64) -> bool {
    pid != 0 && (pid == PROCESS_PID.load() || (process_tree::has_begun() && process_tree::is_listening_on_unix(pid)))
}

/// The process executes its program: from here on it is known. Linux 3.4; with BTF 5.5.
#[btf_tracepoint(function = "sched_process_exec")]
pub fn sched_process_exec(context: BtfTracePointContext) -> i32 {
    if setting!(itself) != 0 {
        if PROCESS.load() == 0 {
            adopt();
        } else if is_itself() && !process_tree::is_of_user() {
            // Another program in its place, with another user's rights.
            PROCESS.store(NOBODY);
        }
    }
    process_tree::executed(&context);
    0
}

/// Makes the process known, if the current thread is one of its.
///
/// Linux 5.7: `bpf_get_ns_current_pid_tgid`.
#[inline(always)]
fn adopt() {
    let mut info = bpf_pidns_info { pid: 0, tgid: 0 };
    let (device, inode) = (setting!(namespace_device), setting!(namespace_inode));
    // SAFETY: `info` is as large as the size says.
    let status =
        unsafe { bpf_get_ns_current_pid_tgid(device, inode, &raw mut info, size_of::<bpf_pidns_info>() as u32) };
    // Since it was looked at, it may have executed a program with other rights.
    if status != 0 || info.tgid != setting!(process) || !process_tree::is_of_user() {
        return;
    }
    PROCESS_PID.store(current_process_pid().unwrap_or(0));
    PROCESS.store(bpf_get_current_pid_tgid() >> 32);
    task_at_hand::task_at_hand_learn();
    let executed = output::of_now(kind::EXEC);
    output::milestone((&raw const executed).cast(), u64::from(executed.size));
}
