//! The controlling terminal, which decides on the process groups of what we start.
//!
//! A terminal has one process group in its foreground. Only from there may a process change the terminal's mode or read
//! from it: any other is stopped for it, silently, by SIGTTOU or SIGTTIN. So where there is a terminal, all that we start
//! stays in our own group, as it does under cargo, and gets what the terminal sends to the group. Where there is none,
//! what we start gets groups of its own, so that one signal reaches all of a group at once.

use std::fs::File;

/// Whether this process has a controlling terminal that still is there.
pub fn is_there() -> bool {
    File::open("/dev/tty").is_ok()
}
