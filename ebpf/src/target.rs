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
use crate::output;

/// The process id at the root of PID namespaces, which is what the cheapest helper tells; 0 before the
/// process has executed its program.
#[unsafe(no_mangle)]
static PROCESS: Word = Word::new();

/// `struct pid *` of the process.
#[unsafe(no_mangle)]
static PROCESS_PID: Word = Word::new();

/// A word that programs on all CPUs share. (The BPF back end has no atomic loads; a word is never torn.)
#[repr(transparent)]
struct Word(UnsafeCell<u64>);

// SAFETY: it is only read and written whole, by single instructions.
unsafe impl Sync for Word {}

impl Word {
    const fn new() -> Self {
        Self(UnsafeCell::new(0))
    }

    #[inline(always)]
    fn load(&self) -> u64 {
        // SAFETY: the cell is valid, and see `Sync`.
        unsafe { self.0.get().read_volatile() }
    }

    #[inline(always)]
    fn store(&self, value: u64) {
        // SAFETY: the cell is valid, and see `Sync`.
        unsafe { self.0.get().write_volatile(value) }
    }
}

/// Whether the current thread belongs to the traced process.
#[inline(always)]
pub fn is_current() -> bool {
    let process = PROCESS.load();
    process != 0 && bpf_get_current_pid_tgid() >> 32 == process
}

/// The same, and makes a process known that has executed its program before anybody watched.
#[inline(always)]
pub fn is_current_or_found() -> bool {
    if setting!(attached) != 0 && PROCESS.load() == 0 {
        adopt();
    }
    is_current()
}

/// The process's id at the root of PID namespaces; 0 before it has executed its program.
#[inline(always)]
pub fn process() -> u64 {
    PROCESS.load()
}

/// Whether this is the process, as `struct pid *`.
#[inline(always)]
pub fn is_process(pid: u64) -> bool {
    pid != 0 && pid == PROCESS_PID.load()
}

/// The process executes its program: from here on it is known. Linux 3.4; with BTF 5.5.
#[btf_tracepoint(function = "sched_process_exec")]
pub fn sched_process_exec(_: BtfTracePointContext) -> i32 {
    if PROCESS.load() == 0 {
        adopt();
    }
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
    if status != 0 || info.tgid != setting!(process) {
        return;
    }
    PROCESS_PID.store(current_process_pid().unwrap_or(0));
    PROCESS.store(bpf_get_current_pid_tgid() >> 32);
    let executed = output::of_now(kind::EXEC);
    output::milestone((&raw const executed).cast(), u64::from(executed.size));
}
