//! `cargo-beyla __runner` and `cargo-beyla __start`: what cargo and cargo-nextest call in the place of a binary.

use std::ffi::OsString;

use clap::Args;

/// The subcommand that cargo calls to learn how it starts a program.
pub const START: &str = "__start";

/// `cargo-beyla __runner BINARY ARGS...`
#[derive(Debug, Args)]
pub struct RunnerArguments {
    /// The binary, and its arguments, whatever they are.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "BINARY")]
    pub command: Vec<OsString>,
}

/// `cargo-beyla __start TARGET BINARY ARGS...`
#[derive(Debug, Args)]
pub struct StartArguments {
    /// The target whose runner this is.
    pub target: OsString,
    /// The binary, and its arguments, whatever they are.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "BINARY")]
    pub command: Vec<OsString>,
}
