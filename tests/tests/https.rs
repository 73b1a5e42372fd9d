//! A server that speaks TLS itself, by rustls with ring, and clients with OpenSSL: curl and h2load; and one that calls
//! others over TLS.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use beyla_tests::both::each_way;
use beyla_tests::fixture;
use beyla_tests::receiver::{Identity, Receiver};
use beyla_tests::report::{FailedHandshakes, Report, Request};
use beyla_tests::run::{CALLING_SERVER, Capture, HTTPS_SERVER, Run, Running};
use beyla_tests::tool::tool;
use serde_json::Value;

/// One byte more than a record holds.
const UPLOAD: usize = 16_385;
/// What takes the server many calls to receive.
const LARGE_UPLOAD: usize = 353_410;
/// Much more than is captured of a body.
const DOWNLOAD: usize = 50 << 20;

fn url(run: &Running, path: &str) -> String {
    format!("https://localhost:{}{path}", run.port)
}

fn curl(run: &Running, flags: &[&str], paths: &[&str]) -> Command {
    let mut command = Command::new("curl");
    command.args(["-sSk", "--noproxy", "*"]).args(flags).args(paths.iter().map(|path| url(run, path)));
    command
}

/// What curl prints.
fn told(mut command: Command) -> String {
    let output = command.output().expect("curl is installed");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn start(capture: Capture, tls: &str) -> Running {
    Run::of(HTTPS_SERVER, capture).environment("TLS", tls).start()
}

/// Nothing is missing, and each row says how it came.
fn all_read(report: &Report, version: &str) {
    assert!(report.unseen.is_empty(), "{:?}", report.unseen);
    for request in &report.requests {
        let tls = request.tls.as_ref().expect("it came over TLS");
        assert_eq!((&*request.scheme, tls.version.as_deref()), ("https", Some(version)));
        assert_eq!((tls.library.as_deref(), tls.server_name.as_deref()), (Some("ring"), Some("localhost")));
        let alpn = if request.protocol == "http/2" { "h2" } else { "http/1.1" };
        assert_eq!(tls.alpn.as_deref(), Some(alpn));
    }
}

fn of_connection(report: &Report) -> BTreeMap<u64, Vec<&Request>> {
    let mut connections: BTreeMap<u64, Vec<&Request>> = BTreeMap::new();
    for request in &report.requests {
        connections.entry(request.connection).or_default().push(request);
    }
    connections
}

#[test]
fn curl_over_both_versions_of_both_protocols() {
    for (version, flag) in [("1.2", "--http1.1"), ("1.2", "--http2"), ("1.3", "--http1.1"), ("1.3", "--http2")] {
        each_way(|capture| {
            let run = start(capture, version);
            let folder = fixture::folder(&[]);
            let upload = |size: usize| {
                let path = folder.path().join(size.to_string());
                std::fs::write(&path, vec![b'u'; size]).expect("a file");
                format!("@{}", path.display())
            };
            let paths = ["/hello", "/users/7?a=b", "/users/8", "/none"];
            let said = told(curl(&run, &[flag], &paths));
            assert!(said.contains("Hello world!") && said.contains("user 8"), "{said}");
            let post = |size: usize, paths: &[&str]| told(curl(&run, &[flag, "--data-binary", &upload(size)], paths));
            assert_eq!(post(UPLOAD, &["/upload"]), UPLOAD.to_string());
            assert_eq!(post(LARGE_UPLOAD, &["/upload"; 4]), LARGE_UPLOAD.to_string().repeat(4));
            let download = format!("/download/{DOWNLOAD}");
            let mut client =
                curl(&run, &[flag, "-o", "/dev/null", "-w", "%{size_download} %{time_total}"], &[&download]);
            let said = told(std::mem::replace(&mut client, Command::new("true")));
            let (size, seconds) = said.split_once(' ').expect("two numbers");
            assert_eq!(size, DOWNLOAD.to_string());

            let report = run.stop();
            all_read(&report, version);
            let rows: Vec<_> = report.requests.iter().map(|row| (&*row.method, &*row.path, row.status)).collect();
            assert_eq!(
                rows,
                [
                    ("GET", "/hello", Some(200)),
                    ("GET", "/users/7", Some(200)),
                    ("GET", "/users/8", Some(200)),
                    ("GET", "/none", Some(404)),
                    ("POST", "/upload", Some(200)),
                    ("POST", "/upload", Some(200)),
                    ("POST", "/upload", Some(200)),
                    ("POST", "/upload", Some(200)),
                    ("POST", "/upload", Some(200)),
                    ("GET", &*download, Some(200)),
                ]
            );
            assert_eq!(report.requests[1].query.as_deref(), Some("a=b"));
            assert!(report.requests.iter().all(|request| request.outcome == "complete"));
            let [.., download] = &report.requests[..] else { panic!("{:?}", report.requests) };
            let uploaded: Vec<_> = report.requests[4..9].iter().map(|row| row.request_bytes.body).collect();
            let sizes = [UPLOAD, LARGE_UPLOAD, LARGE_UPLOAD, LARGE_UPLOAD, LARGE_UPLOAD];
            assert_eq!(uploaded, sizes.map(|size| Some(size as u64)));
            assert_eq!(download.response_bytes.and_then(|bytes| bytes.body), Some(DOWNLOAD as u64));
            let seconds: f64 = seconds.parse().expect("seconds");
            assert!((download.total_ns as f64) < seconds * 1e9, "{} {seconds}", download.total_ns);
            // The handshake belongs to the first request of each of the four connections.
            let handshakes: Vec<bool> = report
                .requests
                .iter()
                .map(|row| row.tls.as_ref().is_some_and(|tls| tls.handshake_ns.is_some()))
                .collect();
            assert_eq!(handshakes, [true, false, false, false, true, true, false, false, false, true]);
            assert_eq!(report.tls.as_ref().and_then(|tls| tls.handshakes).map(|all| all.count), Some(4));
            report
        });
    }
}

#[test]
fn nothing_of_one_connection_is_shown_on_another() {
    const CLIENTS: usize = 12;
    const REQUESTS: usize = 20;
    each_way(|capture| {
        let run = start(capture, "");
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let paths: Vec<String> =
                    (0..REQUESTS).map(|request| format!("/users/{}?client={client}", request % 3)).collect();
                let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
                let flag = if client % 2 == 0 { "--http1.1" } else { "--http2" };
                curl(&run, &[flag], &paths).stdout(Stdio::null()).spawn().expect("curl is installed")
            })
            .collect();
        for mut client in clients {
            assert!(client.wait().expect("it ends").success());
        }
        let report = run.stop();
        all_read(&report, "1.3");
        let connections = of_connection(&report);
        assert_eq!(connections.len(), CLIENTS);
        for requests in connections.values() {
            assert_eq!(requests.len(), REQUESTS);
            assert!(requests.iter().all(|request| request.query == requests[0].query));
        }
        report
    });
}

