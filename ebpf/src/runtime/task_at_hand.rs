//! The task that the current thread polls: one read of the thread's memory, where [`task_variables`] says.

use aya_ebpf::helpers::generated::bpf_probe_read_user as probe_read_user;
use cargo_beyla_events::{NO_TASK_VARIABLE, TASK_ID_BITS};

use crate::kernel::volatile::get;
use crate::process::{current, task_variables};

/// The id of the task that the current thread polls, in [`TASK_ID_BITS`] bits, and above them which version of tokio
/// numbers it; 0 if it polls none, or that is not known.
///
/// It is global, so that the verifier looks at it by itself: see [`crate`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn task_at_hand() -> u64 {
    let Some(process) = task_variables::process() else { return 0 };
    let pointer = current::thread_pointer();
    // SAFETY: see `task_variables::forked`.
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
