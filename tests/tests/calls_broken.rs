//! Calls that are given up or broken off, and calls of a server to itself.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use beyla_tests::client::get;
use beyla_tests::report::{Call, Report};
use beyla_tests::run::{CALLING_SERVER, Capture, Run, Running};
use beyla_tests::wait::{LONG, poll};
use socket2::{Domain, Socket, Type};

const MS: u64 = 1_000_000;

const CAPTURES: [Capture; 2] = [Capture::Socket, Capture::Syscalls];

fn start(capture: Capture) -> Running {
    Run::of(CALLING_SERVER, capture).start()
}

/// What the server answers to a request that has it call `peer` in this way.
fn ask(run: &Running, way: &str, peer: SocketAddr) -> String {
    let answer = run.connect().get(&format!("/{way}?{peer}"));
    String::from_utf8(answer.body).expect("text")
}

fn finish(run: Running) -> Report {
    let report = run.stop();
    report.check();
    report
}

/// The only call, which the only request has made that begins with this path.
fn only_call<'a>(report: &'a Report, path: &str) -> &'a Call {
    let [call] = &report.calls[..] else { panic!("one call: {:#?}", report.calls) };
    let made: Vec<u64> =
        report.requests.iter().filter(|request| request.path == path).map(|request| request.id).collect();
    assert_eq!(call.request.as_slice(), made, "{:#?}", report.requests);
    call
}

/// A listener whose connections nobody answers, and its address.
fn silent() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it is bound");
    (listener, address)
}

#[test]
fn a_server_that_calls_itself_makes_one_call_and_serves_one_request() {
    for capture in CAPTURES {
        let run = start(capture);
        let itself = ([127, 0, 0, 1], run.port).into();
        assert_eq!(ask(&run, "driven", itself), "called");
        let report = finish(run);
        let call = only_call(&report, "/driven");
        assert_eq!((call.certainty.as_deref(), call.outcome.as_str()), (Some("certain"), "complete"), "{call:#?}");
        let served: Vec<u64> = report.of_path("/called").map(|request| request.id).collect();
        assert_eq!(call.served.as_slice(), served, "{:#?}", report.requests);
        assert_eq!(report.requests.len(), 2, "{:#?}", report.requests);
    }
}

#[test]
fn a_call_that_is_given_up_is_its_requests_and_no_error() {
    for capture in CAPTURES {
        let (listener, address) = silent();
        let run = start(capture);
        assert_eq!(ask(&run, "given-up", address), "given up");
        // Another task holds the connection, and ends it when it next runs.
        let (mut called, _) = listener.accept().expect("a call");
        assert!(called.read_to_end(&mut Vec::new()).is_ok(), "the end");
        let report = finish(run);
        let call = only_call(&report, "/given-up");
        assert_eq!((call.outcome.as_str(), call.error, call.status.as_deref()), ("client closed", false, None));
        assert!(call.total_ns >= 40 * MS, "{call:#?}");
    }
}

#[test]
fn so_is_one_of_a_request_whose_client_has_gone() {
    for capture in CAPTURES {
        let (listener, address) = silent();
        let run = start(capture);
        let mut client = run.connect();
        client.send(get(&format!("/driven?{address}")));
        let (mut called, _) = listener.accept().expect("a call");
        assert!(called.read(&mut [0; 4096]).is_ok_and(|length| length > 0), "a call");
        drop(client);
        // The handler is dropped, and with it the connection.
        assert_eq!(called.read(&mut [0; 4096]).ok(), Some(0), "the end");
        let report = finish(run);
        let call = only_call(&report, "/driven");
        assert_eq!((call.outcome.as_str(), call.error), ("client closed", false), "{call:#?}");
        assert_eq!(report.requests[0].outcome, "client closed", "{:#?}", report.requests);
    }
}

#[test]
fn an_answer_that_comes_before_its_connection_breaks_is_seen() {
    for capture in CAPTURES {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let peer = thread::spawn(move || {
            // Closed with more to read, a connection breaks.
            let (mut stream, _) = listener.accept().expect("a call");
            assert!(stream.read(&mut [0; 1024]).is_ok_and(|length| length > 0), "a call");
            thread::sleep(Duration::from_millis(20));
            stream.write_all(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\n\r\nbig").expect("a client");
        });
        let run = start(capture);
        let answer = ask(&run, "upload", address);
        assert!(answer.ends_with("big"), "{answer}");
        peer.join().expect("it answers");
        let report = finish(run);
        let call = only_call(&report, "/upload");
        let ending = (call.status.as_deref(), call.outcome.as_str(), call.error);
        assert_eq!(ending, (Some("413"), "complete", true), "{call:#?}");
    }
}

#[test]
fn a_connection_that_nobody_takes_is_a_call_that_failed() {
    for capture in CAPTURES {
        let full = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        full.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port");
        full.listen(0).expect("it may");
        let address = full.local_addr().ok().and_then(|address| address.as_socket()).expect("its address");
        // The kernel itself takes some.
        let mut taken = Vec::new();
        let is_full = poll(LONG, || match TcpStream::connect_timeout(&address, Duration::from_millis(50)) {
            Ok(stream) => {
                taken.push(stream);
                None
            }
            Err(_) => Some(()),
        });
        assert!(is_full.is_some(), "{} connections", taken.len());
        let run = start(capture);
        let answer = ask(&run, "impatient", address);
        assert!(answer.contains("timed out"), "{answer}");
        let finished = run.let_go();
        let report = finished.report();
        report.check();
        let call = only_call(&report, "/impatient");
        assert_eq!((call.kind.as_str(), call.summary.as_str()), ("tcp", "connect"));
        assert_eq!((call.outcome.as_str(), call.error, call.status.as_deref()), ("client closed", true, None));
        assert!(call.phases.connect >= Some(90 * MS), "{call:#?}");
        let advice = "nothing answered before the server gave up";
        assert!(finished.stderr.contains(advice), "{}", finished.stderr);
    }
}
