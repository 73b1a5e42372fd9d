//! A server that runs already, and goes on.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use beyla_tests::background::Background;
use beyla_tests::both::both_ways;
use beyla_tests::client::get;
use beyla_tests::explanation::Unit;
use beyla_tests::fixture;
use beyla_tests::odd::header_length;
use beyla_tests::report::Report;
use beyla_tests::rows::complete;
use beyla_tests::run::{Build, Capture, Finished, LATENCY_LAB, Run, THREADS_SERVER};
use beyla_tests::source;
use beyla_tests::system::field;
use socket2::{Domain, Socket, Type};

/// How the server is named.
#[derive(Clone, Copy)]
enum By {
    Pid,
    Port,
    Config,
}

/// What the kernel has sent to a process, and what it has done about it: pending signals of thread and process.
fn pending_signals(pid: u32) -> [String; 2] {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    ["SigPnd:", "ShdPnd:"].map(|name| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("the kernel tells");
        line.trim().to_owned()
    })
}

/// The server is as it was.
fn untouched(server: &Background) {
    assert!(server.goes_on());
    let none = || "0".repeat(16);
    assert_eq!(pending_signals(server.pid()), [none(), none()]);
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("it runs");
    assert_eq!(field(&status, "TracerPid"), Some(0));
    assert_eq!(server.connect().get("/fast").status, 200);
}

fn old_and_new_connections(by: By) {
    both_ways(|capture| {
        let server = Background::start(LATENCY_LAB);
        let mut old = server.connect();
        old.get("/status/201");
        let folder = fixture::folder(&[("beyla.yml", &format!("open_port: {}\n", server.port))]);
        let run = match by {
            By::Pid => Run::attach(capture).flags(["--pid", &server.pid().to_string()]),
            By::Port => Run::attach(capture).flags(["--port", &server.port.to_string()]),
            By::Config => {
                Run::attach(capture).flags(["--config".as_ref(), folder.path().join("beyla.yml").as_os_str()])
            }
        };
        let run = run.start_watching();
        let mut expected = Vec::new();
        let mut new = server.connect();
        for path in ["/users/1", "/status/503", "/fast"] {
            let client = if path == "/status/503" { &mut new } else { &mut old };
            let answer = client.get(path);
            let sizes = ((get(path).len(), 0), answer.status, (header_length(&answer.header), answer.body.len()));
            expected.push(complete(&format!("GET {path}"), sizes.0, sizes.1, sizes.2));
        }
        run.interrupt();
        let finished = run.wait();
        assert_eq!(finished.code(), 0, "{}", finished.stderr);
        untouched(&server);
        assert_eq!(old.get("/fast").status, 200, "the connection is as it was");

        let report = finished.report();
        assert_eq!(report.rows(), expected);
        assert_eq!(report.exit, None, "the server goes on");
        assert_eq!(report.target.pid, server.pid());
        assert_eq!(report.target.listening, [format!("127.0.0.1:{}", server.port)]);
        assert!(report.target.executable.ends_with("/latency_lab"), "{}", report.target.executable);
        assert_eq!((report.totals.connections, report.totals.errors), (2, 1));
        let [first, second, third] = &report.requests[..] else { panic!("{:?}", report.rows()) };
        assert!(first.connection == third.connection && first.connection != second.connection);
        assert_eq!((first.client.as_str(), first.server.as_str()), (third.client.as_str(), third.server.as_str()));
        assert!(report.unseen.is_empty(), "{:?}", report.unseen);
        report
    });
}

#[test]
fn by_port() {
    old_and_new_connections(By::Port);
}

#[test]
fn by_process_id() {
    old_and_new_connections(By::Pid);
}

#[test]
fn by_the_port_of_the_configuration() {
    old_and_new_connections(By::Config);
}

