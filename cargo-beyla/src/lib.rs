//! `cargo beyla`: where did this request's time go?
//!
//! Data flows one way: [`workspace`] builds the server, [`launch`] starts it, [`probe`] brings the
//! kernel's records, [`stream`] makes connections and byte streams of them, [`protocol`] messages,
//! [`request`] requests with their phases, [`report`] shows them, and [`export`] sends them on. [`symbols`] has
//! names for the addresses that the kernel tells, and what is said goes through [`console`]. `stream`, `protocol` and `request` are pure: no clock, no
//! system call. [`commands`] is the only module that knows all the others.

pub mod baseline;
pub mod budget;
pub mod cli;
pub mod commands;
pub mod config;
pub mod console;
pub mod error;
pub mod export;
pub mod launch;
pub mod probe;
pub mod protocol;
pub mod report;
pub mod request;
pub mod stream;
pub mod symbols;
pub mod workspace;
