//! The probe helper as a program of its own, for `cargo beyla doctor --setup`: it can do nothing else, so it alone may
//! have capabilities.

use std::process::ExitCode;

fn main() -> ExitCode {
    cargo_beyla::probe::helper::run()
}
