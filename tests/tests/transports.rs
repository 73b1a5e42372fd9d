//! Every way in which a server can move bytes, and every socket that it can move them over.

use beyla_tests::both::both_ways;
use beyla_tests::client::{Client, post};
use beyla_tests::odd::{ODD_SERVER, header_length, with_flags};
use beyla_tests::report::Report;
use beyla_tests::rows;
use beyla_tests::run::{Capture, Run, Running};

const UPLOAD: usize = 300_000;
const DOWNLOAD: usize = 200_000;
const STEPS: [&str; 5] =
    ["head", "body:300000", "send:HTTP/1.1 200 OK\r\ncontent-length: 200000\r\n\r\n", "fill:200000", "repeat"];

/// A large upload with a large answer, and at once another.
fn exchange(client: &mut Client) {
    let upload = vec![b'y'; UPLOAD];
    for _ in 0..2 {
        assert_eq!(client.send(post("/up", &upload)).response().body.len(), DOWNLOAD);
    }
}

fn expected_rows(connections: usize) -> Vec<String> {
    let request = header_length(post("/up", &vec![b'y'; UPLOAD]));
    let response = STEPS[2].len() - "send:".len();
    vec![rows::complete("POST /up", (request, UPLOAD), 200, (response, DOWNLOAD)); 2 * connections]
}

fn check(report: &Report, connections: usize) {
    assert_eq!(report.rows(), expected_rows(connections));
    assert_eq!(report.totals.connections, connections as u64);
    assert!(report.unseen.is_empty(), "{:?}", report.unseen);
}

fn over_tcp4(flags: &[&str]) {
    both_ways(|capture| {
        let run = with_flags(capture, &[&["--listen", "tcp4"], flags].concat(), &STEPS);
        for _ in 0..2 {
            exchange(&mut run.connect());
        }
        let report = run.stop();
        check(&report, 2);
        report
    });
}

macro_rules! ways {
    ($($name:ident: $flags:expr;)*) => {
        $(
            #[test]
            fn $name() {
                over_tcp4(&$flags);
            }
        )*
    };
}

ways! {
    read_and_write: ["--io", "read-write"];
    readv_and_writev: ["--io", "readv-writev"];
    recvfrom_and_sendto: ["--io", "recvfrom-sendto"];
    recvmsg_and_sendmsg: ["--io", "recvmsg-sendmsg"];
    recvmmsg_and_sendmmsg: ["--io", "recvmmsg-sendmmsg"];
    sendfile: ["--io", "sendfile"];
    accept_without_flags: ["--accept"];
    a_duplicate_of_the_descriptor: ["--dup"];
    two_threads_on_one_connection: ["--threads"];
    two_threads_and_a_duplicate: ["--threads", "--dup", "--io", "recvmsg-sendmsg"];
}

#[test]
fn splice_both_ways() {
    both_ways(|capture| {
        let run = with_flags(capture, &["--listen", "tcp4", "--io", "splice"], &STEPS);
        for _ in 0..2 {
            exchange(&mut run.connect());
        }
        let mut report = run.stop();
        check(&report, 2);
        // Of splice(2) out of a socket, no socket tracepoint tells: that it has received is known once it
        // sends, and when is not. That it does not claim to know it is what must hold.
        for request in &mut report.requests {
            assert_eq!(request.phases.receive.is_none(), capture == Capture::Socket, "{request:#?}");
            request.phases.receive.get_or_insert(0);
        }
        report
    });
}

/// Exchanges at each place where the server listens.
fn at_all_places(run: &Running, count: usize) {
    for place in run.listening(count) {
        exchange(&mut Client::to(&place));
    }
}

#[test]
fn tcp_over_ipv6() {
    both_ways(|capture| {
        let run = with_flags(capture, &["--listen", "tcp6"], &STEPS);
        at_all_places(&run, 1);
        let report = run.stop();
        check(&report, 1);
        assert!(report.requests[0].client.starts_with("[::1]:"), "{:#?}", report.requests[0]);
        report
    });
}

#[test]
fn ipv4_on_a_socket_for_both_families_is_shown_as_ipv4() {
    both_ways(|capture| {
        let run = with_flags(capture, &["--listen", "dual"], &STEPS);
        at_all_places(&run, 1);
        let report = run.stop();
        check(&report, 1);
        assert!(report.requests[0].client.starts_with("127.0.0.1:"), "{:#?}", report.requests[0]);
        report
    });
}

#[test]
fn two_sockets_on_one_port() {
    both_ways(|capture| {
        let run = with_flags(capture, &["--listen", "reuseport"], &STEPS);
        // The kernel spreads connections over the two by their hash.
        for _ in 0..16 {
            exchange(&mut run.connect());
        }
        let report = run.stop();
        check(&report, 16);
        report
    });
}

#[test]
fn several_ports_are_all_traced_and_named() {
    both_ways(|capture| {
        let run = with_flags(capture, &["--listen", "tcp4", "--listen", "tcp6", "--listen", "tcp4"], &STEPS);
        let mut places = run.listening(3);
        at_all_places(&run, 3);
        let report = run.stop();
        check(&report, 3);
        let mut named = report.target.listening.clone();
        named.sort();
        places.sort();
        assert_eq!(named, places);
        report
    });
}

/// There is no port to give to a command, so the server ends by itself after `connections`.
fn over_unix(capture: Capture, place: &str, connections: usize, io: &str) -> Report {
    let count = connections.to_string();
    let flags = ["--listen", place, "--io", io, "--serve", &count, "--"];
    let run = Run::of(ODD_SERVER, capture).arguments(flags.iter().chain(&STEPS)).start_alone();
    let name = run.listening(1).remove(0);
    for _ in 0..connections {
        exchange(&mut Client::to(&name));
    }
    let finished = run.wait();
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    let report = finished.report();
    check(&report, connections);
    assert_eq!(report.target.listening, std::slice::from_ref(&name));
    assert!(report.requests.iter().all(|request| request.server == name), "{:#?}", report.requests);
    report
}

#[test]
fn a_unix_socket() {
    for io in ["read-write", "recvmsg-sendmsg", "sendfile", "splice"] {
        both_ways(|capture| {
            let folder = beyla_tests::fixture::folder(&[]);
            let path = folder.path().join("socket");
            over_unix(capture, &format!("unix:{}", path.display()), 2, io)
        });
    }
}

#[test]
fn an_abstract_unix_socket() {
    both_ways(|capture| {
        let place = format!("abstract:beyla-test-{}", std::process::id());
        over_unix(capture, &place, 2, "recvfrom-sendto")
    });
}

#[test]
fn tcp_beside_a_unix_socket() {
    both_ways(|capture| {
        let folder = beyla_tests::fixture::folder(&[]);
        let place = format!("unix:{}", folder.path().join("socket").display());
        let run = with_flags(capture, &["--listen", &place, "--listen", "tcp4"], &STEPS);
        at_all_places(&run, 2);
        let report = run.stop();
        check(&report, 2);
        assert_eq!(report.target.listening.len(), 2);
        report
    });
}

#[test]
fn an_io_uring_is_said_to_be_there() {
    both_ways(|capture| {
        let run = with_flags(capture, &["--listen", "tcp4", "--io-uring"], &STEPS);
        exchange(&mut run.connect());
        let created = run.stdout().contains("io_uring ok");
        let report = run.stop();
        assert_eq!(report.rows(), expected_rows(1));
        // Where the kernel refuses to make one, there is none to be told of.
        assert_eq!(report.unseen("io_urings"), u64::from(created));
        report
    });
}
