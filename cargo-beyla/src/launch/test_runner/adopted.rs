//! Where tests share our process group, what they leave behind becomes our child: so it stays below us, and is ours to
//! wait for when it has ended.

use nix::sys::wait::{Id, WaitPidFlag, waitid, waitpid};
use nix::unistd::Pid;

use crate::launch::processes::Processes;

/// The children that this process has but has not started.
#[derive(Debug)]
pub(super) struct Adopted {
    /// Those that it has started before, for which others wait.
    others: Vec<i32>,
}

impl Adopted {
    /// Begins to adopt. `None` where that is refused: they become those of another process then, which reaps them.
    pub(super) fn begin() -> Option<Self> {
        nix::sys::prctl::set_child_subreaper(true).ok()?;
        let own = std::process::id() as i32;
        let processes = Processes::from(1);
        let children = processes.iter().flat_map(Processes::iter).filter(|process| process.parent == own);
        Some(Self { others: children.map(|process| process.pid).collect() })
    }

    /// Waits for those that have ended, and that are none of our own children, which `is_own` knows.
    pub(super) fn reap(&self, is_own: impl Fn(Pid) -> bool) {
        let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        while let Some(pid) = waitid(Id::All, look).ok().and_then(|status| status.pid()) {
            let is_known = self.others.contains(&pid.as_raw()) || is_own(pid);
            if is_known || waitpid(pid, Some(WaitPidFlag::WNOHANG)).is_err() {
                return;
            }
        }
    }
}
