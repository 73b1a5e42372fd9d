//! The rules of `--explain`, each shown by the records that it is about.

mod delays;
mod findings;
mod parts;
mod properties;
mod seen_polls;
mod waits;

use std::time::Duration;

use syscalls::Sysno;

use crate::event_builder::EventBuilder;
use crate::model::explanation::{Awaited, Cause, Explanation, Parts, Place, Unit, Wait};
use crate::model::finding::{Finding, FindingKind};
use crate::model::summary::{Explained, Summary};
use crate::model::system_call::{Architecture, SystemCall};
use crate::runtime::tracker::RuntimeTracker;

const GET: &str = "GET /a HTTP/1.1\r\n\r\n";
const GET_B: &str = "GET /b HTTP/1.1\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

const MS: u64 = 1_000_000;

/// From the last moment before a send call until its entry, in an [`EventBuilder`].
const ENTRY: u64 = 10;

const SLEEP: i32 = Sysno::nanosleep as i32;
const EPOLL: i32 = Sysno::epoll_pwait as i32;
const FUTEX: i32 = Sysno::futex as i32;

/// The cause of a sleep in the system call [`SLEEP`].
fn slept() -> Cause {
    Cause::SystemCall(SystemCall::here(SLEEP))
}

fn explained(summary: &Summary) -> &Explained {
    summary.explained.as_ref().expect("a run with --explain")
}

/// The explanation of the request with this id.
#[track_caller]
fn of(summary: &Summary, id: u64) -> Explanation {
    let request = summary.requests.iter().find(|request| request.id == id).expect("such a request");
    request.explanation.as_deref().expect("an explanation").clone()
}

/// The parts of a run's only request, in the order of [`Parts::named`].
#[track_caller]
fn parts(events: &EventBuilder) -> [u64; 5] {
    let summary = events.summary();
    assert_eq!(summary.requests.len(), 1);
    assert_eq!(explained(&summary).requests_not_opened, 0);
    named(&of(&summary, 1).parts)
}

fn named(parts: &Parts) -> [u64; 5] {
    parts.named().map(|(_, length)| length)
}

/// Kind, route, count, of, total and longest time.
type Found = (FindingKind, Option<String>, u64, u64, u64, u64);

fn found(summary: &Summary) -> Vec<Found> {
    let line = |finding: &Finding| {
        let route = finding.route.as_ref().map(|(method, route)| format!("{method} {route}"));
        (finding.kind, route, finding.count, finding.of, finding.total_ns, finding.max_ns)
    };
    explained(summary).findings.iter().map(line).collect()
}

#[test]
fn the_first_note_of_what_cannot_be_seen_stands() {
    let mut tracker = RuntimeTracker::new(Duration::from_millis(10), Architecture::HERE, true);
    for unseen in ["", "first", "second"] {
        tracker.unseen(unseen);
    }
    assert_eq!(tracker.finish().unseen, "first");
}
