use std::fmt::Write;
use std::path::Path;

use clap::Parser;

use super::*;
use crate::cli::RunArguments;
use crate::config::layers::parse_yaml;
use crate::config::manifest;
use crate::config::show::show;

/// The flags of `cargo beyla run` by themselves.
#[derive(Debug, Parser)]
struct Run {
    #[command(flatten)]
    arguments: RunArguments,
}

/// What settings are made of.
#[derive(Default)]
pub(in crate::config) struct Given<'a> {
    pub(in crate::config) flags: &'a [&'a str],
    pub(in crate::config) variables: &'a [(&'a str, &'a str)],
    pub(in crate::config) yaml: &'a str,
    pub(in crate::config) package: &'a str,
    pub(in crate::config) workspace: &'a str,
}

impl Given<'_> {
    pub(in crate::config) fn settings(&self) -> Result<Settings, Error> {
        let flags = std::iter::once(&"run").chain(self.flags);
        let Run { arguments } = Run::try_parse_from(flags).expect("valid flags");
        let environment: Environment = self.variables.iter().copied().collect();
        let mut documents = Vec::new();
        if !self.yaml.is_empty() {
            documents.push(parse_yaml(self.yaml, Path::new("beyla.yml"), &environment)?);
        }
        let path = Path::new("shop/Cargo.toml");
        documents.extend(manifest::parse(self.package, path, manifest::PACKAGE)?);
        documents.extend(manifest::parse(self.workspace, Path::new("Cargo.toml"), manifest::WORKSPACE)?);
        Settings::resolve(&arguments.settings(), &Layers { environment: &environment, documents, several: Vec::new() })
    }

    /// What is said when they are refused.
    fn refused(&self) -> String {
        let error = self.settings().expect_err("it is refused");
        assert_eq!(error.exit_code(), crate::error::USAGE);
        let hint = error.hint().map(|hint| format!("\n  hint: {hint}")).unwrap_or_default();
        format!("{error}{hint}")
    }
}

fn yaml(text: &str) -> Settings {
    Given { yaml: text, ..Given::default() }.settings().expect(text)
}

#[test]
fn each_source_counts_before_the_next() {
    let package = "[package.metadata.beyla]\nservice-name = 'p'\nslowest = 3";
    let workspace = "[workspace.metadata.beyla]\nservice_name = 'w'\nslowest = 4";
    let all = Given {
        flags: &["--service-name", "f"],
        variables: &[("BEYLA_SERVICE_NAME", "v")],
        yaml: "service_name: y",
        package,
        workspace,
    };
    let name = |given: &Given<'_>| {
        let setting = given.settings().unwrap().service_name.unwrap();
        format!("{} of {}", setting.value, setting.source)
    };
    assert_eq!(name(&all), "f of flag --service-name");
    let all = Given { flags: &[], ..all };
    assert_eq!(name(&all), "v of variable BEYLA_SERVICE_NAME");
    let all = Given { variables: &[("OTEL_EBPF_SERVICE_NAME", "o")], ..all };
    assert_eq!(name(&all), "o of variable OTEL_EBPF_SERVICE_NAME");
    let all = Given { variables: &[("OTEL_RESOURCE_ATTRIBUTES", "service.name=r,a=b")], ..all };
    assert_eq!(name(&all), "r of variable OTEL_RESOURCE_ATTRIBUTES");
    let all = Given { variables: &[("BEYLA_SERVICE_NAME", "")], ..all };
    assert_eq!(name(&all), "y of beyla.yml:1:15");
    let all = Given { yaml: "", ..all };
    assert_eq!(name(&all), "p of shop/Cargo.toml:2:16 (package.metadata.beyla)");
    let all = Given { package: "", ..all };
    assert_eq!(name(&all), "w of Cargo.toml:2:16 (workspace.metadata.beyla)");
    assert_eq!(all.settings().unwrap().slowest.value, 4);
    let all = Given { workspace: "", ..all };
    assert!(all.settings().unwrap().service_name.is_none());
}

