//! What a server tells others in confidence, and everything that a run puts out.

use std::fs;
use std::path::Path;
use std::process::Command;

use beyla_tests::called::mariadb::Mariadb;
use beyla_tests::called::postgres::Postgres;
use beyla_tests::called::redis::{self, Redis};
use beyla_tests::called::service;
use beyla_tests::fixture::{self, manifest};
use beyla_tests::prometheus::{metrics_port, promtool_is_content, scrape};
use beyla_tests::receiver::Receiver;
use beyla_tests::report::Call;
use beyla_tests::run::{Capture, Run, TELLING};
use beyla_tests::tool::tool;

/// Each secret has one of these in it; the last is what a URL's user and password become in a header.
const SECRETS: [&str; 3] = ["hunter2", "7741093", "aHVudGVyMi11c2Vy"];

/// All that can be asked for besides what there is by default.
const SETTINGS: &str = "
log_level: debug
trace_printer: json_indent
attributes:
  select:
    http_client_request_duration: {include: ['*']}
    db_client_operation_duration: {include: ['*']}
";

#[track_caller]
fn has_no_secret(what: &str, content: &[u8]) {
    let text = String::from_utf8_lossy(content);
    for secret in SECRETS {
        let line = text.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret} is in the {what}");
    }
}

/// What the service answers to everything.
const ANSWER: &str = "HTTP/1.1 200 OK\r\nset-cookie: a=hunter2\r\ncontent-length: 7\r\n\r\nhunter2";

/// What `cargo beyla report` says of a recording, on the terminal and as JSON.
fn reported(recording: &Path) -> [Vec<u8>; 2] {
    let output = Command::new(tool()).args(["beyla", "report", "--json", "-"]).arg(recording).output();
    let output = output.expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    [output.stdout, output.stderr]
}

#[test]
fn no_output_of_a_run_has_a_secret() {
    let (postgres, mariadb, redis) = (Postgres::start(), Mariadb::start(), Redis::start());
    let mysql = mariadb.url() + "?ssl-mode=DISABLED";
    let recorded = has_no_secret_in_its_outputs(&postgres.url(), &mysql, &redis.url());
    assert!(String::from_utf8_lossy(&recorded).contains("hunter2"), "the bytes themselves are there");
}

#[test]
fn no_output_of_a_run_has_a_secret_that_came_over_tls() {
    let (postgres, mariadb, redis) = (Postgres::start_tls(), Mariadb::start(), Redis::start());
    let mysql = mariadb.url() + "?ssl-mode=REQUIRED";
    has_no_secret_in_its_outputs(&postgres.tls_url(), &mysql, &redis.tls_url());
}

/// Runs the server that has secrets, with databases and a cache at these URLs. Returns what was recorded.
fn has_no_secret_in_its_outputs(database: &str, mysql: &str, cache: &str) -> Vec<u8> {
    let service = service(ANSWER);
    let receiver = Receiver::start();
    let folder = fixture::folder(&[("beyla.yml", SETTINGS)]);
    let path = |name: &str| folder.path().join(name);
    let with_secrets = || {
        Run::of(TELLING, Capture::Auto)
            .environment("DATABASE_URL", database)
            .environment("MYSQL_URL", mysql)
            .environment("REDIS_URL", cache)
            .environment("SERVICE", service.to_string())
            .environment("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer hunter2-token")
            .flags(["--otlp", &receiver.url(), "--prometheus", "127.0.0.1:0", "--explain", "--config"])
            .flags([path("beyla.yml"), "--record".into(), path("run.beyla")])
    };
    let run = with_secrets().start();
    let answer = run.connect().get("/");
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    let metrics = scrape(metrics_port(&run), "text/plain");
    promtool_is_content(&metrics);
    has_no_secret("metrics", metrics.as_bytes());
    let finished = run.let_go();
    assert_eq!(finished.code(), 0, "{}", finished.stderr);

    // All of it was seen, and what may be told is.
    let report = finished.report();
    assert!(report.unseen.keys().all(|kind| kind == "unattributed_calls"), "{:?}", report.unseen);
    let is_over_tls = cache.starts_with("rediss:");
    for call in report.calls.iter().filter(|call| call.kind != "http") {
        let tls = call.tls.as_ref().map(|tls| (tls.version.as_deref(), tls.library.as_deref()));
        assert_eq!(tls, is_over_tls.then_some((Some("1.3"), Some("ring"))), "{call:#?}");
    }
    let has = |kind: &str, text: &str| {
        let found = report.calls_of_kind(kind).any(|call: &Call| call.text.as_deref() == Some(text));
        assert!(found, "no {kind} {text}: {:#?}", report.calls);
    };
    has("postgresql", "INSERT INTO secrets VALUES (?), (?, -?)");
    has("postgresql", "SELECT ?; SELECT ?; SELECT ?");
    has("postgresql", "SELECT word FROM secrets WHERE word = $1 AND word <> ? AND number <> ?");
    has("postgresql", "COPY secrets (word) FROM STDIN");
    has("mysql", "INSERT INTO secrets VALUES (?), (?, -?), (?)");
    has("mysql", "SELECT ?--? AS minus, ?");
    has("mysql", "SELECT word FROM secrets WHERE word = ? AND word <> ? AND number <> ?");
    for command in
        ["SET session:?", "HSET user:?", "MSET ?", "EVAL ?", "CONFIG SET", "ACL SETUSER", "AUTH", "XADD stream:?"]
    {
        has("redis", command);
    }
    has("http", "GET /items/5");
    has("http", "POST /orders");

    has_no_secret("terminal", finished.stderr.as_bytes());
    has_no_secret("report", finished.json.as_deref().expect("a report").as_bytes());
    let messages = ["/v1/traces", "/v1/metrics"].map(|path| receiver.received(path));
    for message in messages.iter().flatten() {
        has_no_secret("export", &message.body);
    }
    assert!(messages.iter().all(|messages| !messages.is_empty()), "both were sent");
    let recording = path("run.beyla");
    for output in reported(&recording) {
        has_no_secret("report of the recording", &output);
    }
    let settings = with_secrets().flags(["--show-config"]).to_end();
    assert!(settings.stdout.contains("trace_printer"), "{settings:#?}");
    has_no_secret("settings", settings.stdout.as_bytes());
    has_no_secret("settings", settings.stderr.as_bytes());
    fs::read(recording).expect("a recording")
}

