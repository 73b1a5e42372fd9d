//! What a server asks SQLite, which is a part of its own process.

use std::collections::HashMap;

use beyla_tests::report::{Call, Report};
use beyla_tests::run::{Capture, Finished, Run, Running, SQLITE_SERVER};

/// In the text of statements, as a literal.
const SECRET: &str = "hunter2";

fn get(run: &Running, requests: &[(&str, u16)]) {
    for (path, status) in requests {
        let answer = run.connect().get(path);
        assert_eq!(answer.status, *status, "{path}: {}", String::from_utf8_lossy(&answer.body));
    }
}

/// The report of a run that went well, without a secret in it.
fn finish(run: Running) -> Report {
    let finished: Finished = run.let_go();
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    for output in [&finished.stdout, &finished.stderr, finished.json.as_ref().expect("a report")] {
        assert!(!output.contains(SECRET), "{SECRET} is in:\n{output}");
    }
    let report = finished.report();
    report.check();
    report
}

/// The calls of the only request of a path: their summaries, statuses and rows.
fn calls_of<'a>(report: &'a Report, path: &'a str) -> Vec<(&'a str, Option<&'a str>, Option<u64>)> {
    let request = report.of_path(path).next().unwrap_or_else(|| panic!("{path}: {report:#?}"));
    let calls = report.calls.iter().filter(|call| call.request == Some(request.id));
    let mut calls: Vec<&Call> = calls.collect();
    assert!(calls.iter().all(|call| call.certainty.as_deref() == Some("certain")), "{calls:#?}");
    calls.sort_by_key(|call| (call.start_unix_ns, call.id));
    calls.iter().map(|call| (&*call.summary, call.status.as_deref(), call.rows)).collect()
}

#[test]
fn statements_have_their_texts_rows_and_errors() {
    let run = Run::of(SQLITE_SERVER, Capture::Auto).start();
    get(&run, &[("/worker/7", 200), ("/pool/8", 200), ("/rows/40", 200), ("/nested/3", 200), ("/script/0", 200)]);
    get(&run, &[("/twice/1", 502), ("/locked/0", 502)]);
    let report = finish(run);

    let select = |rows| ("SELECT items", None, Some(rows));
    assert_eq!(calls_of(&report, "/worker/7"), [select(1)]);
    assert_eq!(calls_of(&report, "/pool/8"), [select(1)]);
    assert_eq!(calls_of(&report, "/rows/40"), [select(40)]);
    // That of the outer statement is not known, as others have been asked since its last row.
    let nested = [("SELECT items", None, None), select(1), select(1), select(1)];
    assert_eq!(calls_of(&report, "/nested/3"), nested);
    assert_eq!(calls_of(&report, "/script/0"), [("BEGIN; UPDATE items; COMMIT", None, None)]);
    assert_eq!(calls_of(&report, "/twice/1"), [("INSERT items", Some("SQLITE_CONSTRAINT_UNIQUE"), None)]);
    let locked = [("BEGIN", None, None), ("UPDATE items", Some("SQLITE_BUSY"), None), ("ROLLBACK", None, None)];
    assert_eq!(calls_of(&report, "/locked/0"), locked);

    let text = |summary: &str| report.calls.iter().find(|call| call.summary == summary).map(Call::text);
    assert_eq!(text("SELECT items"), Some("SELECT name AS request_7 FROM items WHERE name <> ? AND id = ?"));
    assert_eq!(text("INSERT items"), Some("INSERT INTO items VALUES (?, ?)"));
    for call in &report.calls {
        assert_eq!((call.kind.as_str(), call.peer.as_str(), call.outcome.as_str()), ("sqlite", "", "complete"));
        assert_eq!(call.error, call.status.is_some(), "{call:#?}");
        assert_eq!(call.phases.wait, Some(call.total_ns), "{call:#?}");
    }
}

/// The requests of a run in which many are under way at the same time, and these.
const MANY: usize = 2000;
const AT_A_TIME: usize = 16;

#[test]
fn many_requests_at_a_time_have_the_statements_that_they_have_executed() {
    let run = Run::of(SQLITE_SERVER, Capture::Auto).start();
    let path = |request: usize| format!("/{}/{request}", if request.is_multiple_of(2) { "worker" } else { "pool" });
    std::thread::scope(|scope| {
        for first in 0..AT_A_TIME {
            let mut client = run.connect();
            scope.spawn(move || {
                for request in (first..MANY).step_by(AT_A_TIME) {
                    assert_eq!(client.get(&path(request)).status, 200, "{request}");
                }
            });
        }
    });
    let report = finish(run);
    let numbers: HashMap<&str, u64> =
        report.requests.iter().map(|request| (request.path.as_str(), request.id)).collect();
    assert_eq!((report.requests.len(), numbers.len()), (MANY, MANY));
    let mut by_text: HashMap<&str, Vec<&Call>> = HashMap::new();
    for call in &report.calls {
        by_text.entry(call.text()).or_default().push(call);
    }
    for request in 0..MANY {
        let text = format!("SELECT name AS request_{request} FROM items WHERE name <> ? AND id = ?");
        let calls = by_text.get(text.as_str()).map_or(&[][..], Vec::as_slice);
        let [call] = *calls else { panic!("{text}: {calls:#?}") };
        assert_eq!((call.summary.as_str(), call.rows, call.error), ("SELECT items", Some(1), false), "{call:#?}");
        let by = numbers[path(request).as_str()];
        assert_eq!((call.request, call.certainty.as_deref()), (Some(by), Some("certain")), "{call:#?}");
    }
}

/// Where the processes that a server starts are followed, and with all probes.
#[test]
fn explained_they_are_calls_as_well() {
    let run = Run::of(SQLITE_SERVER, Capture::Auto).explain().start();
    get(&run, &[("/worker/7", 200), ("/pool/8", 200)]);
    let report = finish(run);
    for path in ["/worker/7", "/pool/8"] {
        assert_eq!(calls_of(&report, path), [("SELECT items", None, Some(1))]);
    }
}
