//! The statements that SQLite executes within the process: probes on functions of its C interface.
//!
//! Entries are probed, and no returns but one. A return probe would put an address of the kernel's into the stack, which ends whatever walks
//! that stack meanwhile: our own copies of it, and the backtraces of the program. An execution begins with the first
//! `sqlite3_step` and ends where `sqlite3_reset` or `sqlite3_finalize` is called, which every binding does as soon as it
//! has the last row. What the last step returned stands in the connection (`sqlite3.errCode`).
//!
//! `sqlite3_exec` does all that within, and calls nothing that tells its end: there the instructions are probed by which it
//! returns. SQLite itself calls it too, to read which tables there are: that is a part of what goes on, and no execution.

use aya_ebpf::{
    bindings::BPF_ANY,
    helpers::{
        bpf_get_current_pid_tgid,
        generated::{bpf_probe_read_kernel, bpf_probe_read_user_str},
    },
    macros::{map, uprobe},
    maps::{Array, LruHashMap},
    programs::{ProbeContext, RetProbeContext},
};
use cargo_beyla_events::{
    kind, Header, SqliteExecution, SQLITE_CODE_KNOWN, SQLITE_END_UNSEEN, SQLITE_NOT_STEPPED, SQLITE_TEXT_MAX,
};

use crate::kernel::memory::user;
use crate::kernel::output;
use crate::process::{current, named, target};
use crate::runtime::task_at_hand;

/// `SQLITE_BUSY`, `SQLITE_LOCKED`: the program may call `sqlite3_step` again, and the execution goes on.
const BUSY: i32 = 5;
const LOCKED: i32 = 6;
/// `SQLITE_ROW`
const ROW: i32 = 100;
/// The byte of a result code that says what it is; the others say more of it.
const PRIMARY: i32 = 0xFF;

/// Of `struct sqlite3`: the offset of `errCode`, the same from 3.22 to 3.50 at least.
const ERROR_CODE: u64 = 80;
/// Of `struct Vdbe`, which a statement is: the connection comes first. Somewhere here is `zSql`, a copy of its text. Where,
/// depends on the version and on how that was built, and is found out by what it points to.
const TEXT_FROM: u64 = 128;
const TEXT_WORDS: u64 = 40;

/// An execution that is under way.
#[repr(C)]
#[derive(Clone, Copy)]
struct Execution {
    begin_ns: u64,
    /// When the last step began.
    last_ns: u64,
    task: u64,
    thread: u32,
    steps: u32,
    /// Not 0 if the step that began it resets the statement first.
    resets_first: u64,
}

/// By statement. A program that leaves more than these without a reset loses the oldest.
#[map]
static EXECUTIONS: LruHashMap<u64, Execution> = LruHashMap::with_max_entries(16 * 1024, 0);

/// What was done last on a connection: the address of the statement that was stepped, [`PREPARED`] or [`RESET`].
#[map]
static LAST_DONE: LruHashMap<u64, u64> = LruHashMap::with_max_entries(4096, 0);

const PREPARED: u64 = 1;
const RESET: u64 = 2;

/// A call of `sqlite3_exec` that is under way.
#[repr(C)]
#[derive(Clone, Copy)]
struct Exec {
    begin_ns: u64,
    task: u64,
    /// The address of the script; 0 of what SQLite asks itself.
    text: u64,
    /// How many calls are under way, one within the other.
    depth: u64,
}

/// What SQLite asks itself by `sqlite3_exec`: `SELECT*FROM"main".sqlite_master`, `SELECT tbl,idx,stat FROM`.
const OWN_TEXTS: [[u8; 12]; 2] = [*b"SELECT*FROM\"", *b"SELECT tbl,i"];

/// By thread.
#[map]
static EXECS: LruHashMap<u32, Exec> = LruHashMap::with_max_entries(4096, 0);

/// The first 16 bytes of the statement that a thread has prepared last, while [`TEXT_OFFSETS`] lacks its process.
#[map]
static PREPARED_TEXTS: LruHashMap<u32, [u64; 2]> = LruHashMap::with_max_entries(4096, 0);

