//! Cargo: which target or which tests, build them, and what cargo would have given them.

pub mod build;
mod candidates;
mod cargo;
mod config_env;
mod environment;
#[cfg(test)]
pub(crate) mod fixture;
mod messages;
pub mod select;
pub mod sources;
mod specification;
pub mod tests;
