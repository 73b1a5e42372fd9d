//! The end of a run as one [`run_report::RunReport`], and its renderers: terminal, JSON, a page for
//! a browser, `JUnit`, annotations. Beside them
//! what is shown while the run goes on (a status line, requests one by one), and recordings.

pub mod annotations;
mod bar;
mod colors;
mod finding;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod fixtures;
pub mod json;
pub mod junit;
pub mod live;
mod notes;
pub mod page;
pub mod printer;
pub mod recording;
pub mod run_info;
pub mod run_report;
mod segments;
mod table;
pub mod terminal;
pub(crate) mod text;
mod tls_notes;
pub mod units;
pub mod verdicts;
