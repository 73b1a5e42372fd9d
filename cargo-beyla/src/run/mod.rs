//! A run: from the attached probes to the last record and the report.
//!
//! [`setup`] attaches the probes, and [`run_loop`] takes records and signals and looks at deadlines until the
//! [`workload::Workload`] is over: a server to follow ([`follow_server`]), tests to run ([`test_suite`]), or a binary that
//! somebody else runs ([`test_binary`]). [`observers`] see each request as it ends. `cargo beyla run`, `attach`, `test`
//! and the target runner share all of this.

mod address_conflicts;
mod analysis;
mod backlog;
mod clocks;
pub(crate) mod criteria;
mod exec_command;
pub(crate) mod follow_server;
mod libraries;
mod listening;
mod low_priority;
mod observers;
pub(crate) mod options;
pub(crate) mod output_file;
pub(crate) mod outputs;
pub(crate) mod patient_writer;
mod record_source;
mod records;
pub(crate) mod reporting;
pub(crate) mod run_loop;
pub(crate) mod server;
pub(crate) mod setup;
mod shutdown;
mod state;
mod symbolization;
pub(crate) mod test_binary;
pub(crate) mod test_progress;
pub(crate) mod test_suite;
mod workload;
