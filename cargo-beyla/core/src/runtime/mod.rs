//! Tasks, threads and wakes: the clocks that open a handler.
//!
//! [`tracker`] takes the events and keeps what is known of [`tasks`], [`threads`] and the requests that they handle.
//! [`polls`] judges each poll, and [`observations`] counts what it finds; what becomes a finding at the end of the run
//! is decided in [`crate::analysis::findings`].

mod clock;
pub(crate) mod observations;
mod polls;
mod scheduling_entity;
mod streams;
pub(crate) mod symbols;
mod tasks;
mod threads;
mod time_breakdown;
pub(crate) mod tracker;
