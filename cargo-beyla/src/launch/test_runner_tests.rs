use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::output::Excerpt;
use super::plan::{PlannedTest, TestEnd};
use super::*;
use crate::workspace::fixture::{program, script};

/// A binary whose tests are the commands that its first argument names.
const SHELL: &str = r#"
case $1 in
    passes) echo out; echo err >&2 ;;
    fails) echo why; exit 101 ;;
    aborts) kill -ABRT $$ ;;
    hangs) echo begun; exec sleep 100 ;;
    stubborn) trap '' TERM; echo begun; while :; do sleep 0.05; done ;;
    leaves) sleep 100 & echo $! ;;
    leaves-briefly) sleep 0.05 & ;;
    where) pwd; echo "$ADDED"; cat ;;
    slow) sleep 0.05 ;;
esac
"#;

struct Shell {
    folder: TempDir,
    binaries: Vec<PlannedBinary>,
}

impl Shell {
    fn new(binaries: &[&[&str]]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let executable = script(folder.path(), "binary", SHELL);
        let planned = |(index, tests): (usize, &&[&str])| PlannedBinary {
            id: format!("b{index}").into(),
            executable: executable.clone(),
            program: program(&executable, &[("ADDED", "added")]),
            spawns: Vec::new(),
            tests: tests
                .iter()
                .map(|name| PlannedTest { name: (*name).into(), arguments: vec![(*name).into()], groups: Vec::new() })
                .collect(),
            unlisted: None,
        };
        let binaries = binaries.iter().enumerate().map(planned).collect();
        Self { folder, binaries }
    }

    fn runner(&self, set: impl Fn(&mut TestOptions)) -> TestRunner {
        let mut options = TestOptions {
            at_a_time: NonZeroUsize::new(2).unwrap(),
            groups: Vec::new(),
            timeout: None,
            fail_fast: true,
            rounds: NonZeroUsize::MIN,
            inherited: None,
            user: None,
            in_our_group: false,
            guard: None,
        };
        set(&mut options);
        TestRunner::new(self.binaries.clone(), options)
    }
}

/// A test that has ended.
#[derive(Debug)]
struct End {
    result: TestResult,
    output: String,
    leaky: bool,
    took: Duration,
}

/// Steps until it is over, or `until` says so; what ended, by its id.
fn run(runner: &mut TestRunner, mut until: impl FnMut(&TestRunner) -> bool) -> BTreeMap<TestId, End> {
    let mut ends = BTreeMap::new();
    let mut started = 0;
    let begun = Instant::now();
    while !runner.is_over() && !until(runner) {
        assert!(begun.elapsed() < Duration::from_mins(1), "it does not end: {runner:?}");
        let mut all = Vec::new();
        runner.step(Instant::now(), &mut all).unwrap();
        for events in all {
            match events {
                TestEvent::Started { test, pid, .. } => {
                    let runs = runner.name(test).unwrap().unlisted.is_none();
                    assert_eq!((test.0, pid > 0), (started, runs));
                    started += 1;
                }
                TestEvent::Ended(TestEnd { test, result, output, at: _, took, leaky }) => {
                    let Excerpt { head, .. } = output.read().unwrap();
                    let output = String::from_utf8(head).unwrap();
                    assert!(ends.insert(test, End { result, output, leaky, took }).is_none(), "twice: {test:?}");
                }
            }
        }
        assert!(runner.running().count() <= runner.options.at_a_time.get());
        std::thread::sleep(Duration::from_millis(2));
    }
    ends
}

fn to_end(runner: &mut TestRunner) -> BTreeMap<TestId, End> {
    run(runner, |_| false)
}

fn named<'a>(runner: &TestRunner, ends: &'a BTreeMap<TestId, End>, name: &str) -> &'a End {
    ends.iter().find(|(id, _)| &**runner.name(**id).unwrap().name == name).unwrap().1
}

