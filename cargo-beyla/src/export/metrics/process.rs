//! What the server takes of the machine, by procfs.

use procfs::process::Process;

/// A look at a process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Usage {
    /// Seconds of CPU in the program.
    pub(super) user: f64,
    /// Seconds of CPU in the kernel.
    pub(super) system: f64,
    /// Bytes of memory that are in RAM.
    pub(super) memory: u64,
}

/// How a process stands; `None` once it has ended.
pub(super) fn usage(pid: u32) -> Option<Usage> {
    let stat = Process::new(i32::try_from(pid).ok()?).ok()?.stat().ok()?;
    let ticks = procfs::ticks_per_second() as f64;
    // A process that has ended and was not waited for has no memory, and its last times.
    let memory = stat.rss.saturating_mul(procfs::page_size());
    Some(Usage { user: stat.utime as f64 / ticks, system: stat.stime as f64 / ticks, memory })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory() {
        let usage = usage(std::process::id()).expect("it runs");
        assert!(usage.memory > 0 && usage.user >= 0.0 && usage.system >= 0.0);
        assert_eq!(super::usage(u32::MAX), None);
    }
}
