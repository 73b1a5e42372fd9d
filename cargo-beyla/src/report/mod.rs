//! Requests -> terminal, JSON, recordings.

mod colors;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod fixtures;
pub mod json;
pub mod live;
mod phases;
pub mod recording;
pub mod run_info;
mod table;
pub mod terminal;
mod text;
pub mod units;
