use std::path::Path;

use super::*;
use crate::workspace::fixture::{self, workspace};

#[test]
fn lines_are_tests_or_an_error() {
    fn names(text: &str) -> Result<Vec<String>, &str> {
        parse(text).map(|names| names.iter().map(ToString::to_string).collect())
    }
    assert_eq!(names(""), Ok(vec![]));
    assert_eq!(names("a: test\nb::c: benchmark\n"), Ok(vec!["a".to_owned(), "b::c".to_owned()]));
    assert_eq!(
        names("src/lib.rs - f (line 1): test\n"),
        Ok(vec!["src/lib.rs - f (line 1)".to_owned()]),
        "whatever a harness calls a test"
    );
    for line in ["a", "a: bench", ": test", "--nocapture: test", "a\u{1b}[31m: test", "1 test, 0 benchmarks", "a:test"]
    {
        let text = format!("b: test\n{line}\n");
        assert_eq!(names(&text), Err(line));
    }
}

/// A binary that is a script.
fn binary(root: &Path, name: &str, script: &str) -> TestBinary {
    TestBinary {
        id: name.into(),
        name: name.into(),
        program: fixture::program(&fixture::script(root, name, script), &[("ADDED", "added")]),
        executable: root.join(name),
        spawns: Vec::new(),
        harness: true,
    }
}

fn list_scripts(scripts: &[&str], arguments: &HarnessArguments) -> Result<Vec<Listed>, Error> {
    let root = workspace(&[]);
    let binaries: Vec<TestBinary> =
        scripts.iter().enumerate().map(|(index, script)| binary(root.path(), &format!("b{index}"), script)).collect();
    list(&binaries.iter().collect::<Vec<_>>(), arguments, 2, |_| {})
}

const LIST: &str = "case \" $* \" in *' --ignored '*) echo slow: test ;; *' --include-ignored '*) echo a: test; \
                    echo slow: test ;; *) echo a: test; echo slow: test; echo $ADDED: test ;; esac";

#[test]
fn ignored_tests_are_counted_or_run() {
    let listed = |arguments: &[&str]| {
        let words: Vec<_> = arguments.iter().map(Into::into).collect();
        let arguments = HarnessArguments::parse(None, &words).unwrap();
        let listed = list_scripts(&[LIST, "true", LIST], &arguments).unwrap();
        assert_eq!(listed[1], Listed::default());
        assert_eq!(listed[0], listed[2]);
        let Listed { tests, ignored } = &listed[0];
        (tests.iter().map(ToString::to_string).collect::<Vec<_>>(), *ignored)
    };
    assert_eq!(listed(&[]), (vec!["a".into(), "added".into()], 1));
    assert_eq!(listed(&["--ignored"]), (vec!["slow".into()], 0));
    assert_eq!(listed(&["--include-ignored"]), (vec!["a".into(), "slow".into()], 0));
}

#[test]
fn a_binary_that_cannot_be_listed_is_named_with_its_reason() {
    for (script, reason) in [
        ("exit 3", "it ended with exit code 3"),
        ("kill -SEGV $$", "it was killed by SIGSEGV"),
        ("echo hello", "it printed `hello`, which is no test"),
        ("echo oh no >&2; exit 1", "it ended with exit code 1"),
    ] {
        let error = list_scripts(&["true", script], &HarnessArguments::default()).unwrap_err();
        assert_eq!(error.exit_code(), crate::error::BUILD_FAILED, "{error}");
        let message = error.to_string();
        assert!(message.starts_with("could not list the tests of b1: ") && message.contains(reason), "{message}");
        assert_eq!(error.hint().is_some_and(|hint| hint.contains("oh no")), script.contains("oh no"), "{message}");
    }
}

#[test]
fn an_executable_that_cannot_be_started_is_told() {
    let root = workspace(&[]);
    let mut binary = binary(root.path(), "b", "true");
    binary.program.path = root.path().join("nowhere");
    let error = list(&[&binary], &HarnessArguments::default(), 2, |_| {}).unwrap_err();
    assert!(matches!(error, Error::Launch { .. }), "{error}");
}
