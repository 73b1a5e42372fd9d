//! The `cargo-beyla` binary: parse, run, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = cargo_beyla::cli::parse();
    cargo_beyla::commands::dispatch::dispatch(arguments)
}
