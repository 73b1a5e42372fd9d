mod explained;

use std::collections::BTreeMap;

use super::*;
use crate::report::fixtures;
use crate::report::verdicts::Verdicts;
use cargo_beyla_core::analysis::budget::judge::judge;
use cargo_beyla_core::analysis::budget::parse::parse;
use cargo_beyla_core::model::connection::{Party, Role};
use cargo_beyla_core::model::summary::Summary;
use cargo_beyla_core::model::tls::{Alert, CipherSuite, Tls, Version};
use cargo_beyla_core::model::tls_summary::{Durations, HandshakeFailure, UnreadConnections, Unreadable};
use cargo_beyla_core::model::trace_context::{Caller, SpanId, TestSpan, TraceContext, TraceId};
use serde_json::{Value, json};

fn report(summary: &Summary, exit: Option<Exit>) -> Value {
    let mut out = Vec::new();
    let mut report = fixtures::report(summary.clone(), fixtures::run(), 2_310_000_000);
    report.exit = exit;
    write(&report, &mut out).unwrap();
    assert_eq!(out.last(), Some(&b'\n'));
    serde_json::from_slice(&out).unwrap()
}

#[test]
fn the_contract_is_kept() {
    let mut request = fixtures::request(1, "/hello?a=1");
    request.boundaries.connected = Some(request.boundaries.start() - 40_000);
    request.boundaries.accepted = Some(request.boundaries.start() - 10_000);
    let summary = fixtures::summary(vec![request], vec![fixtures::route("GET", "/hello", 1)]);
    assert_eq!(
        report(&summary, Some(Exit::Code(0))),
        json!({
            "schema": 1,
            "version": "0.1.0",
            "target": {
                "pid": 4242,
                "executable": "/work/target/debug/server",
                "listening": ["127.0.0.1:8080"]
            },
            "started_unix_ns": 1_700_000_000_000_000_000_u64,
            "duration_ns": 2_310_000_000_u64,
            "exit": { "code": 0 },
            "capture": "socket",
            "totals": {
                "requests": 1, "errors": 0, "incomplete": 0, "connections": 1,
                "lost_events": 0, "requests_not_kept": 0,
                "calls": 0, "call_errors": 0, "calls_not_kept": 0, "client_connections": 0
            },
            "unseen": {},
            "routes": [{
                "method": "GET", "route": "/hello", "count": 1, "errors": 0, "incomplete": 0,
                "total_ns": {
                    "p50": 892_000, "p90": 1_240_000, "p99": 2_100_000, "max": 12_045_678,
                    "mean": 934_123
                },
                "phase_mean_ns": {
                    "queue": 112_095, "receive": 0, "handle": 747_299, "respond": 74_729
                }
            }],
            "requests": [{
                "id": 1, "connection": 1, "pid": 4242, "protocol": "http/1.1", "scheme": "http",
                "method": "GET", "path": "/hello", "query": "a=1", "route": "/hello",
                "status": 200, "outcome": "complete",
                "start_unix_ns": 1_700_000_000_010_000_000_u64,
                "total_ns": 100_000,
                "phases": { "queue": 12_000, "receive": 0, "handle": 80_000, "respond": 8_000 },
                "connected_unix_ns": 1_700_000_000_009_960_000_u64,
                "accept_wait_ns": 30_000,
                "request_bytes": { "header": 78, "body": 0 },
                "response_bytes": { "header": 90, "body": 28 },
                "client": "127.0.0.1:50000", "server": "127.0.0.1:8080"
            }],
            "calls": [],
            "call_summaries": [],
            "findings": []
        })
    );
}