#[test]
fn our_own_keys_from_everywhere() {
    let keys = "slowest: 3, explain: true, tls: false, block-threshold: 5ms, max_requests: 50, routes: [/a/:id], listen_timeout: 5, \
                duration: 1m30s, exec: 'curl $BEYLA_URL'";
    let settings = yaml(&format!("cargo_beyla: {{{keys}}}"));
    let toml = "slowest = 3\nexplain = true\ntls = false\nblock-threshold = '5ms'\nmax_requests = 50\nroutes = ['/a/:id']\n\
                listen-timeout = 5\nduration = '1m30s'\nexec = 'curl $BEYLA_URL'\n";
    let package = format!("[package.metadata.beyla]\n{toml}");
    let of_package = Given { package: &package, ..Given::default() }.settings().unwrap();
    for settings in [settings, of_package] {
        assert_eq!((settings.slowest.value, settings.max_requests.value), (3, 50));
        assert!(settings.explain.value == Explain::Always && !settings.tls.value);
        assert_eq!(settings.block_threshold.value, Duration::from_millis(5));
        assert_eq!(settings.listen_timeout.value, Duration::from_secs(5));
        assert_eq!(settings.duration.unwrap().value, Duration::from_secs(90));
        assert_eq!(settings.exec.unwrap().value, "curl $BEYLA_URL");
        assert_eq!(settings.routes.patterns.value, ["/a/:id"]);
    }
}

#[test]
fn the_defaults() {
    let settings = Given::default().settings().unwrap();
    assert_eq!((settings.slowest.value, settings.max_requests.value), (10, 100_000));
    assert_eq!(settings.listen_timeout.value, Duration::from_mins(1));
    assert!(settings.track_request_headers.value && settings.tls.value);
    assert_eq!(settings.explain.value, Explain::Never);
    assert!(settings.traces.is_none() && settings.metrics.is_none() && settings.prometheus.is_none());
    assert!(settings.warnings.is_empty());
}

#[test]
fn beyla_s_keys_in_the_metadata_of_cargo() {
    let package = "[package.metadata.beyla]\nopen-port = 8080\n[package.metadata.beyla.routes]\npatterns = ['/u/:id']\n\
                   [package.metadata.beyla.prometheus-export]\nport = 9400\n[package.metadata.beyla.cargo-beyla]\n\
                   slowest = 2\n";
    let settings = Given { package, ..Given::default() }.settings().unwrap();
    assert_eq!(settings.open_port.unwrap().value.single(), Some(8080));
    assert_eq!(settings.routes.patterns.value, ["/u/:id"]);
    assert_eq!(settings.slowest.value, 2);
    assert_eq!(settings.prometheus.unwrap().address.value.to_string(), "127.0.0.1:9400");
}

#[test]
fn test_groups_of_files() {
    fn said(given: &Given<'_>) -> Vec<String> {
        let groups = given.settings().unwrap().test_groups;
        groups.iter().map(|group| format!("{} ({})", group.value, group.source)).collect()
    }
    let package = "[package.metadata.beyla.test-groups]\nport-8080 = { filter = 'api::{a,b}*' }\n\
                   [package.metadata.beyla.test-groups.database]\nfilter = ['shop::db *', '*sql*']\nmax-threads = 4";
    let workspace = "[workspace.metadata.beyla.test_groups]\nall = { filter = '*', max_threads = 2 }";
    let given = Given { package, workspace, ..Given::default() };
    assert_eq!(
        said(&given),
        [
            "database: shop::db *, *sql*; max-threads 4 (shop/Cargo.toml:1:1 (package.metadata.beyla))",
            "port-8080: api::{a,b}*; max-threads 1 (shop/Cargo.toml:1:1 (package.metadata.beyla))",
        ]
    );
    assert_eq!(said(&Given { package: "", ..given }).len(), 1);
    let yaml = "cargo_beyla: {test_groups: {port: {filter: api::*, max-threads: 1}}}";
    let groups = Given { yaml, ..Given::default() }.settings().unwrap().test_groups;
    let [Setting { value: group, .. }] = &groups[..] else { panic!("{groups:?}") };
    assert!(group.has_test("shop::api", "users::create") && !group.has_test("shop::web", "users::create"));
}

