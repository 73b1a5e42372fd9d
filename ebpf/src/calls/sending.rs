//! Send calls begin and end.

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use cargo_beyla_events::{explain, kind, Header, Sending};

use crate::connections::connection::Connection;
use crate::kernel::fields::setting;
use crate::kernel::output;
use crate::process::task_variables;
use crate::runtime::{calibration, threads};

/// The system call's result when the send buffer is full.
const EAGAIN: i64 = -11;

/// Entry of a send call: what the process does from here on is no longer the handler's.
#[inline(always)]
pub fn begins(connection: &mut Connection) {
    let time_ns = connection.send_begins();
    if task_variables::is_calibration_wanted() && !connection.is_client() {
        calibration::calibration_answers(connection.id);
    }
    if (setting!(explain) == explain::ALWAYS || connection.served_by_threads != 0) && !connection.is_client() {
        threads::sends();
        record(kind::SENDING, connection, time_ns);
    }
}

/// Return of a send call.
#[inline(always)]
pub fn ends(connection: &mut Connection, result: i64) {
    connection.send_begin_ns = 0;
    if setting!(explain) != explain::NEVER && result == EAGAIN && !connection.is_client() {
        record(kind::SEND_BLOCKED, connection, output::now());
    }
}

#[inline(always)]
fn record(kind: u16, connection: &Connection, time_ns: u64) {
    let sending = Sending {
        header: Header { kind, flags: 0, size: size_of::<Sending>() as u32, time_ns, connection: connection.id },
        thread: bpf_get_current_pid_tgid() as u32,
        reserved: 0,
    };
    output::frequent((&raw const sending).cast(), size_of::<Sending>() as u64);
}
