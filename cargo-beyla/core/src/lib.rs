//! The pure core of `cargo beyla`: from the kernel's records to requests, their phases, and what is wrong with them.
//!
//! Data flows one way: [`event`] decodes records, [`transport`] makes byte streams of them, [`protocol`] messages,
//! and [`exchange`] requests with their phases; `runtime` follows tasks and threads beside them, and [`analysis`]
//! makes routes, distributions and findings of the requests. [`trace`] puts them together. All of them speak of what is in [`model`]. Nothing here
//! makes a system call or reads a clock: every time comes in with an event.

pub mod analysis;
pub mod event;
#[cfg(test)]
mod event_builder;
pub mod exchange;
#[cfg(any(test, feature = "fixtures"))]
pub mod fixtures;
pub mod model;
pub mod protocol;
#[cfg(test)]
mod replay;
mod runtime;
pub mod trace;
pub mod transport;
