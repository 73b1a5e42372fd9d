//! The current process: how it is numbered, whose rights it has, and what of it the kernel keeps at hand.

use aya_ebpf::{
    bindings::bpf_pidns_info,
    helpers::{bpf_get_current_pid_tgid, bpf_get_current_task, bpf_get_ns_current_pid_tgid},
};

use crate::kernel::fields::{read, read_or_zero, setting};

/// The current process, by its number at the root of PID namespaces.
#[inline(always)]
pub fn process() -> u32 {
    (bpf_get_current_pid_tgid() >> 32) as u32
}

/// The current process, as it numbers itself in the namespace of the one that starts them all; 0 in another.
///
/// Linux 5.7: `bpf_get_ns_current_pid_tgid`.
#[inline(always)]
pub fn process_in_namespace() -> u32 {
    let mut info = bpf_pidns_info { pid: 0, tgid: 0 };
    let (device, inode) = (setting!(namespace_device), setting!(namespace_inode));
    // SAFETY: `info` is as large as the size says.
    let status =
        unsafe { bpf_get_ns_current_pid_tgid(device, inode, &raw mut info, size_of::<bpf_pidns_info>() as u32) };
    if status == 0 {
        info.tgid
    } else {
        0
    }
}

/// `struct pid *` of the current process.
#[inline(always)]
pub fn process_pid() -> Option<u64> {
    // SAFETY: the helper has no precondition.
    let task = unsafe { bpf_get_current_task() };
    let signal: u64 = read(task, setting!(task_signal))?;
    read(signal, setting!(signal_tgid))
}

/// Whether the current process has only rights that the user has: its program may be set-uid or set-gid, or have
/// capabilities. The rule is that of ptrace (`__ptrace_may_access` in `kernel/ptrace.c`).
#[inline(always)]
pub fn is_of_user() -> bool {
    let user = setting!(user);
    if user == 0 {
        return true;
    }
    // SAFETY: the helper has no precondition.
    let task = unsafe { bpf_get_current_task() };
    let credentials: u64 = read_or_zero(task, setting!(task_cred));
    let is_user = |offset: u32| read::<u32>(credentials, offset) == Some(user);
    let group = read::<u32>(credentials, setting!(cred_gid));
    let is_group = |offset: u32| group.is_some() && read::<u32>(credentials, offset) == group;
    // 64 bits, be they one word (Linux 6.3) or two.
    let permitted: Option<u64> = read(credentials, setting!(cred_cap_permitted));
    is_user(setting!(cred_uid))
        && is_user(setting!(cred_euid))
        && is_user(setting!(cred_suid))
        && is_group(setting!(cred_egid))
        && is_group(setting!(cred_sgid))
        && permitted.is_some_and(|permitted| permitted & !setting!(capabilities) == 0)
}

/// From where the thread-local variables of the current thread are counted.
#[inline(always)]
pub fn thread_pointer() -> u64 {
    // SAFETY: the helper has no precondition.
    let task = unsafe { bpf_get_current_task() };
    read_or_zero(task, setting!(task_thread_pointer))
}

/// What tells something at an address of the current process from what others have at the same address.
#[inline(always)]
pub fn identity(address: u64) -> u64 {
    // Odd, so that no two processes have the same product; its high bits differ as its low ones do.
    address ^ u64::from(process()).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}
