//! The processes that one process starts, with all that these start.

use aya_ebpf::{
    bindings::BPF_ANY,
    helpers::bpf_probe_read_kernel_str_bytes,
    macros::{btf_tracepoint, map},
    maps::{HashMap, PerCpuArray},
    programs::BtfTracePointContext,
};
use cargo_beyla_events::{kind, Executed, Exited, Forked, Header, Owner, PATH_MAX};

use super::{current, named, task_variables};
use crate::kernel::fields::{read_or_zero, setting, TypedTask};
use crate::kernel::output;
use crate::kernel::volatile::Word;

/// The processes, by their number at the root of PID namespaces: [`TRACED`], or [`KNOWN`] while they
/// have executed nothing that may be traced. What is forked of a process that is traced itself is traced at once.
#[map]
static PROCESSES: HashMap<u32, u32> = HashMap::with_max_entries(16 * 1024, 0);

const KNOWN: u32 = 0;
const TRACED: u32 = 1;

/// `struct pid *` of those that listen on a Unix socket.
#[map]
static UNIX_LISTENING: HashMap<u64, u8> = HashMap::with_max_entries(1024, 0);

/// Those of them that ran before anybody watched, as [`current::process_in_namespace`] numbers them, until they are
/// met.
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

#[inline(always)]
fn state(process: u32) -> Option<u32> {
    // SAFETY: the value is copied at once.
    unsafe { PROCESSES.get(&process) }.copied()
}

/// Whether the current thread belongs to a process that is traced.
#[inline(always)]
pub fn is_current() -> bool {
    state(current::process()) == Some(TRACED)
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
    let pid = current::process_in_namespace();
    // Its number may have become another's.
    if EXPECTED.remove(&pid).is_err() || !current::is_of_user() {
        return false;
    }
    // Two at once may count as one: then we go on to look.
    MET.store(MET.load() + 1);
    let process = current::process();
    enter(process, TRACED);
    task_variables::task_variables_learn();
    let header = Header { size: size_of::<Executed>() as u32, ..output::of_now(kind::EXECUTED) };
    output::record(&Executed { header, process, pid });
    true
}

#[inline(always)]
fn is_ancestor(process: u32) -> bool {
    if setting!(itself) != 0 {
        return named::number() == u64::from(process);
    }
    let known = ANCESTOR.load();
    if known != 0 {
        return known == u64::from(process);
    }
    let found = current::process_in_namespace() == setting!(process);
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
    let parent = current::process();
    if new.thread() != child {
        return 0;
    }
    named::number_is_given_to(child);
    // What is forked goes on with the same program.
    task_variables::forked(child);
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
    let process = current::process();
    if state(process).is_some() {
        enter(process, if current::is_of_user() { TRACED } else { KNOWN });
    } else if !named::is_itself() {
        return;
    }
    task_variables::task_variables_learn();
    let Some(scratch) = EXECUTED.get_ptr_mut(0) else { return };
    // SAFETY: the pointer is to this CPU's own element, and nothing that uses it interrupts us.
    let scratch = unsafe { &mut *scratch };
    let binary: u64 = context.arg(2);
    let path: u64 = read_or_zero(binary, setting!(binprm_filename));
    scratch.path[0] = 0;
    // SAFETY: the helper checks the address, and ends the text with a zero byte.
    let _ = unsafe { bpf_probe_read_kernel_str_bytes(path as *const u8, &mut scratch.path) };
    let header = Header { size: size_of::<Scratch>() as u32, ..output::of_now(kind::EXECUTED) };
    scratch.record = Executed { header, process, pid: current::process_in_namespace() };
    output::record(scratch);
}

/// A thread ends.
#[inline(always)]
pub fn exited(thread: TypedTask) {
    let process = thread.process();
    if thread.thread() != process || state(process).is_none() {
        return;
    }
    let _ = PROCESSES.remove(&process);
    task_variables::forget(process);
    let header = Header { size: size_of::<Exited>() as u32, ..output::of_now(kind::EXITED) };
    output::record(&Exited { header, process, reserved: 0 });
}

/// The current process listens on a Unix socket.
#[inline(always)]
pub fn listens_on_unix() {
    if let Some(pid) = current::process_pid() {
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
    let owner = Owner { header, process: current::process(), pid: current::process_in_namespace() };
    output::frequent((&raw const owner).cast(), size_of::<Owner>() as u64);
    owner.process
}

/// Whether a process is one of them and has not ended.
#[inline(always)]
pub fn is_member(process: u32) -> bool {
    state(process).is_some()
}
