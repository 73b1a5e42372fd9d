//! Exports over the wire: receivers of OTLP as there are, and as there should not be, and scrapes.

#![allow(missing_docs, unreachable_pub)]

mod failures;
mod grpc_receiver;
mod http_receiver;
mod identity;
mod metrics;
mod prometheus;
mod requests;
mod tls;
mod traces;
