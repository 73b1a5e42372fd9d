//! What a run sends away, held against its report.

use std::collections::HashSet;
use std::path::Path;
use std::process::{Command, Output};

use beyla_tests::both::both_ways;
use beyla_tests::client::{Client, get};
use beyla_tests::fixture::{self, HELLO_SERVER, manifest};
use beyla_tests::receiver::{Receiver, attribute};
use beyla_tests::report::Report;
use beyla_tests::run::{Capture, LATENCY_LAB, Run};
use beyla_tests::spans;
use beyla_tests::tool::tool;
use beyla_tests::wait::{LONG, poll};
use socket2::{Domain, Socket, Type};

const REQUESTS: usize = 500;

/// Runs `latency_lab` under `flags`, and is its client.
fn sent(capture: Capture, flags: &[&str], receiver: &Receiver) -> (Report, String) {
    let run = Run::of(LATENCY_LAB, capture).flags(flags).start();
    let mut clients = [run.connect(), run.connect()];
    for number in 0..REQUESTS {
        let path = match number % 100 {
            7 => "/status/503",
            42 => "/sleep?ms=20",
            _ => "/fast",
        };
        clients[number % 2].get(path);
    }
    drop(clients);
    let finished = run.let_go();
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    let report = finished.report();
    assert_eq!(report.requests.len(), REQUESTS);
    spans::are_those_of(&report, receiver);
    let all: HashSet<_> = report.requests.iter().map(|request| &request.trace_id).collect();
    assert_eq!(all.len(), REQUESTS, "each has a trace of its own");
    let resource = receiver.resource().attributes;
    for (key, value) in [
        ("service.name", "latency_lab"),
        ("telemetry.sdk.language", "rust"),
        ("process.pid", &report.target.pid.to_string()),
    ] {
        assert_eq!(attribute(&resource, key).as_deref(), Some(value), "{resource:#?}");
    }
    let sentence = format!("Sent the spans of {REQUESTS} requests to {}/v1/traces\n", receiver.url());
    assert!(finished.stderr.contains(&sentence), "'{sentence}' is not in:\n{}", finished.stderr);
    (report, finished.stderr)
}

#[test]
fn to_jaeger() {
    both_ways(|capture| {
        let receiver = Receiver::start();
        let (report, _) = sent(capture, &["--jaeger", &receiver.address.to_string()], &receiver);
        assert!(receiver.received("/v1/metrics").is_empty(), "it takes traces only");
        report
    });
}

#[test]
fn by_otlp() {
    both_ways(|capture| {
        let receiver = Receiver::start();
        let (report, stderr) = sent(capture, &["--otlp", &receiver.url()], &receiver);
        let metrics = receiver.received("/v1/metrics");
        assert!(!metrics.is_empty() && metrics.iter().all(|metrics| !metrics.body.is_empty()));
        assert!(stderr.contains(&format!("metrics to {}/v1/metrics", receiver.url())), "{stderr}");
        assert_eq!(receiver.count(), receiver.traces().len() + metrics.len(), "and nothing else");
        report
    });
}

#[test]
fn as_the_configuration_says() {
    both_ways(|capture| {
        let receiver = Receiver::start();
        let yaml = format!(
            "open_port: 8080\nprometheus_export:\n  port: 0\notel_traces_export:\n  endpoint: {}\nebpf:\n  \
             track_request_headers: true\n",
            receiver.url()
        );
        let folder = fixture::folder(&[("beyla.yml", &yaml)]);
        let file = folder.path().join("beyla.yml");
        sent(capture, &["--config", file.to_str().expect("text")], &receiver).0
    });
}

#[test]
fn the_caller_s_trace_goes_on() {
    both_ways(|capture| {
        let receiver = Receiver::start();
        let run = Run::of(LATENCY_LAB, capture).flags(["--jaeger", &receiver.address.to_string()]).start();
        let mut client = run.connect();
        let traceparent = "\r\ntraceparent: 00-1af92f3577b34da6a3ce929d0e0e0000-00f067aa0ba902a8-01\r\n";
        client.send(get("/users/7").replacen("\r\n", traceparent, 1));
        assert_eq!(client.response().status, 200);
        client.get("/fast");
        drop(client);
        let report = run.stop();
        spans::are_those_of(&report, &receiver);
        let [called, other] = &report.requests[..] else { panic!("{:?}", report.rows()) };
        assert_eq!(called.trace_id.as_deref(), Some("1af92f3577b34da6a3ce929d0e0e0000"));
        assert_eq!(called.parent_span_id.as_deref(), Some("00f067aa0ba902a8"));
        assert!(other.parent_span_id.is_none() && other.trace_id != called.trace_id, "{other:#?}");
        report
    });
}

#[test]
fn spans_come_while_the_run_goes_on() {
    let receiver = Receiver::start();
    let run = Run::of(LATENCY_LAB, Capture::Auto).flags(["--jaeger", &receiver.address.to_string()]).start();
    let mut client = run.connect();
    client.get("/fast");
    assert!(poll(LONG, || (receiver.server_spans().len() == 1).then_some(())).is_some());
    client.get("/fast");
    drop(client);
    let report = run.stop();
    spans::are_those_of(&report, &receiver);
}

