//! Byte streams -> messages; one file a protocol, one trait. Pure.

pub mod grpc;
pub mod http1;
pub mod http2;
pub mod message;
pub mod proxy;
pub mod trace_context;
