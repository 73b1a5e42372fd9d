//! From the command line to the subcommand, and from its failure to the exit code.

use std::process::ExitCode;

use crate::cli::{Arguments, Command};

/// Runs the subcommand.
pub fn dispatch(arguments: Arguments) -> ExitCode {
    match arguments.command {
        Command::Probe(arguments) => crate::probe::helper::run(&arguments),
        _ => ExitCode::FAILURE,
    }
}
