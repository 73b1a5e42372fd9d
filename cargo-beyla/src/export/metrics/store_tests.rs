use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::metrics::v1::HistogramDataPoint;

use super::*;
use crate::protocol::trace_context::{SpanId, TraceId};
use crate::report::fixtures;
use crate::request::trace_context::TraceContext;

fn store() -> Store {
    Store::new(RunInfo { pid: std::process::id(), ..fixtures::run() })
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
fn attribute_sets_are_bounded() {
    let mut store = store();
    for id in 0..SETS_MAX as u64 + 50 {
        store.record(&fixtures::request(id, &format!("/{id}")), false);
    }
    store.record(&fixtures::request(0, "/0"), false);
    let points = points(&mut store, "http.server.request.duration");
    assert_eq!(points.len(), SETS_MAX + 1);
    assert_eq!(points.iter().map(|point| point.count).sum::<u64>(), SETS_MAX as u64 + 51);
    let overflow: Vec<_> = points.iter().filter(|point| value(point, OVERFLOW).is_some()).collect();
    assert_eq!((overflow.len(), overflow[0].count, overflow[0].attributes.len()), (1, 50, 1));
}

#[test]
fn only_sampled_requests_are_examples() {
    let mut request = fixtures::request(1, "/a");
    request.trace = Some(TraceContext { trace_id: TraceId::of(7), span_id: SpanId::of(8), caller: None }.into());
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
