//! Metrics that are scraped.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cargo_beyla::export::checked::Checked;
use cargo_beyla::export::exporter::Exporter;
use cargo_beyla::export::settings::{ExportSettings, PrometheusExport, Resource};
use cargo_beyla_core::model::request::Request;
use prometheus_parse::{Scrape, Value};

use super::requests::{PATIENCE, request, run};

fn settings(address: SocketAddr) -> ExportSettings {
    let prometheus = PrometheusExport { address, path: "/metrics".into() };
    ExportSettings { prometheus: Some(prometheus), ..ExportSettings::default() }
}

/// Head and body of the answer.
fn get(address: SocketAddr, method: &str, path: &str, accept: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    (head.to_owned(), body.to_owned())
}

fn start() -> (Exporter, SocketAddr) {
    let checked = Checked::new(&settings(([127, 0, 0, 1], 0).into())).expect("a port").expect("something to export");
    let address = checked.prometheus_address().expect("it listens");
    let resource = Resource { service_name: "shop".into(), attributes: vec![] };
    (Exporter::start(checked, &resource, &run()).expect("a thread"), address)
}

/// Scrapes until the requests are there: they come to the exporter's thread when it gets to them.
fn scrape(address: SocketAddr, requests: f64) -> Scrape {
    let begun = Instant::now();
    loop {
        let (head, body) = get(address, "GET", "/metrics", "*/*");
        assert!(head.starts_with("HTTP/1.1 200") && head.contains("text/plain; version=0.0.4"), "{head}");
        let scrape = Scrape::parse(body.lines().map(|line| Ok(line.to_owned()))).expect("text as Prometheus has it");
        let duration = scrape.samples.iter().find(|sample| sample.metric == "http_server_request_duration_seconds");
        let all = |value: &Value| match value {
            Value::Histogram(buckets) => buckets.last().is_some_and(|all| all.count >= requests),
            _ => false,
        };
        if duration.is_some_and(|duration| all(&duration.value)) {
            return scrape;
        }
        assert!(begun.elapsed() < PATIENCE, "{body}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn clients_that_send_nothing_keep_nobody_from_scraping() {
    let (exporter, address) = start();
    let begun = Instant::now();
    let idle: Vec<TcpStream> = (0..145)
        .map(|_| {
            let mut stream = TcpStream::connect(address).expect("it listens");
            // It may be closed by now.
            let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nHost:");
            stream
        })
        .collect();
    let (head, _) = get(address, "GET", "/metrics", "*/*");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    drop(idle);
    drop(exporter);
}

#[test]
fn a_parser_reads_what_is_scraped() {
    let (exporter, address) = start();
    for id in 1..=100 {
        // The parser takes a brace in a value for the end of the labels.
        exporter.offer(&Arc::new(Request { route: "/users".into(), ..request(id) }), Vec::new());
    }
    let scrape = scrape(address, 100.0);
    let named = |name: &str| scrape.samples.iter().find(|sample| sample.metric == name).expect("it is there");
    let duration = named("http_server_request_duration_seconds");
    let Value::Histogram(buckets) = &duration.value else { panic!("{duration:?}") };
    assert_eq!((buckets.len(), buckets[0].count, buckets[15].count), (16, 0.0, 100.0));
    for (label, value) in [
        ("http_request_method", "GET"),
        ("http_route", "/users"),
        ("http_response_status_code", "200"),
        ("url_scheme", "http"),
        ("network_protocol_version", "1.1"),
    ] {
        assert_eq!(duration.labels.get(label), Some(value));
    }
    assert_eq!(named("target_info").labels.get("service_name"), Some("shop"));
    assert!(matches!(named("process_memory_usage_bytes").value, Value::Gauge(bytes) if bytes > 0.0));
    assert!(matches!(named("process_cpu_time_seconds_total").value, Value::Counter(_)));

    let (head, body) = get(address, "GET", "/metrics", "application/openmetrics-text;version=1.0.0");
    assert!(head.contains("application/openmetrics-text; version=1.0.0; charset=utf-8"), "{head}");
    assert!(body.ends_with("# EOF\n"));
    assert!(get(address, "GET", "/", "*/*").0.starts_with("HTTP/1.1 404"));
    assert!(get(address, "POST", "/metrics", "*/*").0.starts_with("HTTP/1.1 405"));
    let (head, body) = get(address, "HEAD", "/metrics", "*/*");
    assert!(head.starts_with("HTTP/1.1 200") && body.is_empty());

    let outcome = exporter.finish(PATIENCE).prometheus.expect("it was there");
    assert!(outcome.scrapes >= 3 && outcome.url == format!("http://{address}/metrics"), "{outcome:?}");
    assert!(TcpStream::connect(address).is_err(), "it goes with the run");
}

#[test]
fn many_who_say_nothing_do_not_keep_the_run() {
    let (exporter, address) = start();
    let _silent: Vec<_> = (0..40).map(|_| TcpStream::connect(address).expect("it listens")).collect();
    exporter.offer(&Arc::new(request(1)), Vec::new());
    let begun = Instant::now();
    exporter.finish(PATIENCE);
    assert!(begun.elapsed() < Duration::from_secs(2));
}

#[test]
fn a_port_in_use_is_told_beforehand() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("a socket");
    let error = Checked::new(&settings(address)).expect_err("the port is taken");
    assert_eq!(error.exit_code(), 98);
    assert!(error.to_string().starts_with(&format!("could not listen on {address} for Prometheus: ")), "{error}");
    assert!(error.hint().is_some());
}
