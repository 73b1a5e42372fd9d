//! The task that the current thread polls.
//!
//! In every build tokio keeps its id in a variable of each thread, `tokio::runtime::context::CONTEXT`, field
//! `current_task_id`: eight bytes, 0 while none is polled. The user side finds out where a program has that, counted from
//! the thread pointer, and one read of the thread's memory tells the task.

use aya_ebpf::{
    helpers::{bpf_get_current_task, bpf_probe_read_user},
    macros::map,
    maps::{Array, HashMap},
};
use cargo_beyla_events::{TASK_ID_BITS, TASK_VARIABLES_MAX};

use crate::family;
use crate::fields::{read, setting};

/// Offsets of the variables of a program from the thread pointer, one a version of tokio. The first that is 0 ends them.
type Variables = [i64; TASK_VARIABLES_MAX];

/// Those of the programs that may be traced, by the inode's number and the size of the file.
#[map]
static TASK_VARIABLES: HashMap<[u64; 2], Variables> = HashMap::with_max_entries(1024, 0);

/// A power of two.
const SLOTS: u32 = 64;

/// What is known of a process.
#[repr(C)]
struct Slot {
    /// As it is numbered at the root of PID namespaces; 0 if there is none.
    process: u32,
    reserved: u32,
    variables: Variables,
}

/// The processes of whose variables somebody has asked last, by the low bits of their numbers.
#[map]
static PROCESS_VARIABLES: Array<Slot> = Array::with_max_entries(SLOTS, 0);

#[inline(always)]
fn slot(process: u32) -> Option<*mut Slot> {
    PROCESS_VARIABLES.get_ptr_mut(process % SLOTS)
}

/// A process begins, or executes another program.
#[inline(always)]
pub fn forget(process: u32) {
    if let Some(slot) = slot(process) {
        // SAFETY: elements of an array are never freed.
        unsafe { (&raw mut (*slot).process).write_volatile(0) };
    }
}

/// The id of the task that the current thread polls, in [`TASK_ID_BITS`] bits, and above them which version of tokio
/// numbers it; 0 if it polls none, or that is not known.
#[inline(always)]
pub fn current() -> u64 {
    let process = family::current();
    let Some(slot) = slot(process) else { return 0 };
    // SAFETY: elements of an array are never freed. A slot is empty while another CPU fills it.
    let slot = unsafe {
        if (&raw const (*slot).process).read_volatile() != process {
            fill(slot, process);
        }
        &*slot
    };
    if slot.variables[0] == 0 {
        return 0;
    }
    // SAFETY: the helper has no precondition.
    let task = unsafe { bpf_get_current_task() };
    let Some(pointer) = read::<u64>(task, setting!(task_thread_pointer)) else { return 0 };
    let mut found = 0;
    for (version, offset) in slot.variables.iter().enumerate() {
        if *offset == 0 {
            break;
        }
        // SAFETY: the helper checks the address.
        let id = unsafe { bpf_probe_read_user(pointer.wrapping_add_signed(*offset) as *const u64) }.unwrap_or(0);
        if id != 0 {
            found = id & ((1 << TASK_ID_BITS) - 1) | (version as u64) << TASK_ID_BITS;
            break;
        }
    }
    found
}

/// Looks the current process's program up.
#[inline(always)]
unsafe fn fill(slot: *mut Slot, process: u32) {
    // SAFETY: the helper has no precondition.
    let task = unsafe { bpf_get_current_task() };
    let memory: u64 = read(task, setting!(task_mm)).unwrap_or(0);
    let file: u64 = read(memory, setting!(mm_exe_file)).unwrap_or(0);
    let inode: u64 = read(file, setting!(file_inode)).unwrap_or(0);
    let program = [read(inode, setting!(inode_number)).unwrap_or(0), read(inode, setting!(inode_size)).unwrap_or(0)];
    // SAFETY: the value is copied at once.
    let variables = unsafe { TASK_VARIABLES.get(&program) }.copied().unwrap_or([0; TASK_VARIABLES_MAX]);
    // SAFETY: the caller's pointer is to an element of an array, which is never freed.
    unsafe {
        (&raw mut (*slot).process).write_volatile(0);
        (&raw mut (*slot).variables).write_volatile(variables);
        (&raw mut (*slot).process).write_volatile(process);
    }
}
