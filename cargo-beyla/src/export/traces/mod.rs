//! Requests and tests -> spans -> OTLP.

pub(super) mod batch;
mod explained;
pub(super) mod pipeline;
pub(super) mod spans;
mod test_span;
