//! Events of the async runtime -> what the `handle` phase of each request consisted of, and where.
//!
//! Each task and each thread has a clock, which counts the time that it spends running, blocked, waiting and so on.
//! When a request enters and leaves its `handle` phase, the tracker reads the clock of the task that received it; the
//! difference between the two readings is the answer. So the tracker keeps no history, however long a request takes.

mod measurement;
mod off_cpu;
mod requests;
mod responses;
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
pub(crate) use requests::{EndedRequest, ReadRequest};

/// Follows tasks, threads, and the requests that they handle.
#[derive(Debug)]
pub(crate) struct RuntimeTracker {
    /// The architecture of the machine that the events come from.
    architecture: Architecture,
    tasks: Tasks,
    threads: Threads,
    vtables: Vtables,
    requests: Requests,
    observations: Observations,
    symbols: Symbols,
    unseen: String,
    requests_not_opened: u64,
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
}

impl RuntimeTracker {
    /// `threshold` is how long a call may block, or a poll compute, before that is worth a finding.
    pub(crate) fn new(threshold: Duration, architecture: Architecture) -> Self {
        Self {
            architecture,
            tasks: Tasks::default(),
            threads: Threads::default(),
            vtables: Vtables::default(),
            requests: Requests::default(),
            observations: Observations::new(threshold),
            symbols: Symbols::default(),
            unseen: String::new(),
            requests_not_opened: 0,
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
        let Self { observations, symbols, unseen, requests_not_opened, .. } = self;
        RuntimeResults { observations, symbols, unseen, requests_not_opened }
    }
}

#[cfg(test)]
mod tests;
