//! One file a subcommand; each reads as the sentence that describes it.

mod attach;
pub mod dispatch;
mod doctor;
mod init;
mod report;
mod run;
mod runner;
mod test;
