//! What the run loop and its workload share.

use std::time::Duration;

use super::clocks::Pause;
use super::observers::Observers;
use super::records::Records;
use crate::console::status::Status;
use crate::error::Error;
use crate::launch::signals::Signals;
use cargo_beyla_core::event::Event;

/// A run under way.
pub(crate) struct RunState {
    /// What is recorded, and what is known from it.
    pub(crate) records: Records,
    pub(crate) signals: Signals,
    pub(crate) observers: Observers,
    pub(crate) status: Status,
    failure: Option<Error>,
}

impl RunState {
    pub(crate) fn new(records: Records, signals: Signals, observers: Observers, status: Status) -> Self {
        Self { records, signals, observers, status, failure: None }
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
        self.records.emit(&Event::Paused(record));
        self.observers.resume(paused);
        paused
    }
}
