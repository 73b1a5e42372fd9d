//! `cargo beyla`: where did this request's time go?
//!
//! Data flows one way: [`workspace`] builds the server, [`launch`] starts it, [`probe`] brings the kernel's records,
//! [`cargo_beyla_core`], which is pure, makes requests of them, [`report`] shows them, and [`export`] sends them on.
//! [`symbols`] has names for the addresses in the records, and what is said goes through [`console`]. `run` joins all of
//! these in the loop that every run has, and [`commands`] has a file for each subcommand.

pub mod baseline;
pub mod cli;
pub mod commands;
pub mod config;
pub mod console;
pub mod error;
pub mod export;
pub mod launch;
pub mod probe;
pub mod report;
mod run;
pub mod symbols;
pub mod workspace;
