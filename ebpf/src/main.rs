//! The kernel side: programs on BTF tracepoints that watch the connections of one process, or of one's children, and
//! for `--explain` its async tasks and threads.
//!
//! Every program first asks whether what it sees concerns the traced process, in the cheapest way it
//! can: in the process's own context by its id, elsewhere by the socket.
//!
//! A folder imports only what stands left of it:
//!
//! ```text
//! kernel -> process -> runtime -> connections -> frames -> calls
//!       \-> capture -------------^
//! ```
//!
//! Many functions are global: `extern "C"`, with a name of their own, and never inlined. The verifier looks at such a
//! function once for each program, and not once for each way that leads to it.
#![no_std]
#![no_main]

mod calls;
mod capture;
mod connections;
mod frames;
mod kernel;
mod keys;
mod process;
mod runtime;
mod sqlite;

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}
