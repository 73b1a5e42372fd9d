use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::metrics::v1::HistogramDataPoint;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as NumberValue;

use super::*;
use crate::config::attributes::selections_of;
use crate::report::fixtures;
use cargo_beyla_core::model::call::{CallKind, CallSpan};
use cargo_beyla_core::model::trace_context::{SpanId, TraceContext, TraceId};

fn store() -> Store {
    selecting("{}")
}

/// With these `attributes.select`.
fn selecting(text: &str) -> Store {
    Store::new(fixtures::run_of(std::process::id()), &selections_of(text))
}

fn points(store: &mut Store, name: &str) -> Vec<HistogramDataPoint> {
    let metric = store.metrics(5).into_iter().find(|metric| metric.name == name).expect("it is there");
    match metric.data {
        Some(Data::Histogram(histogram)) => histogram.data_points,
        data => unreachable!("{data:?}"),
    }
}

fn value(point: &HistogramDataPoint, key: &str) -> Option<String> {
    let value = point.attributes.iter().find(|attribute| attribute.key == key)?.value.clone()?.value?;
    Some(match value {
        any_value::Value::StringValue(text) => text,
        any_value::Value::IntValue(number) => number.to_string(),
        any_value::Value::BoolValue(flag) => flag.to_string(),
        other => unreachable!("{other:?}"),
    })
}

#[test]
fn requests_are_told_apart_by_what_the_conventions_say() {
    let mut store = store();
    for id in 1..=3 {
        store.record(&fixtures::request(id, "/a"), false);
    }
    store.record(&Request { status: Some(503), ..fixtures::request(4, "/a") }, false);
    store.record(&Request { status: None, outcome: Outcome::ServerClosed, ..fixtures::request(5, "/a") }, false);
    for outcome in [Outcome::StillOpen, Outcome::NotSeen] {
        store.record(&Request { outcome, ..fixtures::request(6, "/a") }, false);
    }
    let points = points(&mut store, "http.server.request.duration");
    let mut rows: Vec<_> = points
        .iter()
        .map(|point| {
            let [status, error, route] =
                ["http.response.status_code", "error.type", "http.route"].map(|key| value(point, key));
            (point.count, status, error, route)
        })
        .collect();
    rows.sort();
    let row = |count, status: Option<&str>, error: Option<&str>| {
        (count, status.map(String::from), error.map(String::from), Some("/a".to_owned()))
    };
    assert_eq!(
        rows,
        [row(1, None, Some("server_closed")), row(1, Some("503"), Some("503")), row(3, Some("200"), None)]
    );
    let sum: f64 = points.iter().filter_map(|point| point.sum).sum();
    assert!((sum - 0.0015).abs() < 1e-12, "{sum}");
}

#[test]
fn phases_sum_to_the_duration() {
    let mut store = store();
    store.record(&fixtures::request(7, "/a"), false);
    let phases = points(&mut store, "cargo_beyla.request.phase.duration");
    let names: Vec<_> = phases.iter().filter_map(|point| value(point, "cargo_beyla.phase")).collect();
    assert_eq!(names, ["queue", "receive", "handle", "respond"]);
    let sum: f64 = phases.iter().filter_map(|point| point.sum).sum();
    let total = points(&mut store, "http.server.request.duration")[0].sum.expect("it is there");
    assert!((sum - total).abs() < 1e-12);
}

#[test]
fn requests_over_tls_are_told_apart() {
    let mut store = store();
    let mut request = fixtures::request(1, "/a");
    store.record(&request, false);
    Arc::make_mut(&mut request.connection).tls = Some(Arc::default());
    store.record(&request, false);
    let points = points(&mut store, "http.server.request.duration");
    let mut schemes: Vec<_> = points.iter().filter_map(|point| value(point, "url.scheme")).collect();
    schemes.sort_unstable();
    assert_eq!(schemes, ["http", "https"]);
}

