use super::*;
use crate::config::settings::Settings;
use crate::config::settings::tests::Given;

fn settings(given: &Given<'_>) -> Settings {
    given.settings().expect("valid settings")
}

/// Endpoint, protocol and where the endpoint comes from.
fn told(otlp: Option<&OtlpEndpoint>) -> String {
    let Some(OtlpEndpoint { endpoint, protocol, .. }) = otlp else { return "nothing".into() };
    format!("{} {} {}", endpoint.value, protocol.value, endpoint.source)
}

fn both(given: &Given<'_>) -> [String; 2] {
    let settings = settings(given);
    [
        told(settings.traces.as_ref().map(|traces| &traces.otlp)),
        told(settings.metrics.as_ref().map(|metrics| &metrics.otlp)),
    ]
}

fn headers(otlp: &OtlpEndpoint) -> Vec<(&str, &str)> {
    otlp.headers.iter().map(|(name, value)| (name.as_str(), value.value.reveal())).collect()
}

#[test]
fn the_first_file_of_beyla_s_article() {
    let yaml = "open_port: 8080\n\nprometheus_export:\n  port: 9400\n\notel_traces_export:\n  endpoint: \
                http://localhost:4318\n\nebpf:\n  track_request_headers: true\n";
    let given = Given { yaml, ..Given::default() };
    assert_eq!(both(&given), ["http://localhost:4318/v1/traces http/protobuf beyla.yml:7:13", "nothing"]);
    let settings = settings(&given);
    assert!(settings.warnings.is_empty());
    let prometheus = settings.prometheus.unwrap();
    assert_eq!(prometheus.address.value.to_string(), "127.0.0.1:9400");
    assert_eq!((prometheus.path.value.as_str(), prometheus.path.source), ("/metrics", Source::Default));
}

#[test]
fn the_second_file_of_beyla_s_article() {
    let yaml = "grafana:\n  otlp:\n    cloud_submit: [\"traces\", \"metrics\"]\n    cloud_zone: prod-eu-west-0\n    \
                cloud_instance_id: \"12345\"\n    cloud_api_key: glc_abc\n";
    let given = Given { yaml, ..Given::default() };
    let gateway = "https://otlp-gateway-prod-eu-west-0.grafana.net/otlp/v1";
    assert_eq!(
        both(&given),
        ["traces", "metrics"].map(|signal| format!("{gateway}/{signal} http/protobuf beyla.yml:4:17"))
    );
    let settings = settings(&given);
    let traces = &settings.traces.as_ref().unwrap().otlp;
    assert_eq!(headers(traces), [("authorization", "Basic MTIzNDU6Z2xjX2FiYw==")]);
    let debugged = format!("{settings:?}");
    assert!(!debugged.contains("glc_abc") && !debugged.contains("MTIzNDU6"), "{debugged}");
}

#[test]
fn grafana_cloud_without_a_zone_is_warned_about() {
    let yaml = "grafana:\n  otlp:\n    cloud_zone: ${ZONE}\n    cloud_instance_id: 1\n    cloud_api_key: ${KEY}\n";
    let settings = Given { yaml, ..Given::default() }.settings().expect("settings");
    assert!(settings.traces.is_none());
    assert_eq!(settings.warnings, ["beyla.yml:4:24: nothing goes to Grafana Cloud, as cloud_zone is not set"]);
    let settings = Given { yaml, variables: &[("ZONE", "z"), ("KEY", "k")], ..Given::default() }.settings();
    let settings = settings.expect("settings");
    assert!(settings.traces.is_some() && settings.warnings.is_empty());
}

#[test]
fn grafana_cloud_from_the_environment() {
    let variables = [
        ("GRAFANA_CLOUD_ZONE", "prod-eu-west-0"),
        ("GRAFANA_CLOUD_INSTANCE_ID", "1"),
        ("GRAFANA_CLOUD_API_KEY", "k"),
        ("GRAFANA_CLOUD_SUBMIT", "metrics"),
    ];
    let [traces, metrics] = both(&Given { variables: &variables, ..Given::default() });
    assert_eq!(traces, "nothing");
    assert!(metrics.contains("grafana.net/otlp/v1/metrics"), "{metrics}");
    // Beyla sends elsewhere when another endpoint is named; its credentials do not go there.
    let given = Given { variables: &variables, flags: &["--otlp", "http://h:4318"], ..Given::default() };
    assert_eq!(both(&given)[1], "http://h:4318/v1/metrics http/protobuf flag --otlp");
    assert!(settings(&given).metrics.unwrap().otlp.headers.is_empty());
}

