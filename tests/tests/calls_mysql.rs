//! Calls to MariaDB, by two libraries, held against the log of the server.

use std::collections::HashMap;

use beyla_tests::called::mariadb::{self, Mariadb};
use beyla_tests::planned::{self, Planned};
use beyla_tests::report::{Call, Report};
use beyla_tests::run::{Capture, Finished, MYSQL_SERVER, Run, Running};

fn server(capture: Capture, mariadb: &Mariadb, sqlx: &str) -> Run {
    Run::of(MYSQL_SERVER, capture)
        .environment("SQLX_URL", mariadb.url() + sqlx)
        .environment("MYSQL_ASYNC_URL", mariadb.url() + "?prefer_socket=false&pool_min=1&pool_max=8")
}

fn finish(run: Running) -> (Report, Finished) {
    let finished = run.let_go();
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    let report = finished.report();
    report.check();
    (report, finished)
}

/// The calls that `/each` makes: summary, status, rows (`?` of results too large to be captured), text; those of `SQLx`, and
/// then those of `mysql_async`.
const EACH: [[&str; 4]; 23] = [
    ["CREATE TABLE items", "-", "-", "CREATE TABLE items (id INT PRIMARY KEY, name LONGTEXT)"],
    ["PREPARE INSERT items", "-", "-", "INSERT INTO items VALUES (?, ?)"],
    ["INSERT items", "-", "1", "INSERT INTO items VALUES (?, ?)"],
    ["INSERT items", "-", "1", "INSERT INTO items VALUES (?, ?)"],
    ["INSERT items", "1062 (23000)", "-", "INSERT INTO items VALUES (?, ?)"],
    ["PREPARE SELECT items", "-", "-", "SELECT name FROM `items` WHERE id < ? AND name <> ?"],
    ["SELECT items", "-", "2", "SELECT name FROM `items` WHERE id < ? AND name <> ?"],
    ["SELECT nowhere", "1146 (42S02)", "-", "SELECT ? FROM nowhere"],
    ["BEGIN", "-", "-", "BEGIN"],
    ["UPDATE items", "-", "2", "UPDATE items SET name = ?"],
    ["COMMIT", "-", "-", "COMMIT"],
    ["SELECT; SELECT items", "-", "3", "SELECT ?; SELECT name FROM items"],
    ["PREPARE UPDATE items", "-", "-", "UPDATE items SET name = ? WHERE id = ?"],
    ["UPDATE items", "-", "1", "UPDATE items SET name = ? WHERE id = ?"],
    ["PREPARE SELECT items seq_1_to_5000", "-", "-", "SELECT items.name, ? FROM items, seq_1_to_5000 WHERE id = ?"],
    ["SELECT items seq_1_to_5000", "-", "?", "SELECT items.name, ? FROM items, seq_1_to_5000 WHERE id = ?"],
    ["PREPARE SELECT items", "-", "-", "SELECT name FROM items WHERE id = ?"],
    ["SELECT items", "-", "?", "SELECT name FROM items WHERE id = ?"],
    ["SELECT items", "-", "2", "SELECT id, ? FROM items"],
    ["PREPARE UPDATE items", "-", "-", "UPDATE items SET name = ? WHERE id = ?"],
    ["UPDATE items", "-", "1", "UPDATE items SET name = ? WHERE id = ?"],
    ["QUERY", "1064 (42000)", "-", "SELEKT ?"],
    ["DELETE items", "-", "0", "DELETE FROM items WHERE name = ?"],
];

