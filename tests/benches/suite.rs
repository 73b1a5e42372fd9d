//! What `cargo beyla test` costs a suite without servers: the same processes run by a plain loop, in alternation.
//!
//!     cargo bench -p beyla-tests --bench suite -- [--rounds 9] [--tests 200] [--milliseconds 0]
//!
//! Each test sleeps for so many milliseconds. The loop runs two at a time, as many as the tool does; of the tool both the
//! whole command and the time in which the tests ran are told. So is cargo-nextest, where it is installed: it runs each
//! test in a process of its own as well, and looks after the build as the tool does.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use beyla_tests::fixture::{self, manifest};
use beyla_tests::tool::{cargo, tool};
use cargo_metadata::Message;

struct Options {
    rounds: usize,
    tests: usize,
    milliseconds: u64,
}

fn main() {
    let Options { rounds, tests, milliseconds } = options(std::env::args().skip(1));
    let mut code = String::from("#![cfg(test)]\n");
    for test in 0..tests {
        let sleep = format!("std::thread::sleep(std::time::Duration::from_millis({milliseconds}))");
        writeln!(code, "#[test] fn t{test}() {{ {sleep} }}").expect("memory");
    }
    let folder = fixture::folder(&[("Cargo.toml", &manifest("suite", "")), ("src/lib.rs", &code)]);
    let binary = build(folder.path());
    let script = format!(
        "{0} --list --format terse | sed 's/: test$//' | xargs -P2 -I{{}} {0} {{}} --exact --nocapture",
        binary.display()
    );
    let has_nextest = Command::new(cargo()).args(["nextest", "--version"]).stderr(Stdio::null()).output();
    let has_nextest = has_nextest.is_ok_and(|output| output.status.success());
    let (mut plain, mut nextest, mut whole, mut running) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    // The first of each pays for cold caches.
    for round in 0..=rounds {
        let took = timed(Command::new("sh").args(["-c", &script]));
        if has_nextest {
            let mut command = Command::new(cargo());
            let took = timed(command.args(["nextest", "run", "-j", "2"]).current_dir(folder.path()));
            nextest.extend((round > 0).then_some(took));
        }
        let report = folder.path().join("report.json");
        let mut command = Command::new(tool());
        let command = command.args(["beyla", "test", "-j", "2", "--json"]).arg(&report).current_dir(folder.path());
        let took_whole = timed(command);
        let report: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&report).expect("a report")).expect("a report");
        assert_eq!(report["tests"].as_array().map(Vec::len), Some(tests));
        if round > 0 {
            plain.push(took);
            whole.push(took_whole);
            running.push(report["duration_ns"].as_f64().expect("a time") / 1e9);
        }
    }
    let [plain, whole, running] = [plain, whole, running].map(median);
    println!("{tests} tests of {milliseconds} ms, median of {rounds} rounds");
    println!("  a plain loop, two at a time   {plain:.3} s");
    println!("  cargo beyla test, the tests   {running:.3} s  {:.2}", running / plain);
    println!("  cargo beyla test, as a whole  {whole:.3} s  {:.2}", whole / plain);
    if has_nextest {
        let nextest = median(nextest);
        println!("  cargo nextest run             {nextest:.3} s  {:.2}", nextest / plain);
    }
}

fn build(folder: &Path) -> PathBuf {
    let mut command = Command::new(cargo());
    command.args(["test", "--no-run", "--message-format=json-render-diagnostics"]).current_dir(folder);
    let output = command.env_remove("CARGO_TARGET_DIR").output().expect("cargo runs");
    let executables = Message::parse_stream(&output.stdout[..]).filter_map(|message| match message {
        Ok(Message::CompilerArtifact(artifact)) => artifact.executable,
        _ => None,
    });
    executables.last().expect("cargo names the executable").into()
}

fn timed(command: &mut Command) -> f64 {
    command.env_remove("CARGO_TARGET_DIR").stdout(Stdio::null()).stderr(Stdio::null());
    let began = Instant::now();
    assert!(command.status().expect("it runs").success(), "{command:?}");
    began.elapsed().as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn options(mut arguments: impl Iterator<Item = String>) -> Options {
    let mut options = Options { rounds: 9, tests: 200, milliseconds: 0 };
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|value| value.parse().ok()).expect("a number");
        match argument.as_str() {
            "--rounds" => options.rounds = number(),
            "--tests" => options.tests = number(),
            "--milliseconds" => options.milliseconds = number() as u64,
            // Cargo's own.
            "--bench" => {}
            other => panic!("unknown: {other}"),
        }
    }
    options
}
