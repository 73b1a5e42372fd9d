//! A process that we have started, with all that it has started itself.

use std::collections::BTreeSet;

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::processes::Processes;
use super::received::{Received, send};

/// The variable that marks what a test starts. Where tests share our process group, nothing else tells which test a
/// process belongs to once its parent has ended.
const MARK: &str = "BEYLA_TEST_ID";

/// How many times we look for further processes before we kill those that we have found.
const LOOKS_MAX: usize = 50;

/// What tells which processes belong to the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grouping {
    /// The root leads a process group of its own: all of that group, and their descendants.
    ProcessGroup,
    /// The root shares our process group: its descendants.
    Descendants,
    /// The root shares our process group: its descendants, and processes that carry this mark in their environment.
    Marked {
        /// The process that set the mark, which is ours.
        by: u32,
        /// A number that no other tree of ours has.
        number: u32,
    },
}

impl Grouping {
    /// The entry of the environment that marks the processes of the tree.
    pub fn mark(self) -> Option<(&'static str, String)> {
        match self {
            Self::Marked { by, number } => Some((MARK, format!("{by}-{number}"))),
            Self::ProcessGroup | Self::Descendants => None,
        }
    }

    /// Whether a signal that we received has reached the processes as well.
    fn was_reached(self, received: &Received) -> bool {
        self != Self::ProcessGroup && received.reached_group
    }
}

/// A process that we have started, with all that it has started itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessTree {
    /// The process that we have started.
    pub root: Pid,
    /// What tells which other processes belong to the tree.
    pub grouping: Grouping,
}

impl ProcessTree {
    /// Forwards a signal to all processes, unless it has reached them already.
    pub fn forward(&self, received: &Received) {
        if !self.grouping.was_reached(received) {
            self.send(received.signal);
        }
    }

    /// Forwards a signal to the root alone, unless it has reached it already.
    pub fn forward_to_root(&self, received: &Received) {
        if !self.grouping.was_reached(received) {
            received.send_to(self.root);
        }
    }

    /// Asks all processes to end as `received` does, and continues those that are stopped: they could not react.
    pub fn end(&self, received: &Received) {
        self.forward(received);
        self.send(Signal::SIGCONT as i32);
    }

    /// Sends a signal to all processes. They may have ended.
    pub fn send(&self, signal: i32) {
        match self.grouping {
            Grouping::ProcessGroup => send(Pid::from_raw(-self.root.as_raw()), signal),
            Grouping::Descendants | Grouping::Marked { .. } => {
                for pid in self.members() {
                    send(Pid::from_raw(pid), signal);
                }
            }
        }
    }

    /// Kills all processes, and what they start in the meantime.
    pub fn kill(&self) {
        if self.grouping == Grouping::ProcessGroup {
            self.send(Signal::SIGKILL as i32);
        } else {
            self.kill_members();
        }
    }

    /// Kills a tree that another process has started and left behind: one process after the other, and then its group.
    pub(super) fn kill_orphaned(&self) {
        self.kill_members();
        self.kill();
    }

    /// Stops all members before it kills them, so that none of them starts another process.
    fn kill_members(&self) {
        let mut stopped = BTreeSet::new();
        for _ in 0..LOOKS_MAX {
            let found: Vec<i32> = self.members().into_iter().filter(|pid| stopped.insert(*pid)).collect();
            if found.is_empty() {
                break;
            }
            for pid in found {
                send(Pid::from_raw(pid), Signal::SIGSTOP as i32);
            }
        }
        for pid in stopped {
            send(Pid::from_raw(pid), Signal::SIGKILL as i32);
        }
    }

    /// Whether any process of the tree lives.
    pub fn lives(&self) -> bool {
        if self.grouping == Grouping::ProcessGroup {
            // This counts processes of other users too.
            let is_empty = nix::sys::signal::killpg(self.root, None) == Err(nix::errno::Errno::ESRCH);
            if is_empty {
                return false;
            }
        }
        !self.members().is_empty()
    }

    /// The processes that live.
    fn members(&self) -> BTreeSet<i32> {
        let root = self.root.as_raw();
        let Some(processes) = Processes::from(root) else {
            let lives = nix::sys::signal::kill(self.root, None).is_ok();
            return lives.then_some(root).into_iter().collect();
        };
        let mark = self.grouping.mark().map(|(name, value)| format!("{name}={value}"));
        let mut members: BTreeSet<i32> = processes.below(root).into_iter().collect();
        members.insert(root);
        for process in processes.iter().filter(|process| !members.contains(&process.pid)).collect::<Vec<_>>() {
            let is_ours = match &mark {
                Some(mark) => process.lives && process.has_variable(mark),
                None => self.grouping == Grouping::ProcessGroup && process.group == root,
            };
            if is_ours {
                members.insert(process.pid);
                members.extend(processes.below(process.pid));
            }
        }
        let live: BTreeSet<i32> = processes.iter().filter(|process| process.lives).map(|process| process.pid).collect();
        members.retain(|pid| live.contains(pid));
        members
    }
}
