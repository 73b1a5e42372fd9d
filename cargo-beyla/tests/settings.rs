//! The settings as a user meets them: `run --show-config` and `init`, by the real binary. Neither traces, so
//! neither takes privilege.

use std::path::Path;
use std::process::{Command, Output};

/// A directory with a package in it.
fn package(metadata: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let manifest = format!("[package]\nname = 'shop'\nedition = '2021'\n\n{metadata}\n[workspace]\n");
    std::fs::write(directory.path().join("Cargo.toml"), manifest).expect("it can be written");
    std::fs::create_dir(directory.path().join("src")).expect("it can be made");
    std::fs::write(directory.path().join("src/main.rs"), "fn main() {}").expect("it can be written");
    directory
}

fn beyla(directory: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-beyla"));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        let is_proxy = name.to_ascii_uppercase().ends_with("_PROXY");
        if is_proxy || ["BEYLA_", "OTEL_", "GRAFANA_"].iter().any(|prefix| name.starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    command.envs(variables.iter().copied());
    command.arg("beyla").args(arguments).current_dir(directory).output().expect("it runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The value and the source of a setting.
fn setting(output: &Output, name: &str) -> String {
    assert!(output.status.success(), "{}", text(&output.stderr));
    let stdout = text(&output.stdout);
    let line = stdout.lines().find(|line| line.split_whitespace().next() == Some(name)).unwrap_or_default();
    line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
}

#[test]
fn each_setting_says_where_it_comes_from() {
    let directory = package("[package.metadata.beyla]\nslowest = 3\nexplain = true\n");
    std::fs::write(directory.path().join("beyla.yml"), "open_port: 8080\ncargo_beyla:\n  slowest: 4\n").unwrap();
    let arguments = ["run", "--config", "beyla.yml", "--show-config", "--duration", "5s"];
    let shown = beyla(directory.path(), &arguments, &[("BEYLA_SERVICE_NAME", "api")]);
    assert_eq!(setting(&shown, "open_port"), "8080 beyla.yml:1:12");
    assert_eq!(setting(&shown, "slowest"), "4 beyla.yml:3:12");
    assert_eq!(setting(&shown, "duration"), "5s flag --duration");
    assert_eq!(setting(&shown, "service_name"), "api variable BEYLA_SERVICE_NAME");
    assert!(setting(&shown, "explain").ends_with("Cargo.toml:7:11 (package.metadata.beyla)"));
    assert_eq!(setting(&shown, "max_requests"), "100000 default");
    assert_eq!(text(&shown.stderr), "");
    assert!(!directory.path().join("target").exists(), "nothing is built");
}

#[test]
fn the_metadata_of_the_workspace_counts_too() {
    let directory = package("[workspace.metadata.beyla]\nslowest = 3\n");
    let shown = beyla(directory.path(), &["run", "--show-config"], &[]);
    assert!(setting(&shown, "slowest").ends_with("Cargo.toml:6:11 (workspace.metadata.beyla)"));
}

#[test]
fn a_mistake_is_told_before_anything_is_built() {
    let directory = package("");
    std::fs::write(directory.path().join("beyla.yml"), "open_prot: 8080\n").unwrap();
    let failed = beyla(directory.path(), &["run", "--config", "beyla.yml"], &[]);
    assert_eq!(failed.status.code(), Some(98));
    let said = "error: beyla.yml:1:1: unknown key `open_prot`\nhint: did you mean `open_port`?\n";
    assert_eq!(text(&failed.stderr), said);
    let unset = beyla(directory.path(), &["run", "--show-config"], &[("BEYLA_CONFIG_PATH", "missing.yml")]);
    assert_eq!(unset.status.code(), Some(98));
    assert!(text(&unset.stderr).contains("could not read missing.yml"), "{}", text(&unset.stderr));
}

#[test]
fn secrets_are_masked() {
    let directory = package("");
    let variables = [
        ("GRAFANA_CLOUD_ZONE", "prod-eu-west-0"),
        ("GRAFANA_CLOUD_INSTANCE_ID", "12345"),
        ("GRAFANA_CLOUD_API_KEY", "glc_abc"),
    ];
    let shown = beyla(directory.path(), &["run", "--show-config"], &variables);
    assert_eq!(setting(&shown, "traces.headers.authorization"), "******** variable GRAFANA_CLOUD_API_KEY");
    assert!(!text(&shown.stdout).contains("glc_"));
}

#[test]
fn init_writes_what_run_reads() {
    let directory = package("");
    let written = beyla(directory.path(), &["init"], &[]);
    assert!(written.status.success() && text(&written.stderr).contains("docker compose up -d"));
    let shown = beyla(directory.path(), &["run", "--config", "beyla.yml", "--show-config"], &[]);
    assert_eq!(setting(&shown, "slowest"), "10 default");
    let again = beyla(directory.path(), &["init"], &[]);
    assert_eq!(again.status.code(), Some(98));
    assert!(text(&again.stderr).contains("error: beyla.yml is there already"), "{}", text(&again.stderr));
    assert!(beyla(directory.path(), &["init", "--force"], &[]).status.success());
}

#[test]
fn the_way_to_a_collector_is_shown_and_its_secrets_are_not() {
    let directory = package("");
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector.example"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "ca.pem"),
        ("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "traces.pem"),
        ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "client.pem"),
        ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "client.key"),
        ("OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", "gzip"),
        ("HTTPS_PROXY", "http://me:sekrit@proxy.example:3128"),
    ];
    let shown = beyla(directory.path(), &["run", "--show-config"], &variables);
    assert_eq!(setting(&shown, "traces.certificate"), "traces.pem variable OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE");
    assert_eq!(setting(&shown, "metrics.certificate"), "ca.pem variable OTEL_EXPORTER_OTLP_CERTIFICATE");
    assert_eq!(setting(&shown, "traces.client_key"), "client.key variable OTEL_EXPORTER_OTLP_CLIENT_KEY");
    assert_eq!(setting(&shown, "traces.compression"), "none default");
    assert_eq!(setting(&shown, "metrics.compression"), "gzip variable OTEL_EXPORTER_OTLP_METRICS_COMPRESSION");
    assert_eq!(setting(&shown, "metrics.proxy"), "http://proxy.example:3128/ variable HTTPS_PROXY");
    assert!(!text(&shown.stdout).contains("sekrit") && !text(&shown.stdout).contains("me:"));
    assert_eq!(text(&shown.stderr), "");
}

#[test]
fn a_way_to_a_collector_that_is_none_is_told_before_anything_is_built() {
    let directory = package("");
    let file = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).expect("it can be written");
    let made = || {
        let key = rcgen::KeyPair::generate().expect("a key");
        let params = rcgen::CertificateParams::new(["a".to_owned()]).expect("a name");
        (params.self_signed(&key).expect("a certificate").pem(), key.serialize_pem())
    };
    let ((certificate, _), (_, another_key)) = (made(), made());
    file("client.pem", &certificate);
    file("another.key", &another_key);
    file("nothing.pem", "nothing");
    let (https, http) = (("OTEL_EXPORTER_OTLP_ENDPOINT", "https://h"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://h"));
    for (variables, said) in [
        (
            vec![https, ("OTEL_EXPORTER_OTLP_CERTIFICATE", "missing.pem")],
            "error: variable OTEL_EXPORTER_OTLP_CERTIFICATE: could not read missing.pem: No such file or directory (os \
             error 2)\n",
        ),
        (
            vec![https, ("OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE", "nothing.pem")],
            "error: variable OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE: nothing.pem has no certificate in PEM\n",
        ),
        (
            vec![
                https,
                ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "client.pem"),
                ("OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", "another.key"),
                ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "missing.key"),
            ],
            "error: variable OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY: another.key is not the key of the certificate in \
             client.pem\n",
        ),
        (
            vec![https, ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "another.key")],
            "error: variable OTEL_EXPORTER_OTLP_CLIENT_KEY: no certificate goes with another.key\nhint: name the file that \
             has it in OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE\n",
        ),
        (
            vec![http, ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd")],
            "error: variable OTEL_EXPORTER_OTLP_COMPRESSION: 'zstd' is not supported\nhint: it may be `gzip` or `none`\n",
        ),
        (
            vec![http, ("http_proxy", "ftp://me:sekrit@proxy")],
            "error: variable http_proxy: expected the URL of a proxy such as http://localhost:3128\n",
        ),
    ] {
        let failed = beyla(directory.path(), &["run"], &variables);
        assert_eq!((failed.status.code(), text(&failed.stderr).as_str()), (Some(98), said));
        // Where nothing is sent by OTLP, they are for the server alone.
        let shown = beyla(directory.path(), &["run", "--show-config"], &variables[1..]);
        assert_eq!((shown.status.code(), text(&shown.stderr).as_str()), (Some(0), ""));
    }
    assert!(!directory.path().join("target").exists(), "nothing is built");
    let useless = [http, ("OTEL_EXPORTER_OTLP_CERTIFICATE", "missing.pem")];
    let shown = beyla(directory.path(), &["run", "--show-config"], &useless);
    let warning = "warning: the variable OTEL_EXPORTER_OTLP_CERTIFICATE has no effect on traces: they are not sent to an \
                   https:// URL\n";
    assert!(text(&shown.stderr).starts_with(warning), "{}", text(&shown.stderr));
}
