//! The process that was named to us: found when it executes its program, recognised by its id from then on.

use aya_ebpf::{
    bindings::bpf_pidns_info,
    helpers::{bpf_get_current_pid_tgid, bpf_get_ns_current_pid_tgid},
};
use cargo_beyla_events::kind;

use super::{current, task_variables};
use crate::kernel::fields::setting;
use crate::kernel::output;
use crate::kernel::volatile::Word;

/// The process id at the root of PID namespaces, which is what the cheapest helper tells; 0 before the
/// process has executed its program.
#[unsafe(no_mangle)]
static PROCESS: Word = Word::new();

/// `struct pid *` of the process.
#[unsafe(no_mangle)]
static PROCESS_PID: Word = Word::new();

/// In the place of [`PROCESS`]: what no process is numbered.
const NOBODY: u64 = u64::MAX;

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

/// Its `struct pid *`; 0 while it is not known.
#[inline(always)]
pub fn pid() -> u64 {
    PROCESS_PID.load()
}

/// Makes the process known, if the current thread is one of its.
///
/// Linux 5.7: `bpf_get_ns_current_pid_tgid`.
#[inline(always)]
pub fn adopt() {
    let mut info = bpf_pidns_info { pid: 0, tgid: 0 };
    let (device, inode) = (setting!(namespace_device), setting!(namespace_inode));
    // SAFETY: `info` is as large as the size says.
    let status =
        unsafe { bpf_get_ns_current_pid_tgid(device, inode, &raw mut info, size_of::<bpf_pidns_info>() as u32) };
    // Since it was looked at, it may have executed a program with other rights.
    if status != 0 || info.tgid != setting!(process) || !current::is_of_user() {
        return;
    }
    PROCESS_PID.store(current::process_pid().unwrap_or(0));
    PROCESS.store(bpf_get_current_pid_tgid() >> 32);
    task_variables::task_variables_learn();
    let executed = output::of_now(kind::EXEC);
    output::milestone((&raw const executed).cast(), u64::from(executed.size));
}

/// The current process executes a program.
#[inline(always)]
pub fn executed() {
    if setting!(itself) != 0 {
        if PROCESS.load() == 0 {
            adopt();
        } else if is_itself() && !current::is_of_user() {
            // Another program in its place, with another user's rights.
            PROCESS.store(NOBODY);
        }
    }
}
