//! What `--explain` adds.

use super::*;
use cargo_beyla_core::model::explanation::{Cause, Place};

/// The `handle` of the request of this path.
fn handle_of(report: &Value, path: &str) -> Value {
    let requests = report["requests"].as_array().unwrap();
    requests.iter().find(|request| request["path"] == path).unwrap()["handle"].clone()
}

#[test]
fn handle_is_opened() {
    let report = report(&fixtures::explained(), None);
    assert_eq!(
        handle_of(&report, "/block"),
        json!({
            "tier": 2, "unit": "task",
            "running": 210_000, "runnable": 0, "blocked": 50_100_000, "scheduled": 0, "waiting": 0,
            "places": [{
                "cause": "system-call", "system_call": "clock_nanosleep", "ns": 50_000_000, "count": 1,
                "call": "std::thread::sleep", "function": "shop::handlers::block",
                "file": "crates/shop/src/handlers.rs", "line": 42, "stack": 1
            }]
        })
    );
    assert_eq!(
        handle_of(&report, "/users/7/reports"),
        json!({
            "tier": 2, "unit": "task",
            "running": 150_000, "runnable": 0, "blocked": 0, "scheduled": 0, "waiting": 40_000_000,
            "waits": [{
                "on": "shop::handlers::report::render", "ns": 39_000_000, "count": 1,
                "parts": { "running": 2_000_000, "runnable": 0, "blocked": 0, "scheduled": 0, "waiting": 37_000_000 },
                "waits": [{
                    "on": "blocking pool", "ns": 24_000_000, "count": 1,
                    "parts": { "running": 4_000_000, "runnable": 0, "blocked": 19_000_000, "scheduled": 0, "waiting": 0 },
                    "places": [{
                        "cause": "system-call", "system_call": "pread64", "ns": 19_000_000, "count": 40,
                        "call": "<std::fs::File as std::os::unix::fs::FileExt>::read_at",
                        "function": "shop::handlers::report",
                        "file": "crates/shop/src/handlers.rs", "line": 88, "stack": 3
                    }]
                }]
            }],
            "delays": [{ "by": "GET /hash", "ns": 6_000_000 }]
        })
    );
    let running = json!({
        "cause": "running", "ns": 29_000_000, "count": 29, "function": "shop::handlers::hash",
        "file": "crates/shop/src/handlers.rs", "line": 61, "stack": 2
    });
    assert_eq!(handle_of(&report, "/hash")["places"], json!([running]));
    assert_eq!(handle_of(&report, "/lock")["unit"], "thread");
    assert_eq!(handle_of(&report, "/unopened"), Value::Null);
    assert!(!report.to_string().contains("null"), "{report}");
    assert_eq!(report["explain"], json!({ "requests_not_opened": 1 }));
    assert_eq!(
        report["routes"][1]["handle_mean_ns"],
        json!({ "running": 200_000, "runnable": 0, "blocked": 50_000_000, "scheduled": 0, "waiting": 0 })
    );
    assert_eq!(report["routes"][5].get("handle_mean_ns"), None);
}

#[test]
fn parts_sum_to_their_phase() {
    for request in report(&fixtures::explained(), None)["requests"].as_array().unwrap() {
        let Some(handle) = request.get("handle") else { continue };
        let parts = ["running", "runnable", "blocked", "scheduled", "waiting"].map(|part| handle[part].as_u64());
        assert_eq!(parts.into_iter().sum::<Option<u64>>(), request["phases"]["handle"].as_u64(), "{request}");
    }
}

