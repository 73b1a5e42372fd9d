//! How bytes are captured: `--capture`.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// How bytes are captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum Capture {
    /// By socket tracepoints where the kernel has them, else by system calls.
    Auto,
    /// By the kernel's socket tracepoints (Linux 6.15 and later).
    Socket,
    /// By entry and exit of system calls.
    Syscalls,
}
