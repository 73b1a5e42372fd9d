//! Byte streams -> messages; one folder a protocol, one trait. `detect` chooses the protocol of a connection.

pub mod candidate;
mod content;
pub mod detect;
pub mod grpc;
pub mod http1;
pub mod http2;
mod kept;
pub mod message;
pub mod mongodb;
pub mod mysql;
pub mod pipeline;
pub mod postgresql;
mod prepared;
pub mod proxy;
pub mod redis;
#[cfg(test)]
mod spoken;
pub mod sqlite;
pub mod statement;
mod target;
mod tcp;
pub mod trace_context;
