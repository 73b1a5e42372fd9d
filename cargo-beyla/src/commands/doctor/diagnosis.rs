//! All that the doctor says: the checks that every run makes, and what came of an attempt. Pure.

use crate::error::Error;
use crate::probe::installed::{Installed, SETUP};
use crate::probe::privilege::{Prospects, Way, checks};
use crate::probe::programs::VERIFIER_REFUSES;
use crate::probe::requirements::check::{Check, PRIVILEGE, Standing};
use crate::probe::requirements::facts::Facts;
use crate::probe::requirements::{PERF_EVENTS, refused};

/// What came of doing what a run does.
#[derive(Debug)]
pub(super) enum Attempt {
    /// It was not made, as it would have failed.
    Vain,
    /// The helper did not come about.
    NotStarted(Error),
    /// It did.
    Started {
        /// What it sees.
        facts: Facts,
        /// Whether sudo asked for a password.
        asked: bool,
        /// How bytes are captured, if it could load and attach every program; `None` if something it needs is missing.
        loaded: Option<Result<String, Error>>,
    },
}

/// What there is and what is missing.
pub(super) fn diagnosis(prospects: &Prospects, way: &Result<Way, Check>, attempt: Attempt) -> Vec<Check> {
    let facts = match &attempt {
        Attempt::Started { facts, .. } => Facts { container: prospects.own.container.clone(), ..facts.clone() },
        Attempt::Vain | Attempt::NotStarted(_) => prospects.expected(way),
    };
    let mut all = checks(&facts, way);
    if matches!((way, &attempt), (Ok(Way::Sudo), Attempt::NotStarted(_))) {
        // That there is a sudo gives no privilege; what it said stands below.
        all.retain(|check| check.name != PRIVILEGE);
    }
    if matches!(attempt, Attempt::Started { loaded: Some(Ok(_)), .. }) {
        // Whether the level binds us depends on the distribution's kernel: an attempt tells.
        for check in all.iter_mut().filter(|check| check.name == PERF_EVENTS && facts.perf_event_paranoid.is_some()) {
            *check = Check { standing: Standing::Ok, cure: None, ..check.clone() };
        }
    }
    all.extend(prospects.warnings());
    if let (Ok(Way::Sudo), Installed::Absent) = (way, &prospects.installed) {
        all.push(Check::ok("helper", format!("none is installed; with one (`{SETUP}`) sudo is not needed")));
    }
    all.extend(started(way, &attempt));
    all.push(load(&facts, attempt));
    all
}

/// Whether the helper came about.
fn started(way: &Result<Way, Check>, attempt: &Attempt) -> Option<Check> {
    let through_sudo = *way == Ok(Way::Sudo);
    let name = if through_sudo { "sudo" } else { "helper" };
    match attempt {
        Attempt::NotStarted(error) => {
            Some(Check { name, standing: Standing::Missing, found: error.to_string(), cure: error.hint() })
        }
        Attempt::Started { asked: true, .. } => {
            Some(Check::ok(name, "starts the helper, and has asked for a password"))
        }
        Attempt::Started { .. } if through_sudo => Some(Check::ok(name, "starts the helper, and asks for no password")),
        Attempt::Started { .. } | Attempt::Vain => None,
    }
}

fn load(facts: &Facts, attempt: Attempt) -> Check {
    const NAME: &str = "BPF load";
    match attempt {
        Attempt::Vain | Attempt::NotStarted(_) | Attempt::Started { loaded: None, .. } => Check {
            name: NAME,
            standing: Standing::Warn,
            found: "not tried, as something else is missing".into(),
            cure: None,
        },
        Attempt::Started { loaded: Some(Ok(capture)), .. } => {
            let by = if capture == "socket" { "socket tracepoints" } else { "system calls" };
            Check::ok(NAME, format!("every program was loaded; bytes are captured by {by}"))
        }
        Attempt::Started { loaded: Some(Err(error)), .. } => {
            let message = error.to_string();
            let of_ours = error.hint().filter(|_| message.contains(VERIFIER_REFUSES));
            Check::missing(NAME, message, of_ours.unwrap_or_else(|| refused(facts)))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
