//! The two ways of capture must tell the same.

use crate::report::Report;
use crate::run::Capture;

/// Plays a scenario once for each way of capture, checks what must hold in every report, and holds
/// the two against each other, row for row. (Old kernels have one way alone.)
pub fn both_ways(scenario: impl Fn(Capture) -> Report) {
    if let [socket, syscalls] = &each_way(scenario)[..] {
        let [socket, syscalls] = [socket, syscalls].map(Report::without_times);
        assert_eq!(socket, syscalls, "left by socket tracepoints, right by system calls");
    }
}

/// The same where two runs differ in what the tool does not decide: HPACK makes a header short whose like came before on
/// its connection, so that its size depends on the order of the streams and on the date.
pub fn each_way(scenario: impl Fn(Capture) -> Report) -> Vec<Report> {
    let played = Capture::ways().iter().map(|&capture| {
        let report = scenario(capture);
        report.check();
        report
    });
    played.collect()
}
