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

/// What each of these scripts answers, with so much time for each.
fn ask_scripts(scripts: &[&str], arguments: &HarnessArguments, patience: Duration) -> Vec<Result<Listed, Unlisted>> {
    let root = workspace(&[]);
    let binaries: Vec<TestBinary> =
        scripts.iter().enumerate().map(|(index, script)| binary(root.path(), &format!("b{index}"), script)).collect();
    list(&binaries.iter().collect::<Vec<_>>(), arguments, 2, patience, |_| {}).unwrap()
}

const LIST: &str = "case \" $* \" in *' --ignored '*) echo slow: test ;; *' --include-ignored '*) echo a: test; \
                    echo slow: test ;; *) echo a: test; echo slow: test; echo $ADDED: test ;; esac";

#[test]
fn ignored_tests_are_counted_or_run() {
    let listed = |arguments: &[&str]| {
        let words: Vec<_> = arguments.iter().map(Into::into).collect();
        let arguments = HarnessArguments::parse(None, &words).unwrap();
        let answers = ask_scripts(&[LIST, "true", LIST], &arguments, PATIENCE);
        let listed: Vec<Listed> = answers.into_iter().collect::<Result<_, _>>().unwrap();
        assert_eq!(listed[1], Listed::default());
        assert_eq!(listed[0], listed[2]);
        let Listed { tests, ignored } = &listed[0];
        (tests.iter().map(ToString::to_string).collect::<Vec<_>>(), *ignored)
    };
    assert_eq!(listed(&[]), (vec!["a".into(), "added".into()], 1));
    assert_eq!(listed(&["--ignored"]), (vec!["slow".into()], 0));
    assert_eq!(listed(&["--include-ignored"]), (vec!["a".into(), "slow".into()], 0));
}

/// How scripts fail to give a list, and what is said of it.
const WITHOUT_A_LIST: [(&str, &str, &str); 9] = [
    ("exit 3", "it ended with exit code 3", ""),
    ("kill -SEGV $$", "it was killed by SIGSEGV", ""),
    ("echo hello", "it printed `hello`, which is no test", "hello\n"),
    ("echo a: test; printf bye", "it printed `bye`, which is no test", "a: test\nbye\n"),
    (
        "echo 'running 1 test'; echo 'test a ... ok'",
        "it printed `running 1 test`, which is no test",
        "running 1 test\ntest a ... ok\n",
    ),
    ("printf '\\377\\000\\n'", "it printed `\u{fffd}\\0`, which is no test", "\u{fffd}\0\n"),
    ("echo out; echo ' oh no' >&2; exit 1", "it ended with exit code 1; it said `oh no`", "out\n oh no\n"),
    ("exec yes 0123456789abcdef", "it prints without end", "0123456789abcdef"),
    ("exec yes 0123456789abcdef >&2", "it prints without end; it said `0123456789abcdef", "0123"),
];

#[test]
fn a_binary_without_a_list_is_one_failure_with_its_reason() {
    let scripts: Vec<&str> = WITHOUT_A_LIST.iter().map(|(script, ..)| *script).chain(["echo a: test"]).collect();
    let mut answers = ask_scripts(&scripts, &HarnessArguments::default(), PATIENCE);
    // The others are not touched by it; both questions were put to it.
    assert_eq!(answers.pop().unwrap().unwrap(), Listed { tests: Vec::new(), ignored: 1 });
    for ((script, reason, output), answer) in WITHOUT_A_LIST.into_iter().zip(answers) {
        let unlisted = answer.expect_err(script);
        assert!(unlisted.reason.starts_with(reason), "{script}: {}", unlisted.reason);
        let printed = String::from_utf8_lossy(&unlisted.output);
        assert!(printed.starts_with(output) && unlisted.output.len() <= 2 * OUTPUT_MAX as usize, "{script}: {printed}");
    }
}

#[test]
fn one_that_hangs_is_given_up() {
    let begun = Instant::now();
    let patience = Duration::from_millis(200);
    let answers = ask_scripts(&["exec sleep 1000", "echo a: test"], &HarnessArguments::default(), patience);
    assert!(begun.elapsed() < Duration::from_secs(100), "it was waited for");
    assert_eq!(&*answers[0].as_ref().unwrap_err().reason, "it has not answered within 200ms");
    assert!(answers[1].is_ok());
}

#[test]
fn an_executable_that_cannot_be_started_is_told() {
    let root = workspace(&[]);
    let mut gone = binary(root.path(), "b", "true");
    gone.program.path = root.path().join("nowhere");
    let well = binary(root.path(), "well", "true");
    let answers = list(&[&gone, &well], &HarnessArguments::default(), 2, PATIENCE, |_| {}).unwrap();
    let reason = &answers[0].as_ref().unwrap_err().reason;
    assert!(reason.contains("nowhere could not be started: No such file"), "{reason}");
    assert!(answers[1].is_ok());
}
