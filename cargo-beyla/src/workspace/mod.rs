//! Cargo: which target or which tests, build them, and what cargo would have given them.

pub mod build;
mod candidates;
mod cargo;
#[cfg(test)]
pub(crate) mod fixture;
mod messages;
pub mod program;
pub mod select;
pub mod sources;
mod specification;
pub mod start;
mod target;
mod target_runner;
pub mod test_workspace;