#[test]
fn budgets_of_files_and_flags() {
    let said = |given: Given<'_>| -> Vec<String> {
        let budgets = given.settings().unwrap().budgets;
        budgets.iter().map(|budget| format!("{} ({})", budget.value.label(), budget.source)).collect()
    };
    let package = "[package.metadata.beyla]\nbudgets = ['errors == 0', 'test {a,b}::* requests <= 3']";
    let workspace = "[workspace.metadata.beyla.budgets]\nusers = 'GET /users/{id} p99 < 20ms'";
    let flags = &["--budget", "max < 1s"];
    let place = "shop/Cargo.toml:2:11 (package.metadata.beyla)";
    assert_eq!(
        said(Given { flags, package, workspace, ..Given::default() }),
        [
            &format!("errors == 0 ({place})"),
            &format!("test {{a,b}}::* requests <= 3 ({place})"),
            "max < 1s (flag --budget)"
        ]
    );
    let of_workspace = said(Given { workspace, ..Given::default() });
    assert_eq!(of_workspace.len(), 1);
    assert!(of_workspace[0].starts_with("users: GET /users/{id} p99 < 20ms (Cargo.toml:"), "{of_workspace:?}");
    let of_file = said(Given { yaml: "cargo_beyla: {budgets: {quick: p50 < 1ms}}", ..Given::default() });
    assert!(of_file[0].starts_with("quick: p50 < 1ms (beyla.yml:1:"), "{of_file:?}");
    assert_eq!(said(Given { yaml: "cargo_beyla: {budgets: errors == 0}", ..Given::default() }).len(), 1);
}

#[test]
fn routes_of_beyla() {
    let settings = yaml(
        "routes:\n  patterns: [/users/:id, '/files/*', /users/:id]\n  ignored_patterns: [/health, '/v1/*']\n  \
         ignore_mode: traces\n  unmatched: low-cardinality\n",
    );
    let table = settings.routes.table().unwrap();
    assert_eq!(table.route("/users/alice"), "/users/{id}");
    assert_eq!(table.route("/files/a/b"), "/files/*");
    let ignored = settings.routes.ignored().unwrap();
    assert!(ignored.matched("/v1/x/y").is_some() && ignored.matched("/health").is_some());
    assert!(ignored.matched("/healthy").is_none());
    let flags = Given { flags: &["--route", "/a/{b}"], yaml: "routes: {patterns: [/c]}", ..Given::default() };
    assert_eq!(flags.settings().unwrap().routes.patterns.value, ["/a/{b}"]);
}

#[test]
fn keys_without_meaning_are_one_warning() {
    let settings = yaml(
        "channel_buffer_len: 33\nnetwork: {enable: true}\nattributes: {kubernetes: {enable: true}}\n\
         otel_metrics_export: {features: [application]}\ndiscovery: {instrument: [{open_ports: 443}]}",
    );
    insta::assert_snapshot!(settings.warnings.join("\n"), @"beyla.yml: these keys have no effect here: channel_buffer_len, network, attributes.kubernetes, otel_metrics_export.features, discovery");
}

#[test]
fn variables_of_open_telemetry_that_are_invalid_are_ignored() {
    let settings = Given {
        variables: &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "glc_abc"),
            ("OTEL_TRACES_SAMPLER", "sometimes"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "0"),
            ("OTEL_RESOURCE_ATTRIBUTES", "a"),
        ],
        ..Given::default()
    };
    insta::assert_snapshot!(settings.settings().unwrap().warnings.join("\n"));
}