#[test]
fn the_addresses_of_an_old_connection_are_known() {
    both_ways(|capture| {
        let server = Background::start(LATENCY_LAB);
        let mut old = server.connect();
        old.get("/fast");
        let run = Run::attach(capture).flags(["--port", &server.port.to_string()]).start_watching();
        old.get("/fast");
        run.interrupt();
        let report = run.wait().report();
        let [request] = &report.requests[..] else { panic!("{:?}", report.rows()) };
        assert_eq!(request.server, format!("127.0.0.1:{}", server.port));
        assert!(request.client.starts_with("127.0.0.1:"), "{}", request.client);
        assert_eq!(request.accept_wait_ns, None, "nobody saw it accepted");
        report
    });
}

/// Each of its threads waits within a system call that began before anybody watched.
#[test]
fn threads_that_wait() {
    both_ways(|capture| {
        let server = Background::start(THREADS_SERVER);
        let mut old = server.connect();
        old.get("/a");
        let run = Run::attach(capture).flags(["--port", &server.port.to_string()]).start_watching();
        for path in ["/b", "/c", "/d"] {
            old.get(path);
        }
        run.interrupt();
        let report = run.wait().report();
        let paths: Vec<&str> = report.requests.iter().map(|request| request.path.as_str()).collect();
        assert_eq!(paths, ["/b", "/c", "/d"]);
        report
    });
}

#[test]
fn explained() {
    both_ways(|capture| {
        // Its sources are then those of the directory in which the tool is started.
        let folder = fixture::folder(&[]);
        let server = Background::start_in(folder.path(), LATENCY_LAB);
        let mut old = server.connect();
        old.get("/fast");
        let run = Run::attach(capture).explain().flags(["--port", &server.port.to_string()]).start_watching();
        let mut new = server.connect();
        for client in [&mut old, &mut new] {
            client.get("/block?ms=50");
            client.get("/sleep?ms=50");
        }
        run.interrupt();
        let finished = run.wait();
        assert_eq!(finished.code(), 0, "{}", finished.stderr);
        untouched(&server);
        let report = finished.report();
        report.check_opened();
        assert_eq!(report.requests.len(), 4);
        let file = "examples/latency_lab/src/handlers.rs";
        let line = source::line(file, "block", "thread::sleep(");
        for request in report.of_path("/block") {
            let handle = request.opened();
            assert!(handle.parts.share(|parts| parts.blocked) > 0.8, "{request:#?}");
            let place = handle.places.first().expect("a place");
            assert!(
                place.is_sleep_at(Build::Debug, "latency_lab::handlers::block", file, line),
                "not at {file}:{line}: {place:#?}"
            );
        }
        for request in report.of_path("/sleep") {
            assert!(request.opened().parts.share(|parts| parts.waiting) > 0.8, "{request:#?}");
        }
        let finding = report.the_finding("blocking-call");
        assert_eq!((finding.route.as_deref(), finding.count, finding.of), (Some("GET /block"), 2, 2));
        report
    });
}

/// The executable of this name loses its path, or not, while the server runs; all is told as of the file that runs.
fn explained_after(name: &str, change: impl Fn(&Path), said: Option<&str>) {
    both_ways(|capture| {
        let folder = fixture::folder(&[]);
        let executable = folder.path().join(name);
        let server = Background::start_copy(&executable, LATENCY_LAB);
        change(&executable);
        let folder_name = folder.path().file_name().and_then(|name| name.to_str()).expect("text");
        let pattern = name.replace('(', "[(]").replace(')', "[)]");
        let yaml = format!("executable_name: '{folder_name}/{pattern}$'\n");
        std::fs::write(folder.path().join("beyla.yml"), yaml).expect("room for it");
        let run = Run::attach(capture).explain();
        let run = run.flags(["--config".as_ref(), folder.path().join("beyla.yml").as_os_str()]).start_watching();
        let mut client = server.connect();
        client.get("/block?ms=50");
        client.get("/sleep?ms=50");
        run.interrupt();
        let finished = run.wait();
        assert_eq!(finished.code(), 0, "{}", finished.stderr);
        let remarks: Vec<&str> = finished.stderr.lines().filter(|line| line.starts_with("warning: ")).collect();
        assert_eq!(remarks.len(), usize::from(said.is_some()), "{}", finished.stderr);
        assert!(said.is_none_or(|said| remarks[0].contains(said)), "{remarks:?}");
        assert!(finished.stderr.contains(&format!("\n{name}, pid ")), "{}", finished.stderr);
        untouched(&server);
        let report = finished.report();
        report.check_opened();
        assert_eq!(Path::new(&report.target.executable), executable.canonicalize().unwrap_or(executable));
        let file = "examples/latency_lab/src/handlers.rs";
        let line = source::line(file, "block", "thread::sleep(");
        let blocked = report.of_path("/block").next().expect("it was made").opened();
        assert_eq!(blocked.unit, Unit::Task);
        let place = blocked.places.first().expect("a place");
        assert!(
            place.is_sleep_at(Build::Debug, "latency_lab::handlers::block", file, line),
            "not at {file}:{line}: {place:#?}"
        );
        report
    });
}