#[test]
fn each_end_is_told_with_what_was_printed() {
    let shell = Shell::new(&[&["passes", "fails", "aborts", "where"]]);
    let mut runner = shell.runner(|_| {});
    let ends = to_end(&mut runner);
    let end = |name| named(&runner, &ends, name);
    assert_eq!((end("passes").result, end("passes").output.as_str()), (TestResult::Passed, "out\nerr\n"));
    assert_eq!((end("fails").result, end("fails").output.as_str()), (TestResult::Failed(101), "why\n"));
    assert_eq!(end("aborts").result, TestResult::Killed(libc::SIGABRT));
    let folder = shell.folder.path().canonicalize().unwrap();
    assert_eq!(end("where").output, format!("{}\nadded\n", folder.display()));
    assert!(ends.values().all(|end| !end.leaky));
    assert_eq!(runner.not_started(), 0);
}

#[test]
fn what_takes_too_long_is_stopped_kindly_and_then_not() {
    let shell = Shell::new(&[&["hangs", "stubborn", "passes"]]);
    let timeout = Duration::from_millis(300);
    let mut runner = shell.runner(|options| options.timeout = Some(timeout));
    let ends = to_end(&mut runner);
    for (name, at_least) in [("hangs", timeout), ("stubborn", timeout + TERM_GRACE)] {
        let end = named(&runner, &ends, name);
        assert_eq!((end.result, end.output.as_str()), (TestResult::TimedOut, "begun\n"), "{name}");
        assert!(end.took >= at_least && !end.leaky, "{end:?}");
    }
    assert_eq!(named(&runner, &ends, "passes").result, TestResult::Passed);
}

