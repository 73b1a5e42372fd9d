//! Runs that do not come to tracing: the sentence, and the exit code that tells.

use std::time::{Duration, Instant};

use beyla_tests::fixture::{self, HELLO_SERVER, manifest};
use beyla_tests::odd::ODD_SERVER;
use beyla_tests::run::{Capture, Finished, LATENCY_LAB, Run};
use beyla_tests::system::free_port;
use beyla_tests::tool::{self, tool};

#[test]
fn a_server_that_never_listens() {
    for capture in [Capture::Socket, Capture::Syscalls] {
        let start = Instant::now();
        let finished = Run::of(ODD_SERVER, capture).flags(["--listen-timeout", "1s"]).to_end();
        finished.failed_with(97, &["error: the server has not listened on any port within 1s", "hint: "]);
        assert!(start.elapsed() > Duration::from_secs(1));
    }
}

#[test]
fn a_server_that_ends_at_once() {
    for capture in [Capture::Socket, Capture::Syscalls] {
        for code in ["0", "3"] {
            let finished = Run::of(ODD_SERVER, capture).arguments(["--exit", code]).to_end();
            finished.failed_with(97, &["error: the server ended before it listened on any port", code, "hint: "]);
        }
    }
}

#[test]
fn a_port_that_is_in_use() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let finished = Run::of(LATENCY_LAB, Capture::Socket).environment("PORT", port).to_end();
    // What the server says of it stands where it always does.
    finished.failed_with(97, &["AddrInUse", "error: the server ended before it listened on any port"]);
}

#[test]
fn a_port_on_which_we_serve_metrics() {
    let port = free_port();
    let free = format!("127.0.0.1:{port}");
    let run = Run::of(LATENCY_LAB, Capture::Socket).environment("PORT", port.to_string());
    let finished = run.flags(["--prometheus", &free]).to_end();
    finished.failed_with(97, &["AddrInUse", &format!("metrics are served on {free}, by --prometheus")]);
}

#[test]
fn the_command_of_a_server_that_has_no_url_is_given_its_socket() {
    let folder = fixture::folder(&[]);
    let path = folder.path().join("socket").display().to_string();
    let place = format!("unix:{path}");
    let command = format!("test -z \"$BEYLA_URL\" && test \"$BEYLA_SOCKET\" = {path}");
    let run = Run::of(ODD_SERVER, Capture::Socket).flags(["--exec", &command]).arguments(["--listen", &place, "--"]);
    let finished = run.to_end();
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
}

#[test]
fn a_compile_error() {
    let workspace = fixture::folder(&[
        ("Cargo.toml", &manifest("broken", "")),
        ("src/main.rs", "fn main() { let number: u8 = \"text\"; }"),
    ]);
    let finished = Run::of_workspace(workspace.path()).to_end();
    finished.failed_with(101, &["error[E0308]: mismatched types", "--> src/main.rs:1:", "error: the build failed"]);
    assert_eq!(finished.stdout, "");
}

/// A workspace with `api` (two binaries), `web` (a binary and a library) and `core` (a library).
fn select(flags: &[&str]) -> Finished {
    let member = |name| format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n");
    let workspace = fixture::folder(&[
        ("Cargo.toml", "[workspace]\nresolver = \"2\"\nmembers = [\"api\", \"web\", \"core\"]\n"),
        ("api/Cargo.toml", &member("api")),
        ("api/src/bin/server.rs", "fn main() {}"),
        ("api/src/bin/worker.rs", "fn main() {}"),
        ("web/Cargo.toml", &member("web")),
        ("web/src/main.rs", "fn main() {}"),
        ("web/src/lib.rs", ""),
        ("core/Cargo.toml", &member("core")),
        ("core/src/lib.rs", ""),
    ]);
    Run::of_workspace(workspace.path()).flags(flags).to_end()
}

#[test]
fn several_binaries() {
    select(&["-p", "api"]).failed_with(98, &["error: package `api` has several binaries", "server, worker"]);
    select(&[]).failed_with(98, &["error: ", "server (-p api), worker (-p api), web (-p web)"]);
}

#[test]
fn a_binary_that_is_not_there() {
    select(&["-p", "api", "--bin", "sever"])
        .failed_with(98, &["error: no binary `sever` in package `api`", "did you mean --bin server?"]);
    select(&["-p", "app"]).failed_with(98, &["error: the workspace has no package `app`", "did you mean -p api?"]);
}

#[test]
fn a_library_for_a_binary() {
    select(&["--bin", "core"]).failed_with(98, &["error: `core` is a library, not a binary, in package `core`"]);
    select(&["-p", "core"]).failed_with(98, &["error: package `core` has only a library and no binary", "web"]);
}

#[test]
fn a_folder_without_a_workspace() {
    let nothing = fixture::folder(&[]);
    Run::of_workspace(nothing.path()).to_end().failed_with(98, &["error: could not read the workspace"]);
}

#[test]
fn flags_that_are_not_there() {
    let workspace = fixture::folder(&[("Cargo.toml", &manifest("hello", "")), ("src/main.rs", HELLO_SERVER)]);
    Run::of_workspace(workspace.path()).flags(["--nonsense"]).to_end().failed_with(98, &["--nonsense"]);
}

/// As `cargo install` does while a run builds.
#[test]
fn the_tool_is_replaced_while_it_runs() {
    let cargo = r#"#!/bin/sh
rm -f "$REPLACED" && echo 'another version' >"$REPLACED" && exec "$REAL_CARGO" "$@"
"#;
    let folder = fixture::folder(&[]);
    let (script, copy) = (folder.path().join("cargo"), folder.path().join("cargo-beyla"));
    fixture::script(&script, cargo);
    fixture::copy_executable(tool(), &copy);
    let finished = Run::of(LATENCY_LAB, Capture::Auto)
        .with_tool(&copy)
        .environment("REPLACED", &copy)
        .environment("REAL_CARGO", tool::cargo())
        .environment("CARGO", &script)
        .flags(["--exec", "curl -s $BEYLA_URL/fast"])
        .to_end();
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    assert_eq!(finished.report().totals.requests, 1);
    assert_eq!(std::fs::read(&copy).unwrap(), b"another version\n", "it was replaced");
}
