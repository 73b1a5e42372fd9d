//! A small process beside us, in our process group, that outlives us by a moment.
//!
//! It receives what is sent to the group, so it can say whether a signal was sent to all of the group or to us alone. And
//! when we end, even by SIGKILL, our channel to it closes: then it kills the processes that we had asked it to watch, with
//! all that they have started. (The kernel's own `PR_SET_PDEATHSIG` reaches children but not their children, and those can
//! only be found while their parents are still there.)

pub mod process;

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use nix::unistd::Pid;

use super::process_tree::{Grouping, ProcessTree};

/// Its name in lists of processes: not ours, so that `pkill cargo-beyla` means us alone.
const NAME: &str = "beyla-guard";

/// A guard that runs.
#[derive(Debug)]
pub struct Guard {
    child: Mutex<Child>,
    /// The guard notices our end when this is closed.
    channel: Option<UnixStream>,
}

/// What we send it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Message {
    /// Kill these when we are gone.
    Watch(ProcessTree),
    /// This process has ended.
    Forget(Pid),
    /// Answer whether this signal of this sender has reached you too.
    WasSent { signal: i32, sender: u32 },
}

/// The size of a message in bytes: five numbers.
const MESSAGE: usize = 20;

impl Guard {
    /// Starts one.
    pub(super) fn start() -> io::Result<Self> {
        let (channel, theirs) = UnixStream::pair()?;
        let mut command = Command::new("/proc/self/exe");
        command.arg0(NAME).args(["beyla", "__guard"]).env_clear().current_dir("/");
        command.stdin(OwnedFd::from(theirs)).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self { child: Mutex::new(command.spawn()?), channel: Some(channel) })
    }

    /// Makes it kill this tree if we end before [`Self::forget`].
    pub fn watch(&self, tree: ProcessTree) {
        self.send(Message::Watch(tree));
    }

    /// Makes it forget a tree that has ended, or that goes on without us.
    pub fn forget(&self, root: Pid) {
        self.send(Message::Forget(root));
    }

    /// Whether a signal that we have received has reached the guard too.
    pub(super) fn was_sent(&self, signal: i32, sender: u32) -> bool {
        let mut answer = [0];
        self.send(Message::WasSent { signal, sender })
            && self.channel.as_ref().is_some_and(|mut channel| channel.read_exact(&mut answer).is_ok())
            && answer == [1]
    }

    /// Returns whether the message could be sent. It cannot if somebody has killed the guard; we can do nothing about that.
    fn send(&self, message: Message) -> bool {
        self.channel.as_ref().is_some_and(|mut channel| channel.write_all(&message.encode()).is_ok())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.channel = None;
        // It ends when it has killed what it watches.
        if let Ok(child) = self.child.get_mut() {
            let _ = child.wait();
        }
    }
}

impl Message {
    fn encode(self) -> [u8; MESSAGE] {
        let numbers = match self {
            Self::Watch(ProcessTree { root, grouping }) => {
                let (kind, by, number) = match grouping {
                    Grouping::ProcessGroup => (0, 0, 0),
                    Grouping::Descendants => (1, 0, 0),
                    Grouping::Marked { by, number } => (2, by, number),
                };
                [0, root.as_raw() as u32, kind, by, number]
            }
            Self::Forget(root) => [1, root.as_raw() as u32, 0, 0, 0],
            Self::WasSent { signal, sender } => [2, signal as u32, sender, 0, 0],
        };
        let mut bytes = [0; MESSAGE];
        for (place, number) in bytes.chunks_exact_mut(4).zip(numbers) {
            place.copy_from_slice(&number.to_ne_bytes());
        }
        bytes
    }

    fn decode(bytes: &[u8; MESSAGE]) -> Option<Self> {
        let mut numbers = [0; 5];
        for (number, place) in numbers.iter_mut().zip(bytes.chunks_exact(4)) {
            *number = u32::from_ne_bytes(place.try_into().ok()?);
        }
        let [what, first, second, third, fourth] = numbers;
        // To kill(2), 0, -1 and other negative numbers mean many processes.
        let pid = || i32::try_from(first).ok().filter(|pid| *pid > 1).map(Pid::from_raw);
        match what {
            0 => {
                let grouping = match second {
                    0 => Grouping::ProcessGroup,
                    1 => Grouping::Descendants,
                    2 => Grouping::Marked { by: third, number: fourth },
                    _ => return None,
                };
                Some(Self::Watch(ProcessTree { root: pid()?, grouping }))
            }
            1 => Some(Self::Forget(pid()?)),
            2 => Some(Self::WasSent { signal: first as i32, sender: second }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_as_they_were_written() {
        let root = Pid::from_raw(7);
        let watch = |grouping| Message::Watch(ProcessTree { root, grouping });
        for message in [
            watch(Grouping::ProcessGroup),
            watch(Grouping::Descendants),
            watch(Grouping::Marked { by: 8, number: 9 }),
            Message::Forget(root),
            Message::WasSent { signal: 10, sender: 11 },
        ] {
            assert_eq!(Message::decode(&message.encode()), Some(message));
        }
        for wrong in [-1, 0, 1] {
            assert_eq!(Message::decode(&Message::Forget(Pid::from_raw(wrong)).encode()), None);
        }
        assert_eq!(Message::decode(&[9; MESSAGE]), None);
    }
}