#[test]
fn attribute_sets_are_bounded() {
    let mut store = store();
    for id in 0..SETS_MAX as u64 + 50 {
        store.record(&fixtures::request(id, &format!("/{id}")), false);
    }
    store.record(&fixtures::request(0, "/0"), false);
    assert_eq!(store.overflowed(), 50);
    let points = points(&mut store, "http.server.request.duration");
    assert_eq!(points.len(), SETS_MAX + 1);
    assert_eq!(points.iter().map(|point| point.count).sum::<u64>(), SETS_MAX as u64 + 51);
    let overflow: Vec<_> = points.iter().filter(|point| value(point, OVERFLOW).is_some()).collect();
    assert_eq!((overflow.len(), overflow[0].count, overflow[0].attributes.len()), (1, 50, 1));
}

#[test]
fn only_sampled_requests_are_examples() {
    let mut request = fixtures::request(1, "/a");
    request.trace =
        Some(TraceContext { trace_id: TraceId::of(7), span_id: SpanId::of(8), caller: None, test: None }.into());
    for (sampled, exemplars) in [(false, 0), (true, 1)] {
        let mut store = store();
        store.record(&request, sampled);
        assert_eq!(points(&mut store, "http.server.request.duration")[0].exemplars.len(), exemplars);
    }
}

#[test]
fn the_process_is_there_and_empty_metrics_are_not() {
    let names: Vec<_> = store().metrics(5).into_iter().map(|metric| metric.name).collect();
    assert_eq!(names, ["process.cpu.time", "process.memory.usage"]);
}

#[test]
fn a_process_that_has_ended_is_told_as_it_was_seen_last() {
    let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("it is there");
    let mut store = Store::new(fixtures::run_of(child.id()), &selections_of("{}"));
    // Of the first pages the kernel's count is late.
    while store.usage.is_none_or(|usage| usage.memory == 0) {
        store.look_at_process();
    }
    child.kill().expect("it runs");
    child.wait().expect("a child");
    let memory = store.metrics(5).into_iter().find(|metric| metric.name == "process.memory.usage");
    let Some(Data::Sum(sum)) = memory.and_then(|metric| metric.data) else { unreachable!("it was seen") };
    assert!(matches!(sum.data_points[0].value, Some(NumberValue::AsInt(bytes)) if bytes > 0));
}

#[test]
fn each_metric_has_the_attributes_that_are_selected() {
    let text = "http_server_request_duration_seconds: {include: ['*'], exclude: [http_route]}\n\
        'http.server.*.body.size': {exclude: ['http.*', 'url.*', 'network.*']}";
    let mut store = selecting(text);
    for path in ["/a", "/b", "/b"] {
        let mut request = fixtures::request(1, path);
        request.route = "/{id}".into();
        store.record(&request, false);
    }
    let duration = points(&mut store, "http.server.request.duration");
    let mut paths: Vec<_> = duration.iter().map(|point| (value(point, "url.path"), point.count)).collect();
    paths.sort();
    assert_eq!(paths, [(Some("/a".to_owned()), 1), (Some("/b".to_owned()), 2)]);
    let mut keys: Vec<_> = duration[0].attributes.iter().map(|attribute| attribute.key.as_str()).collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "client.address",
            "http.request.method",
            "http.response.status_code",
            "network.protocol.version",
            "server.address",
            "server.port",
            "url.path",
            "url.scheme",
        ]
    );
    let size = points(&mut store, "http.server.response.body.size");
    assert_eq!((size.len(), size[0].count, size[0].attributes.len()), (1, 3, 0));
    let phases = points(&mut store, "cargo_beyla.request.phase.duration");
    assert_eq!((phases.len(), value(&phases[0], "http.route")), (4, Some("/{id}".to_owned())));
}

#[test]
fn metrics_of_the_same_attributes_are_counted_once() {
    // Those of gRPC calls count others.
    assert_eq!(store().tables.len(), 1 + 1);
    assert_eq!(selecting("http_*: {exclude: [url_scheme]}").tables.len(), 2 + 1);
    assert_eq!(selecting("'*': {exclude: [url_scheme]}").tables.len(), 1 + 1);
}

