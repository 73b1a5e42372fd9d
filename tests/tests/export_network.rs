//! The way to a collector, as the environment describes it: certificates, compression, proxies.

use std::fs;

use beyla_tests::fixture;
use beyla_tests::proxy::{Passed, Proxy, Way};
use beyla_tests::receiver::{Identity, Receiver};
use beyla_tests::run::{Capture, Finished, LATENCY_LAB, Run};
use beyla_tests::spans;
use tempfile::TempDir;

const REQUESTS: u64 = 200;

/// Runs `latency_lab` under these variables, and is its client.
fn run(variables: &[(&str, &str)]) -> Finished {
    let run = Run::of(LATENCY_LAB, Capture::Auto);
    let run = variables.iter().fold(run, |run, (name, value)| run.environment(name, value)).start();
    let mut client = run.connect();
    for _ in 0..REQUESTS {
        client.get("/fast");
    }
    drop(client);
    let finished = run.let_go();
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    assert_eq!(finished.report().totals.requests, REQUESTS);
    finished
}

/// Spans and metrics are where they belong.
fn has_all(receiver: &Receiver, finished: &Finished) {
    spans::are_those_of(&finished.report(), receiver);
    assert!(!receiver.received("/v1/metrics").is_empty(), "{}", finished.stderr);
    assert!(finished.stderr.contains(&format!("Sent the spans of {REQUESTS} requests to ")), "{}", finished.stderr);
    assert!(!finished.stderr.contains("warning"), "{}", finished.stderr);
}

/// What a client of the receiver has, as files.
struct Files(TempDir);

impl Files {
    fn of(identity: &Identity) -> Self {
        Self(fixture::folder(&[
            ("authority.pem", &identity.authority),
            ("client.pem", &identity.client.certificate),
            ("client.key", &identity.client.key),
        ]))
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }
}

/// Both kinds of receiver over TLS, and what the endpoint is.
fn over_tls(identity: &Identity) -> [(Receiver, String); 2] {
    let any = ([127, 0, 0, 1], 0).into();
    [Receiver::start_tls(any, identity), Receiver::start_grpc_tls(identity)].map(|receiver| {
        let url = format!("https://localhost:{}", receiver.address.port());
        (receiver, url)
    })
}

#[test]
fn certificates_and_compression() {
    let identity = Identity::that_asks("localhost");
    let files = Files::of(&identity);
    let (authority, certificate, key) =
        (files.path("authority.pem"), files.path("client.pem"), files.path("client.key"));
    for (receiver, url) in over_tls(&identity) {
        let endpoint = [("OTEL_EXPORTER_OTLP_ENDPOINT", &*url), ("OTEL_EXPORTER_OTLP_PROTOCOL", receiver.protocol)];
        let common = [
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", &*authority),
            ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", &*certificate),
            ("OTEL_EXPORTER_OTLP_CLIENT_KEY", &*key),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ];
        let finished = run(&[&endpoint[..], &common[..]].concat());
        has_all(&receiver, &finished);
        let encoding = if receiver.protocol == "grpc" { "grpc-encoding" } else { "content-encoding" };
        for received in [receiver.received("/v1/traces"), receiver.received("/v1/metrics")].concat() {
            assert_eq!(received.field(encoding), Some("gzip"), "{:?}", received.fields);
        }
    }
}

#[test]
fn each_signal_may_have_its_own() {
    let (identity, other) = (Identity::of("localhost"), Identity::of("localhost"));
    let (files, of_other) = (Files::of(&identity), Files::of(&other));
    let (authority, stranger) = (files.path("authority.pem"), of_other.path("authority.pem"));
    for (receiver, url) in over_tls(&identity) {
        let finished = run(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &url),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", receiver.protocol),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", &stranger),
            ("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", &authority),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
            ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "none"),
        ]);
        spans::are_those_of(&finished.report(), &receiver);
        let encoding = if receiver.protocol == "grpc" { "grpc-encoding" } else { "content-encoding" };
        assert!(receiver.received("/v1/traces").iter().all(|received| received.field(encoding).is_none()));
        assert!(receiver.received("/v1/metrics").is_empty());
        let line = finished.stderr.lines().find(|line| line.contains("sent no metrics to ")).unwrap_or_default();
        assert!(line.contains("of an authority that is not trusted"), "{}", finished.stderr);
    }
}

#[test]
fn what_is_encrypted_goes_through_a_proxy_unread() {
    let identity = Identity::of("localhost");
    let files = Files::of(&identity);
    let authority = files.path("authority.pem");
    for (receiver, url) in over_tls(&identity) {
        let proxy = Proxy::start();
        let through = format!("http://{}", proxy.address);
        let variables = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &*url),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", receiver.protocol),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", &*authority),
            ("HTTPS_PROXY", &*through),
            ("http_proxy", "http://127.0.0.1:1"),
        ];
        has_all(&receiver, &run(&variables));
        let passed = proxy.passed();
        let to = format!("localhost:{}", receiver.address.port());
        assert!((1..=2).contains(&passed.len()), "a connection for each signal: {passed:?}");
        assert!(
            passed.iter().all(|passed| *passed == Passed { way: Way::Tunnel, to: to.clone(), authorization: None })
        );

        has_all_again(&receiver, &[&variables[..], &[("no_proxy", "localhost,.local")]].concat());
        assert_eq!(proxy.passed(), passed, "the host is excepted");
    }
}

