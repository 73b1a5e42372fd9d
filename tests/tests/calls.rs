//! Calls that a server makes, held against what those say that it called.

use std::collections::{BTreeMap, HashMap};

use beyla_tests::called::postgres::{self, Postgres};
use beyla_tests::called::prices::Prices;
use beyla_tests::called::redis::{self, Redis};
use beyla_tests::planned::{self, Library, Planned};
use beyla_tests::report::{Call, Report, Request};
use beyla_tests::run::{Capture, Finished, MANY_CALLS_SERVER, ORDERS, Run, Running};

const MS: u64 = 1_000_000;

/// What the service for prices is sent with each request, and no report may show.
const TOKEN: &str = "bearer-hunter2";

/// The example, with a service of another process.
fn orders(capture: Capture, prices: &Prices) -> Run {
    let run = Run::of(ORDERS, capture).environment("PRICES_URL", prices.url()).environment("PRICES_TOKEN", TOKEN);
    // Without a database.
    run.environment("DATABASE_URL", "")
}

/// Requests one after the other, each with its status.
fn get(run: &Running, requests: &[(&str, u16)]) {
    for (path, status) in requests {
        let answer = run.connect().get(path);
        assert_eq!(answer.status, *status, "{path}: {}", String::from_utf8_lossy(&answer.body));
    }
}

/// The report of a run that went well, and all that the run has put out.
fn finish(run: Running) -> (Report, Finished) {
    let finished = run.let_go();
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    let report = finished.report();
    report.check();
    (report, finished)
}

/// The calls of the only request of a path.
fn calls_of<'a>(report: &'a Report, path: &'a str) -> (&'a Request, Vec<&'a Call>) {
    let requests: Vec<&Request> = report.of_path(path).collect();
    let [request] = requests[..] else { panic!("{path}: {requests:#?}") };
    let of = report.calls.iter().filter(|call| call.request == Some(request.id));
    (request, of.collect())
}

