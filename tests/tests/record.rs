//! A recording tells again what the run has told.

use std::process::Command;

use beyla_tests::both::both_ways;
use beyla_tests::client::post;
use beyla_tests::fixture;
use beyla_tests::run::{LATENCY_LAB, Run};
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
