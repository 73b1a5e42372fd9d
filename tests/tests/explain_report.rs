//! The contract of what `--explain` adds to the JSON report.

use std::process::Command;

use beyla_tests::alone::alone;
use beyla_tests::both::both_ways;
use beyla_tests::fixture;
use beyla_tests::run::{Capture, LATENCY_LAB, Run, Running};
use beyla_tests::tool::tool;
use serde_json::Value;

const TARGETS: [&str; 6] =
    ["/fast", "/block?ms=30", "/spin?ms=30", "/sleep?ms=30", "/spawn_blocking?ms=30", "/nested?ms=30"];

fn play(run: &Running) {
    let mut client = run.connect();
    for target in TARGETS.iter().cycle().take(2 * TARGETS.len()) {
        assert_eq!(client.get(target).status, 200);
    }
}

fn parse(json: &str) -> Value {
    serde_json::from_str(json).expect("a report")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[test]
fn a_recording_explains_the_same() {
    let _alone = alone();
    both_ways(|capture| {
        let folder = fixture::folder(&[]);
        let recording = folder.path().join("recording");
        let run = Run::of(LATENCY_LAB, capture).explain().flags(["--record".as_ref(), recording.as_os_str()]).start();
        play(&run);
        let finished = run.let_go();
        assert_eq!(finished.code(), 0, "{}", finished.stderr);

        let output = Command::new(tool()).args(["beyla", "report"]).arg(&recording).args(["--json", "-"]).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let first = parse(finished.json.as_deref().unwrap());
        let second = parse(std::str::from_utf8(&output.stdout).unwrap());
        assert!(list(&first["requests"]).iter().all(|request| request["handle"].is_object()), "{first:#}");
        assert!(!list(&first["findings"]).is_empty(), "{first:#}");
        for part in ["requests", "routes", "explain", "findings"] {
            assert_eq!(first[part], second[part], "{part}");
        }
        finished.report()
    });
}

#[test]
fn without_the_flag_nothing_is_added() {
    let _alone = alone();
    both_ways(|capture| {
        let run = Run::of(LATENCY_LAB, capture).start();
        play(&run);
        let finished = run.let_go();
        assert_eq!(finished.code(), 0, "{}", finished.stderr);
        let report = parse(finished.json.as_deref().unwrap());
        assert_eq!(report.get("explain"), None);
        assert!(list(&report["findings"]).is_empty(), "{report:#}");
        assert_eq!(list(&report["requests"]).len(), 2 * TARGETS.len());
        for request in list(&report["requests"]) {
            assert_eq!(request.get("handle"), None);
        }
        for route in list(&report["routes"]) {
            assert_eq!(route.get("handle_mean_ns"), None);
        }
        finished.report()
    });
}

#[test]
fn what_is_empty_is_absent() {
    let _alone = alone();
    let run = Run::of(LATENCY_LAB, Capture::Auto).explain().start();
    play(&run);
    let finished = run.let_go();
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    let report = parse(finished.json.as_deref().unwrap());
    for request in list(&report["requests"]) {
        nothing_is_empty(&request["handle"]);
    }
    for finding in list(&report["findings"]) {
        nothing_is_empty(finding);
    }
}

fn nothing_is_empty(value: &Value) {
    match value {
        Value::Object(fields) => fields.values().for_each(nothing_is_empty),
        Value::Array(items) => {
            assert!(!items.is_empty());
            items.iter().for_each(nothing_is_empty);
        }
        value => assert!(!value.is_null() && value.as_str() != Some("")),
    }
}

#[test]
fn the_means_of_a_route_are_those_of_its_requests() {
    let _alone = alone();
    let run = Run::of(LATENCY_LAB, Capture::Auto).explain().start();
    play(&run);
    let report = run.stop();
    report.check_opened();
    for route in &report.routes {
        let parts: Vec<_> = report
            .requests
            .iter()
            .filter(|request| request.route == route.route)
            .map(|request| request.opened().parts)
            .collect();
        let mean = |part: u64| part as f64 / parts.len() as f64;
        let expected = [
            ("running", mean(parts.iter().map(|parts| parts.running).sum())),
            ("runnable", mean(parts.iter().map(|parts| parts.runnable).sum())),
            ("blocked", mean(parts.iter().map(|parts| parts.blocked).sum())),
            ("scheduled", mean(parts.iter().map(|parts| parts.scheduled).sum())),
            ("waiting", mean(parts.iter().map(|parts| parts.waiting).sum())),
        ];
        let means = route.handle_mean_ns.as_ref().unwrap_or_else(|| panic!("no means: {route:#?}"));
        assert_eq!(means.len(), expected.len(), "{route:#?}");
        for (name, expected) in expected {
            // They may be rounded to integers.
            assert!((means[name] - expected).abs() <= 1.0, "{name} is {expected}: {route:#?}");
        }
    }
}