#[test]
fn findings_are_told() {
    let report = report(&fixtures::explained(), None);
    assert_eq!(
        report["findings"][0],
        json!({
            "kind": "blocking-call", "route": "GET /block", "count": 1, "of": 1,
            "total_ns": 50_123_456, "max_ns": 50_123_456,
            "place": {
                "cause": "system-call", "system_call": "clock_nanosleep", "ns": 50_000_000, "count": 1,
                "call": "std::thread::sleep", "function": "shop::handlers::block",
                "file": "crates/shop/src/handlers.rs", "line": 42, "stack": 1
            },
            "delayed": [
                { "route": "GET /fast", "count": 12, "total_ns": 311_000_000, "max_ns": 49_800_000 },
                { "route": "GET /hash", "count": 1, "total_ns": 4_000_000, "max_ns": 4_000_000 }
            ],
            "message": "blocking call: GET /block blocks an async worker for up to 50.1 ms, in its only request: \
                        std::thread::sleep at crates/shop/src/handlers.rs:42 in \
                        shop::handlers::block; it delayed 12 requests of GET /fast by up to 49.8 ms \
                        (311 ms in all) and 1 request of GET /hash by 4.00 ms",
            "cure": "use tokio::time::sleep, or tokio::task::spawn_blocking for calls that must block"
        })
    );
    assert_eq!(report["findings"].as_array().unwrap().len(), 3);
    let kinds_and_causes = (&report["findings"][2]["kind"], &report["findings"][2]["place"]["cause"]);
    assert_eq!(kinds_and_causes, (&json!("lock-contention"), &json!("lock")));
}

#[test]
fn the_unknown_of_explanations_is_absent() {
    let mut summary = fixtures::explained_without_lines();
    let report_of = |summary: &Summary| report(summary, None);
    let report = report_of(&summary);
    assert_eq!(
        report["explain"],
        json!({ "unseen": "No symbols of tokio in the executable: parts are those of threads." })
    );
    assert_eq!(
        report["findings"][1],
        json!({
            "kind": "cpu-saturated", "count": 2, "of": 2, "total_ns": 24_000_000, "max_ns": 12_000_000,
            "message": "cpu saturated: the server waits for up to 12.0 ms for a CPU, in 2 of 2 requests (24.0 ms in all)",
            "cure": "leave it more CPUs: end other processes, or run fewer threads than there are CPUs"
        })
    );
    let place = &report["findings"][0]["place"];
    assert_eq!((place.get("file"), place.get("line")), (None, None));
    summary.explained = Some(Explained::default());
    let report = report_of(&summary);
    assert_eq!((&report["explain"], &report["findings"]), (&json!({}), &json!([])));
    assert_eq!(
        handle_of(&report, "/block")["places"],
        json!([{ "cause": "system-call", "system_call": "clock_nanosleep", "ns": 50_000_000, "count": 1 }])
    );
}

#[test]
fn stacks_share_their_frames() {
    let mut summary = fixtures::explained();
    let place = |stack, ns| Place { cause: Cause::Running, stack, ns, count: 1 };
    let spun = summary.requests.iter_mut().find(|request| &*request.path == "/hash").unwrap();
    let explanation = std::sync::Arc::make_mut(spun).explanation.as_mut().unwrap();
    std::sync::Arc::make_mut(explanation).by_stack = vec![place(2, 20_000_000), place(4, 9_000_000), place(99, 1)];
    let report = report(&summary, None);
    assert_eq!(
        handle_of(&report, "/hash")["by_stack"],
        json!([
            { "cause": "running", "ns": 20_000_000, "count": 1, "stack": 2 },
            { "cause": "running", "ns": 9_000_000, "count": 1, "stack": 4 },
            { "cause": "running", "ns": 1, "count": 1 }
        ])
    );
    let stacks = report["stacks"].as_array().unwrap();
    let frames = report["frames"].as_array().unwrap();
    assert_eq!(stacks.iter().map(|stack| stack["id"].as_u64()).collect::<Vec<_>>(), [1, 2, 3, 4].map(Some));
    let of = |stack: usize| stacks[stack]["frames"].as_array().unwrap().iter().map(|at| at.as_u64().unwrap() as usize);
    let functions: Vec<_> = of(0).map(|at| frames[at]["function"].as_str().unwrap()).collect();
    assert_eq!(functions, ["std::thread::sleep", "shop::handlers::block", "tokio::runtime::task::raw::poll"]);
    assert_eq!(of(0).next_back(), of(2).next_back(), "one frame of both");
    assert_eq!(
        frames[1],
        json!({ "function": "shop::handlers::block", "file": "crates/shop/src/handlers.rs", "line": 42, "own": true })
    );
    assert_eq!(frames[0], json!({ "function": "std::thread::sleep" }));
}
