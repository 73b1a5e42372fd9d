//! One file a subcommand; each reads as the sentence that describes it.

mod attach;
mod clocks;
pub mod dispatch;
mod doctor;
mod exports;
mod init;
mod report;
mod run;
mod session;
mod status;
mod test;
mod tracing;
mod verdicts;
mod wrapped;
