//! The processes that one process starts, with all that these start.

use aya_ebpf::{
    bindings::{bpf_pidns_info, BPF_ANY},
    helpers::{
        bpf_get_current_pid_tgid, bpf_get_current_task, bpf_get_ns_current_pid_tgid, bpf_probe_read_kernel_str_bytes,
    },
    macros::{btf_tracepoint, map},
    maps::{HashMap, PerCpuArray},
    programs::BtfTracePointContext,
};
use cargo_beyla_events::{kind, Executed, Exited, Forked, Header, Owner, PATH_MAX};

use crate::fields::{current_process_pid, read, read_or_zero, setting, TypedTask};
use crate::target::{self, Word};
use crate::{output, task_at_hand};

/// The processes, by their number at the root of PID namespaces: [`TRACED`], or [`KNOWN`] while they
/// have executed nothing that may be traced. What is forked of a process that is traced itself is traced at once.
#[map]
static PROCESSES: HashMap<u32, u32> = HashMap::with_max_entries(16 * 1024, 0);

const KNOWN: u32 = 0;
const TRACED: u32 = 1;

/// `struct pid *` of those that listen on a Unix socket.
#[map]
static UNIX_LISTENING: HashMap<u64, u8> = HashMap::with_max_entries(1024, 0);

/// Those of them that ran before anybody watched, as [`current_in_namespace`] numbers them, until they are met.
#[map]
static EXPECTED: HashMap<u32, u8> = HashMap::with_max_entries(1024, 0);

/// How many of them have been met.
#[unsafe(no_mangle)]
static MET: Word = Word::new();

/// Not 0 once there is anybody in [`PROCESSES`].
#[unsafe(no_mangle)]
static BEGUN: Word = Word::new();

/// The process that starts them all if it is not traced itself, numbered as in [`PROCESSES`]; 0 before it has started
/// any.
#[unsafe(no_mangle)]
static ANCESTOR: Word = Word::new();

/// Where a record and the path that follows it are put together.
#[repr(C)]
struct Scratch {
    record: Executed,
    path: [u8; PATH_MAX],
}

/// Only `sched_process_exec` uses it, which does not interrupt itself.
#[map]
static EXECUTED: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);

/// The current process, by its number at the root of PID namespaces.
#[inline(always)]
pub fn current() -> u32 {
    (bpf_get_current_pid_tgid() >> 32) as u32
}

#[inline(always)]
fn state(process: u32) -> Option<u32> {
    // SAFETY: the value is copied at once.
    unsafe { PROCESSES.get(&process) }.copied()
}

/// Whether the current thread belongs to a process that is traced.
#[inline(always)]
pub fn is_current() -> bool {
    state(current()) == Some(TRACED)
}

/// Whether there is any process beside the one that starts them.
#[inline(always)]
pub fn has_begun() -> bool {
    BEGUN.load() != 0
}

#[inline(always)]
fn enter(process: u32, state: u32) {
    // With no room it is not traced, which the lack of its records tells.
    let _ = PROCESSES.insert(&process, &state, u64::from(BPF_ANY));
    BEGUN.store(1);
}

/// Whether the current process is one of those that ran before, met for the first time: it is traced from then on.
#[inline(always)]
pub fn is_current_expected() -> bool {
    if MET.load() >= u64::from(setting!(expected)) {
        return false;
    }
    let pid = current_in_namespace();
    // Its number may have become another's.
    if EXPECTED.remove(&pid).is_err() || !is_of_user() {
        return false;
    }
    // Two at once may count as one: then we go on to look.
    MET.store(MET.load() + 1);
    let process = current();
    enter(process, TRACED);
    task_at_hand::task_at_hand_learn();
    let header = Header { size: size_of::<Executed>() as u32, ..output::of_now(kind::EXECUTED) };
    output::record(&Executed { header, process, pid });
    true
}