#[test]
fn what_is_refused_says_where_and_why() {
    let mut said = String::new();
    let mut say = |given: Given<'_>| {
        let _ = writeln!(said, "{}\n", given.refused());
    };
    for yaml in [
        "open_prot: 8080",
        "prometheus_export:\n  prt: 9400",
        "port: 8080",
        "zzz: 1",
        "ebpf.track_request_headers: true",
        "prometheus_export:\n  port: nine",
        "prometheus_export:\n  port: 99999",
        "prometheus_export: 9400",
        "prometheus_export: {path: metrics}",
        "open_port: 9000-8000",
        "open_port: {a: b}",
        "executable_name: '('",
        "ebpf: {track_request_headers: perhaps}",
        "trace_printer: jsn",
        "log_level: loud",
        "routes: {unmatched: heuristics}",
        "routes:\n  patterns:\n    - /a\n    - b",
        "routes: {patterns: ['/{a}', '/{b}']}",
        "otel_traces_export: {endpoint: 'http://user:secret@host:port'}",
        "otel_traces_export: {protocol: http/json}",
        "otel_traces_export: {sampler: {name: traceidratio, arg: 2}}",
        "otel_metrics_export: {interval: 0s}",
        "grafana: {otlp: {cloud_submit: [logs]}}",
        "grafana: {otlp: {cloud_zone: 'evil.example/'}}",
        "grafana: {otlp: {cloud_zone: prod-eu-west-0, cloud_instance_id: 1}}",
        "grafana: {otlp: {cloud_api_key: [glc_abc]}}",
        "cargo_beyla: {slowest: -1}",
        "cargo_beyla: {slowest: 99999999999999999999999999}",
        "cargo_beyla: {slowset: 1}",
        "cargo_beyla: {jaeger: 'localhost:16686'}",
        "cargo_beyla: {prometheus: example.com}",
        "cargo_beyla: {duration: forever}",
        "cargo_beyla: {budgets: ['errors == 0', 'GET /a p98 < 1ms']}",
        "cargo_beyla: {budgets: {slow: [1]}}",
        "cargo_beyla: {test_groups: [a]}",
        "cargo_beyla: {test_groups: {a: api::*}}",
        "cargo_beyla: {test_groups: {a: {max_threads: 1}}}",
        "cargo_beyla:\n  test_groups:\n    a:\n      filter: api::*\n      max-thread: 1\n",
        "cargo_beyla: {test_groups: {a: {filter: api::*, whatever: 1}}}",
        "cargo_beyla: {test_groups: {a: {filter: '['}}}",
        "cargo_beyla: {test_groups: {a: {filter: [api::*, '']}}}",
        "cargo_beyla: {test_groups: {a: {filter: api::*, max-threads: 0}}}",
        "cargo_beyla: {test_group: {}}",
        "slowest: 3",
        "filter: {application: {url.path: {matches: x}}}",
        "attributes: {select: {m: {include: {}}}}",
        "- a",
        "a: [1",
    ] {
        say(Given { yaml, ..Given::default() });
    }
    say(Given { yaml: "open_port: ${PORT}", variables: &[("PORT", "glc_abc")], ..Given::default() });
    for variables in [
        [("BEYLA_OPEN_PORT", "http")],
        [("BEYLA_PROMETHEUS_PORT", "-1")],
        [("OTEL_EBPF_TRACE_PRINTER", "yes")],
        [("GRAFANA_CLOUD_ZONE", "prod-eu-west-0")],
    ] {
        say(Given { variables: &variables, ..Given::default() });
    }
    for flags in [
        ["--jaeger", "http://"],
        ["--otlp", "ftp://host"],
        ["--otlp-header", "glc_abc"],
        ["--otlp-header", "a=b\nc"],
        ["--prometheus", "nowhere"],
        ["--route", "users"],
        ["--budget", "GET /users/{id} p99 < 20"],
    ] {
        say(Given { flags: &flags, ..Given::default() });
    }
    say(Given { package: "[package.metadata.beyla]\nslowset = 3", ..Given::default() });
    say(Given { package: "[package.metadata.beyla]\nslowest = 'many'", ..Given::default() });
    say(Given { workspace: "[workspace.metadata]\nbeyla = 3", ..Given::default() });
    insta::assert_snapshot!(said);
}

