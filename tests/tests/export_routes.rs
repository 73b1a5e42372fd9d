//! The routes that requests are exported with, and those of the report.

use std::collections::BTreeSet;

use beyla_tests::client::Client;
use beyla_tests::fixture;
use beyla_tests::receiver::{Receiver, attribute};
use beyla_tests::run::{Capture, LATENCY_LAB, Run};
use beyla_tests::wait::{LONG, poll};

/// With this under `routes`, what the spans are called, and which routes the spans and the metrics have.
fn exported(routes: &str, names: &[&str], attributes: &[Option<&str>]) {
    let receiver = Receiver::start();
    let yaml = format!("routes:\n  patterns: [/status/:code]\n{routes}");
    let folder = fixture::folder(&[("beyla.yml", &yaml)]);
    let file = folder.path().join("beyla.yml");
    let flags = ["--prometheus", "127.0.0.1:0", "--jaeger", &receiver.address.to_string()];
    let run = Run::of(LATENCY_LAB, Capture::Auto).flags(flags).flags(["--config".as_ref(), file.as_os_str()]).start();
    let mut client = run.connect();
    for path in ["/fast?a=b", "/users/7", "/status/404"] {
        client.get(path);
    }
    drop(client);
    let mut metrics = String::new();
    let scraped = poll(LONG, || {
        let told = run.stderr();
        let url = told.split_whitespace().find(|word| word.ends_with("/metrics"))?;
        let address = url.trim_start_matches("http://").trim_end_matches("/metrics");
        metrics = String::from_utf8(Client::tcp(address).get("/metrics").body).expect("text");
        let counts = metrics.lines().filter(|line| line.starts_with("http_server_request_duration_seconds_count"));
        let counts = counts.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        (counts.sum::<u64>() == 3).then_some(())
    });
    assert!(scraped.is_some(), "{metrics}");
    let report = run.stop();

    let spans = receiver.server_spans();
    let found: BTreeSet<&str> = spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(found, names.iter().copied().collect(), "{routes}");
    let wanted: BTreeSet<Option<String>> = attributes.iter().map(|route| route.map(str::to_owned)).collect();
    let found: BTreeSet<_> = spans.iter().map(|span| attribute(&span.attributes, "http.route")).collect();
    assert_eq!(found, wanted, "{routes}");
    let counts = metrics.lines().filter(|line| line.starts_with("http_server_request_duration_seconds_count"));
    let route = |line: &str| Some(line.split_once("http_route=\"")?.1.split_once('"')?.0.to_owned());
    assert_eq!(counts.map(route).collect::<BTreeSet<_>>(), wanted, "{metrics}");
    // The report folds what looks like an id, whatever is exported.
    let reported: BTreeSet<&str> = report.requests.iter().map(|request| request.route.as_str()).collect();
    assert_eq!(reported, ["/fast", "/users/{id}", "/status/{code}"].into());
}

#[test]
fn heuristic() {
    let names = ["GET /fast", "GET /users/{id}", "GET /status/{code}"];
    let routes = [Some("/fast"), Some("/users/{id}"), Some("/status/{code}")];
    exported("", &names, &routes);
    exported("  unmatched: heuristic\n", &names, &routes);
    exported("  unmatched: low-cardinality\n", &names, &routes);
}

#[test]
fn unset() {
    exported("  unmatched: unset\n", &["GET", "GET /status/{code}"], &[None, Some("/status/{code}")]);
}

#[test]
fn path() {
    let names = ["GET /fast", "GET /users/7", "GET /status/{code}"];
    exported("  unmatched: path\n", &names, &[Some("/fast"), Some("/users/7"), Some("/status/{code}")]);
}

#[test]
fn wildcard() {
    let names = ["GET /**", "GET /status/{code}"];
    exported("  unmatched: wildcard\n", &names, &[Some("/**"), Some("/status/{code}")]);
}