/// As cargo and installers do it.
fn replace(executable: &Path) {
    let newer = executable.with_file_name("newer");
    std::fs::copy("/bin/true", &newer).expect("room for it");
    std::fs::rename(newer, executable).expect("the same folder");
}

#[test]
fn after_the_executable_was_built_again() {
    explained_after("shop", replace, Some("the newer file at "));
}

#[test]
fn after_the_executable_was_removed() {
    let remove = |executable: &Path| std::fs::remove_file(executable).expect("it is ours");
    explained_after("shop", remove, Some("is no longer at "));
}

#[test]
fn an_executable_whose_name_looks_as_if_it_had_been_removed() {
    explained_after("shop (deleted)", |_| (), None);
    explained_after("shop (deleted)", replace, Some("the newer file at "));
}

#[test]
fn a_request_that_was_under_way_is_not_one() {
    both_ways(|capture| {
        let server = Background::start(LATENCY_LAB);
        let mut old = server.connect();
        old.send(get("/sleep?ms=3000"));
        let run = Run::attach(capture).flags(["--port", &server.port.to_string()]).start_watching();
        assert_eq!(old.response().status, 200);
        old.get("/fast");
        run.interrupt();
        let report = run.wait().report();
        let paths: Vec<&str> = report.requests.iter().map(|request| request.path.as_str()).collect();
        assert_eq!(paths, ["/fast"]);
        report
    });
}

#[test]
fn the_rest_of_an_upload_is_no_part_of_the_next_request() {
    both_ways(|capture| {
        let server = Background::start(LATENCY_LAB);
        let mut old = server.connect();
        old.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n0123456789");
        let run = Run::attach(capture).flags(["--port", &server.port.to_string()]).start_watching();
        old.send("secret_tok");
        assert_eq!(old.response().body, b"0123456789secret_tok");
        old.get("/fast");
        run.interrupt();
        let report = run.wait().report();
        let requests: Vec<(&str, &str)> =
            report.requests.iter().map(|request| (request.method.as_str(), request.path.as_str())).collect();
        assert_eq!(requests, [("GET", "/fast")]);
        report
    });
}

#[test]
fn for_a_time() {
    both_ways(|capture| {
        let server = Background::start(LATENCY_LAB);
        let start = Instant::now();
        let run = Run::attach(capture).flags(["--pid", &server.pid().to_string(), "--duration", "1s"]).start_watching();
        server.connect().get("/fast");
        let finished = run.wait();
        assert!(start.elapsed() >= Duration::from_secs(1));
        assert_eq!(finished.code(), 0, "{}", finished.stderr);
        untouched(&server);
        let report = finished.report();
        assert_eq!(report.totals.requests, 1);
        report
    });
}

#[test]
fn as_long_as_a_command() {
    let server = Background::start(LATENCY_LAB);
    for code in [0, 7] {
        let exec = format!("test $BEYLA_PID = {} && curl -s $BEYLA_URL/fast; exit {code}", server.pid());
        let run = Run::attach(Capture::Auto).flags(["--port", &server.port.to_string(), "--exec", &exec]);
        let finished = run.to_end();
        assert_eq!(finished.code(), code, "{}", finished.stderr);
        let report: Report = finished.report();
        report.check();
        assert_eq!(report.totals.requests, 1);
        untouched(&server);
    }
}

