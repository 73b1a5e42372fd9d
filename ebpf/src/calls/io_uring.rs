//! io_uring moves bytes past the system calls: that it is used is told, so that nobody is misled.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use cargo_beyla_events::kind;

use crate::kernel::output;
use crate::process::target;

/// The process creates an io_uring.
///
/// Linux 5.5.
#[btf_tracepoint(function = "io_uring_create")]
pub fn io_uring_create(_: BtfTracePointContext) -> i32 {
    if target::is_current() {
        output::header(kind::IO_URING);
    }
    0
}
