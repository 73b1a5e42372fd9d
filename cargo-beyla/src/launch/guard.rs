//! Two small processes beside us, that outlive us by a moment.
//!
//! The witness stands in our process group. It gets what is sent to the group, and so can say whether a signal came to
//! all of the group or to us alone. The guard, which it forks, stands in a session of its own, where nothing that is sent
//! to our group reaches it, SIGKILL included. However we end, its end of our channel closes: then it kills what we were
//! still to look after, with all that it has started. (The kernel's own `PR_SET_PDEATHSIG` reaches children, and not the children of these; and to
//! find those, the way to them must still be there.)

pub mod process;

use std::io::{self, Read, Write};
use std::net::Shutdown;
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
    /// The witness waits for the guard's end when this is closed.
    witness: Option<UnixStream>,
}

/// What we send the guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Message {
    /// Kill these when we are gone.
    Watch(ProcessTree),
    /// This process has ended.
    Forget(Pid),
}

/// The size of a message in bytes: five numbers.
const MESSAGE: usize = 20;

/// What we ask the witness: whether a signal with this number of a sender with this id has come to it too.
const QUESTION: usize = 8;

impl Guard {
    /// Starts both.
    pub(super) fn start() -> io::Result<Self> {
        let (channel, of_guard) = UnixStream::pair()?;
        let (witness, of_witness) = UnixStream::pair()?;
        let mut command = Command::new("/proc/self/exe");
        command.arg0(NAME).args(["beyla", "__guard"]).env_clear().current_dir("/");
        command.stdin(OwnedFd::from(of_guard)).stdout(OwnedFd::from(of_witness)).stderr(Stdio::null());
        Ok(Self { child: Mutex::new(command.spawn()?), channel: Some(channel), witness: Some(witness) })
    }

    /// Makes it kill this tree if we end before [`Self::forget`].
    pub fn watch(&self, tree: ProcessTree) {
        self.send(Message::Watch(tree));
    }

    /// Makes it forget a tree that has ended, or that goes on without us.
    pub fn forget(&self, root: Pid) {
        self.send(Message::Forget(root));
    }

    /// Whether a signal that has come to us has come to the witness too. If somebody has killed that, nobody can say.
    pub(super) fn was_sent(&self, signal: i32, sender: u32) -> bool {
        let Some(mut witness) = self.witness.as_ref() else { return false };
        let mut answer = [0];
        let question = [signal as u32, sender].map(u32::to_ne_bytes);
        witness.write_all(question.as_flattened()).is_ok() && witness.read_exact(&mut answer).is_ok() && answer == [1]
    }

    fn send(&self, message: Message) {
        if let Some(mut channel) = self.channel.as_ref() {
            // It fails if somebody has killed the guard, about which we can do nothing.
            let _ = channel.write_all(&message.encode());
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        for channel in [self.channel.take(), self.witness.take()].into_iter().flatten() {
            // Not closed alone: a process that was forked and has not executed its program yet has it open too.
            let _ = channel.shutdown(Shutdown::Both);
        }
        // It ends when it has done what is left to do.
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
        ] {
            assert_eq!(Message::decode(&message.encode()), Some(message));
        }
        for wrong in [-1, 0, 1] {
            assert_eq!(Message::decode(&Message::Forget(Pid::from_raw(wrong)).encode()), None);
        }
        assert_eq!(Message::decode(&[9; MESSAGE]), None);
    }
}
