//! `cargo-beyla __runner` in the place of a binary, as cargo and cargo-nextest call it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

use beyla_tests::fixture;
use beyla_tests::report::Report;
use beyla_tests::tool::{cargo, root, tool};
use cargo_metadata::Message;

/// `cargo test -p bookshop` with none of our variables.
fn cargo_test(arguments: &[&str]) -> Command {
    let mut command = Command::new(cargo());
    command.args(["test", "--locked", "-p", "bookshop"]).args(arguments).current_dir(root()).stdin(Stdio::null());
    command
}

/// The test binaries of the bookshop, by the names of their targets; that of its binary, which has none, is left out.
fn binaries() -> &'static BTreeMap<String, PathBuf> {
    static BINARIES: OnceLock<BTreeMap<String, PathBuf>> = OnceLock::new();
    BINARIES.get_or_init(|| {
        let output = cargo_test(&["--no-run", "--message-format=json"]).output().expect("cargo runs");
        assert!(output.status.success(), "{}", text(&output.stderr));
        let messages = Message::parse_stream(&output.stdout[..]).map(|message| message.expect("cargo's messages"));
        let tests = messages.filter_map(|message| match message {
            Message::CompilerArtifact(artifact) if artifact.profile.test && !artifact.target.is_bin() => {
                Some((artifact.target.name, artifact.executable?.into()))
            }
            _ => None,
        });
        tests.collect()
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The runner, and what it is to run.
fn runner(binary: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(tool());
    command.arg("__runner").arg(binary).args(arguments).stdin(Stdio::null());
    command
}

fn shell(script: &str) -> Command {
    runner(Path::new("/bin/sh"), &["-c", script])
}

fn host() -> String {
    let output = Command::new("rustc").arg("-vV").output().expect("rustc runs");
    let said = text(&output.stdout);
    said.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc names its host").to_owned()
}

/// The lines in which the harness says how tests have ended; they come in any order.
fn verdicts(output: &Output) -> BTreeSet<String> {
    let stdout = text(&output.stdout);
    stdout.lines().filter(|line| line.starts_with("test ") && line.contains(" ... ")).map(str::to_owned).collect()
}

#[test]
fn as_cargos_runner() {
    let variable = format!("CARGO_TARGET_{}_RUNNER", host().to_uppercase().replace('-', "_"));
    let runner = format!("{} __runner", tool().display());
    let plain = cargo_test(&[]).output().expect("cargo runs");
    let traced = cargo_test(&[]).env(&variable, &runner).output().expect("cargo runs");
    let said = text(&traced.stderr);
    assert_eq!((traced.status.code(), plain.status.code()), (Some(0), Some(0)), "{said}");
    assert_eq!(verdicts(&traced), verdicts(&plain));
    assert_eq!(verdicts(&traced).len(), 14);
    for summary in ["\napi: 80 requests, no errors\n", "\nserver: 12 requests, no errors\n"] {
        assert!(said.contains(summary), "{summary:?} is not in:\n{said}");
    }
    // The unit tests serve nothing.
    assert_eq!(said.matches("requests, ").count(), 2, "{said}");
    let failing = cargo_test(&["--test", "api", "--", "--own-flag"]).env(&variable, &runner).output();
    let failing = failing.expect("cargo runs");
    assert_eq!(failing.status.code(), cargo_test(&["--test", "api", "--", "--own-flag"]).status().unwrap().code());
}

#[test]
fn lists_are_those_of_the_binary_byte_by_byte() {
    for binary in binaries().values() {
        for arguments in [&["--list", "--format", "terse"][..], &["--list", "--format", "terse", "--ignored"]] {
            let plain = Command::new(binary).args(arguments).output().expect("it runs");
            let listed = runner(binary, arguments).output().expect("it runs");
            assert_eq!((listed.status, &listed.stdout), (plain.status, &plain.stdout));
            assert_eq!(text(&listed.stderr), "");
        }
    }
}

/// Lists, and runs each test by itself in a process group of its own.
#[test]
fn as_cargo_nextest_calls_it() {
    let folder = fixture::folder(&[]);
    let reports = folder.path().join("reports");
    let expected = [
        ("api", "many_requests_on_one_connection", 50),
        ("api", "a_book_that_is_not_there", 1),
        ("server", "it_takes_orders", 5),
        ("bookshop", "tests::ten_copies_are_cheaper", 0),
    ];
    for (target, test, requests) in expected {
        let binary = &binaries()[target];
        let listed = runner(binary, &["--list", "--format", "terse"]).output().expect("it runs");
        assert!(text(&listed.stdout).contains(&format!("{test}: test\n")));
        let mut command = runner(binary, &["--exact", test, "--nocapture"]);
        command.env("NEXTEST_BINARY_ID", format!("bookshop::{target}")).env("BEYLA_RUNNER_JSON", &reports);
        let ended = command.process_group(0).output().expect("it runs");
        let said = text(&ended.stderr);
        assert!(ended.status.success() && text(&ended.stdout).contains("1 passed"), "{said}");
        let word = if requests == 1 { "request" } else { "requests" };
        let summary = format!("bookshop::{target} {test}: {requests} {word}, no errors\n");
        assert_eq!(said.contains(&summary), requests > 0, "{said}");
        assert!(requests > 0 || said.is_empty(), "{said}");
        let name = format!("bookshop-{target}-{}-", test.replace("::", "-"));
        let mut files = std::fs::read_dir(&reports).expect("reports").map(|entry| entry.expect("a report").path());
        let path = files.find(|path| path.file_name().is_some_and(|file| file.to_string_lossy().starts_with(&name)));
        let json = std::fs::read_to_string(path.expect("a report of this process")).expect("text");
        let report: Report = serde_json::from_str(&json).expect("a report");
        assert_eq!(report.totals.requests, requests);
        assert_eq!(Path::new(&report.target.executable), binary.canonicalize().expect("it is there"));
    }
    assert_eq!(std::fs::read_dir(&reports).expect("reports").count(), expected.len());
}

#[test]
fn it_ends_as_the_binary_does() {
    let ended = shell("echo to stdout; echo to stderr >&2; exit 7").output().expect("it runs");
    assert_eq!(
        (ended.status.code(), text(&ended.stdout), text(&ended.stderr)),
        (Some(7), "to stdout\n".into(), "to stderr\n".into())
    );
    for signal in [libc::SIGABRT, libc::SIGKILL, libc::SIGTERM, libc::SIGRTMIN()] {
        let ended = shell(&format!("kill -{signal} $$")).output().expect("it runs");
        assert_eq!(ended.status.signal(), Some(signal), "{}", text(&ended.stderr));
    }
    // Whatever the arguments are, they are the binary's.
    let ended = runner(Path::new("/bin/echo"), &["--color", "x", "--", "-h", "--help"]).output().expect("it runs");
    assert_eq!(text(&ended.stdout), "--color x -- -h --help\n");
    let missing = runner(Path::new("/nonexistent/binary"), &[]).output().expect("the tool runs");
    assert_eq!(missing.status.code(), Some(98));
}

/// A child that says `ready`, and how often it got a signal.
fn waiting(own_group: bool) -> Child {
    let script = "trap 'echo caught; exit 5' INT TERM; echo ready; while :; do sleep 0.05; done";
    let mut command = shell(script);
    if own_group {
        command.process_group(0);
    }
    command.stdout(Stdio::piped()).spawn().expect("it runs")
}

/// What it says after `ready`, once `send` has sent a signal, and its exit code.
fn told(mut child: Child, send: impl FnOnce(i32) -> i32) -> (String, Option<i32>) {
    let mut stdout = BufReader::new(child.stdout.take().expect("it is a pipe"));
    let mut ready = String::new();
    stdout.read_line(&mut ready).expect("text");
    assert_eq!(ready, "ready\n");
    assert_eq!(send(child.id() as i32), 0);
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).expect("text");
    (rest, child.wait().expect("a child").code())
}

#[test]
fn signals_reach_the_binary_once() {
    // SAFETY: numbers; the process is a child of this test that was not waited for.
    let to_group = |pid: i32| unsafe { libc::kill(-pid, libc::SIGINT) };
    assert_eq!(told(waiting(true), to_group), ("caught\n".to_owned(), Some(5)));
    // SAFETY: as above.
    let to_runner = |pid: i32| unsafe { libc::kill(pid, libc::SIGTERM) };
    assert_eq!(told(waiting(false), to_runner), ("caught\n".to_owned(), Some(5)));
}

#[test]
fn wrong_settings_are_told_and_the_tests_run() {
    let ended = shell("exit 3").env("BEYLA_LOG_LEVEL", "loud").output().expect("it runs");
    assert_eq!(ended.status.code(), Some(3));
    let said = text(&ended.stderr);
    assert!(said.starts_with("warning: sh is not traced: ") && said.lines().count() == 1, "{said}");
}
