//! `cargo beyla test` on the example that has a suite of tests, held against what each test knows of itself.

use std::collections::BTreeMap;

use beyla_tests::suite::{Suite, SuiteReport};

/// How often the whole suite is run: whose a request is may not be a matter of luck.
const ROUNDS: usize = 20;

/// The requests that each test makes: its binary and name, as it says in `x-test`, and how many.
const REQUESTS: [(&str, u64); 12] = [
    ("api all_books_are_listed", 1),
    ("api each_book_is_found", 4),
    ("api a_book_that_is_not_there", 1),
    ("api a_search_finds_what_it_should", 2),
    ("api an_order_has_its_price", 1),
    ("api an_order_of_nothing_that_is_there", 1),
    ("api many_requests_on_one_connection", 50),
    ("api several_clients_at_once", 20),
    ("server it_serves_books", 4),
    ("server it_takes_orders", 5),
    ("server it_searches", 1),
    ("server it_knows_no_other_paths", 2),
];

/// The tests that have no socket.
const IN_PROCESS: [&str; 2] = ["bookshop tests::called_in_process", "bookshop tests::ten_copies_are_cheaper"];

fn check(suite: &Suite, rounds: u64) -> SuiteReport {
    assert!(suite.status.success(), "{}", suite.stderr);
    let report = suite.report();
    assert!(report.unseen.is_empty(), "{:?}", report.unseen);
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for test in &report.tests {
        assert_eq!(test.status.as_deref(), Some("passed"), "{test:?}");
        let binary = test.binary.strip_prefix("bookshop::").unwrap_or(&test.binary);
        *counts.entry(format!("{binary} {}", test.name)).or_default() += test.requests;
        assert!(test.errors == 0 && test.sum_ns <= test.duration_ns * 4, "{test:?}");
    }
    let with_requests = REQUESTS.map(|(test, requests)| (test.to_owned(), requests * rounds));
    let without = IN_PROCESS.map(|test| (test.to_owned(), 0));
    assert_eq!(counts, with_requests.into_iter().chain(without).collect());
    assert_eq!(report.totals.requests, 92 * rounds);
    // Each request by itself, against what was sent with it.
    let headers = suite.test_headers();
    for request in &report.requests {
        let test = &report.tests[request.test.unwrap_or_else(|| panic!("it is of no test: {request:?}"))];
        let binary = test.binary.strip_prefix("bookshop::").expect("a test with sockets");
        let said = &headers[&(request.client.clone(), request.server.clone())];
        let own = format!("{binary} {}", test.name);
        assert!(!said.is_empty() && said.iter().all(|said| *said == own), "{own}: {said:?} {request:?}");
    }
    let sent: usize = headers.values().map(Vec::len).sum();
    assert_eq!(sent as u64, report.totals.requests);
    report
}

#[test]
fn every_request_is_of_the_right_test() {
    for capture in ["auto", "syscalls"] {
        let rounds = ROUNDS / 2;
        let repeat = rounds.to_string();
        let suite = Suite::run(["-p", "bookshop", "-j", "8", "--repeat", &repeat, "--capture", capture], &[]);
        let report = check(&suite, rounds as u64);
        // Those of a server in a process of its own are that process's.
        let of = |binary: &str| {
            let of_binary = |test: usize| report.tests[test].binary == binary;
            report.requests.iter().find(|request| request.test.is_some_and(of_binary)).expect("a request")
        };
        assert!(of("bookshop::server").pid.is_some() && of("bookshop::api").pid.is_some());
    }
}

#[test]
fn findings_name_their_tests() {
    let suite = Suite::run(["-p", "bookshop", "-j", "2", "--explain"], &[]);
    let report = check(&suite, 1);
    let blocking: Vec<_> = report.findings.iter().filter(|finding| finding["kind"] == "blocking-call").collect();
    let [finding] = blocking[..] else { panic!("{:#?}", report.findings) };
    assert_eq!((&finding["route"], &finding["count"]), (&"GET /search".into(), &3.into()));
    let mut tests: Vec<&str> = finding["tests"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|test| report.tests[test.as_u64().expect("a place") as usize].name.as_str())
        .collect();
    tests.sort_unstable();
    assert_eq!(tests, ["a_search_finds_what_it_should", "it_searches"]);
    assert!(suite.stderr.contains("std::thread::sleep at examples/bookshop/src/lib.rs"), "{}", suite.stderr);
}
