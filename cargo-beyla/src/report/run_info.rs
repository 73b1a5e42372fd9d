//! What a report says of the run itself.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The run that a report is about. Also the first line of a recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunInfo {
    /// Version of cargo-beyla.
    pub version: String,
    /// Process id of the server, as its user sees it.
    pub pid: u32,
    /// The server's executable.
    pub executable: PathBuf,
    /// Wall-clock time at the start of the run, in nanoseconds since the Unix epoch.
    pub started_unix_ns: u64,
    /// The same moment by `CLOCK_MONOTONIC`, which the records use.
    pub started_monotonic_ns: u64,
    /// How bytes were captured: `socket` or `syscalls`.
    pub capture: String,
}

/// How the server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}
