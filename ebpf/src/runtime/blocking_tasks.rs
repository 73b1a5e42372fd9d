//! Tasks of the pool of threads that may block. The loop of a worker is one of them as well: when that sleeps, the worker
//! has nothing to do.

use aya_ebpf::{bindings::BPF_ANY, macros::map, maps::LruHashMap};

use crate::process::current;

const TASKS_MAX: u32 = 16 * 1024;

/// Those that were met last, by [`current::identity`] of their ids.
#[map]
static BLOCKING_TASKS: LruHashMap<u64, u8> = LruHashMap::with_max_entries(TASKS_MAX, 0);

/// The current process has a task of this id there.
#[inline(always)]
pub fn add(task: u64) {
    // One that is not known to be there is told of as any other.
    let _ = BLOCKING_TASKS.insert(&current::identity(task), &1, u64::from(BPF_ANY));
}

/// Whether the current process is known to have a task of this id there.
#[inline(always)]
pub fn is_known(task: u64) -> bool {
    // SAFETY: the value is not read.
    unsafe { BLOCKING_TASKS.get(&current::identity(task)) }.is_some()
}