#[test]
fn h2load_counts_the_same() {
    const REQUESTS: usize = 2000;
    each_way(|capture| {
        let run = start(capture, "");
        let load = ["-n", &REQUESTS.to_string(), "-c", "16", "-m", "8"];
        let output = Command::new("h2load").args(load).arg(url(&run, "/hello")).output().expect("h2load is installed");
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(told.contains(&format!("{REQUESTS} 2xx, 0 3xx, 0 4xx, 0 5xx")), "{told}");
        let report = run.stop();
        assert!(report.unseen.is_empty(), "{:?}", report.unseen);
        assert_eq!(report.requests.len(), REQUESTS);
        assert!(report.requests.iter().all(|row| row.protocol == "http/2" && row.scheme == "https"));
        assert!(report.requests.iter().all(|row| row.status == Some(200) && row.outcome == "complete"));
        assert_eq!(report.tls.as_ref().map(|tls| tls.connections), Some(16));
        report
    });
}

#[test]
fn handshakes_that_fail_are_counted_with_their_cause() {
    each_way(|capture| {
        let run = start(capture, "1.3");
        let distrusts = Command::new("curl").args(["-sS", "--noproxy", "*", &url(&run, "/hello")]).output();
        assert_eq!(distrusts.expect("curl is installed").status.code(), Some(60), "it does not trust the certificate");
        let old = curl(&run, &["--tls-max", "1.2"], &["/hello"]).output().expect("curl is installed");
        assert_eq!(old.status.code(), Some(35), "there is no version in common");
        told(curl(&run, &[], &["/hello"]));
        let report = run.stop();
        let failure = |by: &str, alert: &str| FailedHandshakes {
            role: "server".into(),
            by: by.into(),
            alert: Some(alert.into()),
            count: 1,
        };
        let tls = report.tls.as_ref().expect("TLS");
        assert_eq!(tls.failed, [failure("client", "unknown_ca"), failure("server", "protocol_version")]);
        assert_eq!((tls.connections, tls.handshakes.map(|all| all.count)), (3, Some(1)));
        assert_eq!(report.requests.len(), 1);
        report
    });
}

