//! One file a subcommand; each reads as the sentence that describes it.

pub mod dispatch;
pub mod doctor;
mod exports;
mod report;
mod run;
mod session;
mod status;
