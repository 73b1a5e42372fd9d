//! `cargo beyla test` on test binaries that give no list, on tests that share a port, and on output that is no XML.

use std::fs;
use std::path::Path;
use std::process::Command;

use beyla_tests::fixture::{self, manifest};
use beyla_tests::system::free_port;
use beyla_tests::tool::tool;
use serde_json::Value;

/// A run that is over.
struct Ended {
    code: Option<i32>,
    stderr: String,
    report: Value,
}

fn run(folder: &Path, arguments: &[&str]) -> Ended {
    let report = folder.join("report.json");
    let mut command = Command::new(tool());
    command.args(["beyla", "test", "--json"]).arg(&report).args(arguments);
    let output = command.current_dir(folder).env_remove("CARGO_TARGET_DIR").output().expect("the tool runs");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let text = fs::read_to_string(&report).unwrap_or_else(|error| panic!("{error}: {stderr}"));
    Ended { code: output.status.code(), stderr, report: serde_json::from_str(&text).expect("a report") }
}

impl Ended {
    /// Binary, name and status of each test, in order of the first two.
    fn tests(&self) -> Vec<[&str; 3]> {
        let rows = self.report["tests"].as_array().expect("rows").iter();
        let mut tests: Vec<[&str; 3]> =
            rows.map(|row| ["binary", "name", "status"].map(|key| row[key].as_str().unwrap_or("-"))).collect();
        tests.sort_unstable();
        tests
    }

    /// Why the tests of a binary are not known.
    fn reason(&self, binary: &str) -> String {
        let rows = self.report["tests"].as_array().expect("rows").iter();
        let row = rows.into_iter().find(|row| row["binary"] == binary).unwrap_or_else(|| panic!("{binary}"));
        assert!(row.get("exit").is_none(), "{row}");
        row["reason"].as_str().unwrap_or_else(|| panic!("{row}")).to_owned()
    }

    fn says(&self, parts: &[&str]) {
        for part in parts {
            assert!(self.stderr.contains(part), "{part:?} is not in:\n{}", self.stderr);
        }
    }
}

/// A test binary that does this before its `main`.
fn first(body: &str) -> String {
    format!(
        "#[used]\n#[link_section = \".init_array\"]\nstatic FIRST: extern \"C\" fn() = first;\n\
         extern \"C\" fn first() {{ {body} }}\n#[test] fn passes() {{}}\n"
    )
}

#[test]
fn one_that_gives_no_list_is_one_failure_and_the_others_run() {
    let at_exit = "extern \"C\" { fn atexit(function: extern \"C\" fn()) -> i32; }\n\
                   extern \"C\" fn bye() { println!(\"bye\") }\n"
        .to_owned()
        + &first("unsafe { atexit(bye); }");
    let own_main = "#![no_main]\n#[no_mangle]\npub extern \"C\" fn main(_: i32, _: *const *const u8) -> i32 {\n    \
                    println!(\"it ran everything\"); 0\n}\n";
    let files = [
        ("Cargo.toml", manifest("odd", "[[test]]\nname = \"without\"\nharness = false\n")),
        ("src/lib.rs", "#[test] fn unit() {}".to_owned()),
        ("tests/at_exit.rs", at_exit),
        ("tests/before.rs", first("println!(\"hello\")")),
        ("tests/exits.rs", first("eprintln!(\"no database\"); std::process::exit(3)")),
        ("tests/killed.rs", first("std::process::abort()")),
        ("tests/own_main.rs", own_main.to_owned()),
        ("tests/usual.rs", "#[test] fn one() {}\n#[test] fn two() { println!(\"to stdout\") }\n".to_owned()),
        ("tests/without.rs", "fn main() { println!(\"anything\") }".to_owned()),
    ];
    let folder = fixture::folder(&files.each_ref().map(|(path, text)| (*path, text.as_str())));
    let junit = folder.path().join("junit.xml");
    for flags in [&["--no-fail-fast", "--junit", junit.to_str().expect("text")][..], &["--repeat", "2"]] {
        let ended = run(folder.path(), flags);
        assert_eq!(ended.code, Some(101), "{}", ended.stderr);
        let listed = "(list of tests)";
        let rounds = if flags.contains(&"--repeat") { 2 } else { 1 };
        let mut expected = vec![
            ["odd::at_exit", listed, "failed"],
            ["odd::before", listed, "failed"],
            ["odd::exits", listed, "failed"],
            ["odd::killed", listed, "failed"],
            ["odd::own_main", listed, "failed"],
        ];
        for passed in [["odd", "unit"], ["odd::usual", "one"], ["odd::usual", "two"], ["odd::without", "without"]] {
            expected.extend((0..rounds).map(|_| [passed[0], passed[1], "passed"]));
        }
        expected.sort_unstable();
        assert_eq!(ended.tests(), expected, "{}", ended.stderr);
        for (binary, reason) in [
            ("odd::at_exit", "it printed `bye`, which is no test"),
            ("odd::before", "it printed `hello`, which is no test"),
            ("odd::exits", "it ended with exit code 3; it said `no database`"),
            ("odd::killed", "it was killed by SIGABRT"),
            ("odd::own_main", "it printed `it ran everything`, which is no test"),
        ] {
            assert_eq!(ended.reason(binary), reason);
            ended.says(&[&format!("FAIL {binary} {listed}: {reason}\n")]);
        }
        ended.says(&["\nhint: a test binary that is asked with --list must print its tests", "5 failed\n"]);
        ended.says(&["---- output of odd::at_exit (list of tests) ----\npasses: test\nbye\n----\n"]);
    }
    let xml = fs::read_to_string(&junit).expect("a report");
    let case = xml.split("<testcase ").find(|case| case.contains("classname=\"odd::exits\"")).expect("its case");
    assert!(case.starts_with("name=\"(list of tests)\"") && case.contains("<error message=\"it ended with"), "{case}");
    assert!(case.contains("<system-out>no database"), "{case}");
    assert!(xml.contains("tests=\"9\" skipped=\"0\" failures=\"0\" errors=\"5\""), "{xml}");
}