/// Of a process: the offset of `zSql` in a statement.
#[map]
static TEXT_OFFSETS: LruHashMap<u32, u64> = LruHashMap::with_max_entries(4096, 0);

/// The largest text of a statement that is recorded in a small record, the zero behind it included.
const SHORT_TEXT: usize = 456;

#[repr(C)]
struct Record<const TEXT: usize> {
    execution: SqliteExecution,
    text: [u8; TEXT],
}

/// Zeros to clear a text with.
#[map]
static ZEROS: Array<[u8; SQLITE_TEXT_MAX]> = Array::with_max_entries(1, 0);

/// `sqlite3_prepare_v2`, `sqlite3_prepare_v3`: a connection, the text and its size, which is negative if a zero ends it.
#[uprobe]
pub fn sqlite_prepare(context: ProbeContext) -> u32 {
    let (Some(connection), Some(text)) = (context.arg::<u64>(0), context.arg::<u64>(1)) else { return 0 };
    if !target::is_current_or_found() {
        return 0;
    }
    let _ = LAST_DONE.insert(&current::identity(connection), &PREPARED, u64::from(BPF_ANY));
    // What is prepared within `sqlite3_exec` is not stepped by the program. SQLite reads the tables so while it prepares another.
    // SAFETY: the values are not read.
    if unsafe { TEXT_OFFSETS.get(&current::process()).is_some() || EXECS.get(&thread()).is_some() } {
        return 0;
    }
    let size: i32 = context.arg(2).unwrap_or(0);
    let mut beginning = [0u64; 2];
    // A shorter one would be like too much else.
    if (size < 0 || size as usize >= size_of_val(&beginning)) && user(beginning.as_mut_ptr().cast(), 16, text) {
        let _ = PREPARED_TEXTS.insert(&thread(), &beginning, u64::from(BPF_ANY));
    }
    0
}

/// `sqlite3_step`: a statement.
#[uprobe]
pub fn sqlite_step(context: ProbeContext) -> u32 {
    if let Some(statement) = context.arg(0) {
        if statement != 0 && target::is_current_or_found() {
            sqlite_stepped(statement);
        }
    }
    0
}

/// `sqlite3_reset` and `sqlite3_finalize`: a statement.
#[uprobe]
pub fn sqlite_reset(context: ProbeContext) -> u32 {
    if let Some(statement) = context.arg(0) {
        if statement != 0 && target::is_current_or_found() {
            sqlite_ended(statement);
        }
    }
    0
}

/// `sqlite3_exec`: a connection and a script.
#[uprobe]
pub fn sqlite_exec(context: ProbeContext) -> u32 {
    let Some(text) = context.arg(1) else { return 0 };
    if !target::is_current_or_found() {
        return 0;
    }
    let thread = thread();
    if let Some(exec) = EXECS.get_ptr_mut(&thread) {
        // SAFETY: see `sqlite_stepped`.
        unsafe { (*exec).depth += 1 };
        return 0;
    }
    let text = if is_of_sqlite(text) { 0 } else { text };
    let exec = Exec { begin_ns: output::now(), task: task_at_hand::task_at_hand(), text, depth: 1 };
    let _ = EXECS.insert(&thread, &exec, u64::from(BPF_ANY));
    0
}

/// Whether SQLite asks this itself, to read the tables that there are or what it knows of their sizes: by the beginning of the
/// text, which is the same since 3.20.
#[inline(always)]
fn is_of_sqlite(text: u64) -> bool {
    let mut beginning = [0u8; OWN_TEXTS[0].len()];
    user(beginning.as_mut_ptr(), beginning.len() as u32, text) && OWN_TEXTS.contains(&beginning)
}

