//! The two ways of capture must tell the same.

use crate::report::Report;
use crate::run::Capture;

/// Plays a scenario once for each way of capture, checks what must hold in every report, and holds
/// the two against each other, row for row.
pub fn both_ways(scenario: impl Fn(Capture) -> Report) {
    let [socket, syscalls] = [Capture::Socket, Capture::Syscalls].map(|capture| {
        let report = scenario(capture);
        report.check();
        report
    });
    assert_eq!(socket.without_times(), syscalls.without_times(), "left by socket tracepoints, right by system calls");
}
