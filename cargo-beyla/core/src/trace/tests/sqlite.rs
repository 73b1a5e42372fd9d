//! Statements that SQLite executes within the process.

use super::*;
use crate::event::SqliteExecution;
use crate::model::call::{Call, CallKind, CallOf, Certainty};

const DONE: i32 = 101;
const ROW: i32 = 100;
/// `SQLITE_CONSTRAINT_UNIQUE`
const UNIQUE: i32 = 2067;

const SELECT: SqliteExecution<'static> = SqliteExecution {
    begin_ns: 0,
    end_ns: 500,
    is_end_seen: true,
    process: 0,
    thread: 1,
    task: 0,
    steps: Some(3),
    code: Some(DONE),
    text: b"SELECT a FROM t WHERE b = 'secret'",
};

impl EventBuilder {
    /// The task at hand executes a statement, which takes as long as its end is after its beginning.
    fn executes(&mut self, execution: SqliteExecution<'_>, task: u64) -> &mut Self {
        let begin_ns = self.now + 10;
        let end_ns = begin_ns + execution.end_ns;
        self.push(&Event::Sqlite(SqliteExecution { begin_ns, end_ns, task, ..execution }));
        self.pause(10 + execution.end_ns)
    }
}

fn calls(events: &EventBuilder) -> Vec<Call> {
    events.summary().calls.iter().map(|call| (**call).clone()).collect()
}

#[test]
fn a_statement_is_a_call_of_the_request_whose_task_executes_it() {
    let mut events = EventBuilder::new();
    events.in_task(5).open(1).receive(1, GET).in_task(6).open(2).receive(2, GET);
    events.executes(SELECT, 6).spawns(7).executes(SELECT, 7).send(2, OK);
    let calls = calls(&events);
    let of = |request| Some(CallOf { request, certainty: Certainty::Certain });
    assert_eq!(calls.iter().map(|call| call.request).collect::<Vec<_>>(), [of(2), of(2)]);
    let call = &calls[0];
    assert_eq!((call.kind, &*call.summary, call.peer()), (CallKind::Sqlite, "SELECT t", None));
    assert_eq!((call.text.as_deref(), call.rows), (Some("SELECT a FROM t WHERE b = ?"), Some(2)));
    assert_eq!((call.status.as_deref(), call.is_error, call.outcome), (None, false, Outcome::Complete));
    let phases = call.boundaries.phases().named().map(|(_, length)| length);
    assert_eq!((phases, call.boundaries.total()), ([None, Some(0), Some(500), None, None], 500));
    let rows = events.summary().call_summaries;
    let [row] = &rows[..] else { unreachable!("{rows:?}") };
    assert_eq!((&*row.summary, row.count, row.requests, row.peer.as_ref()), ("SELECT t", 2, 1, None));
}

#[test]
fn one_on_a_thread_without_a_task_is_likely_that_of_the_only_request() {
    let mut events = EventBuilder::new();
    events.in_task(5).open(1).receive(1, GET).on(9).executes(SELECT, 0).in_task(5).on(1).send(1, OK);
    events.in_task(5).receive(1, GET).in_task(6).open(2).receive(2, GET).executes(SELECT, 0);
    let likely = Some(CallOf { request: 1, certainty: Certainty::Likely });
    assert_eq!(calls(&events).iter().map(|call| call.request).collect::<Vec<_>>(), [likely, None]);
}

#[test]
fn results_count_once_steps_are_seen_to_end_as_they_do() {
    let failed = SqliteExecution { code: Some(UNIQUE), steps: Some(1), text: b"INSERT INTO t VALUES (1)", ..SELECT };
    let mut events = EventBuilder::new();
    // What is read of another version may be anything.
    events.executes(failed, 0).executes(SELECT, 0).executes(failed, 0);
    events.executes(SqliteExecution { code: Some(ROW), steps: Some(1), ..SELECT }, 0);
    events.executes(SqliteExecution { code: None, ..SELECT }, 0);
    let found = calls(&events);
    let ends: Vec<_> = found.iter().map(|call| (call.status.as_deref(), call.is_error, call.rows)).collect();
    let unique = (Some("SQLITE_CONSTRAINT_UNIQUE"), true, None);
    assert_eq!(
        ends,
        [(None, false, None), (None, false, Some(2)), unique, (None, false, Some(1)), (None, false, None)]
    );
}

#[test]
fn a_script_and_an_end_that_was_not_seen() {
    let mut events = EventBuilder::new();
    let script = SqliteExecution { steps: None, code: Some(5), text: b"BEGIN; COMMIT", ..SELECT };
    events.executes(script, 0).executes(SqliteExecution { is_end_seen: false, code: None, text: b"", ..SELECT }, 0);
    let found = calls(&events);
    assert_eq!((&*found[0].summary, found[0].status.as_deref()), ("BEGIN; COMMIT", Some("SQLITE_BUSY")));
    assert_eq!((&*found[1].summary, &found[1].text, found[1].outcome), ("QUERY", &None, Outcome::NotSeen));
    assert_eq!(events.summary().call_summaries.iter().map(|row| row.incomplete).sum::<u64>(), 1);
}
