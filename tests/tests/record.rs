//! A recording tells again what the run has told.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use beyla_tests::both::both_ways;
use beyla_tests::client::post;
use beyla_tests::fixture;
use beyla_tests::run::{BASIC, Capture, LATENCY_LAB, Run};
use beyla_tests::tool::tool;
use serde_json::Value;

#[test]
fn a_recording_gives_the_same_report() {
    both_ways(|capture| {
        let folder = fixture::folder(&[]);
        let [recording, again] = ["recording", "again.json"].map(|name| folder.path().join(name));
        let run = Run::of(LATENCY_LAB, capture).flags(["--record".as_ref(), recording.as_os_str()]).start();
        let mut client = run.connect();
        for path in ["/fast", "/users/7", "/users/8?verbose=1", "/status/503", "/chunks?n=3&bytes=10&ms=1"] {
            client.get(path);
        }
        client.send(post("/echo", &vec![b'x'; 100_000])).response();
        assert!(run.connect().send("GET /abort HTTP/1.1\r\nhost: test\r\n\r\n").rest().is_empty());
        drop(client);
        let finished = run.let_go();
        assert_eq!(finished.code(), 0, "{}", finished.stderr);

        let output = Command::new(tool()).args(["beyla", "report"]).arg(&recording).arg("--json").arg(&again).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let parse = |text: &str| -> Value { serde_json::from_str(text).unwrap() };
        let (first, second) =
            (parse(finished.json.as_deref().unwrap()), parse(&std::fs::read_to_string(again).unwrap()));
        assert_eq!(first["requests"].as_array().map(Vec::len), Some(7));
        for part in ["target", "totals", "routes", "requests", "unseen"] {
            assert_eq!(first[part], second[part], "{part}");
        }
        finished.report()
    });
}

/// However much of it there was room for.
#[test]
fn a_recording_on_a_full_disk_is_a_failure() {
    let folder = fixture::folder(&[]);
    let disk = folder.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let recording = disk.join("run.beyla");
    // In a mount namespace of its own, which goes with the tool.
    let mount = format!("mount -t tmpfs -o size=64k none '{}' && exec \"$@\"", disk.display());
    let exec = "long=$(head -c 8000 /dev/zero | tr '\\0' a)
        for i in $(seq 40); do curl -s -H \"x: $long\" $BEYLA_URL/hello >/dev/null; done";
    let run = Run::of(BASIC, Capture::Auto).under(["unshare", "-m", "sh", "-c", &mount, "sh"]);
    let run = run.flags(["--record".as_ref(), recording.as_os_str(), "--exec".as_ref(), OsStr::new(exec)]);
    let finished = run.to_end();
    finished.failed_with(98, &["error: could not write ", "run.beyla: No space left on device"]);
    // What was measured is reported.
    assert_eq!(finished.report().totals.requests, 40);
}

#[test]
fn two_outputs_do_not_share_a_file() {
    let folder = fixture::folder(&[("old", "old")]);
    let [old, link] = ["old", "link"].map(|name| folder.path().join(name));
    std::os::unix::fs::symlink(&old, &link).unwrap();
    let mut command = Command::new(tool());
    command.current_dir(beyla_tests::tool::root()).args(["beyla", "run", "-p", "basic", "--bin", "server", "--record"]);
    let output = command.arg(&link).arg("--json").arg(&old).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(98), "{stderr}");
    assert!(stderr.contains("error: --json and --record both lead to "), "{stderr}");
    assert!(!stderr.contains("Compiling") && !stderr.contains("Finished"), "before the build: {stderr}");
    assert_eq!(std::fs::read_to_string(&old).unwrap(), "old");
}

#[test]
fn what_is_no_recording_is_refused() {
    let folder = fixture::folder(&[("empty", ""), ("text", "hello\n")]);
    for name in ["empty", "text", "missing"] {
        let output = Command::new(tool()).args(["beyla", "report"]).arg(folder.path().join(name)).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(98), "{name}: {stderr}");
        assert!(stderr.contains(name), "{stderr}");
    }
}

/// Those that the tests of the pure core replay: written anew where the format of recordings has changed, by
/// `cargo test -p beyla-tests --test record -- --ignored`.
#[test]
#[ignore = "it writes files of the repository"]
fn the_recordings_that_the_pure_core_replays() {
    const PAUSE: Duration = Duration::from_millis(10);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cargo-beyla/tests/recordings");
    for capture in [Capture::Socket, Capture::Syscalls] {
        let recording = folder.join(format!("{}.beyla", capture.flag()));
        let run = Run::of(LATENCY_LAB, capture).flags(["--record".as_ref(), recording.as_os_str()]).start();
        let head = |target: &str| format!("GET {target} HTTP/1.1\r\nhost: t\r\n\r\n");
        let last = |target: &str| format!("GET {target} HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n");

        let mut client = run.connect();
        client.send_in_parts(head("/fast"), 24).response();
        client.send([head("/fast?n=1"), head("/fast?n=2")].concat());
        client.response();
        client.response();
        drop(client);

        run.connect().send_in_parts(last("/users/17"), 1).rest();

        let upload = "POST /echo HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n\
                      5\r\nhello\r\n3;x=y\r\nabc\r\n0\r\ntrailer: 1\r\n\r\n";
        let (first, rest) = upload.split_at(24);
        let (second, third) = rest.split_at(61);
        let mut client = run.connect();
        for part in [first, second] {
            client.send(part);
            sleep(PAUSE);
        }
        client.send(third).rest();

        run.connect().send(last("/download?bytes=300000")).rest();
        run.connect().send(head("/abort")).rest();
        let mut client = run.connect();
        client.send(head("/sleep?ms=200"));
        sleep(PAUSE * 5);
        drop(client);
        let finished = run.let_go();
        assert_eq!(finished.code(), 0, "{}", finished.stderr);
    }
}
