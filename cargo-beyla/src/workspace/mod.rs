//! Cargo: which target, build it, and what `cargo run` would have given it.

pub mod build;
mod candidates;
mod cargo;
mod config_env;
mod environment;
#[cfg(test)]
mod fixture;
pub mod select;
pub mod sources;
mod specification;
