//! What all the others talk about: plain data.

pub mod boundaries;
pub mod connection;
pub mod duration;
pub mod explanation;
pub mod finding;
pub mod grpc;
pub mod request;
pub mod summary;
pub mod system_call;
