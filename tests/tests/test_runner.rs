//! `cargo beyla test`: which tests run, as what, and what is told of them. The truth is what `cargo test` does.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use beyla_tests::fixture::{self, manifest};
use beyla_tests::system::stat;
use beyla_tests::tool::{cargo, tool};
use beyla_tests::wait::{LONG, poll};
use tempfile::TempDir;

/// Two packages, with tests of each kind and each end but those that take their binary with them.
fn shop() -> TempDir {
    fixture::folder(&[
        ("Cargo.toml", "[workspace]\nresolver = \"2\"\nmembers = [\"core\", \"api\"]\n"),
        (
            "core/Cargo.toml",
            "[package]\nname = \"core-types\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[features]\nextra = []\n",
        ),
        (
            "core/build.rs",
            "fn main() {\n    let out = std::env::var(\"OUT_DIR\").unwrap();\n    \
             std::fs::write(out + \"/built\", \"yes\").unwrap();\n}\n",
        ),
        (
            "core/src/lib.rs",
            r#"
/// ```
/// assert_eq!(core_types::one(), 1);
/// ```
pub fn one() -> u8 { 1 }

#[cfg(test)]
mod tests {
    #[test] fn adds() { println!("nobody wants to know") }
    #[test] fn adds_wrongly() { println!("to stdout"); eprintln!("to stderr"); assert_eq!(super::one(), 2) }
    #[test] #[should_panic] fn panics() { panic!("as it should") }
    #[test] #[should_panic] fn should_panic_and_does_not() {}
    #[test] #[ignore] fn slow() {}
    #[test] #[ignore] fn slow_and_fails() { panic!() }
    #[test] fn returns_an_error() -> Result<(), String> { Err("why".into()) }
    #[cfg(feature = "extra")] #[test] fn with_extra() {}
}
"#,
        ),
        (
            "core/tests/place.rs",
            r#"
#[test] fn folder() {
    assert_eq!(std::env::current_dir().unwrap().to_str(), std::env::var("CARGO_MANIFEST_DIR").ok().as_deref());
}
#[test] fn out_dir() {
    assert_eq!(std::fs::read_to_string(std::env::var("OUT_DIR").unwrap() + "/built").unwrap(), "yes");
}
"#,
        ),
        (
            "api/Cargo.toml",
            "[package]\nname = \"api\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\
             [[test]]\nname = \"own\"\nharness = false\n",
        ),
        ("api/src/main.rs", "fn main() { println!(\"served\") }\n#[test] fn in_binary() {}\n"),
        (
            "api/tests/client.rs",
            r#"
#[test] fn server_at_run_time() {
    let server = std::env::var("CARGO_BIN_EXE_api").unwrap();
    assert_eq!(server, env!("CARGO_BIN_EXE_api"));
    assert_eq!(std::process::Command::new(server).output().unwrap().stdout, b"served\n");
}
#[test] fn slow_client() {}
"#,
        ),
        ("api/tests/own.rs", "fn main() { println!(\"given {:?}\", std::env::args().skip(1).collect::<Vec<_>>()) }\n"),
    ])
}

fn beyla(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(tool());
    command.args(["beyla", "test", "--offline"]).args(arguments).current_dir(folder).stdin(Stdio::null());
    command.env_remove("RUST_BACKTRACE").env_remove("CARGO_TARGET_DIR").env_remove("RUST_TEST_THREADS");
    command
}

struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn ended(output: Output) -> Ended {
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn run(folder: &Path, arguments: &[&str]) -> Ended {
    ended(beyla(folder, arguments).output().expect("the tool runs"))
}

impl Ended {
    /// What each test came to, as it was told when it ended.
    fn verdicts(&self) -> BTreeMap<String, String> {
        let before_summary = self.stderr.split("     Summary ").next().unwrap_or_default();
        let verdicts = before_summary.lines().filter_map(|line| {
            let (verb, rest) = line.get(..12).map(str::trim).zip(line.get(13..))?;
            let is_verb = matches!(verb, "PASS" | "FAIL" | "TIMEOUT") || verb.starts_with("SIG");
            // A number, its unit, the binary, and the test.
            let mut words = rest.split_whitespace().skip(2);
            is_verb.then(|| Some((format!("{} {}", words.next()?, words.next()?), verb.to_owned()))).flatten()
        });
        verdicts.collect()
    }

    fn summary(&self) -> &str {
        self.stderr.lines().find(|line| line.starts_with("     Summary ")).unwrap_or_else(|| panic!("{}", self.stderr))
    }

    fn says(&self, parts: &[&str]) {
        for part in parts {
            assert!(self.stderr.contains(part), "'{part}' is not in:\n{}", self.stderr);
        }
    }
}

/// What `cargo test` says of tests with the standard harness, as [`Ended::verdicts`] has it.
fn cargos(folder: &Path, arguments: &[&str]) -> (BTreeMap<String, String>, usize, bool) {
    let mut command = Command::new(cargo());
    command.args(["test", "--offline", "--no-fail-fast"]).args(arguments).current_dir(folder);
    command.env_remove("RUST_BACKTRACE").env_remove("CARGO_TARGET_DIR");
    // So that each heading stands before its tests.
    let shell = command.get_args().map(|word| format!("'{}'", word.to_str().expect("text"))).collect::<Vec<_>>();
    let script = format!("exec \"$0\" {} 2>&1", shell.join(" "));
    command = Command::new("sh");
    command.args(["-c", &script]).arg(cargo()).current_dir(folder);
    command.env_remove("RUST_BACKTRACE").env_remove("CARGO_TARGET_DIR");
    let Ended { code, stdout, .. } = ended(command.output().expect("cargo runs"));
    let (mut verdicts, mut ignored, mut binary) = (BTreeMap::new(), 0, String::new());
    for line in stdout.lines() {
        if line.starts_with("   Doc-tests") {
            break;
        }
        if let Some(heading) = line.strip_prefix("     Running ") {
            binary = match heading.split(" (").next().unwrap_or_default() {
                "unittests src/lib.rs" => "core-types".into(),
                "unittests src/main.rs" => "api::bin/api".into(),
                "tests/place.rs" => "core-types::place".into(),
                other => format!("api::{}", other.trim_start_matches("tests/").trim_end_matches(".rs")),
            };
        } else if let Some((name, verdict)) = line.strip_prefix("test ").and_then(|rest| rest.split_once(" ... ")) {
            let verb = match verdict {
                "ok" => "PASS",
                "FAILED" => "FAIL",
                "ignored" => {
                    ignored += 1;
                    continue;
                }
                other => panic!("{other} in:\n{stdout}"),
            };
            verdicts.insert(format!("{binary} {}", name.trim_end_matches(" - should panic")), verb.to_owned());
        } else if line.starts_with("given ") {
            verdicts.insert(format!("{binary} own"), "PASS".to_owned());
        }
    }
    (verdicts, ignored, code == Some(0))
}

#[test]
fn verdicts_are_those_of_cargo_test() {
    let shop = shop();
    for arguments in [
        &[][..],
        &["-p", "core-types"],
        &["-p", "core-*", "-F", "extra"],
        &["--workspace", "--exclude", "api"],
        &["--lib"],
        &["--bins"],
        &["--test", "client", "--test", "place"],
        &["-p", "api", "--test", "own"],
        &["--all-targets", "--release"],
        &["slow", "--tests"],
        &["-p", "core-types", "--", "--ignored"],
        &["-p", "core-types", "--", "--include-ignored", "--skip", "wrongly"],
        &["-p", "core-types", "--", "tests::adds", "--exact"],
        &["-p", "core-types", "--", "panics", "folder", "--skip=should"],
        &["-p", "core-types", "no_test_has_this_name"],
    ] {
        let (verdicts, ignored, passed) = cargos(shop.path(), arguments);
        let mut ours = vec!["--no-fail-fast"];
        ours.extend(arguments);
        let ended = run(shop.path(), &ours);
        assert_eq!(ended.verdicts(), verdicts, "{arguments:?}:\n{}", ended.stderr);
        assert_eq!(ended.code, Some(if passed { 0 } else { 101 }), "{arguments:?}:\n{}", ended.stderr);
        let told = format!(", {ignored} ignored");
        assert_eq!(ended.summary().contains(&told), ignored > 0, "{arguments:?}: {}", ended.summary());
    }
}

#[test]
fn what_failed_is_shown_and_told_once_more() {
    let shop = shop();
    let ended = run(shop.path(), &["-p", "core-types", "--lib", "-j", "1"]);
    assert_eq!(ended.code, Some(101));
    assert!(ended.stdout.is_empty(), "{}", ended.stdout);
    ended.says(&[
        "---- output of core-types tests::adds_wrongly ----\n\nrunning 1 test\nto stdout\nto stderr\n",
        "left: 1",
        "     Summary 5 tests in ",
        ": 2 passed, 3 failed, 2 ignored\n",
        "        FAIL core-types tests::adds_wrongly\n",
    ]);
    assert!(!ended.stderr.contains("nobody wants to know"), "{}", ended.stderr);
    let end = ended.stderr.find("\n----\n").unwrap();
    assert!(ended.stderr[..end].contains("test tests::adds_wrongly ... FAILED"), "{}", ended.stderr);

    let shown = run(shop.path(), &["-p", "core-types", "adds", "--lib", "--", "--show-output", "--skip", "wrongly"]);
    shown.says(&["nobody wants to know"]);
    let quiet = run(shop.path(), &["-p", "core-types", "adds", "--lib", "--", "-q"]);
    assert_eq!(quiet.verdicts().into_values().collect::<Vec<_>>(), ["FAIL"]);
}

#[test]
fn after_a_failure_other_binaries_are_not_begun() {
    let shop = shop();
    let ended = run(shop.path(), &["-p", "core-types", "-j1"]);
    assert_eq!(ended.verdicts().len(), 5, "{}", ended.stderr);
    ended.says(&["2 not run after a failure (--no-fail-fast runs them)"]);
}

#[test]
fn doc_tests_are_left_to_cargo() {
    let shop = shop();
    let line = "Leaving the doc tests of core-types to `cargo test --doc`";
    run(shop.path(), &["place"]).says(&[line]);
    for arguments in [&["-p", "api"][..], &["--lib", "adds"]] {
        let ended = run(shop.path(), arguments);
        assert!(!ended.stderr.contains("doc tests"), "{arguments:?}:\n{}", ended.stderr);
    }
}

#[test]
fn without_the_harness_a_binary_gets_the_arguments_as_they_are() {
    let shop = shop();
    let arguments = ["-p", "api", "--test", "own", "word", "--", "--show-output", "--its-own=1"];
    // The tool has not to know arguments that are not the standard harness's.
    let ended = run(shop.path(), &arguments);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let ended = run(shop.path(), &["-p", "api", "--test", "own", "word", "--", "--show-output"]);
    ended.says(&["given [\"word\", \"--show-output\"]"]);
    let ended = run(shop.path(), &["-p", "api", "--", "--its-own=1"]);
    assert_eq!(ended.code, Some(98), "{}", ended.stderr);
}

#[test]
fn what_cannot_be_honoured_is_said_before_the_build() {
    let shop = shop();
    let ended = run(shop.path(), &["-p", "core-types", "--", "--format", "json"]);
    assert_eq!(ended.code, Some(98));
    ended.says(&["error: the test argument --format cannot be honoured", "hint: --json FILE"]);
    assert!(!ended.stderr.contains("Compiling"), "{}", ended.stderr);
}

#[test]
fn a_build_that_fails_is_not_a_test_that_does() {
    let folder = fixture::folder(&[("Cargo.toml", &manifest("broken", "")), ("src/lib.rs", "fn f() -> u8 { \"\" }")]);
    let ended = run(folder.path(), &[]);
    assert_eq!(ended.code, Some(101));
    ended.says(&["mismatched types", "error: the build failed"]);
    fixture::write(folder.path(), &[("src/lib.rs", "#[test] fn fails() { panic!() }")]);
    let ended = run(folder.path(), &["--no-run"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    ended.says(&["  Executable broken ("]);
    assert!(ended.verdicts().is_empty());
}

/// Tests that end in ways of their own, and look at what they run in.
fn odd() -> TempDir {
    let tests = r#"
use std::time::Duration;
fn status(name: &str) -> String {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned()
}
#[test] fn aborts() { println!("before"); std::process::abort() }
#[test] fn exits() { std::process::exit(7) }
#[test] fn hangs() {
    std::fs::write("begun", std::process::id().to_string()).unwrap();
    std::thread::sleep(Duration::from_secs(1000))
}
#[test] fn leaves() {
    let child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
    std::fs::write("left", child.id().to_string()).unwrap();
}
#[test] fn as_any_process() {
    assert_eq!(status("SigBlk:"), "0000000000000000");
    // Rust's runtime ignores SIGPIPE; those above 31 are the C library's own.
    assert_eq!(u64::from_str_radix(&status("SigIgn:"), 16).unwrap() & 0x7fff_ffff, 0x1000);
    assert_eq!(std::fs::read_link("/proc/self/fd/0").unwrap().to_str(), Some("/dev/null"));
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let group = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(2).unwrap().to_owned();
    // At a terminal it shares that of the tool.
    let leads = group == std::process::id().to_string();
    assert_eq!(leads, std::fs::File::open("/dev/tty").is_err());
}
"#;
    fixture::folder(&[("Cargo.toml", &manifest("odd", "")), ("tests/ways.rs", tests), ("src/lib.rs", "")])
}