#[test]
fn calls_over_tls_are_those_that_the_others_got() {
    let identity = Identity::of("localhost");
    each_way(|capture| {
        let service = Receiver::start_tls(([127, 0, 0, 1], 0).into(), &identity);
        let collector = Receiver::start_grpc_tls(&identity);
        let run = Run::of(CALLING_SERVER, capture).environment("AUTHORITY", &identity.authority).start();
        for (path, receiver) in [("/https", &service), ("/grpc_tls", &collector)] {
            let answer = run.connect().get(&format!("{path}?{}", receiver.address));
            assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        }
        assert_eq!(service.received("/users/5?key=hunter2-query").len(), 1);
        assert_eq!(collector.received("/v1/traces").len(), 1);
        let finished = run.let_go();
        let report = finished.report();
        assert!(report.unseen.is_empty(), "{:?}", report.unseen);
        let [http, grpc] = &report.calls[..] else { panic!("{:#?}", report.calls) };
        let export = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
        for (call, kind, summary, status, receiver, request) in [
            (http, "http", "GET /users/{id}", "200", &service, &report.requests[0]),
            (grpc, "grpc", export, "0", &collector, &report.requests[1]),
        ] {
            assert_eq!((&*call.kind, &*call.summary, call.status.as_deref()), (kind, summary, Some(status)));
            assert_eq!((&call.peer, call.request), (&receiver.address.to_string(), Some(request.id)));
            let tls = call.tls.as_ref().expect("it went over TLS");
            assert_eq!((tls.version.as_deref(), tls.library.as_deref()), (Some("1.3"), Some("ring")));
            assert_eq!(tls.server_name.as_deref(), Some("localhost"));
            // The handshake is a part of what it takes to connect. On a busy machine the call may begin too late after that
            // to have waited for it.
            assert_eq!(tls.handshake_ns.is_some(), call.phases.connect.is_some(), "{call:#?}");
            assert!(tls.handshake_ns <= call.phases.connect, "{call:#?}");
        }
        let json = finished.json.as_deref().expect("a report");
        let handshakes: Value = serde_json::from_str(json).expect("JSON");
        assert_eq!(handshakes["tls"]["client_handshakes"]["count"], 2);
        assert!([json, &finished.stderr].iter().all(|said| !said.contains("hunter2")), "{}", finished.stderr);
        report
    });
}

#[test]
fn what_cannot_be_read_is_said_with_its_bytes_and_turns() {
    for (tls, flags, reason) in [("chacha20", &[][..], "chacha20"), ("1.3", &["--no-tls"], "no key seen")] {
        let run = Run::of(HTTPS_SERVER, Capture::Auto).environment("TLS", tls).flags(flags).start();
        let paths: Vec<&str> = vec!["/users/5"; 4];
        told(curl(&run, &["--http1.1"], &paths));
        let report = run.stop();
        assert_eq!((report.requests.len(), report.unseen.get("tls_connections")), (0, Some(&1)));
        let tls = report.tls.as_ref().expect("TLS");
        let [unread] = &tls.unread[..] else { panic!("{:?}", tls.unread) };
        assert_eq!((&*unread.role, &*unread.reason, unread.connections), ("server", reason, 1));
        assert!(unread.request_bytes > 400 && unread.response_bytes > 400, "{unread:?}");
        let turns = unread.turns.expect("turns");
        // The client's last message of the handshake may be one as well.
        assert!((4..=5).contains(&turns.count) && turns.max_ns >= 5_000_000, "{turns:?}");
        assert!(tls.handshakes.is_some_and(|all| all.count == 1 && all.max_ns > 0));
    }
}

#[test]
fn a_recording_tells_the_same_again() {
    let folder = fixture::folder(&[]);
    let [recording, again] = ["run.beyla", "again.json"].map(|name| folder.path().join(name));
    let run = Run::of(HTTPS_SERVER, Capture::Auto).flags(["--record".as_ref(), recording.as_os_str()]).start();
    told(curl(&run, &["--http2"], &["/hello", "/users/3"]));
    told(curl(&run, &["--http1.1"], &["/hello", "/users/3"]));
    let finished = run.let_go();
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    let mut command = Command::new(tool());
    command.args(["beyla", "report"]).arg(&recording).arg("--json").arg(&again);
    let output = command.output().expect("the tool runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let parse = |text: &str| -> Value { serde_json::from_str(text).expect("JSON") };
    let first = parse(finished.json.as_deref().expect("a report"));
    let second = parse(&std::fs::read_to_string(again).expect("a report"));
    assert_eq!(first["requests"].as_array().map(Vec::len), Some(4));
    for part in ["totals", "routes", "requests", "unseen", "tls"] {
        assert_eq!(first[part], second[part], "{part}");
    }
}
