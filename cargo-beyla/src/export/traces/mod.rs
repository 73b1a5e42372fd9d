//! Requests, calls and tests -> spans -> OTLP.

pub(super) mod batch;
mod call_span;
mod explained;
pub(super) mod pipeline;
pub(super) mod spans;
mod test_span;
