//! Requests -> OTLP and Prometheus, while the run goes on.
//!
//! One thread of its own does all of it, so that a slow or silent receiver costs the run nothing: see
//! [`exporter`].

mod attribute;
mod call_attribute;
pub mod checked;
pub mod exporter;
pub mod filter;
mod item;
mod key_value;
mod metrics;
mod otlp;
pub mod outcome;
mod prometheus;
mod queue;
mod resource;
pub mod routes;
mod sampling;
pub mod settings;
mod traces;
mod worker;
