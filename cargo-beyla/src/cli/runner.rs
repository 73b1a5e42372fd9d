//! `cargo-beyla __runner`: what cargo and cargo-nextest call in the place of a binary.

use std::ffi::OsString;

use clap::Args;

/// `cargo-beyla __runner BINARY ARGS...`
#[derive(Debug, Args)]
pub struct RunnerArguments {
    /// The binary, and its arguments, whatever they are.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "BINARY")]
    pub command: Vec<OsString>,
}
