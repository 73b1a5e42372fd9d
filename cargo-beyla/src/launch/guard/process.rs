//! `cargo-beyla __guard`: the guard's own side.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::SigSet;
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;

use super::super::process_tree::ProcessTree;
use super::{MESSAGE, Message, NAME};
use crate::error::USAGE;

/// How many signals are remembered until somebody asks for them: far more than arrive in a moment.
const SIGNALS_MAX: usize = 1024;

/// Runs the guard until the process that has started it is gone, and then kills what it was asked to watch.
pub fn run() -> ExitCode {
    match guard() {
        Ok(watched) => {
            for tree in watched.values() {
                tree.kill_orphaned();
            }
            ExitCode::SUCCESS
        }
        // There is no channel: it was started by hand.
        Err(_) => ExitCode::from(USAGE),
    }
}

fn guard() -> io::Result<HashMap<Pid, ProcessTree>> {
    // Nothing that is sent to the group may end or stop the guard.
    SigSet::all().thread_block()?;
    let signals = SignalFd::with_flags(&SigSet::all(), SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    // Started as /proc/self/exe, it would be called `exe`. If the name cannot be set, nothing is lost.
    let _ = std::fs::write("/proc/self/comm", NAME);
    let mut channel = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    // If stdin is no socket, the guard was not started by us.
    channel.peer_addr()?;

    let mut watched = HashMap::new();
    let mut sent: Vec<(i32, u32)> = Vec::new();
    loop {
        let mut ready =
            [PollFd::new(signals.as_fd(), PollFlags::POLLIN), PollFd::new(channel.as_fd(), PollFlags::POLLIN)];
        match poll(&mut ready, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let is_told = ready[1].revents().is_some_and(|events| !events.is_empty());
        // The signals come first, as the message may ask for them.
        while let Ok(Some(info)) = signals.read_signal() {
            if sent.len() < SIGNALS_MAX {
                sent.push((info.ssi_signo as i32, info.ssi_pid));
            }
        }
        if !is_told {
            continue;
        }
        let mut message = [0; MESSAGE];
        if channel.read_exact(&mut message).is_err() {
            return Ok(watched);
        }
        match Message::decode(&message) {
            Some(Message::Watch(tree)) => {
                watched.insert(tree.root, tree);
            }
            Some(Message::Forget(root)) => {
                watched.remove(&root);
            }
            Some(Message::WasSent { signal, sender }) => {
                let known = sent.iter().position(|one| *one == (signal, sender));
                known.map(|at| sent.swap_remove(at));
                // If nobody reads the answer, the channel is about to close.
                let _ = channel.write_all(&[u8::from(known.is_some())]);
            }
            None => {}
        }
    }
}
