//! The programs that walk a call once its record is begun. They are called from those that see the call, as many times
//! as it takes: the verifier looks at each of them once, with few frames, and a call may have many.
//!
//! The kernel lets a program call only those of its own tracepoint's type: so there are two of them.

use aya_ebpf::{
    macros::{btf_tracepoint, map},
    maps::ProgramArray,
    programs::BtfTracePointContext,
};

use crate::frames;
use crate::output::{count_lost, Lost};
use crate::payload::scratch;

/// That of `sock_recv_length` and `sock_send_length`.
#[map]
static SOCKET_WALKER: ProgramArray = ProgramArray::with_max_entries(1, 0);

/// That of `sys_exit`.
#[map]
static CALL_WALKER: ProgramArray = ProgramArray::with_max_entries(1, 0);

/// Walks what [`crate::transfers::record`] has left to be walked; the program ends here.
#[inline(always)]
pub fn call(walker: &ProgramArray, context: &BtfTracePointContext) {
    // SAFETY: nothing is left to be dropped.
    unsafe { walker.tail_call(context, 0) };
}

/// For the programs on socket tracepoints.
#[inline(always)]
pub fn walk_from_socket(context: &BtfTracePointContext) {
    call(&SOCKET_WALKER, context);
    count_lost(Lost::Record);
}

/// For the program on returns of system calls.
#[inline(always)]
pub fn walk_from_call(context: &BtfTracePointContext) {
    call(&CALL_WALKER, context);
    count_lost(Lost::Record);
}

#[btf_tracepoint(function = "sock_recv_length")]
#[inline(always)]
pub fn walk_socket(context: BtfTracePointContext) -> i32 {
    walk(&SOCKET_WALKER, &context);
    0
}

#[btf_tracepoint(function = "sys_exit")]
#[inline(always)]
pub fn walk_call(context: BtfTracePointContext) -> i32 {
    walk(&CALL_WALKER, &context);
    0
}

#[inline(always)]
fn walk(walker: &ProgramArray, context: &BtfTracePointContext) {
    let Some(scratch) = scratch() else { return };
    if !frames::walk(scratch) {
        call(walker, context);
        // The kernel allows some 33 calls.
        frames::give_up(scratch);
    }
}
