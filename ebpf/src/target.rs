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
use crate::{family, output};

/// The process id at the root of PID namespaces, which is what the cheapest helper tells; 0 before the
/// process has executed its program.
#[unsafe(no_mangle)]
static PROCESS: Word = Word::new();

/// `struct pid *` of the process.
#[unsafe(no_mangle)]
static PROCESS_PID: Word = Word::new();

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
    if setting!(family) != 0 {
        return family::is_current();
    }
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

/// Whether a thread that is in the table of threads belongs to a traced process, whose number at the root of
/// PID namespaces this is.
#[inline(always)]
pub fn is_traced(process: u32) -> bool {
    // None of others are in it.
    setting!(family) != 0 || PROCESS.load() == u64::from(process)
}

/// Whether this is the process, as `struct pid *`.
#[inline(always)]
pub fn is_process(pid: u64) -> bool {
    if setting!(family) != 0 {
        return family::is_listening_on_unix(pid);
    }
    pid != 0 && pid == PROCESS_PID.load()
}

/// The process executes its program: from here on it is known. Linux 3.4; with BTF 5.5.
#[btf_tracepoint(function = "sched_process_exec")]
pub fn sched_process_exec(context: BtfTracePointContext) -> i32 {
    if setting!(family) != 0 {
        family::executed(&context);
    } else if PROCESS.load() == 0 {
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
