//! The processes of this machine, to find those that a process has started.

use std::fs;
use std::time::Duration;

/// The longest way to an ancestor that is looked at. Ids that begin anew meanwhile could lead in a circle.
const GENERATIONS_MAX: usize = 1000;

/// How often we look at a process that seems to be executing a program, before we take it for one without an environment.
const EXEC_LOOKS_MAX: usize = 20;

/// How long we wait between two such looks.
const EXEC_PAUSE: Duration = Duration::from_millis(1);

/// A process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Process {
    pub(super) pid: i32,
    pub(super) parent: i32,
    pub(super) group: i32,
    /// Whether it has not ended. In a container whose first process waits for no child, ended ones stay in the list.
    pub(super) lives: bool,
}

/// The processes at one moment.
#[derive(Debug)]
pub(super) struct Processes(Vec<Process>);

impl Processes {
    /// The processes whose id is `first` or more. What that process has started is among them, unless the ids have
    /// started over.
    ///
    /// `None` where `/proc` belongs to another PID namespace: its numbers are those of other processes.
    pub(super) fn from(first: i32) -> Option<Self> {
        if !is_our_proc() {
            return None;
        }
        let pids = fs::read_dir("/proc").ok()?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        Some(Self(pids.filter(|pid| *pid >= first).filter_map(Process::read).collect()))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Process> {
        self.0.iter()
    }

    /// The descendants of the process `root`. Once a process has ended, those below it cannot be found this way.
    pub(super) fn below(&self, root: i32) -> Vec<i32> {
        let mut found = vec![root];
        let mut next = 0;
        while let Some(parent) = found.get(next).copied() {
            found.extend(self.iter().filter(|process| process.parent == parent).map(|process| process.pid));
            next += 1;
        }
        found.split_off(1)
    }
}

/// Whether the numbers in `/proc` are those of our PID namespace.
fn is_our_proc() -> bool {
    fs::read_link("/proc/self").is_ok_and(|own| own.as_os_str() == std::process::id().to_string().as_str())
}

/// Whether the process `pid` is one that `ancestor` has started, or that one of those has, as far as the way to it has
/// not ended. Not where `/proc` belongs to another PID namespace.
pub(super) fn descends_from(pid: i32, ancestor: i32) -> bool {
    let parents = std::iter::successors(Process::read(pid), |process| Process::read(process.parent));
    is_our_proc() && parents.take(GENERATIONS_MAX).any(|process| process.parent == ancestor)
}

impl Process {
    fn read(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name in front may hold anything, so only the last parenthesis ends it.
        let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
        let lives = !matches!(fields.next()?, "Z" | "X");
        let mut number = || fields.next()?.parse().ok();
        Some(Self { pid, parent: number()?, group: number()?, lives })
    }

    /// Whether its environment has an entry, as in `NAME=value`; false if we may not read it.
    pub(super) fn has_variable(&self, entry: &str) -> bool {
        let read = |name: &str| fs::read(format!("/proc/{}/{name}", self.pid));
        for _ in 0..EXEC_LOOKS_MAX {
            let Ok(environment) = read("environ") else { return false };
            if !environment.is_empty() {
                return environment.split(|byte| *byte == 0).any(|variable| variable == entry.as_bytes());
            }
            // While a process executes a program, the kernel shows neither its arguments nor its environment.
            if read("cmdline").is_ok_and(|arguments| !arguments.is_empty()) {
                return false;
            }
            std::thread::sleep(EXEC_PAUSE);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn children_of_children_are_found() {
        let mut shell = Command::new("sh");
        shell.args(["-c", "sleep 100 & cat; kill $!"]).env("BEYLA_FOUND_BY", "this").stdin(Stdio::piped());
        let mut child = shell.spawn().expect("a shell");
        let pid = child.id() as i32;
        let names = || {
            let processes = Processes::from(pid).expect("our own /proc");
            let below = processes.below(pid);
            let marked = processes.iter().filter(|process| process.has_variable("BEYLA_FOUND_BY=this")).count();
            let mut names: Vec<String> =
                below.iter().filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/comm")).ok()).collect();
            names.sort_unstable();
            (names.concat(), marked)
        };
        let found = (0..5000).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(2));
            names() == ("cat\nsleep\n".to_owned(), 3)
        });
        assert!(found, "{:?}", names());
        drop(child.stdin.take());
        child.wait().expect("it ends");
    }
}