fn texts<'a>(calls: impl IntoIterator<Item = &'a Call>) -> Vec<String> {
    let mut texts: Vec<String> =
        calls.into_iter().map(|call| format!("{} {}", call.text(), call.status.as_deref().unwrap_or("-"))).collect();
    texts.sort();
    texts
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

#[test]
fn each_call_of_a_service_is_there_once_and_under_its_request() {
    for &capture in Capture::ways() {
        let prices = Prices::start();
        let run = orders(capture, &prices).start();
        get(&run, &[("/orders/7", 200), ("/together", 200), ("/spawned", 200), ("/slow", 200), ("/down", 502)]);
        let (report, finished) = finish(run);

        let http: Vec<&Call> = report.calls_of_kind("http").collect();
        assert_eq!(
            texts(http.iter().copied()),
            sorted(prices.requests().iter().map(|line| without_query(line)).collect())
        );
        assert!(http.iter().all(|call| call.peer == prices.peer() && !call.error && call.outcome == "complete"));
        assert_eq!(report.calls.len(), http.len() + 1, "{:#?}", report.calls);

        let (request, calls) = calls_of(&report, "/orders/7");
        assert_eq!(calls.len(), 8, "{calls:#?}");
        assert_eq!(calls[0].summary, "GET /rates/EUR");
        assert!(calls[1..].iter().all(|call| call.summary == "GET /prices/{id}/{id}"), "{calls:#?}");
        assert!(
            calls.is_sorted_by(|one, next| one.end_unix_ns() <= next.start_unix_ns),
            "one after the other: {calls:#?}"
        );
        assert!(calls.iter().all(|call| call.end_unix_ns() <= request.start_unix_ns + request.total_ns));

        let (_, calls) = calls_of(&report, "/together");
        let [euro, pound, slow] = calls[..] else { panic!("{calls:#?}") };
        let last = [euro, pound, slow].map(|call| call.start_unix_ns).into_iter().max();
        assert!(last < Some(slow.end_unix_ns()), "in parallel: {calls:#?}");

        let (_, calls) = calls_of(&report, "/spawned");
        assert_eq!(texts(calls), ["GET /rates/EUR 200"]);

        let (_, calls) = calls_of(&report, "/slow");
        let [slow] = calls[..] else { panic!("{calls:#?}") };
        assert!(slow.total_ns >= 50 * MS && slow.phases.wait >= Some(45 * MS), "{slow:#?}");

        let (_, calls) = calls_of(&report, "/down");
        let [down] = calls[..] else { panic!("{calls:#?}") };
        assert_eq!((down.kind.as_str(), down.peer.as_str(), down.error), ("tcp", "127.0.0.1:1", true));
        assert_eq!(down.status.as_deref(), Some("ECONNREFUSED"));
        // Nothing else went on.
        assert!(report.calls.iter().all(|call| call.request.is_some()), "{:#?}", report.calls);

        for line in
            ["Calls, the most time first", "7 × http GET /prices/{id}/{id}", "one after the other", "ECONNREFUSED"]
        {
            assert!(finished.stderr.contains(line), "'{line}' is not in:\n{}", finished.stderr);
        }
        shows_none_of(&finished, &[TOKEN]);
    }
}

#[test]
fn statements_are_those_of_the_log_of_postgres() {
    for over_unix in [false, true] {
        let (prices, postgres) = (Prices::start(), Postgres::start());
        let (url, peer) =
            if over_unix { (postgres.unix_url(), postgres.unix_peer()) } else { (postgres.url(), postgres.peer()) };
        let run = orders(Capture::Auto, &prices).environment("DATABASE_URL", url).start();
        get(
            &run,
            &[
                ("/orders/5", 200),
                ("/orders/5/total", 200),
                ("/report", 200),
                ("/search?customer=secret-customer", 200),
                ("/broken", 500),
            ],
        );
        let order = r#"{"id": 4711, "customer": "secret-buyer", "cents": [12, 13]}"#;
        let head = format!(
            "POST /orders HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            order.len()
        );
        assert_eq!(run.connect().send(head + order).response().status, 200);
        let (report, finished) = finish(run);

        let calls: Vec<&Call> = report.calls_of_kind("postgresql").filter(|call| call.text.is_some()).collect();
        assert!(calls.iter().all(|call| call.peer == peer), "{peer}: {calls:#?}");
        let of = |summary: &str| calls.iter().filter(|call| call.summary == summary).count();
        let statements = postgres.statements();
        let logged = |beginning: &str| statements.iter().filter(|statement| statement.starts_with(beginning)).count();
        for (summary, beginning, count) in [
            ("SELECT orders", "SELECT customer FROM orders", 1),
            ("SELECT items", "SELECT cents FROM items WHERE order_id = $1 AND line = $2", 5),
        ] {
            assert_eq!(logged(beginning), count, "{statements:#?}");
            let found =
                calls.iter().filter(|call| call.summary == summary && call.text().starts_with(beginning)).count();
            assert_eq!(found, count, "{summary}: {calls:#?}");
        }
        assert_eq!(of("COMMIT"), logged("COMMIT"), "{statements:#?} {calls:#?}");

        let the = |path: &str| {
            let (_, calls) = calls_of(&report, path);
            let found: Vec<&Call> = calls.into_iter().filter(|call| call.kind == "postgresql").collect();
            let last = found.last().unwrap_or_else(|| panic!("{path}: {:#?}", report.calls));
            Call::clone(last)
        };
        assert_eq!(the("/orders/5/total").rows, Some(5));
        let report_of_all = the("/report");
        assert!(report_of_all.total_ns >= 30 * MS, "{report_of_all:#?}");
        assert_eq!(the("/search").text(), "SELECT id FROM orders WHERE customer = ? ORDER BY id");
        let broken = the("/broken");
        assert_eq!((broken.status.as_deref(), broken.error), (Some("42P01"), true), "{broken:#?}");
        let (request, calls) = calls_of(&report, "/orders/5");
        assert_eq!(calls.iter().filter(|call| call.summary == "SELECT items").count(), 5, "{request:#?} {calls:#?}");
        // A connection that goes back to its pool is asked by a task of the pool whether it is well, by a Sync alone.
        assert!(report.calls.iter().all(|call| call.summary != "SYNC"), "{:#?}", report.calls);
        assert!(calls.iter().all(|call| call.certainty.as_deref() == Some("certain")), "{calls:#?}");
        shows_none_of(&finished, &[postgres::PASSWORD, TOKEN, "secret-buyer", "'customer"]);
        // The request's own query is the user's to see.
        assert!(report.calls.iter().all(|call| !call.text().contains("secret-customer")), "{:#?}", report.calls);
    }
}

#[test]
fn commands_are_those_that_redis_was_sent() {
    let (prices, redis) = (Prices::start(), Redis::start());
    let run = orders(Capture::Auto, &prices).environment("REDIS_URL", redis.url()).start();
    get(&run, &[("/rates/EUR", 200), ("/rates/EUR", 200), ("/rates/GBP", 200)]);
    let (report, finished) = finish(run);
    let mut asked: BTreeMap<String, usize> = BTreeMap::new();
    for command in redis.commands() {
        *asked.entry(command.split('"').nth(1).unwrap_or_default().to_uppercase()).or_default() += 1;
    }
    assert_eq!((asked["GET"], asked["SET"]), (3, 2), "{asked:?}");
    for name in ["GET", "SET"] {
        let calls: Vec<&Call> = report.calls_of_kind("redis").filter(|call| call.summary == name).collect();
        assert_eq!(calls.len(), asked[name], "{:#?}", report.calls);
        assert!(calls.iter().all(|call| call.peer == redis.peer() && !call.error), "{calls:#?}");
    }
    shows_none_of(&finished, &[redis::PASSWORD, TOKEN]);
}

/// The requests of a run in which many are under way at the same time, and these.
const MANY: usize = 2000;
const AT_A_TIME: usize = 16;

#[test]
fn many_requests_at_a_time_have_the_calls_that_they_have_made() {
    for Made { call, by, planned } in many_calls(false) {
        // The task of the request makes it, or one that this has spawned.
        if planned.library == Library::Sqlx {
            assert_eq!((call.request, call.certainty.as_deref()), (Some(by), Some("certain")), "{call:#?}");
        }
        assert!(call.certainty.as_deref() != Some("certain") || call.request == Some(by), "{call:#?}");
    }
}

#[test]
fn many_requests_at_a_time_have_the_calls_that_others_have_made_for_them() {
    let all = many_calls(true);
    let is_wrong = |made: &&Made| made.call.request.is_some_and(|request| request != made.by);
    let wrong: Vec<&Made> = all.iter().filter(is_wrong).collect();
    assert!(wrong.iter().all(|made| made.call.certainty.as_deref() == Some("likely")), "{wrong:#?}");
    assert!(wrong.len() * 1000 <= all.len(), "{} of {}: {wrong:#?}", wrong.len(), all.len());
    let known = all.iter().filter(|made| made.call.request.is_some()).count();
    assert!(known * 100 >= all.len() * 97, "{known} of {}", all.len());
}

/// A planned call as the report has it.
#[derive(Debug)]
struct Made {
    call: Call,
    /// The request that has made it.
    by: u64,
    planned: Planned,
}

/// Runs the server that makes planned calls. Returns these calls, each of which is in the report once, and as it must be.
fn many_calls(explain: bool) -> Vec<Made> {
    let (prices, postgres, redis) = (Prices::start(), Postgres::start(), Redis::start());
    let run = Run::of(MANY_CALLS_SERVER, Capture::Auto)
        .environment("DATABASE_URL", postgres.url())
        .environment("REDIS_URL", redis.url())
        .environment("PRICES_URL", prices.url());
    let run = if explain { run.explain() } else { run }.start();
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
    let mut found = Vec::new();
    for request in 0..MANY {
        let by = numbers[format!("/{request}").as_str()];
        for planned in planned::calls(request) {
            let calls = by_text.get(planned.text().as_str()).map_or(&[][..], Vec::as_slice);
            let [call] = *calls else { panic!("{planned:?}: {calls:#?}") };
            assert_eq!((call.kind.as_str(), call.summary.as_str()), (planned.kind(), planned.summary()), "{call:#?}");
            assert_eq!((call.status.as_deref(), call.error), (planned.status(), false), "{call:#?}");
            assert_eq!(call.outcome, "complete", "{call:#?}");
            found.push(Made { call: Call::clone(call), by, planned });
        }
    }
    // What they say themselves that they were asked.
    let asked = |library: Library| found.iter().filter(|made| made.planned.library == library).count();
    let statements = postgres.statements();
    assert_eq!(statements.iter().filter(|text| text.contains("request_")).count(), asked(Library::Sqlx));
    let commands = redis.commands();
    assert_eq!(commands.iter().filter(|text| text.contains("request:")).count(), asked(Library::Redis));
    assert_eq!(prices.requests().len(), asked(Library::Reqwest));
    found
}

/// As the report has the paths of services.
fn without_query(line: &str) -> String {
    let parts: Vec<&str> = line.split(' ').collect();
    let [method, target, status] = parts[..] else { panic!("{line}") };
    format!("{method} {} {status}", target.split('?').next().unwrap_or_default())
}

/// Nothing that the run has put out has a secret in it.
fn shows_none_of(finished: &Finished, secrets: &[&str]) {
    let outputs = [&finished.stdout, &finished.stderr, finished.json.as_ref().expect("a report")];
    for secret in secrets {
        for output in outputs {
            assert!(!output.contains(secret), "{secret} is in:\n{output}");
        }
    }
}
