//! Events of the async runtime -> what the `handle` phase of each request consisted of, and where.
//!
//! Each task and each thread has a clock, which counts the time that it spends running, blocked, waiting and so on.
//! When a request enters and leaves its `handle` phase, the tracker reads the clock of the task that received it; the
//! difference between the two readings is the answer. So the tracker keeps no history, however long a request takes.

mod measurement;
mod off_cpu;
mod requests;
mod responses;
mod seen_polls;
mod stream_tasks;
mod task_changes;

use std::time::Duration;

use crate::model::stack::Frame;
use crate::model::system_call::Architecture;

use super::observations::Observations;
use super::symbols::Symbols;
use super::tasks::Tasks;
use super::threads::Threads;
use requests::Requests;
use task_changes::Vtables;

pub(crate) use super::streams::RequestSlot;
pub(crate) use super::tasks::TaskId;
pub(crate) use requests::{EndedRequest, ReadRequest};

/// Follows tasks, threads, and the requests that they handle.
#[derive(Debug)]
pub(crate) struct RuntimeTracker {
    /// The architecture of the machine that the events come from.
    architecture: Architecture,
    polls: Polls,
    tasks: Tasks,
    threads: Threads,
    /// How many threads have a [`SeenPoll`](super::threads::SeenPoll).
    seen_polls_open: usize,
    /// How many polls have read heads of requests whose tasks are awaited.
    stream_polls_open: usize,
    vtables: Vtables,
    requests: Requests,
    observations: Observations,
    symbols: Symbols,
    unseen: String,
    requests_not_opened: u64,
    requests_seen: u64,
}

/// How the tracker learns of polls.
#[derive(Clone, Copy, Debug)]
enum Polls {
    /// `--explain=always`: probes tell of each.
    Probed,
    /// `--explain=auto`: the scheduler and the sampler see a part of them. While a window is open, probes tell of each.
    Seen {
        /// The number of the window that is open.
        window: Option<u32>,
        /// How many there have been.
        windows: u32,
    },
}

/// What a [`RuntimeTracker`] knows at the end of a run.
#[derive(Debug)]
pub(crate) struct RuntimeResults {
    pub(crate) observations: Observations,
    pub(crate) symbols: Symbols,
    /// What `--explain` could not see, and why; empty if it could see everything.
    pub(crate) unseen: String,
    /// Requests whose `handle` phase could not be opened although it has a length.
    pub(crate) requests_not_opened: u64,
    /// Requests that were opened without probes: [`crate::model::explanation::Tier::Seen`].
    pub(crate) requests_seen: u64,
}

impl RuntimeTracker {
    /// `threshold` is how long a call may block, or a poll compute, before that is worth a finding. `is_probed`: probes tell
    /// of each poll all the time.
    pub(crate) fn new(threshold: Duration, architecture: Architecture, is_probed: bool) -> Self {
        Self {
            architecture,
            polls: if is_probed { Polls::Probed } else { Polls::Seen { window: None, windows: 0 } },
            tasks: Tasks::default(),
            threads: Threads::default(),
            seen_polls_open: 0,
            stream_polls_open: 0,
            vtables: Vtables::default(),
            requests: Requests::default(),
            observations: Observations::new(threshold),
            symbols: Symbols::default(),
            unseen: String::new(),
            requests_not_opened: 0,
            requests_seen: 0,
        }
    }

    /// Notes what `--explain` cannot see in this run; the first note stands.
    pub(crate) fn unseen(&mut self, unseen: &str) {
        if self.unseen.is_empty() {
            unseen.clone_into(&mut self.unseen);
        }
    }

    /// Takes the frames of a stack.
    pub(crate) fn frames(&mut self, stack: u32, frames: &[Frame]) {
        self.symbols.add_stack(stack, frames);
    }

    /// Takes the name of a task's type.
    pub(crate) fn task_type(&mut self, vtable: u64, name: &str) {
        self.symbols.add_task_type(vtable, name);
    }

    /// Hands over what is known, at the end of the run.
    pub(crate) fn finish(self) -> RuntimeResults {
        let Self { observations, symbols, unseen, requests_not_opened, requests_seen, .. } = self;
        RuntimeResults { observations, symbols, unseen, requests_not_opened, requests_seen }
    }
}

#[cfg(test)]
mod tests;
