//! Byte streams -> messages; one folder a protocol, one trait. `detect` chooses the protocol of a connection.

pub mod candidate;
mod content;
pub mod detect;
pub mod grpc;
pub mod http1;
pub mod http2;
pub mod message;
pub mod proxy;
mod target;
pub mod trace_context;
