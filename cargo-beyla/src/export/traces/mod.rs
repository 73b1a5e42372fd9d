//! Requests -> spans -> OTLP.

pub(super) mod batch;
mod explained;
pub(super) mod pipeline;
pub(super) mod spans;
