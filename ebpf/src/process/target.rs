//! Whom we trace: the process that was named, or those that it has started.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};

use super::{named, tree};
use crate::kernel::fields::setting;

/// Whether the current thread belongs to a traced process.
#[inline(always)]
pub fn is_current() -> bool {
    // Most servers are one process, which is recognised at less expense.
    named::is_itself() || (tree::has_begun() && tree::is_current())
}

/// Whether the current thread belongs to a traced process. Makes those known that have executed their programs before
/// anybody watched.
#[inline(always)]
pub fn is_current_or_found() -> bool {
    if setting!(attached) != 0 && named::number() == 0 {
        named::adopt();
    }
    is_current() || (setting!(expected) != 0 && tree::is_current_expected())
}

/// Whether a thread that is in the table of threads belongs to a traced process, whose number at the root of
/// PID namespaces this is.
#[inline(always)]
pub fn is_traced(process: u32) -> bool {
    // None of others are in it.
    named::number() == u64::from(process) || tree::has_begun()
}

/// Whether this is the process, as `struct pid *`.
#[inline(always)]
pub fn is_process(pid: u64) -> bool {
    pid != 0 && (pid == named::pid() || (tree::has_begun() && tree::is_listening_on_unix(pid)))
}

/// The process executes its program: from here on it is known. Linux 3.4; with BTF 5.5.
#[btf_tracepoint(function = "sched_process_exec")]
pub fn sched_process_exec(context: BtfTracePointContext) -> i32 {
    named::executed();
    tree::executed(&context);
    0
}
