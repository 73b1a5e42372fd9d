//! What `--explain` makes of the events: what the `handle` phase of each request consisted of, and where.
//!
//! Each task and each thread has a clock, which counts what its time goes to. A request notes what the
//! clock of the one that received it shows at the boundaries of `handle`; the difference is the answer.
//! So nothing is remembered of what lies behind, however long a request takes.

mod cause;
mod clock;
mod polls;
mod requests;
mod sleeps;
pub(crate) mod spots;
mod tally;
mod tasks;
mod texts;
mod threads;
mod unit;

use std::sync::Arc;
use std::time::Duration;

use crate::analysis::findings::{Findings, Known};
use crate::analysis::statistics::Statistics;
use crate::model::explanation::Frame;
use crate::model::request::Request;
use crate::model::summary::{Explained, Totals};
use crate::model::system_call::Architecture;
use polls::Vtables;
use requests::Requests;
use tasks::Tasks;
use texts::Texts;
use threads::Threads;

pub(crate) use requests::{Arrived, Slot};
pub(crate) use unit::Counted;

/// What is known of tasks, threads, and the requests that they handle.
#[derive(Debug)]
pub(crate) struct Explain {
    /// Of the machine that the events come from.
    architecture: Architecture,
    tasks: Tasks,
    threads: Threads,
    vtables: Vtables,
    requests: Requests,
    findings: Findings,
    texts: Texts,
    /// Requests whose `handle` could not be opened although they have one.
    not_opened: u64,
}

impl Explain {
    pub(crate) fn new(threshold: Duration, architecture: Architecture) -> Self {
        Self {
            architecture,
            tasks: Tasks::default(),
            threads: Threads::default(),
            vtables: Vtables::default(),
            requests: Requests::default(),
            findings: Findings::new(threshold),
            texts: Texts::default(),
            not_opened: 0,
        }
    }

    /// What cannot be seen in this run.
    pub(crate) fn unseen(&mut self, unseen: &str) {
        self.texts.unseen(unseen);
    }

    /// The frames of a stack.
    pub(crate) fn frames(&mut self, stack: u32, frames: &[Frame]) {
        self.texts.frames(stack, frames);
    }

    /// The name of a task's type.
    pub(crate) fn task_type(&mut self, vtable: u64, name: &str) {
        self.texts.task_type(vtable, name);
    }

    /// The run is over, of which these requests were kept.
    pub(crate) fn finish(self, statistics: &Statistics, totals: &Totals, requests: &mut [Arc<Request>]) -> Explained {
        let stacks = self.texts.stacks();
        for request in requests.iter_mut() {
            spots::merge(request, stacks);
        }
        let mut findings = self.findings.finish(&Known { statistics, totals, stacks });
        for finding in &mut findings {
            finding.tests.extend(spots::tests_of(finding, requests, stacks));
        }
        self.texts.explained(findings, self.not_opened, requests)
    }
}

#[cfg(test)]
mod tests;