/// A test that asks a database's cache and a service.
const ASKS: &str = r#"
use std::io::{Read, Write};
use std::net::TcpStream;

fn ask(address: &str, messages: &[String]) {
    let mut stream = TcpStream::connect(std::env::var(address).unwrap()).unwrap();
    for message in messages {
        stream.write_all(message.as_bytes()).unwrap();
        assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
    }
}

fn command(words: &[&str]) -> String {
    let strings: String = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
    format!("*{}\r\n{strings}", words.len())
}

#[test]
fn asks() {
    let password = std::env::var("PASSWORD").unwrap();
    let auth = ["AUTH", &*password];
    let commands: [&[&str]; 3] = [&auth, &["SET", "user:7741093", "hunter2"], &["GET", "hunter2-key"]];
    ask("CACHE", &commands.map(command));
    let head = "host: x\r\nauthorization: Bearer hunter2-bearer\r\ncookie: a=hunter2-cookie";
    ask("SERVICE", &[format!("GET /items/5?api_key=hunter2-query HTTP/1.1\r\n{head}\r\n\r\n")]);
}
"#;

#[test]
fn no_output_of_tests_has_a_secret() {
    let (redis, service) = (Redis::start(), service(ANSWER));
    let workspace =
        fixture::folder(&[("Cargo.toml", &manifest("asking", "")), ("src/lib.rs", ""), ("tests/asking.rs", ASKS)]);
    let junit = workspace.path().join("junit.xml");
    let finished = Run::tests_of_workspace(workspace.path(), Capture::Auto)
        .environment("CACHE", redis.peer())
        .environment("PASSWORD", redis::PASSWORD)
        .environment("SERVICE", service.to_string())
        .flags(["--junit".as_ref(), junit.as_os_str()])
        .to_end();
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    let report: serde_json::Value = serde_json::from_str(finished.json.as_deref().expect("a report")).expect("JSON");
    let calls = report["calls"].as_array().expect("calls");
    let texts: Vec<&str> = calls.iter().filter_map(|call| call["text"].as_str()).collect();
    // The login belongs to the opening of the connection.
    assert_eq!(texts, ["SET user:?", "GET ?", "GET /items/5"], "{calls:#?}");
    assert_eq!(report["tests"][0]["calls"], 3, "{report:#}");
    let junit = fs::read_to_string(junit).expect("a report");
    assert!(junit.contains(r#"name="beyla.calls" value="3""#), "{junit}");
    for (what, content) in [("terminal", &finished.stderr), ("JUnit report", &junit)] {
        has_no_secret(what, content.as_bytes());
    }
    has_no_secret("report", report.to_string().as_bytes());
}