#[test]
fn each_end_is_told() {
    let odd = odd();
    let began = Instant::now();
    let ended = run(odd.path(), &["--timeout", "5s"]);
    assert!(began.elapsed() < LONG, "the test that hangs was not stopped");
    let expected = [
        ("odd::ways aborts", "SIGABRT"),
        ("odd::ways as_any_process", "PASS"),
        ("odd::ways exits", "FAIL"),
        ("odd::ways hangs", "TIMEOUT"),
        ("odd::ways leaves", "PASS"),
    ];
    let expected = expected.map(|(test, verb)| (test.to_owned(), verb.to_owned()));
    assert_eq!(ended.verdicts(), expected.into(), "{}", ended.stderr);
    assert_eq!(ended.code, Some(101));
    ended.says(&["ways leaves  (left processes behind, which were killed)", "\nbefore\n"]);
    ended.says(&["2 passed, 1 failed, 1 killed, 1 timed out, 1 left processes behind\n"]);
    let left = fs::read_to_string(odd.path().join("left")).unwrap().parse().unwrap();
    let gone = poll(LONG, || stat(left).is_none_or(|stat| stat.state == 'Z').then_some(()));
    assert!(gone.is_some(), "{left} lives");
}

#[test]
fn without_capture_the_output_is_the_tests_own() {
    let shop = shop();
    let ended = run(shop.path(), &["-p", "core-types", "adds", "--lib", "--", "--nocapture"]);
    assert!(ended.stdout.contains("nobody wants to know") && ended.stdout.contains("to stdout"), "{}", ended.stdout);
    ended.says(&["     Running core-types tests::adds\n", "to stderr"]);
    assert!(!ended.stderr.contains("---- output"), "{}", ended.stderr);
}

