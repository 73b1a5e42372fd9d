//! The server's process: a suspended start, or one that already runs; signals; its end.

pub mod listening;
pub mod running;
pub mod signals;
pub mod suspended;
pub mod user;
