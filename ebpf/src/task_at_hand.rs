//! The task that the current thread polls.
//!
//! In every build tokio keeps its id in a variable of each thread, `tokio::runtime::context::CONTEXT`, field
//! `current_task_id`: eight bytes, 0 while none is polled. The user side finds out where a program has that, counted from
//! the thread pointer, and one read of the thread's memory tells the task.

use aya_ebpf::{
    bindings::BPF_ANY,
    helpers::{bpf_get_current_task, generated::bpf_probe_read_user as probe_read_user},
    macros::map,
    maps::HashMap,
};
use cargo_beyla_events::{NO_TASK_VARIABLE, TASK_ID_BITS, TASK_VARIABLES_MAX};

use crate::fields::{read_or_zero, setting};
use crate::payload::get;
use crate::{calibration, process_tree};

/// Offsets of the variables of a program from the thread pointer, one a version of tokio; [`NO_TASK_VARIABLE`] if there is none.
type Variables = [i64; TASK_VARIABLES_MAX];

/// Those of the programs that may be traced, by the inode's number and the size of the file.
#[map]
static TASK_VARIABLES: HashMap<[u64; 2], Variables> = HashMap::with_max_entries(1024, 0);

/// What is known of a process.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Process {
    pub variables: Variables,
    /// Its program, as in [`TASK_VARIABLES`], while it is still to be found out where that has the id; else zeros.
    pub uncertain: [u64; 2],
}

/// The processes that have such variables, as they are numbered at the root of PID namespaces.
#[map]
static PROCESS_VARIABLES: HashMap<u32, Process> = HashMap::with_max_entries(16 * 1024, 0);

/// The current process, if it has such variables.
#[inline(always)]
pub fn process() -> Option<*mut Process> {
    PROCESS_VARIABLES.get_ptr_mut(&process_tree::current())
}

/// The current process has executed a program, or is met for the first time: looks up what is known of the program.
///
/// It is global, so that the verifier looks at it by itself: see [`crate::payload::payload_copy`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn task_at_hand_learn() -> u32 {
    learn();
    0
}

#[inline(always)]
fn learn() {
    // SAFETY: the helper has no precondition.
    let task = unsafe { bpf_get_current_task() };
    let memory: u64 = read_or_zero(task, setting!(task_mm));
    let file: u64 = read_or_zero(memory, setting!(mm_exe_file));
    let inode: u64 = read_or_zero(file, setting!(file_inode));
    let program = [read_or_zero(inode, setting!(inode_number)), read_or_zero(inode, setting!(inode_size))];
    // SAFETY: the value is copied at once.
    let known = unsafe { TASK_VARIABLES.get(&program) }.copied();
    let process = match known {
        Some(variables) => Process { variables, uncertain: [0; 2] },
        None if calibration::knows(&program) => {
            Process { variables: [NO_TASK_VARIABLE; TASK_VARIABLES_MAX], uncertain: program }
        }
        None => return forget(process_tree::current()),
    };
    if process.uncertain[0] != 0 {
        calibration::begin();
    }
    // With no room its tasks are not known.
    let _ = PROCESS_VARIABLES.insert(&process_tree::current(), &process, u64::from(BPF_ANY));
}

/// The current process has started another one, with the same program.
#[inline(always)]
pub fn forked(child: u32) {
    if let Some(process) = process() {
        // SAFETY: the verifier checks for null, and elements of the table are not freed while a program runs.
        let _ = PROCESS_VARIABLES.insert(&child, unsafe { &*process }, u64::from(BPF_ANY));
    }
}

/// A process has ended, or executes another program.
#[inline(always)]
pub fn forget(process: u32) {
    let _ = PROCESS_VARIABLES.remove(&process);
}

#[inline(always)]
pub fn thread_pointer() -> u64 {
    // SAFETY: the helper has no precondition.
    let task = unsafe { bpf_get_current_task() };
    read_or_zero(task, setting!(task_thread_pointer))
}

/// The id of the task that the current thread polls, in [`TASK_ID_BITS`] bits, and above them which version of tokio
/// numbers it; 0 if it polls none, or that is not known.
///
/// It is global, so that the verifier looks at it by itself: see [`crate::payload::payload_copy`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn task_at_hand() -> u64 {
    let Some(process) = process() else { return 0 };
    let pointer = thread_pointer();
    // SAFETY: see `forked`.
    let [first, second] = unsafe { get(&(*process).variables) };
    let id = word(pointer.wrapping_add_signed(first));
    if id != 0 || second == NO_TASK_VARIABLE {
        return id;
    }
    match word(pointer.wrapping_add_signed(second)) {
        0 => 0,
        id => id | 1 << TASK_ID_BITS,
    }
}

/// A word of the process's memory; 0 if it cannot be read.
#[inline(always)]
fn word(address: u64) -> u64 {
    let mut word = 0u64;
    // SAFETY: `word` is as large as is said; the helper checks the address, and leaves zero where it cannot read.
    unsafe { probe_read_user((&raw mut word).cast(), size_of::<u64>() as u32, address as *const _) };
    word
}
