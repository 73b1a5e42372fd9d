//! The plain data that all layers talk about. Nothing here imports anything of the crate outside this folder.

pub mod boundaries;
pub mod call;
pub mod call_kind;
pub mod connection;
pub mod duration;
pub mod explanation;
pub mod finding;
pub mod grpc;
pub mod request;
pub mod stack;
pub mod summary;
pub mod system_call;
pub mod test;
pub mod tls;
pub mod tls_summary;
pub mod trace_context;
