//! `cargo beyla doctor`: says whether this machine can trace, and the line that cures what is
//! missing.

mod check;
mod checks;
mod facts;

use std::process::ExitCode;

use self::check::Check;
use self::facts::Facts;
use crate::console::stream::Stream;
use crate::error::UNSUPPORTED;

/// Prints what there is and what is missing.
///
/// `try_load` loads one program of each kind in the way that a run does, through sudo if need be; it
/// is called only if the rest says that it may succeed without a question to the user.
pub fn doctor(color: bool, try_load: impl FnOnce() -> Result<(), String>) -> ExitCode {
    let facts = Facts::gather();
    let mut checks = checks::checks(&facts);
    checks.push(checks::load(&facts, &checks, try_load));
    // A reader who has gone away still gets the exit code.
    Stream::Stdout.say(check::render(&checks, color));
    if checks.iter().any(Check::is_missing) { ExitCode::from(UNSUPPORTED) } else { ExitCode::SUCCESS }
}