#[test]
fn a_receiver_that_is_not_there_changes_nothing() {
    // Bound, so that nobody else gets it, and no more.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap().as_socket().unwrap());
    for code in [0, 7] {
        both_ways(|capture| {
            let exec = format!("curl -s $BEYLA_URL/fast $BEYLA_URL/users/1 $BEYLA_URL/status/500; exit {code}");
            let finished = Run::of(LATENCY_LAB, capture).flags(["--otlp", &url, "--exec", &exec]).to_end();
            assert_eq!(finished.code(), code, "{}", finished.stderr);
            let ending: Vec<&str> = finished.stderr.lines().rev().take(2).collect();
            let [metrics, traces] = ending[..] else { panic!("{}", finished.stderr) };
            let lost = format!("sent the spans of none of 3 requests to {url}/v1/traces; 3 were not sent: ");
            assert!(traces.contains(&lost) && traces.contains("refused"), "{traces}");
            assert!(metrics.contains(&format!("sent no metrics to {url}/v1/metrics: ")), "{metrics}");
            let report = finished.report();
            let paths: Vec<&str> = report.requests.iter().map(|request| request.path.as_str()).collect();
            assert_eq!(paths, ["/fast", "/users/1", "/status/500"]);
            report
        });
    }
}

/// Asks for `/metrics`, and sums up the requests that they count.
fn scraped(port: u16) -> u64 {
    let answer = Client::connect(port).get("/metrics");
    assert_eq!(answer.status, 200);
    let text = String::from_utf8(answer.body).expect("text");
    let counts = text.lines().filter(|line| line.starts_with("http_server_request_duration_seconds_count"));
    counts.map(|line| line.rsplit(' ').next().and_then(|value| value.parse::<u64>().ok()).expect("a number")).sum()
}

#[test]
fn prometheus_scrapes_what_was_served() {
    both_ways(|capture| {
        let run = Run::of(LATENCY_LAB, capture).flags(["--prometheus", "127.0.0.1:0"]).start();
        let told = run.stderr();
        let url = told.split_whitespace().find(|word| word.starts_with("http://") && word.ends_with("/metrics"));
        let port = url.and_then(|url| url.trim_end_matches("/metrics").rsplit(':').next()?.parse().ok());
        let port: u16 = port.unwrap_or_else(|| panic!("no address in:\n{told}"));
        let mut client = run.connect();
        for (path, requests, all) in [("/fast", 100, 100), ("/users/1", 50, 150)] {
            for _ in 0..requests {
                client.get(path);
            }
            let mut seen = 0;
            let complete = poll(LONG, || {
                seen = scraped(port);
                (seen >= all).then_some(())
            });
            assert!(complete.is_some() && seen == all, "{seen} of {all}");
        }
        drop(client);
        let finished = run.let_go();
        assert_eq!(finished.code(), 0, "{}", finished.stderr);
        assert!(finished.stderr.contains(&format!("Served metrics at http://127.0.0.1:{port}/metrics, scraped ")));
        let report = finished.report();
        assert_eq!(report.totals.requests, 150);
        assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err(), "it goes with the run");
        report
    });
}

/// `run --show-config` in a package of its own, with this file, and with none of our own variables.
fn shown(root: &Path, variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(tool());
    command.args(["beyla", "run", "--config", "beyla.yml", "--show-config"]).current_dir(root);
    for (name, _) in std::env::vars_os() {
        let known = ["BEYLA_", "OTEL_", "GRAFANA_"];
        if known.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    command.envs(variables.iter().copied()).output().expect("the tool runs")
}

fn settings(yaml: &str, variables: &[(&str, &str)]) -> (String, String) {
    let manifest = manifest("hello", "");
    let files = [("Cargo.toml", manifest.as_str()), ("src/main.rs", HELLO_SERVER), ("beyla.yml", yaml)];
    let folder = fixture::folder(&files);
    let output = shown(folder.path(), variables);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{stderr}");
    (stdout, stderr)
}

/// What is shown of a setting: its value and where it comes from.
fn setting(shown: &str, name: &str) -> String {
    let line = shown.lines().find(|line| line.split_whitespace().next() == Some(name));
    let line = line.unwrap_or_else(|| panic!("no {name} in:\n{shown}"));
    line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_article_s_file_for_a_local_jaeger() {
    let yaml = "open_port: 8080\n\nprometheus_export:\n  port: 9400\n\notel_traces_export:\n  endpoint: \
                http://localhost:4318\n\nebpf:\n  track_request_headers: true\n";
    let (shown, stderr) = settings(yaml, &[]);
    assert_eq!(stderr, "");
    assert_eq!(setting(&shown, "open_port"), "8080 beyla.yml:1:12");
    assert_eq!(setting(&shown, "traces.endpoint"), "http://localhost:4318/v1/traces beyla.yml:7:13");
    assert_eq!(setting(&shown, "prometheus.address"), "127.0.0.1:9400 beyla.yml:4:9");
    assert_eq!(setting(&shown, "prometheus.path"), "/metrics default");
    assert_eq!(setting(&shown, "ebpf.track_request_headers"), "true beyla.yml:10:26");
}

#[test]
fn the_article_s_file_for_grafana_cloud() {
    let yaml = "open_port: 8080\n\ngrafana:\n  otlp:\n    cloud_submit: [\"traces\", \"metrics\"]\n    cloud_zone: \
                ${GRAFANA_ZONE}\n    cloud_instance_id: \"12345\"\n    cloud_api_key: ${GRAFANA_KEY}\n";
    let (shown, stderr) = settings(yaml, &[("GRAFANA_ZONE", "prod-eu-west-0"), ("GRAFANA_KEY", "glc_secret")]);
    let gateway = "https://otlp-gateway-prod-eu-west-0.grafana.net/otlp/v1";
    for signal in ["traces", "metrics"] {
        assert!(setting(&shown, &format!("{signal}.endpoint")).starts_with(&format!("{gateway}/{signal} ")), "{shown}");
        assert!(setting(&shown, &format!("{signal}.headers.authorization")).starts_with("******** "), "{shown}");
    }
    for secret in ["glc_", "MTIzNDU6"] {
        assert!(!shown.contains(secret) && !stderr.contains(secret), "{shown}{stderr}");
    }
}
