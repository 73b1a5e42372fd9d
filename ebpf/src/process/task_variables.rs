//! Where the programs of processes keep the id of the task that a thread polls.
//!
//! In every build tokio keeps it in a variable of each thread, `tokio::runtime::context::CONTEXT`, field
//! `current_task_id`: eight bytes, 0 while none is polled. The user side finds out where a program has that, counted from
//! the thread pointer.

use aya_ebpf::{bindings::BPF_ANY, helpers::bpf_get_current_task, macros::map, maps::HashMap};
use cargo_beyla_events::{Uncertain, NO_TASK_VARIABLE, TASK_VARIABLES_MAX};

use super::current;
use crate::kernel::fields::{read_or_zero, setting};
use crate::kernel::volatile::Word;

/// Offsets of the variables of a program from the thread pointer, one a version of tokio; [`NO_TASK_VARIABLE`] if there
/// is none.
type Variables = [i64; TASK_VARIABLES_MAX];

/// Those of the programs that may be traced, by the inode's number and the size of the file.
#[map]
static TASK_VARIABLES: HashMap<[u64; 2], Variables> = HashMap::with_max_entries(1024, 0);

/// The variables of programs in which the place of the id is not known, by inode and size of the file.
#[map]
pub static UNCERTAIN: HashMap<[u64; 2], Uncertain> = HashMap::with_max_entries(1024, 0);

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

/// Not 0 once there is a process of which it is to be found out: see `runtime::calibration`.
#[unsafe(no_mangle)]
static CALIBRATES: Word = Word::new();

/// The current process, if it has such variables.
#[inline(always)]
pub fn process() -> Option<*mut Process> {
    PROCESS_VARIABLES.get_ptr_mut(&current::process())
}

/// The current process has executed a program, or is met for the first time: looks up what is known of the program.
///
/// It is global, so that the verifier looks at it by itself: see [`crate`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn task_variables_learn() -> u32 {
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
        None if UNCERTAIN.get_ptr(&program).is_some() => {
            Process { variables: [NO_TASK_VARIABLE; TASK_VARIABLES_MAX], uncertain: program }
        }
        None => return forget(current::process()),
    };
    if process.uncertain[0] != 0 {
        CALIBRATES.store(1);
    }
    // With no room its tasks are not known.
    let _ = PROCESS_VARIABLES.insert(&current::process(), &process, u64::from(BPF_ANY));
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

/// Whether there is a process of which it is still to be found out where its program has the id.
#[inline(always)]
pub fn is_calibration_wanted() -> bool {
    CALIBRATES.load() != 0
}
