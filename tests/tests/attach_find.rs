//! The server to attach to, as the configuration describes it, and as its article does.

use beyla_tests::background::Background;
use beyla_tests::both::both_ways;
use beyla_tests::client::{Client, get};
use beyla_tests::fixture;
use beyla_tests::odd::{ODD_SERVER, answer};
use beyla_tests::receiver::Receiver;
use beyla_tests::run::{Capture, Finished, LATENCY_LAB, Run};
use beyla_tests::system::free_port;
use beyla_tests::wait::{LONG, poll};
use tempfile::TempDir;

fn file(yaml: &str) -> (TempDir, Run) {
    let folder = fixture::folder(&[("beyla.yml", yaml)]);
    let run = Run::attach(Capture::Auto).flags(["--config".as_ref(), folder.path().join("beyla.yml").as_os_str()]);
    (folder, run)
}

/// Watches the server that the file describes, and is its client.
fn found(yaml: &str, server: &Background) {
    let (_folder, run) = file(yaml);
    let run = run.start_watching();
    server.connect().get("/fast");
    run.interrupt();
    let finished = run.wait();
    assert_eq!(finished.code(), 0, "{yaml}{}", finished.stderr);
    let report = finished.report();
    assert_eq!((report.target.pid, report.totals.requests), (server.pid(), 1), "{yaml}");
}

fn refused(yaml: &str, said: &[&str]) -> Finished {
    let (_folder, run) = file(yaml);
    let finished = run.to_end();
    finished.failed_with(98, said);
    finished
}

#[test]
fn by_lists_and_ranges_of_ports() {
    let server = Background::start(LATENCY_LAB);
    let port = server.port;
    // Nobody has port 1.
    for ports in [format!("\"1,{port}\""), format!("[1, {port}]"), format!("\"{port}-{port}\"")] {
        found(&format!("open_port: {ports}\n"), &server);
    }
}

#[test]
fn by_the_executable() {
    let folder = fixture::folder(&[]);
    let server = Background::start_in(folder.path(), LATENCY_LAB);
    let name = folder.path().file_name().and_then(|name| name.to_str()).expect("text");
    for key in ["executable_name", "executable_path"] {
        found(&format!("{key}: {name}/latency_lab$\n"), &server);
    }
    found(&format!("executable_name: {name}\nopen_port: 1-65535\n"), &server);
}

#[test]
fn several_are_listed() {
    let folder = fixture::folder(&[]);
    let servers = [(); 2].map(|()| Background::start_in(folder.path(), LATENCY_LAB));
    let name = folder.path().file_name().and_then(|name| name.to_str()).expect("text");
    let [one, other] = &servers;
    let ports = format!("{},{}", one.port, other.port);
    let listed = servers.each_ref().map(|server| format!("{} (latency_lab, port {})", server.pid(), server.port));
    let start = format!("error: 2 processes listen on the ports {ports}: ");
    let [first, second] = listed.each_ref().map(String::as_str);
    refused(&format!("open_port: \"{ports}\"\n"), &[&start, first, second, "\nhint: choose one of them with --pid\n"]);
    let start = format!("error: 2 processes execute what matches '{name}' and listen: ");
    let [one, other] = servers.each_ref().map(|server| format!("{} (latency_lab)", server.pid()));
    refused(&format!("executable_name: {name}\n"), &[&start, &one, &other]);
}

#[test]
fn none_is_as_it_is_described() {
    let server = Background::start(LATENCY_LAB);
    refused("open_port: \"1,2-3\"\n", &["error: nobody listens on the ports 1,2-3\n", "\nhint: `ss -ltnp`"]);
    let yaml = format!("open_port: {}\nexecutable_name: /no/such$\n", server.port);
    let said =
        format!("error: no processes of yours execute what matches '/no/such$' and listen on port {}\n", server.port);
    refused(&yaml, &[&said]);
}

/// `odd_server` on a Unix socket alone.
struct OnUnix {
    server: Background,
    name: String,
    _folder: TempDir,
}

impl OnUnix {
    fn start() -> Self {
        let folder = fixture::folder(&[]);
        let name = format!("unix:{}", folder.path().join("socket").display());
        let answer = format!("send:{}", answer("hello"));
        let arguments = ["--listen", &name, "--io", "recvfrom-sendto", "--", "head", &answer, "repeat"];
        Self { server: Background::start_with(ODD_SERVER, &arguments), name, _folder: folder }
    }
}

#[test]
fn a_server_on_a_unix_socket_alone() {
    both_ways(|capture| {
        let on_unix = OnUnix::start();
        let mut old = Client::to(&on_unix.name);
        old.get("/before");
        let run = Run::attach(capture).flags(["--pid", &on_unix.server.pid().to_string()]).start_watching();
        // Of an old connection nobody knows whose it is: it is not watched, and goes on.
        assert_eq!(old.get("/c").body, b"hello");
        let mut new = Client::to(&on_unix.name);
        for path in ["/a", "/b"] {
            assert_eq!(new.get(path).body, b"hello");
        }
        run.interrupt();
        let finished = run.wait();
        assert_eq!(finished.code(), 0, "{}", finished.stderr);
        let watching = format!("Watching {} (pid {})\n", on_unix.name, on_unix.server.pid());
        assert_eq!(finished.stderr.matches(&watching).count(), 1, "{}", finished.stderr);
        let report = finished.report();
        let paths: Vec<&str> = report.requests.iter().map(|request| request.path.as_str()).collect();
        assert_eq!(paths, ["/a", "/b"]);
        assert_eq!(report.target.listening, std::slice::from_ref(&on_unix.name));
        assert!(report.unseen.is_empty(), "{:?}", report.unseen);
        assert_eq!(new.send(get("/d")).response().body, b"hello");
        report
    });
}

#[test]
fn the_article_s_file_for_a_local_jaeger() {
    let (server, receiver) = (Background::start(LATENCY_LAB), Receiver::start());
    let scraped = free_port();
    let yaml = format!(
        "open_port: {}\n\nprometheus_export:\n  port: {scraped}\n\notel_traces_export:\n  endpoint: \
         http://localhost:{}\n\nebpf:\n  track_request_headers: true\n",
        server.port,
        receiver.address.port()
    );
    let (_folder, run) = file(&yaml);
    let run = run.start_watching();
    let mut client = server.connect();
    let traceparent = "\r\ntraceparent: 00-1af92f3577b34da6a3ce929d0e0e0000-00f067aa0ba902a8-01\r\n";
    client.send(get("/users/7").replacen("\r\n", traceparent, 1));
    assert_eq!(client.response().status, 200);
    client.get("/fast");
    let mut metrics = String::new();
    let both = poll(LONG, || {
        metrics = String::from_utf8(Client::connect(scraped).get("/metrics").body).expect("text");
        ["/users/{id}", "/fast"].iter().all(|route| metrics.contains(&format!("http_route=\"{route}\""))).then_some(())
    });
    assert!(both.is_some(), "{metrics}");
    run.interrupt();
    let finished = run.wait();
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    assert!(server.goes_on());
    let spans = receiver.server_spans();
    let mut names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["GET /fast", "GET /users/{id}"]);
    let called = spans.iter().find(|span| span.name == "GET /users/{id}").expect("it is there");
    assert_eq!(beyla_tests::receiver::hexadecimal(&called.trace_id), "1af92f3577b34da6a3ce929d0e0e0000");
    assert_eq!(finished.report().totals.requests, 2);
}