#[test]
fn the_end_of_the_server_is_the_end() {
    both_ways(|capture| {
        let mut server = Background::start(LATENCY_LAB);
        let run = Run::attach(capture).flags(["--port", &server.port.to_string()]).start_watching();
        let mut client = server.connect();
        client.get("/fast");
        drop(client);
        server.kill();
        let finished = run.wait();
        assert_eq!(finished.code(), 0, "{}", finished.stderr);
        let report = finished.report();
        assert_eq!((report.exit, report.totals.requests), (None, 1));
        report
    });
}

#[test]
fn again_and_again() {
    let server = Background::start(LATENCY_LAB);
    let mut old = server.connect();
    for capture in [Capture::Socket, Capture::Syscalls, Capture::Socket] {
        let run = Run::attach(capture).explain().flags(["--port", &server.port.to_string()]).start_watching();
        old.get("/fast");
        run.interrupt();
        let report = run.wait().report();
        report.check_opened();
        assert_eq!(report.totals.requests, 1);
        untouched(&server);
    }
}

/// A process that does nothing; with a socket, perhaps, as its input. Dropped, it is killed.
struct Idle(Child);

impl Idle {
    fn start(listener: Option<TcpListener>) -> Self {
        let mut command = Command::new("sleep");
        if let Some(listener) = listener {
            command.stdin(OwnedFd::from(listener));
        }
        Self(command.arg("600").spawn().expect("sleep"))
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The tool refuses, says so, and has written nothing.
fn refused(flags: &[&str], said: &[&str]) -> Finished {
    let finished = Run::attach(Capture::Auto).flags(flags).to_end();
    finished.failed_with(98, said);
    assert_eq!(finished.json, None);
    assert_eq!(finished.stdout, "");
    finished
}

#[test]
fn nobody_listens() {
    // Bound, so that nobody else gets it, and no more.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    let port = socket.local_addr().unwrap().as_socket().unwrap().port().to_string();
    refused(&["--port", &port], &[&format!("error: nobody listens on port {port}\n"), "\nhint: `ss -ltnp`"]);
}

#[test]
fn no_such_process() {
    // More than the kernel gives.
    refused(&["--pid", "4194305"], &["error: there is no process 4194305\n", "\nhint: `ss -ltnp`"]);
    refused(&["--pid", "0"], &["error: there is no process 0\n"]);
}

#[test]
fn a_process_that_listens_on_nothing() {
    let idle = Idle::start(None);
    let pid = idle.0.id().to_string();
    refused(&["--pid", &pid], &[&format!("error: no TCP port and no Unix socket is listened on by process {pid}\n")]);
}

#[test]
fn two_processes_on_one_port() {
    let any = "127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap();
    let listen = |address: std::net::SocketAddr| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_reuse_port(true).unwrap();
        socket.bind(&address.into()).unwrap();
        socket.listen(1).unwrap();
        TcpListener::from(socket)
    };
    let first = listen(any);
    let address = first.local_addr().unwrap();
    let second = listen(address);
    let idle = [Idle::start(Some(first)), Idle::start(Some(second))];
    let [one, other] = idle.each_ref().map(|idle| format!("{} (sleep)", idle.0.id()));
    let port = address.port();
    let start = format!("error: 2 processes listen on port {port}: ");
    refused(&["--port", &port.to_string()], &[&start, &one, &other, "\nhint: choose one of them with --pid\n"]);
}

#[test]
fn a_server_must_be_named_and_named_once() {
    let said = "error: no server is named\n";
    refused(&[], &[said, "\nhint: name it with --pid or --port, or with open_port"]);
    refused(&["--pid", "1", "--port", "1"], &["--pid", "--port", "cannot be used with"]);
}
