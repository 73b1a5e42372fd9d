//! Runs for tests, and what is in them.

pub(crate) use cargo_beyla_core::fixtures::*;
use cargo_beyla_core::model::system_call::Architecture;

use super::run_info::{RunInfo, Traced};
use super::run_report::RunReport;
use cargo_beyla_core::model::summary::Summary;

pub(crate) fn run() -> RunInfo {
    run_of(4242)
}

/// The run of the tests of a workspace.
pub(crate) fn run_of_tests() -> RunInfo {
    RunInfo {
        traced: Traced::Tests { workspace: "/work/shop".into(), within: vec!["/work/shop/target".into()] },
        ..run()
    }
}

/// The run of a server with this process id.
pub(crate) fn run_of(pid: u32) -> RunInfo {
    RunInfo {
        version: "0.1.0".into(),
        traced: Traced::Server { pid, executable: "/work/target/debug/server".into(), within: Vec::new() },
        started_unix_ns: 1_700_000_000_000_000_000,
        started_monotonic_ns: START,
        capture: "socket".into(),
        architecture: Some(Architecture::HERE),
        trace_seed: None,
    }
}

/// The report of a run with this duration.
pub(crate) fn report(summary: Summary, run: RunInfo, duration_ns: u64) -> RunReport {
    let mut report = RunReport::new(run, summary, 0);
    report.duration_ns = duration_ns;
    report
}
