//! A process that we have started, with all that it has started itself.

use std::collections::BTreeSet;

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::processes::Processes;
use super::signals::{Received, send};

/// The variable by which what a test has started is found where it shares our process group: what it leaves behind is
/// nobody's child any more, and has nothing else that tells whose it was.
const MARK: &str = "BEYLA_TEST_ID";

/// How often it is looked for others before those that were found are killed.
const LOOKS_MAX: usize = 50;

/// How its processes are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bond {
    /// It leads a process group of its own.
    Group,
    /// It shares our group: its processes are those below it in the tree of processes.
    Tree,
    /// The same, and those that were marked as this process's and by this number.
    Marked {
        /// The process that has marked them, which is ours.
        by: u32,
        /// A number that no other of ours has.
        number: u32,
    },
}

impl Bond {
    /// What marks them: an entry of the environment.
    pub fn mark(self) -> Option<(&'static str, String)> {
        match self {
            Self::Marked { by, number } => Some((MARK, format!("{by}-{number}"))),
            Self::Group | Self::Tree => None,
        }
    }

    /// Whether a signal has reached them without us.
    fn was_reached(self, received: &Received) -> bool {
        self != Self::Group && received.reached_group
    }
}

/// A process that we have started, with all that it has started itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    /// The process itself.
    pub root: Pid,
    /// How the others are known.
    pub bond: Bond,
}

impl Family {
    /// Hands a signal that has come to us on to all of them, unless it has reached them without us.
    pub fn hand_on(&self, received: &Received) {
        if !self.bond.was_reached(received) {
            self.send(received.signal);
        }
    }

    /// Hands a signal that has come to us on to the process itself, unless it has reached it without us.
    pub fn hand_on_to_root(&self, received: &Received) {
        if !self.bond.was_reached(received) {
            received.send_to(self.root);
        }
    }

    /// Asks all of them for an end as `received` does. What was stopped is continued, or the wish would wait with it.
    pub fn end(&self, received: &Received) {
        self.hand_on(received);
        self.send(Signal::SIGCONT as i32);
    }

    /// Sends a signal to all of them. They may have ended.
    pub fn send(&self, signal: i32) {
        match self.bond {
            Bond::Group => send(Pid::from_raw(-self.root.as_raw()), signal),
            Bond::Tree | Bond::Marked { .. } => {
                for pid in self.members() {
                    send(Pid::from_raw(pid), signal);
                }
            }
        }
    }

    /// Kills all of them, with what they would start meanwhile.
    pub fn kill(&self) {
        if self.bond == Bond::Group {
            self.send(Signal::SIGKILL as i32);
        } else {
            self.kill_members();
        }
    }

    /// The same of one that we are not the parent of any more, group or not.
    pub(super) fn kill_orphaned(&self) {
        self.kill_members();
        self.kill();
    }

    /// Stopped, none of them starts another.
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

    /// Whether any of them lives.
    pub fn lives(&self) -> bool {
        if self.bond == Bond::Group {
            // Those that have become another user's count as well.
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
        let mark = self.bond.mark().map(|(name, value)| format!("{name}={value}"));
        let mut members: BTreeSet<i32> = processes.below(root).into_iter().collect();
        members.insert(root);
        for process in processes.iter().filter(|process| !members.contains(&process.pid)).collect::<Vec<_>>() {
            let is_ours = match &mark {
                Some(mark) => process.lives && process.has_variable(mark),
                None => self.bond == Bond::Group && process.group == root,
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
