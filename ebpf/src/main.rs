//! The kernel side: programs on BTF tracepoints that watch the connections of one process, or of one's children, and
//! for `--explain` its async tasks and threads.
//!
//! Every program first asks whether what it sees concerns the traced process, in the cheapest way it
//! can: in the process's own context by its id, elsewhere by the socket.
#![no_std]
#![no_main]

mod arrivals;
mod calibration;
mod chunks;
mod clients;
mod connections;
mod deliveries;
mod fields;
mod formats;
mod frames;
mod io_uring;
mod keys;
mod lifecycle;
mod openings;
mod output;
mod payload;
mod pieces;
mod process_tree;
mod registers;
mod scheduler;
mod sending;
mod socket_tracepoints;
mod stacks;
mod system_calls;
mod target;
mod task_at_hand;
mod tasks;
mod threads;
mod transfers;

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}
