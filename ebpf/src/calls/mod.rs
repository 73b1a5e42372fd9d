//! The calls by which the process receives and sends.

pub mod io_uring;
pub mod sending;
pub mod socket_tracepoints;
pub mod system_calls;
pub mod transfers;
