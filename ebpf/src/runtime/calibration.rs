//! Where in tokio's variable of each thread the id of the task at hand stands, for programs without debug information.
//!
//! The variable has few words. Wherever a connection is answered, the one with the id is not 0, small, the same each time
//! on one connection, and another one on each connection: servers have a task for each. A word that
//! breaks this rule once is ruled out. As soon as a single one is left, it is taken.

use aya_ebpf::{helpers::generated::bpf_probe_read_user as probe_read_user, macros::map, maps::PerCpuArray};
use cargo_beyla_events::{uncertain, Uncertain, NO_TASK_VARIABLE, UNCERTAIN_WORDS_MAX};

use crate::kernel::volatile::get;
use crate::process::current;
use crate::process::task_variables::{self, Process, UNCERTAIN};

const WORDS: usize = UNCERTAIN_WORDS_MAX as usize;
/// No program gets that many tasks, as a power of two.
const ID_BITS: u32 = 40;
/// So many connections must have followed another one on one CPU.
const CONNECTIONS_MIN: u32 = 4;

/// What one CPU has seen.
#[repr(C)]
struct Evidence {
    program: [u64; 2],
    /// The connection that was answered last.
    connection: u64,
    /// How many have followed another one.
    changes: u32,
    /// The words that may be it, as bits.
    candidates: u32,
    /// What stands there now, and what stood there last.
    words: [u64; WORDS],
    last: [u64; WORDS],
}

/// Each CPU judges by itself, so that no two mix up what they see.
#[map]
static EVIDENCE: PerCpuArray<Evidence> = PerCpuArray::with_max_entries(1, 0);

/// The current thread is about to answer on a connection: looks at the words of the thread. It is global, so that the
/// verifier looks at it by itself: see [`crate`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn calibration_answers(connection: u64) -> u32 {
    compare(connection);
    0
}

#[inline(always)]
fn compare(connection: u64) {
    let Some(process) = task_variables::process() else { return };
    // SAFETY: elements of the tables are not freed while a program runs. What is written to them is a word at a time, and
    // the same whoever writes it.
    let process = unsafe { &mut *process };
    if process.uncertain[0] == 0 {
        return;
    }
    let Some(uncertain) = UNCERTAIN.get_ptr_mut(&process.uncertain) else { return };
    // SAFETY: as above.
    let uncertain = unsafe { &mut *uncertain };
    if get(&uncertain.state) == uncertain::OPEN {
        look(uncertain, process, connection);
    }
    if get(&uncertain.state) != uncertain::OPEN {
        process.variables[0] = get(&uncertain.offset);
        process.uncertain = [0; 2];
    }
}

#[inline(always)]
fn look(uncertain: &mut Uncertain, process: &Process, connection: u64) {
    let Some(evidence) = EVIDENCE.get_ptr_mut(0) else { return };
    // SAFETY: the pointer is to this CPU's own element, and nothing that uses it interrupts us.
    let evidence = unsafe { &mut *evidence };
    if evidence.program != process.uncertain {
        evidence.program = process.uncertain;
        evidence.connection = 0;
        evidence.changes = 0;
        // There are UNCERTAIN_WORDS_MAX at the most.
        evidence.candidates = ((1u64 << (get(&uncertain.words) & 31)) - 1) as u32;
    }
    let begin = current::thread_pointer().wrapping_add_signed(get(&uncertain.begin));
    // SAFETY: `words` is as large as is said; the helper checks the address, and leaves zeros where it cannot read.
    unsafe { probe_read_user(evidence.words.as_mut_ptr().cast(), (8 * WORDS) as u32, begin as *const _) };
    let is_first = is_zero(get(&evidence.connection));
    let is_same = is_zero(get(&evidence.connection) ^ connection);
    // Reckoned without branches, each of which the verifier would follow.
    let mut candidates = u64::from(get(&evidence.candidates));
    for index in 0..WORDS {
        let word = get(&evidence.words[index]);
        let is_as_last = is_zero(word ^ get(&evidence.last[index]));
        let is_none = is_zero(word) | (1 - is_zero(word >> ID_BITS)) | ((1 - is_first) & (is_as_last ^ is_same));
        candidates &= !(is_none << index);
        evidence.last[index] = word;
    }
    evidence.candidates = candidates as u32;
    evidence.connection = connection;
    evidence.changes = get(&evidence.changes) + (1 - is_same) as u32;
    let candidates = get(&evidence.candidates);
    if candidates == 0 {
        uncertain.offset = NO_TASK_VARIABLE;
        uncertain.state = uncertain::NOWHERE;
    } else if candidates & (candidates - 1) == 0 && get(&evidence.changes) > CONNECTIONS_MIN {
        // The number of the only bit.
        let mut index = 0;
        for (shift, mask) in [0xaaaa_u32, 0xcccc, 0xf0f0, 0xff00].into_iter().enumerate() {
            index |= (1 - is_zero(u64::from(candidates & mask))) << shift;
        }
        uncertain.offset = get(&uncertain.begin) + 8 * index as i64;
        uncertain.state = uncertain::FOUND;
    }
}

/// 1 if it is 0, else 0.
#[inline(always)]
fn is_zero(number: u64) -> u64 {
    1 ^ ((number | number.wrapping_neg()) >> 63)
}
