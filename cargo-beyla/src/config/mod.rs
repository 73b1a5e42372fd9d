//! One [`settings::Settings`] out of, the highest first: flags, the environment, the file of `--config`
//! (Grafana Beyla's YAML), `[package.metadata.beyla]`, `[workspace.metadata.beyla]`, and the defaults.
//!
//! A file becomes a tree of [`node`]s, each with its place; [`layers`] finds the value of a key in the
//! environment and in the files, and keeps where it comes from. What is exported takes several keys at a
//! time: that is put together in `resolve`.

pub mod attributes;
mod budgets;
pub mod capture;
mod document;
mod endpoint;
pub mod environment;
pub mod explain;
pub mod export;
pub mod flags;
mod grafana;
mod keys;
pub mod layers;
mod manifest;
pub mod node;
mod open_telemetry;
pub mod percent;
pub mod proxy;
mod resolve;
pub mod routes;
pub mod secret;
pub mod settings;
pub mod show;
pub mod source;
pub mod test_groups;
pub mod values;
mod yaml;
