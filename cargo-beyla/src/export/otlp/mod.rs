//! OTLP: one request at a time, until it is taken or refused.

mod attempt;
mod connector;
pub(super) mod delivery;
mod error_details;
mod failure;
mod grpc;
mod http;
mod mistake;
pub(super) mod receiver;
mod secrets;
pub(super) mod signal;
mod tls;