#[test]
fn what_a_test_leaves_behind_is_killed_and_told() {
    let shell = Shell::new(&[&["leaves", "leaves-briefly"]]);
    let mut runner = shell.runner(|_| {});
    let ends = to_end(&mut runner);
    let (leaves, briefly) = (named(&runner, &ends, "leaves"), named(&runner, &ends, "leaves-briefly"));
    assert_eq!((leaves.result, leaves.leaky), (TestResult::Passed, true));
    assert_eq!((briefly.result, briefly.leaky), (TestResult::Passed, false));
    assert!(leaves.took < LEFT_GRACE, "the wait is not the test's: {leaves:?}");
    let left = leaves.output.trim().parse().unwrap();
    let lives = || procfs::process::Process::new(left).and_then(|process| process.stat()).is_ok_and(|s| s.state != 'Z');
    for _ in 0..1000 {
        if !lives() {
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    panic!("{left} lives");
}

#[test]
fn after_a_failure_no_other_binary_is_begun() {
    let shell = Shell::new(&[&["fails", "passes", "slow", "where"], &["passes"], &["passes", "slow"]]);
    let mut runner = shell.runner(|options| options.at_a_time = NonZeroUsize::MIN);
    assert_eq!((to_end(&mut runner).len(), runner.not_started()), (4, 3));
    let mut runner = shell.runner(|options| options.fail_fast = false);
    assert_eq!((to_end(&mut runner).len(), runner.not_started()), (7, 0));
}

#[test]
fn of_a_group_one_runs_at_a_time_and_waits_for_what_was_left_behind() {
    let mut shell = Shell::new(&[&["leaves", "slow", "slow"], &["slow", "slow"]]);
    for binary in &mut shell.binaries {
        binary.tests.iter_mut().for_each(|test| test.groups = vec![0]);
    }
    shell.binaries[1].tests[1].groups.clear();
    let mut runner = shell.runner(|options| {
        (options.at_a_time, options.groups) = (NonZeroUsize::new(9).unwrap(), vec![NonZeroUsize::MIN]);
    });
    let mut order = Vec::new();
    let begun = Instant::now();
    while !runner.is_over() {
        assert!(begun.elapsed() < Duration::from_mins(1), "it does not end: {runner:?}");
        let mut all = Vec::new();
        runner.step(Instant::now(), &mut all).unwrap();
        for events in all {
            match events {
                TestEvent::Started { test, .. } => order.push((test.0, "starts")),
                TestEvent::Ended(TestEnd { test, leaky, .. }) => {
                    order.push((test.0, if leaky { "was leaky" } else { "ends" }));
                }
            }
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let (outside, group): (Vec<_>, Vec<_>) = order.into_iter().partition(|(test, _)| *test == 1);
    assert_eq!(outside, [(1, "starts"), (1, "ends")]);
    let one_by_one = [(0, "starts"), (0, "was leaky"), (2, "starts"), (2, "ends"), (3, "starts"), (3, "ends")];
    assert_eq!(group, [&one_by_one[..], &[(4, "starts"), (4, "ends")]].concat());
    let place = |test| runner.name(TestId(test)).map(|name| (name.binary.to_string(), name.name.to_string())).unwrap();
    assert_eq!((place(1), place(4)), (("b1".into(), "slow".into()), ("b1".into(), "slow".into())));
}

#[test]
fn a_binary_without_a_list_is_one_failure_and_the_others_run() {
    let mut shell = Shell::new(&[&["passes"], &[], &["passes", "slow"]]);
    let asked = Instant::now().checked_sub(Duration::from_secs(2)).unwrap();
    shell.binaries[1].unlisted = Some(Unlisted {
        reason: "it sang".into(),
        output: b"la\n".to_vec(),
        asked,
        ended: asked + Duration::from_secs(1),
    });
    let mut runner = shell.runner(|options| options.rounds = NonZeroUsize::new(2).unwrap());
    assert!(!runner.is_over());
    let ends = to_end(&mut runner);
    let end = named(&runner, &ends, "(list of tests)");
    assert_eq!((end.result, end.output.as_str(), end.took), (TestResult::Unlisted, "la\n", Duration::from_secs(1)));
    let name = runner.name(TestId(0)).unwrap();
    assert_eq!((&**name.binary, name.unlisted), ("b1", Some("it sang")));
    assert_eq!((ends.len(), runner.not_started()), (1 + 2 * 3, 0));
    assert!(ends.iter().filter(|(id, _)| id.0 > 0).all(|(_, end)| end.result == TestResult::Passed));
}

#[test]
fn a_round_begins_when_the_one_before_is_over() {
    let shell = Shell::new(&[&["slow", "passes"], &[], &["leaves"]]);
    let mut runner = shell.runner(|options| options.rounds = NonZeroUsize::new(3).unwrap());
    let mut seen = Vec::new();
    let ends = run(&mut runner, |runner| {
        let rounds: Vec<u32> = runner.running().filter_map(|test| Some(runner.name(test)?.round)).collect();
        assert!(rounds.windows(2).all(|pair| pair[0] == pair[1]), "{rounds:?}");
        seen.extend(rounds);
        false
    });
    assert_eq!(ends.len(), 9);
    assert!(seen.is_sorted(), "{seen:?}");
    let name = runner.name(TestId(8)).unwrap();
    assert_eq!((&**name.binary, &**name.name, name.round), ("b2", "leaves", 2));
    assert!(runner.name(TestId(9)).is_none());
}

#[test]
fn told_to_stop_it_hands_the_signal_on_and_then_kills() {
    let shell = Shell::new(&[&["hangs", "stubborn", "passes"]]);
    let mut runner = shell.runner(|_| {});
    let mut ends = run(&mut runner, |runner| runner.running().count() == 2);
    // They have to have come to where they can be stopped.
    std::thread::sleep(Duration::from_millis(300));
    runner.stop(&Received::alone(Signal::SIGTERM));
    ends.extend(run(&mut runner, |runner| runner.running().count() == 1));
    assert_eq!(named(&runner, &ends, "hangs").result, TestResult::Killed(libc::SIGTERM));
    runner.stop(&Received::by_key(Signal::SIGINT));
    ends.extend(to_end(&mut runner));
    assert_eq!(named(&runner, &ends, "stubborn").result, TestResult::Killed(libc::SIGKILL));
    assert_eq!(runner.not_started(), 1);
}

#[test]
fn dropped_it_leaves_nothing_behind() {
    let shell = Shell::new(&[&["hangs"]]);
    let mut runner = shell.runner(|_| {});
    let mut pid = 0;
    let mut all = Vec::new();
    runner.step(Instant::now(), &mut all).unwrap();
    for events in all {
        if let TestEvent::Started { pid: started, .. } = events {
            pid = started as i32;
        }
    }
    assert!(kill(Pid::from_raw(pid), None).is_ok());
    drop(runner);
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn an_executable_that_is_gone_is_an_error() {
    let mut shell = Shell::new(&[&["passes"]]);
    shell.binaries[0].program.path = "/nonexistent".into();
    let error = shell.runner(|_| {}).step(Instant::now(), &mut Vec::new()).unwrap_err();
    assert!(matches!(error, Error::Launch { .. }), "{error}");
}