#[test]
fn flags() {
    let of = |flags: &[&str]| both(&Given { flags, ..Given::default() });
    assert_eq!(
        of(&["--jaeger", "localhost:4318"]),
        ["http://localhost:4318/v1/traces http/protobuf flag --jaeger", "nothing"]
    );
    assert_eq!(of(&["--jaeger", "localhost:4317"])[0], "http://localhost:4317 grpc flag --jaeger");
    assert_eq!(of(&["--otlp", "http://h:4317"]), ["http://h:4317 grpc flag --otlp"; 2].map(String::from));
    assert_eq!(of(&["--otlp", "grpc://h:9"])[0], "http://h:9 grpc flag --otlp");
    assert_eq!(
        of(&["--otlp", "http://h:4317", "--otlp-protocol", "http/protobuf"])[1],
        "http://h:4317/v1/metrics http/protobuf flag --otlp"
    );
    assert_eq!(
        of(&["--otlp", "http://h:4317", "--jaeger", "j:4318"]),
        ["http://j:4318/v1/traces http/protobuf flag --jaeger", "http://h:4317 grpc flag --otlp"]
    );
}

#[test]
fn variables() {
    let of = |variables: &[(&str, &str)]| both(&Given { variables, ..Given::default() });
    assert_eq!(
        of(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://h:4318/x/")]),
        ["traces", "metrics"]
            .map(|signal| format!("http://h:4318/x/v1/{signal} http/protobuf variable OTEL_EXPORTER_OTLP_ENDPOINT"))
    );
    let own = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://h:4317"), ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://t/p")];
    assert_eq!(
        of(&own),
        [
            "http://t/p http/protobuf variable OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "http://h:4317 grpc variable OTEL_EXPORTER_OTLP_ENDPOINT"
        ]
    );
    let protocols = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://h:1"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "http/protobuf"),
    ];
    assert_eq!(
        of(&protocols),
        [
            "http://h:1 grpc variable OTEL_EXPORTER_OTLP_ENDPOINT",
            "http://h:1/v1/metrics http/protobuf variable OTEL_EXPORTER_OTLP_ENDPOINT"
        ]
    );
    // The protocol is not of the endpoint that a flag names.
    let given = Given { variables: &protocols, flags: &["--otlp", "http://h:4318"], ..Given::default() };
    assert_eq!(both(&given)[0], "http://h:4318/v1/traces http/protobuf flag --otlp");
}

#[test]
fn headers_and_times() {
    let given = Given {
        variables: &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://me:pw@h"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "A=1,b=2%203"),
            ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "b=4"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "5000"),
            ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "250"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "1500"),
        ],
        flags: &["--otlp-header", "C=d=e"],
        yaml: "otel_metrics_export: {interval: 5s}",
        ..Given::default()
    };
    let settings = settings(&given);
    let (traces, metrics) = (settings.traces.unwrap(), settings.metrics.unwrap());
    assert_eq!(headers(&traces.otlp), [("a", "1"), ("b", "4"), ("authorization", "Basic bWU6cHc="), ("c", "d=e")]);
    assert_eq!(headers(&metrics.otlp)[1], ("b", "2 3"));
    assert_eq!(traces.otlp.endpoint.value, "http://h/v1/traces");
    assert_eq!(traces.otlp.timeout.value, Duration::from_secs(5));
    assert_eq!(metrics.otlp.timeout.value, Duration::from_millis(250));
    assert_eq!(metrics.interval.value, Duration::from_millis(1500));
    let given = Given {
        variables: &[("OTEL_METRIC_EXPORT_INTERVAL", "1500"), ("BEYLA_METRICS_INTERVAL", "2s")],
        flags: &["--otlp", "h:1"],
        ..Given::default()
    };
    assert_eq!(super::tests::settings(&given).metrics.unwrap().interval.value, Duration::from_secs(2));
}