/// `sqlite3_exec` returns.
#[uprobe]
pub fn sqlite_exec_returned(context: ProbeContext) -> u32 {
    let thread = thread();
    let Some(exec) = EXECS.get_ptr_mut(&thread) else { return 0 };
    // SAFETY: see `sqlite_stepped`.
    let exec = unsafe { &mut *exec };
    if exec.depth > 1 {
        exec.depth -= 1;
        return 0;
    }
    let Exec { begin_ns, task, text, .. } = *exec;
    let _ = EXECS.remove(&thread);
    if text == 0 {
        return 0;
    }
    // The result is where that of a function is once it has returned.
    let code: u32 = RetProbeContext::new(context.regs.cast()).ret();
    let header = header(SQLITE_CODE_KNOWN | SQLITE_NOT_STEPPED, output::now());
    let process = process();
    tell(&SqliteExecution { header, begin_ns, task, thread, process, steps: 0, code: code as i32 }, text);
    0
}

/// A statement is stepped.
///
/// It is global, so that the verifier looks at it by itself: see [`crate`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn sqlite_stepped(statement: u64) -> u32 {
    let now_ns = output::now();
    let connection = word(statement);
    let (key, connection_key) = (current::identity(statement), current::identity(connection));
    let last = last_done(connection_key);
    let mut resets_first = 0;
    if let Some(execution) = EXECUTIONS.get_ptr_mut(&key) {
        // SAFETY: the verifier checks for null, and elements of the table are not freed while a program runs.
        let execution = unsafe { &mut *execution };
        let code = if last == statement { error_code(connection) } else { ROW };
        let goes_on = matches!(code & PRIMARY, ROW | BUSY | LOCKED) && last != PREPARED;
        if goes_on {
            execution.steps += 1;
            execution.last_ns = now_ns;
            if last != statement {
                let _ = LAST_DONE.insert(&connection_key, &statement, u64::from(BPF_ANY));
            }
            return 0;
        }
        // It was over, or another statement has taken its address.
        let is_same = last == statement;
        tell_unseen_end(execution, if is_same { text_of(statement) } else { 0 });
        // SQLite 3.7: a statement that is over is reset by its next step.
        resets_first = u64::from(is_same);
    }
    let thread = thread();
    // SAFETY: the value is not read.
    if unsafe { EXECS.get(&thread) }.is_some() {
        return 0;
    }
    find_text(statement);
    let task = task_at_hand::task_at_hand();
    let execution = Execution { begin_ns: now_ns, last_ns: now_ns, task, thread, steps: 1, resets_first };
    let _ = EXECUTIONS.insert(&key, &execution, u64::from(BPF_ANY));
    let _ = LAST_DONE.insert(&connection_key, &statement, u64::from(BPF_ANY));
    0
}

/// A statement is reset or destroyed.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn sqlite_ended(statement: u64) -> u32 {
    let now_ns = output::now();
    let connection = word(statement);
    let (key, connection_key) = (current::identity(statement), current::identity(connection));
    let last = last_done(connection_key);
    if let Some(execution) = EXECUTIONS.get_ptr_mut(&key) {
        // SAFETY: see `sqlite_stepped`.
        let execution = unsafe { &mut *execution };
        if execution.resets_first != 0 {
            execution.resets_first = 0;
            return 0;
        }
        let mut flags = 0;
        let mut code = 0;
        if last == statement {
            code = error_code(connection);
            if code == 0 {
                // No step leaves this behind: the step at hand compiles the statement anew, as the tables have changed.
                return 0;
            }
            flags = SQLITE_CODE_KNOWN;
        }
        let Execution { begin_ns, task, thread, steps, .. } = *execution;
        let ended =
            SqliteExecution { header: header(flags, now_ns), begin_ns, task, thread, process: process(), steps, code };
        tell(&ended, text_of(statement));
        let _ = EXECUTIONS.remove(&key);
    }
    if last != RESET {
        let _ = LAST_DONE.insert(&connection_key, &RESET, u64::from(BPF_ANY));
    }
    0
}

/// Tells of an execution whose end was not seen; `text` is the address of its text.
#[inline(always)]
fn tell_unseen_end(execution: &Execution, text: u64) {
    let Execution { begin_ns, last_ns, task, thread, steps, .. } = *execution;
    let header = header(SQLITE_END_UNSEEN, last_ns);
    tell(&SqliteExecution { header, begin_ns, task, thread, process: process(), steps, code: 0 }, text);
}

