//! Requests -> terminal, JSON, recordings.

pub mod run_info;