#[test]
fn endpoints_in_files() {
    let of = |yaml: &str| both(&Given { yaml, ..Given::default() });
    assert_eq!(
        of("cargo_beyla: {jaeger: 'j:4318', otlp: 'h:4317'}"),
        ["http://j:4318/v1/traces http/protobuf beyla.yml:1:23", "http://h:4317 grpc beyla.yml:1:39"]
    );
    assert_eq!(
        of("otel_metrics_export: {endpoint: 'http://v:8428/api/v1/push'}")[1],
        "http://v:8428/api/v1/push http/protobuf beyla.yml:1:33"
    );
    let given = Given {
        yaml: "otel_traces_export: {endpoint: 'http://y', protocol: grpc}",
        package: "[package.metadata.beyla]\njaeger = 'j:4318'",
        ..Given::default()
    };
    assert_eq!(both(&given)[0], "http://y grpc beyla.yml:1:32");
}

#[test]
fn samplers() {
    let sampler = |variables: &[(&str, &str)], yaml: &str| {
        let given = Given { variables, yaml, flags: &["--jaeger", "j"], ..Given::default() };
        settings(&given).traces.unwrap().sampler.value.to_string()
    };
    assert_eq!(sampler(&[], ""), "parentbased_always_on");
    assert_eq!(sampler(&[("OTEL_TRACES_SAMPLER", "always_off")], ""), "always_off");
    let ratio = [("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "0.25")];
    assert_eq!(sampler(&ratio, ""), "parentbased_traceidratio (0.25)");
    assert_eq!(sampler(&ratio[..1], ""), "parentbased_always_on");
    let yaml = "otel_traces_export: {sampler: {name: traceidratio, arg: 0.5}}";
    assert_eq!(sampler(&[], yaml), "traceidratio (0.5)");
}

#[test]
fn addresses_of_prometheus() {
    let address = |flags: &[&str], variables: &[(&str, &str)], yaml: &str| {
        let settings = settings(&Given { flags, variables, yaml, ..Given::default() });
        settings.prometheus.map(|prometheus| prometheus.address.value.to_string()).unwrap_or_default()
    };
    for (text, expected) in [
        (":9400", "127.0.0.1:9400"),
        ("9400", "127.0.0.1:9400"),
        ("localhost:9400", "127.0.0.1:9400"),
        ("0.0.0.0:9400", "0.0.0.0:9400"),
        ("[::1]:9400", "[::1]:9400"),
        ("127.0.0.1:0", "127.0.0.1:0"),
    ] {
        assert_eq!(address(&["--prometheus", text], &[("BEYLA_PROMETHEUS_PORT", "1")], ""), expected);
    }
    assert_eq!(address(&[], &[("BEYLA_PROMETHEUS_PORT", "1")], "prometheus_export: {port: 2}"), "127.0.0.1:1");
    assert_eq!(address(&[], &[("BEYLA_PROMETHEUS_PORT", "0")], "prometheus_export: {port: 2}"), "");
    assert_eq!(address(&[], &[], "cargo_beyla: {prometheus: ':3'}\nprometheus_export: {port: 2}"), "127.0.0.1:3");
}

#[test]
fn headers_of_the_protocol_are_not_for_others_to_set() {
    for name in ["Content-Length", "host", "transfer-encoding", "connection", "TE", "content-type"] {
        let header = format!("{name}=glc_5");
        let given = Given { flags: &["--otlp", "http://h", "--otlp-header", &header], ..Given::default() };
        let error = given.settings().expect_err(name);
        let message = error.to_string();
        assert_eq!(error.exit_code(), crate::error::USAGE);
        assert!(message.contains(&name.to_lowercase()) && !message.contains("glc_"), "{message}");
    }
    let given = Given {
        flags: &["--otlp", "http://h"],
        variables: &[("OTEL_EXPORTER_OTLP_HEADERS", "a=1,Content-Type=x")],
        ..Given::default()
    };
    let settings = settings(&given);
    assert_eq!(headers(&settings.traces.expect("there are traces").otlp), [("a", "1")]);
    assert_eq!(settings.warnings.len(), 1, "{:?}", settings.warnings);
    assert!(settings.warnings[0].contains("content-type"), "{:?}", settings.warnings);
}

#[test]
fn headers_for_nobody_are_warned_about() {
    let flags = &["--otlp-header", "authorization=Bearer sekrit"];
    let warned = settings(&Given { flags, ..Given::default() }).warnings;
    assert_eq!(warned, ["--otlp-header has no effect: nothing is sent by OTLP; say where to with --otlp"]);
    let variables = &[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://h:4318/v1/traces")];
    assert!(settings(&Given { flags, variables, ..Given::default() }).warnings.is_empty());
}
