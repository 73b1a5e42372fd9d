//! `cargo beyla test`: whose a request is where neither a port nor a path tells.

use std::collections::BTreeSet;
use std::process::Command;

use beyla_tests::fixture::{self, HELLO_SERVER, manifest};
use beyla_tests::suite::SuiteReport;
use beyla_tests::tool::tool;

const ROUNDS: usize = 40;

/// Tests whose sockets go with their process: the kernel soon has others at the same addresses.
const UNIX: &str = r#"
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};

fn serve(mut stream: UnixStream) {
    let mut buffer = [0; 4096];
    while stream.read(&mut buffer).is_ok_and(|count| count > 0) {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
    }
}

fn ask(stream: &mut UnixStream, times: usize) {
    for _ in 0..times {
        stream.write_all(b"GET /unix HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        let mut answer = [0; 40];
        stream.read_exact(&mut answer).unwrap();
    }
}

#[test]
fn listening() {
    let path = std::env::temp_dir().join(format!("beyla-{}.sock", std::process::id()));
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || serve(listener.accept().unwrap().0));
    ask(&mut UnixStream::connect(&path).unwrap(), 6);
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_pair() {
    let (mut client, server) = UnixStream::pair().unwrap();
    std::thread::spawn(move || serve(server));
    ask(&mut client, 3);
}
"#;

/// Tests that start the server by different names, and end it at once.
const SPAWNED: &str = r#"
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};

fn ask(program: &str) {
    let mut server = Command::new(program).stdout(Stdio::piped()).spawn().unwrap();
    let mut address = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut address).unwrap();
    let mut stream = std::net::TcpStream::connect(address.trim()).unwrap();
    stream.write_all(b"GET /spawned HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();
    server.kill().unwrap();
    server.wait().unwrap();
}

#[test]
fn by_its_path() {
    ask(env!("CARGO_BIN_EXE_hello"));
}

#[test]
fn by_a_relative_path() {
    ask("target/debug/hello");
}

#[test]
fn by_a_detour() {
    ask(&env!("CARGO_BIN_EXE_hello").replace("/target/", "/src/../target/"));
}
"#;

#[test]
fn requests_are_of_the_test_whose_process_serves_them() {
    let server = HELLO_SERVER.replace(
        "for stream in",
        "println!(\"{}\", listener.local_addr()?);\n    std::io::stdout().flush()?;\n    for stream in",
    );
    let folder = fixture::folder(&[
        ("Cargo.toml", &manifest("hello", "")),
        ("src/main.rs", &server),
        ("tests/unix.rs", UNIX),
        ("tests/spawned.rs", SPAWNED),
    ]);
    for capture in ["auto", "syscalls"] {
        let report = folder.path().join("report.json");
        let mut command = Command::new(tool());
        command.args(["beyla", "test", "--repeat", &ROUNDS.to_string(), "--capture", capture, "--json"]).arg(&report);
        command.current_dir(folder.path()).env_remove("CARGO_TARGET_DIR");
        let output = command.output().expect("the tool runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = std::fs::read_to_string(&report).expect("a report");
        let report: SuiteReport = serde_json::from_str(&text).expect("a report");
        let found: BTreeSet<(&str, u64)> =
            report.tests.iter().map(|test| (test.name.as_str(), test.requests)).collect();
        // Neither end of a pair has been listened on.
        let expected =
            [("a_pair", 0), ("by_a_detour", 1), ("by_a_relative_path", 1), ("by_its_path", 1), ("listening", 6)];
        assert_eq!(found, BTreeSet::from(expected), "{capture} {:?}", report.unseen);
        assert!(report.unseen.is_empty() && report.tests.len() == 5 * ROUNDS, "{:?}", report.unseen);
    }
}
