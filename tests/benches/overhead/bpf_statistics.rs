//! The kernel's count of the time that BPF programs take.

use std::fs;

const SWITCH: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// Counts until dropped; then the switch is as it was.
pub(crate) struct Counting {
    before: String,
}

pub(crate) fn enable() -> Counting {
    let before = fs::read_to_string(SWITCH).expect("the kernel counts BPF run time");
    fs::write(SWITCH, "1").expect("root may switch it on");
    Counting { before }
}

impl Drop for Counting {
    fn drop(&mut self) {
        let _ = fs::write(SWITCH, &self.before);
    }
}
