//! Processes: the server's, with a suspended start or one that already runs; those of tests; signals; their end.
//! What we start stays in our process group where there is a terminal (see [`terminal`]).

pub mod browser;
pub mod descriptors;
pub mod foreground_child;
pub mod guard;
pub mod listening;
pub mod process_tree;
mod processes;
pub mod received;
pub mod running;
pub mod running_executable;
pub mod signals;
mod spawn;
pub mod suspended;
pub mod terminal;
pub mod test_runner;
pub mod user;
