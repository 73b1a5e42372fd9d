//! `cargo beyla doctor`: says whether this machine can trace, and the line that cures what is
//! missing.

mod diagnosis;
mod render;
mod setup;

use std::process::ExitCode;

use self::diagnosis::{Attempt, diagnosis};
use crate::cli::DoctorArguments;
use crate::console::status::Status;
use crate::console::stream::Stream;
use crate::error::{Error, UNSUPPORTED};
use crate::probe::client::Helper;
use crate::probe::privilege::{Prospects, Way, checks};
use crate::probe::requirements::check::Check;
use crate::probe::requirements::require;
use crate::probe::starting::Asking;

/// Prints what there is and what is missing, or installs the helper, or takes it away.
pub(super) fn doctor(arguments: &DoctorArguments, color: bool, status: Status) -> Result<ExitCode, Error> {
    let DoctorArguments { setup, group, undo } = arguments;
    if *setup {
        return setup::install(group.as_deref(), status);
    }
    if *undo {
        return setup::remove(status);
    }
    let prospects = Prospects::gather();
    let way = prospects.way();
    let checks = diagnosis(&prospects, &way, attempt(&prospects, &way));
    // A reader who has gone away still gets the exit code.
    Stream::Stdout.say(render::render(&checks, color));
    Ok(if checks.iter().any(Check::is_missing) { ExitCode::from(UNSUPPORTED) } else { ExitCode::SUCCESS })
}

/// Does what a run does up to the first request, if nothing is known to be in the way.
fn attempt(prospects: &Prospects, way: &Result<Way, Check>) -> Attempt {
    let Ok(open) = way else { return Attempt::Vain };
    if require(&checks(&prospects.expected(way), way)).is_err() {
        return Attempt::Vain;
    }
    let helper = match Helper::start(open, Asking::OnTerminal) {
        Ok(helper) => helper,
        Err(error) => return Attempt::NotStarted(error),
    };
    let (facts, asked) = (helper.facts.clone(), helper.asked);
    let loaded = require(&checks(&facts, way)).is_ok().then(|| helper.try_all());
    Attempt::Started { facts, asked, loaded }
}