#[test]
fn what_is_overridden_must_be_valid_as_well() {
    let given = Given { flags: &["--slowest", "3"], yaml: "cargo_beyla: {slowest: many}", ..Given::default() };
    assert!(given.settings().is_err());
}

#[test]
fn the_starter_file_sets_what_it_says() {
    let template = include_str!("../../templates/beyla.yml");
    assert_eq!(show(&yaml(template)), show(&Given::default().settings().unwrap()));
    // A comment that is a key or an item begins with nothing but its `#`.
    let mut uncommented = String::new();
    for line in template.lines() {
        let indent = line.len() - line.trim_start().len();
        let setting = line.trim_start().strip_prefix('#').filter(|rest| !rest.starts_with(' '));
        let _ = match setting {
            Some(setting) => writeln!(uncommented, "{}{setting}", &line[..indent]),
            None => writeln!(uncommented, "{line}"),
        };
    }
    let settings = yaml(&uncommented);
    assert_eq!(settings.warnings, [""; 0]);
    for key in keys::ALL.iter().filter(|key| key.path != keys::EXECUTABLE_PATH.path) {
        let last = key.path.rsplit('.').next().unwrap_or_default();
        assert!(uncommented.contains(&format!("{last}:")), "{} is not in the starter file", key.path);
    }
}

#[test]
fn files_that_are_none() {
    let directory = tempfile::tempdir().unwrap();
    let read = |name: &str, bytes: &[u8]| {
        let path = directory.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let error = Layers::read(Some(&path), &Environment::default(), None).expect_err(name);
        error.to_string().replace(&directory.path().display().to_string(), "")
    };
    insta::assert_snapshot!(read("latin1.yml", b"a: caf\xe9"), @"/latin1.yml: this is not UTF-8 from byte 6 on");
    insta::assert_snapshot!(read("large.yml", &vec![b'#'; 1024 * 1024 + 1]), @"/large.yml: this file is larger than 1024 KiB");
    let nothing = Environment::default();
    let missing = Layers::read(Some(&directory.path().join("missing")), &nothing, None);
    assert!(matches!(missing, Err(Error::File { verb: "read", .. })));
    let environment: Environment = [("BEYLA_CONFIG_PATH", "/nowhere/beyla.yml")].into_iter().collect();
    assert!(matches!(Layers::read(None, &environment, None), Err(Error::File { .. })));
}

#[test]
fn a_setting_for_cargo_is_no_file_of_ours() {
    let directory = tempfile::tempdir().unwrap();
    let read = |path: &Path| Layers::read(Some(path), &Environment::default(), None).map(|_| ());
    let error = read(Path::new("build.target-dir=/t")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "--config: `build.target-dir=/t` is no file: --config names a file of settings for cargo-beyla"
    );
    let odd = directory.path().join("a=b.yml");
    assert!(matches!(read(&odd), Err(Error::Config { .. })));
    std::fs::write(&odd, "").unwrap();
    assert!(read(&odd).is_ok());
}

#[test]
fn a_value_that_is_not_text() {
    use std::os::unix::ffi::OsStringExt;
    let environment: Environment = [("BEYLA_OPEN_PORT", OsString::from_vec(vec![0xff]))].into_iter().collect();
    let error = Layers { environment: &environment, documents: Vec::new(), several: Vec::new() }
        .get(&keys::OPEN_PORT, ports)
        .unwrap_err();
    assert_eq!(error.to_string(), "variable BEYLA_OPEN_PORT: this is not UTF-8");
}