#[test]
fn everything_runs_as_often_as_is_said() {
    let shop = shop();
    let ended = run(shop.path(), &["-p", "core-types", "panics", "--lib", "--repeat", "3"]);
    for part in ["tests::panics  [1/3]\n", "tests::panics  [2/3]\n", "tests::panics  [3/3]\n", "Summary 3 tests in"] {
        ended.says(&[part]);
    }
}

#[test]
fn interrupted_it_ends_the_tests_and_says_what_was() {
    let odd = odd();
    let mut command = beyla(odd.path(), &["-j1", "--", "as_any_process", "hangs", "leaves"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let child = command.spawn().expect("the tool starts");
    let begun = poll(LONG, || fs::read_to_string(odd.path().join("begun")).ok().filter(|text| !text.is_empty()));
    let test: u32 = begun.expect("the test begins").parse().expect("a process id");
    // SAFETY: two numbers; the group is that of our own child, who was not waited for.
    assert_eq!(unsafe { libc::kill(-(child.id() as i32), libc::SIGINT) }, 0);
    let ended = ended(child.wait_with_output().expect("it ends"));
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
    let verdicts = ended.verdicts();
    assert_eq!(verdicts.get("odd::ways hangs").map(String::as_str), Some("SIGINT"), "{}", ended.stderr);
    ended.says(&[", 1 not run\n"]);
    assert!(poll(Duration::from_secs(5), || stat(test).is_none().then_some(())).is_some(), "{test} lives");
}

#[test]
fn a_binary_that_is_gone_costs_nothing_of_what_was_measured() {
    const REMOVES_THE_NEXT: &str = r#"
#[test]
fn removes_the_next() {
    let own = std::env::current_exe().unwrap();
    for entry in own.parent().unwrap().read_dir().unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.starts_with("next-") && !name.contains('.') {
            std::fs::remove_file(path).unwrap();
        }
    }
}
"#;
    let folder = fixture::folder(&[
        ("Cargo.toml", &manifest("gone", "")),
        ("src/lib.rs", ""),
        ("tests/first.rs", REMOVES_THE_NEXT),
        ("tests/next.rs", "#[test] fn never_runs() {}"),
    ]);
    let report = folder.path().join("report.json");
    let mut command = Command::new(tool());
    command.args(["beyla", "test", "-j", "1", "--json"]).arg(&report);
    let output = command.current_dir(folder.path()).env_remove("CARGO_TARGET_DIR").output().expect("the tool runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(98), "{stderr}");
    assert!(stderr.contains("error: could not start "), "{stderr}");
    let text = fs::read_to_string(&report).unwrap_or_else(|error| panic!("{error}: {stderr}"));
    let report: serde_json::Value = serde_json::from_str(&text).expect("a report");
    let tests: Vec<_> =
        report["tests"].as_array().expect("rows").iter().map(|row| (&row["name"], &row["status"])).collect();
    assert_eq!(tests, [(&"removes_the_next".into(), &"passed".into())]);
}
