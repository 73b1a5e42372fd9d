//! `cargo-beyla __guard`: the own side of the guard and of its witness.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::SigSet;
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{ForkResult, Pid, fork, setsid};
use rustix::process::{WaitOptions, waitpid};

use super::super::descriptors;
use super::super::process_tree::ProcessTree;
use super::{MESSAGE, Message, NAME, QUESTION};
use crate::error::USAGE;

/// How many signals are remembered until somebody asks for them: far more than arrive in a moment.
const SIGNALS_MAX: usize = 1024;

/// Runs both until the process that has started them is gone; then the guard kills what that was to look after.
pub fn run() -> ExitCode {
    // Started by hand, there are no channels.
    begin().map_or(ExitCode::from(USAGE), |()| ExitCode::SUCCESS)
}

fn begin() -> io::Result<()> {
    // Nothing that is sent to the group ends or stops either.
    SigSet::all().thread_block()?;
    let signals = SignalFd::with_flags(&SigSet::all(), SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    // Started as /proc/self/exe, it would be called `exe`. If the name cannot be set, nothing is lost.
    let _ = std::fs::write("/proc/self/comm", NAME);
    let of_guard = channel(io::stdin().as_fd())?;
    let of_witness = channel(io::stdout().as_fd())?;
    // What we were given besides is meant for the server, and may be a pipe whose end somebody waits for.
    descriptors::close_inherited();

    // SAFETY: there is no other thread that could hold a lock across the fork.
    match unsafe { fork() }? {
        ForkResult::Child => {
            drop(of_witness);
            drop(signals);
            leave_channels()?;
            setsid()?;
            for tree in guard(of_guard).values() {
                tree.kill_orphaned();
            }
            Ok(())
        }
        ForkResult::Parent { child } => {
            drop(of_guard);
            leave_channels()?;
            witness(of_witness, &signals)?;
            // Whoever waits for us waits for what the guard has to do.
            waitpid(rustix::process::Pid::from_raw(child.as_raw()), WaitOptions::empty())?;
            Ok(())
        }
    }
}

/// One of the channels, with a descriptor of its own.
fn channel(standard: BorrowedFd<'_>) -> io::Result<UnixStream> {
    let channel = UnixStream::from(standard.try_clone_to_owned()?);
    // Anything else would be read as the end.
    channel.peer_addr()?;
    Ok(channel)
}

/// Has both standard streams go nowhere, as stderr does: each process keeps the one channel that is its own.
fn leave_channels() -> io::Result<()> {
    for stream in [libc::STDIN_FILENO, libc::STDOUT_FILENO] {
        // SAFETY: two numbers of descriptors.
        Errno::result(unsafe { libc::dup2(libc::STDERR_FILENO, stream) })?;
    }
    Ok(())
}

/// Takes note of what is to be watched until the channel ends; returns what is to be killed then.
fn guard(mut channel: UnixStream) -> HashMap<Pid, ProcessTree> {
    let mut watched = HashMap::new();
    let mut message = [0; MESSAGE];
    while channel.read_exact(&mut message).is_ok() {
        match Message::decode(&message) {
            Some(Message::Watch(tree)) => {
                watched.insert(tree.root, tree);
            }
            Some(Message::Forget(root)) => {
                watched.remove(&root);
            }
            None => {}
        }
    }
    watched
}

/// Answers which signals have come until the channel ends.
fn witness(mut channel: UnixStream, signals: &SignalFd) -> io::Result<()> {
    let mut sent: Vec<(i32, u32)> = Vec::new();
    loop {
        let mut ready =
            [PollFd::new(signals.as_fd(), PollFlags::POLLIN), PollFd::new(channel.as_fd(), PollFlags::POLLIN)];
        match poll(&mut ready, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let is_asked = ready[1].revents().is_some_and(|events| !events.is_empty());
        // First: it may be asked for them.
        while let Ok(Some(info)) = signals.read_signal() {
            if sent.len() < SIGNALS_MAX {
                sent.push((info.ssi_signo as i32, info.ssi_pid));
            }
        }
        if !is_asked {
            continue;
        }
        let mut question = [0; QUESTION];
        if channel.read_exact(&mut question).is_err() {
            return Ok(());
        }
        let (signal, sender) = question.split_at(QUESTION / 2);
        let number = |bytes: &[u8]| bytes.try_into().map(u32::from_ne_bytes).unwrap_or_default();
        let asked = (number(signal) as i32, number(sender));
        let known = sent.iter().position(|one| *one == asked);
        known.map(|at| sent.swap_remove(at));
        // If nobody reads it, the end of the channel is next.
        let _ = channel.write_all(&[u8::from(known.is_some())]);
    }
}
