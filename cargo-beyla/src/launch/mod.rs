//! Processes: the server's, with a suspended start or one that already runs; those of tests; signals; their end.

pub mod listening;
pub mod program;
pub mod runner;
pub mod running;
pub mod signals;
pub mod suspended;
pub mod user;