/// A second run to the same receiver.
fn has_all_again(receiver: &Receiver, variables: &[(&str, &str)]) {
    let before = receiver.server_spans().len() as u64;
    let finished = run(variables);
    assert_eq!(receiver.server_spans().len() as u64, before + REQUESTS, "{}", finished.stderr);
}

#[test]
fn a_proxy_reads_http_and_opens_a_way_for_grpc() {
    for (receiver, way) in [(Receiver::start(), Way::Forwarded), (Receiver::start_grpc(), Way::Tunnel)] {
        let proxy = Proxy::start();
        let through = format!("http://me:s%65same@{}", proxy.address);
        let finished = run(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.url()),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", receiver.protocol),
            ("HTTP_PROXY", &through),
        ]);
        has_all(&receiver, &finished);
        let expected = Passed {
            way,
            to: receiver.address.to_string(),
            // me:sesame
            authorization: Some("Basic bWU6c2VzYW1l".to_owned()),
        };
        let passed = proxy.passed();
        assert!(!passed.is_empty() && passed.iter().all(|passed| *passed == expected), "{passed:#?}");
        assert!(
            receiver
                .received("/v1/traces")
                .iter()
                .all(|message| message.field("proxy-authorization").is_none() || way == Way::Forwarded)
        );
        let json = finished.json.as_deref().unwrap_or_default();
        assert!(![&*finished.stderr, json].iter().any(|text| text.contains("same") && text.contains("me:s")));
    }
}

#[test]
fn by_socks() {
    for receiver in [Receiver::start(), Receiver::start_grpc()] {
        let proxy = Proxy::start();
        let through = format!("socks5h://{}", proxy.address);
        let url = format!("http://localhost:{}", receiver.address.port());
        has_all(
            &receiver,
            &run(&[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", &url),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", receiver.protocol),
                ("ALL_PROXY", &through),
            ]),
        );
        let to = format!("localhost:{}", receiver.address.port());
        assert!(
            proxy.passed().iter().all(|passed| passed.way == Way::Socks && passed.to == to),
            "{:?}",
            proxy.passed()
        );
        assert!(!proxy.passed().is_empty());
    }
}

#[test]
fn a_proxy_that_lets_nobody_through_is_named() {
    let identity = Identity::of("localhost");
    let files = Files::of(&identity);
    let proxy = Proxy::that_refuses("403 Forbidden");
    let through = format!("http://me:sesame@{}", proxy.address);
    let plain = Receiver::start();
    let encrypted = over_tls(&identity);
    let mut endpoints = vec![(plain.url(), plain.protocol, "HTTP status 403 Forbidden (")];
    endpoints
        .extend(encrypted.iter().map(|(of, url)| (url.clone(), of.protocol, "HTTP status 403 Forbidden to CONNECT (")));
    for (url, protocol, said) in endpoints {
        let finished = run(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &url),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            ("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", &files.path("authority.pem")),
            ("ALL_PROXY", &through),
        ]);
        let told = format!("{said}through the proxy {} of the variable ALL_PROXY", proxy.address);
        assert_eq!(finished.stderr.matches(&told).count(), 2, "'{told}' is not there for both:\n{}", finished.stderr);
        assert!(!finished.stderr.contains("sesame"), "{}", finished.stderr);
    }
    for (receiver, _) in encrypted {
        assert_eq!(receiver.count(), 0);
    }
    assert_eq!(plain.count(), 0);
}

#[test]
fn a_key_is_in_nothing_that_is_written() {
    let identity = Identity::that_asks("localhost");
    let files = Files::of(&identity);
    let [(receiver, url), _] = over_tls(&identity);
    let recording = files.path("recording");
    let run = Run::of(LATENCY_LAB, Capture::Auto)
        .flags(["--otlp", &url, "--record", &recording])
        .environment("OTEL_EXPORTER_OTLP_CERTIFICATE", files.path("authority.pem"))
        .environment("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", files.path("client.pem"))
        .environment("OTEL_EXPORTER_OTLP_CLIENT_KEY", files.path("client.key"))
        .start();
    run.connect().get("/fast");
    let finished = run.let_go();
    spans::are_those_of(&finished.report(), &receiver);
    let line = identity.client.key.lines().nth(1).expect("a key has lines");
    let recording = fs::read(recording).expect("a recording");
    let json = finished.json.unwrap_or_default();
    for written in [&recording[..], json.as_bytes(), finished.stdout.as_bytes(), finished.stderr.as_bytes()] {
        assert!(!written.windows(line.len()).any(|window| window == line.as_bytes()));
    }
}