#[test]
fn calls_stand_beside_their_requests() {
    let report = report(&fixtures::calling(), None);
    let requests = report["requests"].as_array().unwrap();
    assert_eq!(requests[0]["calls"], json!([1, 2, 3, 4, 5]));
    assert_eq!((requests[0].get("calls_not_kept"), &requests[1]["calls_not_kept"]), (None, &json!(7)));
    let calls = report["calls"].as_array().unwrap();
    assert_eq!(
        calls[0],
        json!({
            "id": 1, "request": 1, "certainty": "certain", "kind": "postgresql", "peer": "127.0.0.1:5432",
            "connection": 102, "pid": 4242, "summary": "SELECT orders", "text": "SELECT * FROM orders WHERE id = ?",
            "error": false, "outcome": "complete", "start_unix_ns": 1_700_000_000_100_500_000_u64, "total_ns": 3_600_000,
            "phases": {
                "connect": 500_000, "send": 310_000, "wait": 2_170_000, "pickup": 310_000, "receive": 310_000
            },
            "request_bytes": { "header": 60, "body": 0 }, "response_bytes": { "header": 90, "body": 500 }, "rows": 1
        })
    );
    assert_eq!(calls[1]["peer"], "unix:/run/redis.sock");
    let (id, parent) = ("0000000000000046", "0000000000000047");
    assert_eq!((&calls[2]["span_id"], &calls[2]["parent_span_id"]), (&json!(id), &json!(parent)));
    let refused = calls.iter().find(|call| call["summary"] == "connect").unwrap();
    assert_eq!(refused["phases"], json!({ "connect": 80_000 }));
    assert_eq!((&refused["status"], &refused["error"]), (&json!("ECONNREFUSED"), &json!(true)));
    assert_eq!((refused.get("response_bytes"), refused.get("rows")), (None, None));
    for call in calls {
        let phases = call["phases"].as_object().unwrap().values();
        assert_eq!(phases.filter_map(Value::as_u64).sum::<u64>(), call["total_ns"].as_u64().unwrap(), "{call}");
        assert_eq!(call.get("request").is_some(), call.get("certainty").is_some(), "{call}");
    }
    let totals = &report["totals"];
    assert_eq!(
        [&totals["calls"], &totals["call_errors"], &totals["calls_not_kept"]],
        [60, 2, 7].map(|n| json!(n)).each_ref()
    );
    assert_eq!(report["unseen"], json!({ "unattributed_calls": 2, "tls_client_connections": 1 }));
    assert_eq!(
        report["call_summaries"][1],
        json!({
            "kind": "postgresql", "peer": "127.0.0.1:5432", "summary": "SELECT items", "count": 48, "errors": 0,
            "incomplete": 0,
            "total_ns": { "p50": 900_000, "p90": 900_000, "p99": 900_000, "max": 900_000, "mean": 900_000 },
            "requests": 1, "per_request": { "mean": 48.0, "max": 48 }
        })
    );
    let refused = report["call_summaries"].as_array().unwrap().iter().find(|row| row["summary"] == "connect").unwrap();
    assert_eq!((refused.get("total_ns"), &refused["errors"]), (None, &json!(1)));
}

#[test]
fn what_came_over_tls_says_so() {
    let mut request = fixtures::request(1, "/hello");
    let tls = Tls {
        version: Some(Version::TLS_1_3),
        cipher: Some(CipherSuite(0x1301)),
        library: Some("ring"),
        alpn: Some("h2".into()),
        handshake_ns: Some(2_000_000),
        ..Tls::default()
    };
    std::sync::Arc::make_mut(&mut request.connection).tls = Some(tls.into());
    let mut summary = fixtures::summary(vec![request.clone()], Vec::new());
    let expected = json!({ "version": "1.3", "cipher": "TLS_AES_128_GCM_SHA256", "library": "ring", "alpn": "h2" });
    let made = report(&summary, None);
    assert_eq!((&made["requests"][0]["scheme"], &made["requests"][0]["tls"]), (&json!("https"), &expected));
    assert_eq!(made["tls"], json!(null), "nothing was counted");

    request.boundaries.secured = Some(request.boundaries.start());
    summary.requests = vec![request.into()];
    summary.tls.connections = [2, 0];
    summary.tls.handshakes[0].add(2_000_000);
    let failure = HandshakeFailure { role: Role::Server, by: Party::Client, alert: Some(Alert(48)) };
    summary.tls.failed = vec![(failure, 1)];
    let mut turns = Durations::default();
    turns.add(5);
    let reason = Unreadable::Cipher(CipherSuite(0x1303));
    summary.tls.unread = vec![UnreadConnections { role: Role::Server, reason, count: 1, bytes: [7, 8], turns }];
    let made = report(&summary, None);
    assert_eq!(made["requests"][0]["tls"]["handshake_ns"], json!(2_000_000));
    assert_eq!(
        made["tls"],
        json!({
            "connections": 2, "client_connections": 0,
            "handshakes": { "count": 1, "mean_ns": 2_000_000, "max_ns": 2_000_000 },
            "failed": [{ "role": "server", "by": "client", "alert": "unknown_ca", "count": 1 }],
            "unread": [{
                "role": "server", "reason": "chacha20", "cipher": "TLS_CHACHA20_POLY1305_SHA256", "connections": 1,
                "request_bytes": 7, "response_bytes": 8, "turns": { "count": 1, "mean_ns": 5, "max_ns": 5 }
            }]
        })
    );
}