#[test]
fn tests_that_share_a_port_are_told_of_and_pass_as_a_group() {
    let port = free_port();
    let tests = format!(
        "fn serve() {{\n    let _taken = std::net::TcpListener::bind((\"127.0.0.1\", {port})).unwrap();\n    \
         std::thread::sleep(std::time::Duration::from_secs(2));\n}}\n\
         #[test] fn one() {{ serve() }}\n#[test] fn two() {{ serve() }}\n#[test] fn other() {{}}\n"
    );
    let package = manifest("shared", "");
    let folder = fixture::folder(&[
        ("Cargo.toml", package.as_str()),
        ("src/lib.rs", "#[test] fn three() {}"),
        ("tests/ports.rs", tests.as_str()),
    ]);
    let ended = run(folder.path(), &["-j", "8"]);
    assert_eq!(ended.code, Some(101), "{}", ended.stderr);
    let failed: Vec<[&str; 3]> = ended.tests().into_iter().filter(|test| test[2] == "failed").collect();
    let [[binary, name, _]] = failed[..] else { panic!("{failed:?}\n{}", ended.stderr) };
    let told = format!("\nwarning: {binary} {name} found an address in use: ");
    ended.says(&[&told, "[package.metadata.beyla.test-groups.NAME] with filter = 'PATTERN'", "-- --test-threads 1`\n"]);
    assert_eq!(ended.stderr.matches("address in use: ").count(), 1, "{}", ended.stderr);

    let one_by_one = run(folder.path(), &["--", "--test-threads", "1"]);
    assert_eq!(one_by_one.code, Some(0), "{}", one_by_one.stderr);

    let groups = "[package.metadata.beyla.test-groups]\n\
                  port = { filter = ['ports::{one,two}'] }\nnone = { filter = 'nowhere::*', max-threads = 3 }\n";
    fixture::write(folder.path(), &[("Cargo.toml", &manifest("shared", groups))]);
    let grouped = run(folder.path(), &["-j", "8"]);
    assert_eq!(grouped.code, Some(0), "{}", grouped.stderr);
    grouped.says(&["warning: the test group `none` matches no test\n"]);
    let row = |name: &str| grouped.report["tests"].as_array().expect("rows").iter().find(|row| row["name"] == name);
    let times = |name: &str| {
        let row = row(name).unwrap_or_else(|| panic!("{name}: {}", grouped.stderr));
        let start = row["started_unix_ns"].as_u64().expect("a time");
        (start, start + row["duration_ns"].as_u64().expect("a time"))
    };
    let (one, two, other) = (times("one"), times("two"), times("other"));
    assert!(one.1 <= two.0 || two.1 <= one.0, "{one:?} {two:?}");
    assert!(other.0 < one.1.max(two.1), "a test of no group does not wait for them: {other:?} {one:?} {two:?}");

    let held = std::net::TcpListener::bind(("127.0.0.1", port)).expect("nobody has it");
    let alone = run(folder.path(), &["--", "--exact", "one"]);
    drop(held);
    assert_eq!(alone.code, Some(101), "{}", alone.stderr);
    alone.says(&["shared::ports one found an address in use, and no other test ran beside it: `ss -ltnp`"]);

    let misspelled = "[package.metadata.beyla.test-groups]\nport = { filters = 'ports::*' }\n";
    fixture::write(folder.path(), &[("Cargo.toml", &manifest("shared", misspelled))]);
    let refused = run(folder.path(), &[]);
    assert_eq!(refused.code, Some(98), "{}", refused.stderr);
    refused.says(&[":6:10: ", "unknown key `filters` in the test group `port`\nhint: did you mean `filter`?\n"]);
}

#[test]
fn whatever_a_test_prints_its_junit_report_is_xml() {
    // Each character once, as far as the report keeps a test's output; those above come in planes like these.
    let tests = "#[test] fn fails() {\n    let all = (0x7f00..=0x10000).chain(0..0x1000).filter_map(char::from_u32);\n    \
                 let all: String = all.chain(['\\u{1fffe}', '\\u{10ffff}']).collect();\n    \
                 println!(\"{all}]]><&\\u{ffff}\");\n    panic!(\"\\u{fffe} \\u{0} \\u{1b}[31mred\\u{1b}[0m\")\n}\n";
    let manifest = manifest("prints", "");
    let folder = fixture::folder(&[("Cargo.toml", manifest.as_str()), ("src/lib.rs", ""), ("tests/all.rs", tests)]);
    let junit = folder.path().join("junit.xml");
    let ended = run(folder.path(), &["--junit", junit.to_str().expect("text")]);
    assert_eq!(ended.code, Some(101), "{}", ended.stderr);
    let well_formed = |path: &Path| {
        let checked = Command::new("xmllint").arg("--noout").arg("--huge").arg(path).output().expect("xmllint runs");
        (checked.status.success(), String::from_utf8_lossy(&checked.stderr).into_owned())
    };
    let (ok, said) = well_formed(&junit);
    assert!(ok, "{}", said.chars().take(2000).collect::<String>());
    let xml = fs::read_to_string(&junit).expect("a report");
    assert!(xml.contains("]]&gt;&lt;&amp;\u{fffd}") && xml.contains("\u{1fffe}\u{10ffff}"), "{xml}");
    fs::write(&junit, xml.replace(']', "\u{ffff}")).expect("a file");
    assert!(!well_formed(&junit).0, "xmllint would find it");
}
