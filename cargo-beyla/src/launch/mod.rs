//! The server's process: a suspended start, signals, its end.

pub mod signals;
pub mod suspended;
pub mod user;