#[test]
fn commands_are_those_of_the_log_of_mariadb() {
    for (capture, over_unix, sqlx) in [
        (Capture::Auto, false, "?ssl-mode=DISABLED".to_owned()),
        (Capture::Syscalls, true, String::new()),
        (Capture::Auto, false, "?ssl-mode=REQUIRED".to_owned()),
    ] {
        let mariadb = Mariadb::start();
        let socket = mariadb.socket().display().to_string();
        let sqlx = if over_unix { format!("?ssl-mode=DISABLED&socket={socket}") } else { sqlx };
        let run = server(capture, &mariadb, &sqlx).start();
        let answer = run.connect().get("/each");
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        let (report, finished) = finish(run);

        let calls: Vec<&Call> = report.calls_of_kind("mysql").collect();
        assert_eq!(calls.len(), report.calls.len(), "{:#?}", report.calls);
        let of_request = calls.iter().filter(|call| call.request.is_some() && !is_setting(call));
        let found: Vec<[String; 4]> = of_request.map(|call| seen(call)).collect();
        assert_eq!(found.len(), EACH.len(), "{found:#?}");
        for (found, expected) in found.iter().zip(EACH) {
            assert!((0..4).all(|at| expected[at] == "?" || found[at] == expected[at]), "{found:?} is not {expected:?}");
        }
        let sqlx_peer = if over_unix { format!("unix:{socket}") } else { mariadb.peer() };
        let is_tls = sqlx.ends_with("REQUIRED");
        let others =
            calls.iter().find(|call| call.text() == "SELECT id, ? FROM items").and_then(|call| call.connection);
        for call in calls.iter().filter(|call| call.request.is_some()) {
            let expected =
                if call.connection == others { (mariadb.peer(), false) } else { (sqlx_peer.clone(), is_tls) };
            assert_eq!((call.peer.clone(), call.tls.is_some()), expected, "{call:#?}");
        }
        for call in &calls {
            assert_eq!(call.outcome, "complete", "{call:#?}");
            assert_eq!(call.error, call.status.is_some(), "{call:#?}");
            assert!(call.request.is_none() || call.certainty.as_deref() == Some("certain"), "{call:#?}");
        }
        let logged = mariadb.commands();
        let count = |commands: &[&str]| {
            let is_one = |line: &&String| commands.iter().any(|command| line.split(' ').next() == Some(command));
            logged.iter().filter(is_one).count()
        };
        let prepared = calls.iter().filter(|call| call.summary.starts_with("PREPARE ")).count();
        assert_eq!(prepared, count(&["Prepare"]), "{logged:#?}");
        assert_eq!(calls.len() - prepared, count(&["Query", "Execute"]), "{logged:#?} {calls:#?}");
        for secret in ["hunter2", "7741093", mariadb::PASSWORD] {
            for output in [&finished.stdout, &finished.stderr, finished.json.as_ref().expect("a report")] {
                let line = output.lines().find(|line| line.contains(secret));
                assert_eq!(line, None, "{secret} is in an output");
            }
        }
        assert!(finished.stderr.contains("mysql SELECT items"), "{}", finished.stderr);
        assert!(report.unseen.keys().all(|kind| kind == "unattributed_calls"), "{:?}", report.unseen);
    }
}

/// What libraries ask for when they have opened a connection.
fn is_setting(call: &Call) -> bool {
    call.summary == "SET" || call.text().contains("@@")
}

/// As a line of [`EACH`].
fn seen(call: &Call) -> [String; 4] {
    let status = call.status.clone().unwrap_or_else(|| "-".into());
    let rows = call.rows.map_or_else(|| "-".into(), |rows| rows.to_string());
    [call.summary.clone(), status, rows, call.text().to_owned()]
}

/// The requests of a run in which many are under way at the same time, and these.
const MANY: usize = 2000;
const AT_A_TIME: usize = 16;

#[test]
fn many_requests_at_a_time_have_the_calls_that_they_have_made() {
    let mariadb = Mariadb::start();
    let run = server(Capture::Auto, &mariadb, "?ssl-mode=DISABLED").start();
    std::thread::scope(|scope| {
        for first in 0..AT_A_TIME {
            let mut client = run.connect();
            scope.spawn(move || {
                for request in (first..MANY).step_by(AT_A_TIME) {
                    assert_eq!(client.get(&format!("/{request}")).status, 200, "{request}");
                }
            });
        }
    });
    let (report, _) = finish(run);
    let numbers: HashMap<&str, u64> =
        report.requests.iter().map(|request| (request.path.as_str(), request.id)).collect();
    assert_eq!((report.requests.len(), numbers.len()), (MANY, MANY));
    let mut by_text: HashMap<&str, Vec<&Call>> = HashMap::new();
    // SQLx prepares each statement before it has it executed.
    for call in report.calls.iter().filter(|call| !call.summary.starts_with("PREPARE ")) {
        by_text.entry(call.text()).or_default().push(call);
    }
    let mut count = 0;
    for request in 0..MANY {
        let by = numbers[format!("/{request}").as_str()];
        for planned in planned::calls_of_mysql(request) {
            is_as_planned(&planned, by, by_text.get(planned.text().as_str()).map_or(&[][..], Vec::as_slice));
            count += 1;
        }
    }
    // What MariaDB says itself that it was asked.
    let logged = mariadb.commands();
    let is_planned = |line: &&String| line.contains(" AS request_") && !line.starts_with("Prepare ");
    assert_eq!(logged.iter().filter(is_planned).count(), count);
}

/// The call is in the report once, as it must be, under the request whose task has made it, or one that this has spawned.
fn is_as_planned(planned: &Planned, by: u64, calls: &[&Call]) {
    let [call] = *calls else { panic!("{planned:?}: {calls:#?}") };
    assert_eq!((call.kind.as_str(), call.summary.as_str()), (planned.kind(), planned.summary()), "{call:#?}");
    assert_eq!((call.status.as_deref(), call.error, call.rows), (None, false, Some(1)), "{call:#?}");
    assert_eq!(call.outcome, "complete", "{call:#?}");
    assert_eq!((call.request, call.certainty.as_deref()), (Some(by), Some("certain")), "{call:#?}");
}