#[test]
fn grpc_calls_have_a_metric_besides() {
    let calls = |mut store: Store| {
        store.record(&fixtures::request(1, "/a"), false);
        for (id, status) in [(2, 0), (3, 0), (4, 5), (5, 13), (6, 99)] {
            store.record(&fixtures::grpc_call(id, status), false);
        }
        let http = points(&mut store, "http.server.request.duration");
        assert_eq!(http.iter().map(|point| point.count).sum::<u64>(), 6);
        let attributes = |point: &HistogramDataPoint| {
            let all = point.attributes.iter().map(|attribute| attribute.key.clone());
            all.map(|key| format!("{key}={}", value(point, &key).expect("it is there"))).collect::<Vec<_>>()
        };
        let calls = points(&mut store, "rpc.server.call.duration");
        let mut calls: Vec<_> = calls.iter().map(|point| (attributes(point).join(" "), point.count)).collect();
        calls.sort();
        calls
    };
    let row = |rest: &str, count| {
        (format!("rpc.system.name=grpc rpc.method=shop.v1.Cart/Add rpc.response.status_code={rest}"), count)
    };
    let expected = [row("99", 1), row("INTERNAL error.type=INTERNAL", 1), row("NOT_FOUND", 1), row("OK", 2)];
    assert_eq!(calls(store()), expected);
    let fewer = "rpc_server_call_duration_seconds: {include: [rpc.method, server.port]}";
    assert_eq!(calls(selecting(fewer)), [("rpc.method=shop.v1.Cart/Add server.port=8080".to_owned(), 5)]);
    assert_eq!(calls(selecting("rpc.*: {exclude: ['*']}")), [(String::new(), 5)]);
}

#[test]
fn calls_are_counted_by_their_kind() {
    let mut store = store();
    let mut calls = fixtures::calling().calls;
    for call in &mut calls {
        let span = CallSpan { trace_id: TraceId::of(7), span_id: SpanId::of(8), parent: None, caller: None };
        std::sync::Arc::make_mut(call).span = Some(Box::new(span));
        store.record_call(call, call.kind == CallKind::Http);
    }
    let http = points(&mut store, "http.client.request.duration");
    assert_eq!((http.len(), http[0].count, http[0].exemplars.len()), (1, 5, 1));
    let keys = |point: &HistogramDataPoint| -> Vec<String> {
        point.attributes.iter().map(|attribute| attribute.key.clone()).collect()
    };
    let common = ["server.address", "server.port"];
    assert_eq!(keys(&http[0]), [&["http.request.method"], &common[..], &["http.response.status_code"]].concat());
    let grpc = points(&mut store, "rpc.client.call.duration");
    assert_eq!((grpc.len(), value(&grpc[0], "rpc.response.status_code").as_deref()), (1, Some("UNAVAILABLE")));
    assert_eq!(value(&grpc[0], "error.type").as_deref(), Some("UNAVAILABLE"));
    let mut databases: Vec<_> = points(&mut store, "db.client.operation.duration")
        .iter()
        .map(|point| (value(point, "db.query.summary").unwrap_or_default(), point.count, point.exemplars.len()))
        .collect();
    databases.sort();
    // What has not ended does not count.
    let row = |summary: &str, count| (summary.to_owned(), count, 0);
    assert_eq!(databases, [row("GET", 1), row("SELECT items", 41), row("SELECT jobs", 1), row("SELECT orders", 1)]);
    let mut without = selecting("db_client_operation_duration: {exclude: ['*']}");
    for call in &calls {
        without.record_call(call, false);
    }
    let all = points(&mut without, "db.client.operation.duration");
    assert_eq!((all.len(), all[0].count, all[0].attributes.len()), (1, 44, 0));
}

#[test]
fn calls_beyond_what_is_told_apart_count_together() {
    let mut store = store();
    let call = fixtures::calling().calls.remove(0);
    for n in 0..SETS_MAX + 3 {
        store.record_call(&Call { summary: format!("SELECT t{n}").into(), ..Call::clone(&call) }, false);
    }
    let points = points(&mut store, "db.client.operation.duration");
    let overflow = points.iter().find(|point| value(point, OVERFLOW).is_some()).expect("there are too many");
    assert_eq!((points.len(), overflow.count, store.overflowed()), (SETS_MAX + 1, 3, 3));
}