/// The current process, as it numbers itself in the namespace of the one that starts them all; 0 in another.
///
/// Linux 5.7: `bpf_get_ns_current_pid_tgid`.
#[inline(always)]
fn current_in_namespace() -> u32 {
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

#[inline(always)]
fn is_ancestor(process: u32) -> bool {
    if setting!(itself) != 0 {
        return target::number() == u64::from(process);
    }
    let known = ANCESTOR.load();
    if known != 0 {
        return known == u64::from(process);
    }
    let found = current_in_namespace() == setting!(process);
    if found {
        ANCESTOR.store(u64::from(process));
    }
    found
}

/// A process or a thread begins. Linux 2.6.28; with BTF 5.5.
#[btf_tracepoint(function = "sched_process_fork")]
pub fn sched_process_fork(context: BtfTracePointContext) -> i32 {
    let new = TypedTask::argument(&context, 1);
    let child = new.process();
    let parent = current();
    if new.thread() != child {
        return 0;
    }
    target::number_is_given_to(child);
    // What is forked goes on with the same program.
    task_at_hand::forked(child);
    let state = match state(parent) {
        Some(state) => state,
        None if is_ancestor(parent) => setting!(itself),
        None => return 0,
    };
    enter(child, state);
    let header = Header { size: size_of::<Forked>() as u32, ..output::of_now(kind::FORKED) };
    output::record(&Forked { header, parent, child });
    0
}

/// The current process has executed a program.
#[inline(always)]
pub fn executed(context: &BtfTracePointContext) {
    let process = current();
    if state(process).is_some() {
        enter(process, if is_of_user() { TRACED } else { KNOWN });
    } else if !target::is_itself() {
        return;
    }
    task_at_hand::task_at_hand_learn();
    let Some(scratch) = EXECUTED.get_ptr_mut(0) else { return };
    // SAFETY: the pointer is to this CPU's own element, and nothing that uses it interrupts us.
    let scratch = unsafe { &mut *scratch };
    let binary: u64 = context.arg(2);
    let path: u64 = read_or_zero(binary, setting!(binprm_filename));
    scratch.path[0] = 0;
    // SAFETY: the helper checks the address, and ends the text with a zero byte.
    let _ = unsafe { bpf_probe_read_kernel_str_bytes(path as *const u8, &mut scratch.path) };
    let header = Header { size: size_of::<Scratch>() as u32, ..output::of_now(kind::EXECUTED) };
    scratch.record = Executed { header, process, pid: current_in_namespace() };
    output::record(scratch);
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

/// A thread ends.
#[inline(always)]
pub fn exited(thread: TypedTask) {
    let process = thread.process();
    if thread.thread() != process || state(process).is_none() {
        return;
    }
    let _ = PROCESSES.remove(&process);
    task_at_hand::forget(process);
    let header = Header { size: size_of::<Exited>() as u32, ..output::of_now(kind::EXITED) };
    output::record(&Exited { header, process, reserved: 0 });
}

/// The current process listens on a Unix socket.
#[inline(always)]
pub fn listens_on_unix() {
    if let Some(pid) = current_process_pid() {
        // With no room its connections are met when it touches them first.
        let _ = UNIX_LISTENING.insert(&pid, &1, u64::from(BPF_ANY));
    }
}

/// Whether this, a `struct pid *`, is one that listens on a Unix socket.
#[inline(always)]
pub fn is_listening_on_unix(pid: u64) -> bool {
    // SAFETY: the value is not read.
    unsafe { UNIX_LISTENING.get(&pid) }.is_some()
}

/// Tells whose a connection is: the current process's.
#[inline(always)]
pub fn tell_owner(connection: u64) -> u32 {
    let header = Header { size: size_of::<Owner>() as u32, connection, ..output::of_now(kind::OWNER) };
    let owner = Owner { header, process: current(), pid: current_in_namespace() };
    output::frequent((&raw const owner).cast(), size_of::<Owner>() as u64);
    owner.process
}

/// Whether a process is one of them and has not ended.
#[inline(always)]
pub fn is_member(process: u32) -> bool {
    state(process).is_some()
}

/// What tells something at an address of the current process from what others have at the same address.
#[inline(always)]
pub fn identity(address: u64) -> u64 {
    // Odd, so that no two processes have the same product; its high bits differ as its low ones do.
    address ^ u64::from(current()).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}
