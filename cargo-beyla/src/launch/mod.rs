//! Processes: the server's, with a suspended start or one that already runs; those of tests; signals; their end.
//! What we start stays in our process group where there is a terminal (see [`terminal`]).

pub mod family;
pub mod guard;
pub mod listening;
mod processes;
pub mod runner;
pub mod running;
pub mod running_executable;
pub mod signals;
mod spawn;
pub mod stand_in;
pub mod suspended;
pub mod terminal;
pub mod user;