/// Writes a record; `text` is the address of the text, or 0 if that is not known.
///
/// It is not global: before Linux 5.12 such functions take no pointers.
#[inline(never)]
fn tell(execution: &SqliteExecution, text: u64) {
    if !tell_with::<SHORT_TEXT>(execution, text) {
        tell_with::<SQLITE_TEXT_MAX>(execution, text);
    }
}

/// Writes a record with room for so many bytes of the text; `false` if a larger one could hold more of it.
#[inline(always)]
fn tell_with<const TEXT: usize>(execution: &SqliteExecution, text: u64) -> bool {
    // If there is no room, a larger record finds none.
    let Some(mut entry) = output::reserve::<Record<TEXT>>() else { return true };
    let record = entry.as_mut_ptr();
    // SAFETY: the entry has room for the record; the helpers check the addresses that are read from.
    let read = unsafe {
        (*record).execution = *execution;
        (*record).execution.header.size = size_of::<Record<TEXT>>() as u32;
        let to = (&raw mut (*record).text).cast();
        if let Some(zeros) = ZEROS.get_ptr(0) {
            bpf_probe_read_kernel(to, TEXT as u32, zeros.cast());
        }
        if text == 0 {
            0
        } else {
            bpf_probe_read_user_str(to, TEXT as u32, text as *const _)
        }
    };
    if read == TEXT as i64 && TEXT < SQLITE_TEXT_MAX {
        output::discard(entry);
        return false;
    }
    if read < 0 {
        output::count_lost(output::Lost::Read);
    }
    output::submit(entry);
    true
}

/// Finds out where statements of the process have their text, if that is not known: where the one at hand, which the
/// thread has prepared last, has a pointer to the same text.
#[inline(always)]
fn find_text(statement: u64) {
    let process = current::process();
    // SAFETY: the value is not read.
    if unsafe { TEXT_OFFSETS.get(&process) }.is_some() {
        return;
    }
    // SAFETY: the value is copied at once.
    let Some(prepared) = unsafe { PREPARED_TEXTS.get(&thread()) }.copied() else { return };
    for index in 0..TEXT_WORDS {
        let offset = TEXT_FROM + 8 * index;
        let mut beginning = [0u64; 2];
        let text = word(statement + offset);
        if text != 0 && user(beginning.as_mut_ptr().cast(), 16, text) && beginning == prepared {
            let _ = TEXT_OFFSETS.insert(&process, &offset, u64::from(BPF_ANY));
            return;
        }
    }
}

/// The address of a statement's text; 0 if it is not known.
#[inline(always)]
fn text_of(statement: u64) -> u64 {
    // SAFETY: the value is copied at once.
    match unsafe { TEXT_OFFSETS.get(&current::process()) } {
        Some(offset) => word(statement + *offset),
        None => 0,
    }
}

#[inline(always)]
fn last_done(connection: u64) -> u64 {
    // SAFETY: the value is copied at once.
    unsafe { LAST_DONE.get(&connection) }.copied().unwrap_or(0)
}

/// What the last function returned that was called on a connection.
#[inline(always)]
fn error_code(connection: u64) -> i32 {
    word(connection + ERROR_CODE) as i32
}

/// A word of the process's memory; 0 if it cannot be read.
#[inline(always)]
fn word(address: u64) -> u64 {
    let mut word = 0u64;
    if user((&raw mut word).cast(), size_of::<u64>() as u32, address) {
        word
    } else {
        0
    }
}

#[inline(always)]
fn thread() -> u32 {
    bpf_get_current_pid_tgid() as u32
}

#[inline(always)]
fn process() -> u32 {
    if named::is_itself() {
        0
    } else {
        current::process()
    }
}

#[inline(always)]
fn header(flags: u16, time_ns: u64) -> Header {
    Header { kind: kind::SQLITE, flags, size: 0, time_ns, connection: 0 }
}
