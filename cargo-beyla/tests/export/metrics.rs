//! Metrics that are sent.

use std::sync::Arc;
use std::time::Duration;

use cargo_beyla::export::settings::{ExportSettings, MetricsExport, Protocol};
use cargo_beyla::report::run_info::{RunInfo, Traced};
use cargo_beyla_core::model::request::Request;
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use prost::Message;

use super::grpc_receiver::GrpcReceiver;
use super::http_receiver::{Answer, HttpReceiver};
use super::requests::{PATIENCE, export, otlp, request, run, start, start_of};

fn settings(endpoint: String, protocol: Protocol, interval: Duration) -> ExportSettings {
    let metrics = MetricsExport { otlp: otlp(endpoint, protocol), interval };
    ExportSettings { metrics: Some(metrics), ..ExportSettings::default() }
}

#[track_caller]
fn check(message: &ExportMetricsServiceRequest) {
    let metrics = &message.resource_metrics[0].scope_metrics[0].metrics;
    let named = |name: &str| metrics.iter().find(|metric| metric.name == name).expect("it is there");
    let points = |metric: &Metric| match metric.data.clone() {
        Some(Data::Histogram(histogram)) => histogram.data_points,
        data => panic!("{data:?}"),
    };
    let duration = named("http.server.request.duration");
    assert_eq!(duration.unit, "s");
    assert_eq!(points(duration).iter().map(|point| point.count).sum::<u64>(), 1000);
    assert_eq!(points(named("http.server.response.body.size"))[0].sum, Some(28_000.0));
    assert_eq!(points(named("cargo_beyla.request.phase.duration")).len(), 4);
    named("process.cpu.time");
    named("process.memory.usage");
}

#[test]
fn all_is_sent_at_the_end() {
    let http = HttpReceiver::start(|_| Answer::Take(Vec::new()));
    let url = format!("{}/v1/metrics", http.url());
    let settings_of = |url, protocol| settings(url, protocol, Duration::from_mins(1));
    let outcome = export(&settings_of(url.clone(), Protocol::HttpProtobuf), 1000, PATIENCE);
    assert_eq!(outcome.metrics.expect("there are metrics").sentence(), format!("sent metrics to {url}"));
    assert_eq!(http.received()[0].path, "/v1/metrics");
    check(&ExportMetricsServiceRequest::decode(http.taken().remove(0)).expect("a message"));

    let grpc = GrpcReceiver::start(|_| None);
    let outcome = export(&settings_of(grpc.url(), Protocol::Grpc), 1000, PATIENCE);
    assert!(outcome.metrics.is_some_and(|metrics| metrics.failure.is_none()));
    check(&grpc.metrics()[0]);
}

#[test]
fn a_server_that_has_ended_is_told_of() {
    let mut server = std::process::Command::new("sleep").arg("60").spawn().expect("it is there");
    let executable = "/bin/sleep".into();
    let run = RunInfo { traced: Traced::Server { pid: server.id(), executable, within: Vec::new() }, ..run() };
    let receiver = HttpReceiver::start(|_| Answer::Take(Vec::new()));
    let settings = settings(receiver.url(), Protocol::HttpProtobuf, Duration::from_mins(1));
    let exporter = start_of(&settings, &run);
    std::thread::sleep(Duration::from_secs(1));
    server.kill().expect("it runs");
    server.wait().expect("a child");
    exporter.finish(PATIENCE);
    let message = ExportMetricsServiceRequest::decode(receiver.taken().remove(0)).expect("a message");
    let metrics = &message.resource_metrics[0].scope_metrics[0].metrics;
    let names: Vec<_> = metrics.iter().map(|metric| metric.name.as_str()).collect();
    assert_eq!(names, ["process.cpu.time", "process.memory.usage"]);
}

#[test]
fn many_sets_of_attributes_are_divided_and_their_bounds_are_told() {
    let receiver = HttpReceiver::start(|_| Answer::Take(Vec::new()));
    let settings = settings(receiver.url(), Protocol::HttpProtobuf, Duration::from_mins(1));
    let exporter = start(&settings);
    for id in 1..=2010 {
        exporter.offer(&Arc::new(Request { route: format!("/{id}").into(), ..request(id) }), Vec::new());
    }
    let outcome = exporter.finish(PATIENCE);
    let overflow = outcome.overflow().expect("there are too many");
    assert!(overflow.starts_with("metrics tell 10 requests and calls without attributes"), "{overflow}");
    assert_eq!(outcome.metrics.expect("there are metrics").sent, 1);
    let messages = receiver.taken();
    assert!(messages.len() > 1 && messages.iter().all(|message| message.len() < 3 << 20));
}

#[test]
fn some_are_rejected() {
    let partial = ExportMetricsPartialSuccess { rejected_data_points: 5, error_message: "too old".into() };
    let answer = ExportMetricsServiceResponse { partial_success: Some(partial) }.encode_to_vec();
    let receiver = HttpReceiver::start(move |_| Answer::Take(answer.clone()));
    let settings = settings(receiver.url(), Protocol::HttpProtobuf, Duration::from_mins(1));
    let outcome = export(&settings, 10, PATIENCE).metrics.expect("there are metrics");
    assert!(outcome.sentence().ends_with("; 5 data points rejected there; it says: too old"), "{}", outcome.sentence());
    assert!(!outcome.is_complete());
}

#[test]
fn they_are_sent_while_the_run_goes_on() {
    let receiver = HttpReceiver::start(|_| Answer::Take(Vec::new()));
    let settings = settings(receiver.url(), Protocol::HttpProtobuf, Duration::from_millis(20));
    let exporter = start(&settings);
    exporter.offer(&std::sync::Arc::new(request(1)), Vec::new());
    let begun = std::time::Instant::now();
    while receiver.taken().len() < 3 && begun.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(10));
    }
    let outcome = exporter.finish(PATIENCE).metrics.expect("there are metrics");
    assert!(outcome.sent >= 4, "{outcome:?}");
    assert_eq!(outcome.sent, receiver.taken().len() as u64);
}

#[test]
fn nobody_listens() {
    let settings = settings("http://127.0.0.1:9/v1/metrics".into(), Protocol::HttpProtobuf, Duration::from_mins(1));
    let begun = std::time::Instant::now();
    let outcome = export(&settings, 10, PATIENCE);
    assert!(begun.elapsed() < Duration::from_secs(3));
    let sentence = "sent no metrics to http://127.0.0.1:9/v1/metrics: connection refused";
    assert_eq!(outcome.metrics.expect("there are metrics").sentence(), sentence);
}
