//! What the run loop and its workload share.

use std::time::Duration;

use super::clocks::Pause;
use super::observers::Observers;
use super::records::Records;
use crate::console::status::Status;
use crate::error::Error;
use crate::launch::signals::Signals;
use cargo_beyla_core::event::Event;
use cargo_beyla_core::trace::Trace;

/// A run under way.
pub(crate) struct RunState {
    /// What is known from the records so far.
    pub(crate) trace: Trace,
    /// Where they come from.
    pub(crate) records: Records,
    pub(crate) signals: Signals,
    pub(crate) observers: Observers,
    pub(crate) status: Status,
    failure: Option<Error>,
}

impl RunState {
    pub(crate) fn new(trace: Trace, records: Records, signals: Signals, observers: Observers, status: Status) -> Self {
        Self { trace, records, signals, observers, status, failure: None }
    }

    /// Adds an event of this process to those of the kernel.
    pub(crate) fn emit(&mut self, event: &Event<'_>) {
        self.records.emit(&mut self.trace, event);
    }

    /// Takes what the kernel has recorded up to now.
    pub(crate) fn drain(&mut self) {
        self.records.drain(&mut self.trace);
    }

    /// Notes why the run is a failure, although what was measured is reported. The first reason counts.
    pub(crate) fn fail(&mut self, failure: Error) {
        self.failure.get_or_insert(failure);
    }

    /// Whether the run is a failure.
    pub(crate) fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    /// Why the run is a failure, if it is one.
    pub(crate) fn take_failure(&mut self) -> Option<Error> {
        self.failure.take()
    }

    /// Stops everything until somebody continues us; returns how long that took. It is no time of the run.
    pub(crate) fn pause(&mut self, stop: impl FnOnce(&mut Self)) -> Duration {
        self.observers.suspend();
        let pause = Pause::begin();
        stop(self);
        let (paused, record) = pause.end();
        self.emit(&Event::Paused(record));
        self.observers.resume(paused);
        paused
    }
}