#[test]
fn the_unknown_is_absent() {
    let mut summary = fixtures::troubled();
    summary.unseen.missing_bytes = 7;
    summary.unseen.lost_records = 3;
    let report = report(&summary, None);
    assert!(!report.to_string().contains("null"), "{report}");
    assert_eq!(report.get("exit"), None);
    assert_eq!(report["unseen"], json!({ "lost_records": 3, "missing_bytes": 7 }));
    assert_eq!(report["totals"]["lost_events"], 3);
    assert_eq!(report["totals"]["incomplete"], 4);
    assert_eq!(report["routes"][1].get("total_ns"), None);
    assert_eq!(report["routes"][1]["phase_mean_ns"], json!({}));
    let not_seen = &report["requests"][5];
    assert_eq!(not_seen["outcome"], "not seen");
    for absent in ["status", "query", "response_bytes", "accept_wait_ns", "connected_unix_ns"] {
        assert_eq!(not_seen.get(absent), None, "{absent}");
    }
    assert_eq!(not_seen["request_bytes"], json!({ "header": 78 }));
    assert_eq!(not_seen["phases"], json!({ "receive": 0, "handle": 528_000 }));
    assert_eq!(report["requests"][2]["response_bytes"], json!({ "header": 90 }));
}

#[test]
fn the_place_in_a_trace_is_there_where_there_is_one() {
    let mut requests: Vec<_> = (1..=5).map(|id| fixtures::request(id, "/")).collect();
    let (trace_id, span_id) = (TraceId::of(0xabc), SpanId::of(0x12));
    let caller = Caller { span_id: SpanId::of(0x34), sampled: true, state: Some("a=1".into()) };
    requests[0].trace = Some(TraceContext { trace_id, span_id, caller: None, test: None }.into());
    requests[1].trace = Some(TraceContext { trace_id, span_id, caller: Some(caller.clone()), test: None }.into());
    let test = Some(TestSpan { trace_id: TraceId::of(0xdef), span_id: SpanId::of(0x56) });
    requests[3].trace = Some(TraceContext { trace_id, span_id, caller: None, test }.into());
    requests[4].trace = Some(TraceContext { trace_id, span_id, caller: Some(caller), test }.into());
    let report = report(&fixtures::summary(requests, vec![]), None);
    let ids = |index: usize| ["trace_id", "span_id", "parent_span_id"].map(|id| report["requests"][index][id].as_str());
    let (trace_id, span_id) = ("00000000000000000000000000000abc", "0000000000000012");
    assert_eq!(ids(0), [Some(trace_id), Some(span_id), None]);
    assert_eq!(ids(1), [Some(trace_id), Some(span_id), Some("0000000000000034")]);
    assert_eq!(ids(2), [None; 3]);
    assert_eq!(ids(3), [Some(trace_id), Some(span_id), Some("0000000000000056")]);
    assert_eq!(ids(4), ids(1));
    assert!(!report.to_string().contains("null"), "{report}");
}

#[test]
fn phases_sum_to_the_total() {
    for summary in [fixtures::healthy(), fixtures::troubled()] {
        for request in report(&summary, None)["requests"].as_array().unwrap() {
            let phases = request["phases"].as_object().unwrap();
            let sum: u64 = phases.values().filter_map(Value::as_u64).sum();
            assert_eq!(Some(sum), request["total_ns"].as_u64(), "{request}");
        }
    }
}

#[test]
fn a_run_of_tests_with_its_verdicts() {
    let mut summary = fixtures::suite();
    summary.requests.truncate(1);
    summary.tests.truncate(3);
    let budgets = ["test users::* max < 700us", "GET /hello p99 < 1s"].map(|text| parse(text).unwrap());
    let mut comparison = fixtures::comparison();
    comparison.rows.truncate(2);
    let verdicts = Verdicts { budgets: judge(&budgets, &summary, false), comparison: Some(comparison) };
    let mut out = Vec::new();
    let mut report = fixtures::report(summary.clone(), fixtures::run_of_tests(), 2_310_000_000);
    report.verdicts = verdicts;
    write(&report, &mut out).unwrap();
    let report: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(report["target"], json!({ "workspace": "/work/shop" }));
    assert_eq!(report["requests"][0]["test"], 1);
    assert_eq!(report["requests"][0]["pid"], 4300);
    let added = ["tests", "budgets", "comparison"].map(|key| (key, &report[key]));
    insta::assert_snapshot!(serde_json::to_string_pretty(&added.into_iter().collect::<BTreeMap<_, _>>()).unwrap());
    summary.tests[1].round = 1;
    let mut out = Vec::new();
    write(&fixtures::report(summary.clone(), fixtures::run_of_tests(), 1), &mut out).unwrap();
    let report: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!([&report["tests"][0]["round"], &report["tests"][1]["round"]], [0, 1]);
    assert_eq!((report.get("budgets"), report.get("comparison")), (None, None));
}

#[test]
fn the_end_and_the_endpoints_of_other_kinds() {
    let mut summary = fixtures::healthy();
    summary.listening =
        vec![Endpoint::Unix("/run/x.sock".into()), fixtures::tcp("[::1]:80"), Endpoint::Unix(String::new())];
    let report = report(&summary, Some(Exit::Signal(2)));
    assert_eq!(report["exit"], json!({ "signal": 2 }));
    assert_eq!(report["target"]["listening"], json!(["unix:/run/x.sock", "[::1]:80", "unix:"]));
}
