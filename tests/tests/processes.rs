//! Servers of several processes, servers that are given their socket, and where clients find them.

use std::collections::BTreeMap;

use beyla_tests::background::Background;
use beyla_tests::client::{Client, last_get};
use beyla_tests::report::Report;
use beyla_tests::run::{Capture, PROCESS_SERVER, Run};
use beyla_tests::tool;
use beyla_tests::wait::{self, LONG};

const REQUESTS: usize = 20;

/// Holds for each way of capture. (Requests of other processes than the server are not among what the rest of the tests
/// expects.)
fn each_way(test: impl Fn(Capture)) {
    [Capture::Socket, Capture::Syscalls].into_iter().for_each(test);
}

/// Whether a process has ended, or nobody has waited for it since.
fn has_ended(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    status.is_ok_and(|status| status.contains(") Z ")) || !std::path::Path::new(&format!("/proc/{pid}")).exists()
}

/// Sends requests, each on a connection of its own; how many each process has answered.
fn ask(port: u16) -> BTreeMap<u32, usize> {
    let mut answered = BTreeMap::new();
    for _ in 0..REQUESTS {
        let response = Client::connect(port).send(last_get("/x")).response();
        let pid = String::from_utf8(response.body).expect("text").parse().expect("a process id");
        *answered.entry(pid).or_default() += 1;
    }
    answered
}

fn served(report: &Report) -> BTreeMap<u32, usize> {
    let mut served = BTreeMap::new();
    for request in &report.requests {
        assert_eq!(request.status, Some(200));
        let phases: u64 = request.phases.all().into_iter().flatten().sum();
        assert_eq!(phases, request.total_ns);
        *served.entry(request.pid).or_default() += 1;
    }
    served
}

fn follows(mode: &str, itself: bool) {
    each_way(|capture| {
        let run = Run::of(PROCESS_SERVER, capture).arguments([mode]).start();
        let (answered, server) = (ask(run.port), run.server_pid);
        assert_eq!(answered.contains_key(&server), itself, "{answered:?}");
        let finished = run.let_go();
        assert_eq!(finished.code(), 0, "{}", finished.stderr);
        let report = finished.report();
        assert_eq!(served(&report), answered);
        assert_eq!(report.target.pid, server);
        assert!(report.unseen.is_empty(), "{:?}", report.unseen);
        for pid in answered.keys() {
            assert!(wait::poll(LONG, || has_ended(*pid).then_some(())).is_some(), "it outlives the run");
        }
    });
}

#[test]
fn workers_that_the_server_forks() {
    follows("prefork", false);
}

#[test]
fn another_process_of_its_own_program() {
    follows("respawn", false);
}

#[test]
fn workers_that_were_forked_before_anybody_watched() {
    each_way(|capture| {
        let server = Background::start_with(PROCESS_SERVER, &["prefork"]);
        let run = Run::attach(capture).flags(["--pid", &server.pid().to_string()]).start_watching();
        let answered = ask(server.port);
        run.interrupt();
        let report = run.wait().report();
        assert_eq!(served(&report), answered);
        for pid in answered.keys() {
            // SAFETY: two numbers; the worker is the server's, which does not wait for it before it ends.
            unsafe { libc::kill(*pid as i32, libc::SIGKILL) };
        }
    });
}

#[test]
fn a_socket_that_listened_before_the_server_began() {
    each_way(|capture| {
        let server = tool::build(PROCESS_SERVER.package, PROCESS_SERVER.bin);
        let run =
            Run::of(PROCESS_SERVER, capture).arguments(["descriptor"]).under([server.as_os_str(), "pass".as_ref()]);
        let run = run.start();
        let answered = ask(run.port);
        let server = run.server_pid;
        let report = run.stop();
        assert_eq!((served(&report), answered.contains_key(&server)), (answered, true));
        assert_eq!(
            report.target.listening,
            [format!("127.0.0.1:{}", report.requests[0].server.rsplit(':').next().expect("a port"))]
        );
    });
}

/// In a network of its own, prepared by a command; what `BEYLA_URL` is there.
fn url_on_all_addresses(prepare: &str) -> String {
    let script = format!("ip link set lo up; {prepare}; exec \"$@\"");
    let run = Run::of(PROCESS_SERVER, Capture::Auto)
        .environment("PORT", "8080")
        .arguments(["serve", "[::]"])
        .flags(["--exec", "echo $BEYLA_URL; curl -sf $BEYLA_URL >/dev/null"])
        .under(["unshare", "--net", "sh", "-c", &script, "sh"]);
    let finished = run.to_end();
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    assert_eq!(finished.report().requests.len(), 1);
    finished.stdout.lines().find(|line| line.starts_with("http://")).expect("what the command prints").to_owned()
}

#[test]
fn the_url_of_a_socket_on_all_addresses_works() {
    assert_eq!(url_on_all_addresses("true"), "http://127.0.0.1:8080");
    let no_ipv6 = "echo 1 > /proc/sys/net/ipv6/conf/lo/disable_ipv6";
    assert_eq!(url_on_all_addresses(no_ipv6), "http://127.0.0.1:8080");
    assert_eq!(url_on_all_addresses("ip address del 127.0.0.1/8 dev lo"), "http://[::1]:8080");
}
