//! Requests and calls -> metrics.
//!
//! They are counted once, in whole nanoseconds and bytes, and both ways of export read the same counts in
//! OTLP's own types. The SDK's pipeline would count them in floating point, behind a lock and a look-up
//! for each of a request's seven measurements, and has no exemplars.

mod calls;
mod histogram;
pub(super) mod metric;
pub(super) mod pipeline;
mod process;
pub(super) mod store;
