//! Requests -> terminal, JSON, recordings.

pub mod annotations;
mod colors;
mod explain;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod fixtures;
pub mod json;
pub mod junit;
pub mod live;
pub mod printer;
pub mod recording;
pub mod run_info;
mod segments;
mod table;
pub mod terminal;
pub(crate) mod text;
pub mod units;
pub mod verdicts;
