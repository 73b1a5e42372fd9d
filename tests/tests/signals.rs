//! What is sent to the tool: under `cargo run` it would be sent to the server.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::Duration;

use beyla_tests::fixture::{self, manifest};
use beyla_tests::run::{Capture, Finished, Run, Running, SOON};
use beyla_tests::system::{command_line, descendants, is_running};
use beyla_tests::tool::{cargo, tool};
use beyla_tests::wait::{LONG, poll};
use tempfile::TempDir;

/// Writes `SIGNAL` into a file for each signal that reaches it, as often as it does; `bare` has no handlers. Ends by
/// itself at SIGTERM. With `works` it starts a worker of its own. With `graceful` it takes 700 ms to end; with `prefork` too,
/// and sends SIGTERM to its group first, as servers do that have workers. With `asks` it sends SIGUSR1 to its parent at
/// SIGUSR2. With `leaves` it ends after a moment; with `daemon` too, and a fork of it goes on, whose id is in `WORKER`.
const SERVER: &str = r#"
use std::io::Write;
use std::sync::atomic::{AtomicU32, Ordering};

static COUNTS: [AtomicU32; 65] = [const { AtomicU32::new(0) }; 65];

extern "C" fn note(signal: i32) {
    COUNTS[signal as usize].fetch_add(1, Ordering::SeqCst);
}

extern "C" {
    fn signal(number: i32, handler: usize) -> usize;
    fn kill(pid: i32, number: i32) -> i32;
    fn getppid() -> i32;
    fn fork() -> i32;
    fn setsid() -> i32;
    fn close(fd: i32) -> i32;
}

fn main() {
    let closed = std::env::var("CLOSED").map(|fd| unsafe { close(fd.parse().unwrap()) });
    assert_eq!(closed.unwrap_or(0), 0);
    let mode = std::env::args().nth(1).unwrap_or_default();
    if mode != "bare" {
        for number in [1, 6, 10, 12, 13, 14, 15, 18, 28, 36] {
            unsafe { signal(number, note as usize) };
        }
    }
    if mode == "works" {
        let worker = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        std::fs::write(std::env::var("WORKER").unwrap(), worker.id().to_string()).unwrap();
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    println!("listening {}", listener.local_addr().unwrap());
    if mode == "deaf" {
        unsafe { signal(2, 1) };
    } else if mode == "graceful" || mode == "prefork" {
        unsafe { signal(2, note as usize) };
    } else if mode == "leaves" {
        std::thread::sleep(std::time::Duration::from_millis(700));
        std::process::exit(0);
    } else if mode == "daemon" {
        if unsafe { fork() } > 0 {
            std::thread::sleep(std::time::Duration::from_millis(700));
            std::process::exit(0);
        }
        unsafe { setsid() };
        std::fs::write(std::env::var("WORKER").unwrap(), std::process::id().to_string()).unwrap();
    }
    loop {
        std::thread::sleep(std::time::Duration::from_millis(5));
        for (number, count) in COUNTS.iter().enumerate() {
            for _ in 0..count.swap(0, Ordering::SeqCst) {
                std::io::stdout().write_all(format!("got {number}\n").as_bytes()).unwrap();
                if number == 12 && mode == "asks" {
                    unsafe { kill(getppid(), 10) };
                }
                if mode == "prefork" {
                    unsafe { signal(15, 1) };
                    unsafe { kill(0, 15) };
                }
                if mode == "graceful" || mode == "prefork" {
                    std::thread::sleep(std::time::Duration::from_millis(700));
                    std::process::exit(5);
                }
                if number == 15 {
                    std::process::exit(0);
                }
            }
        }
    }
}
"#;

/// A test that is over once it was sent a signal, and one that is never over.
const TESTS: &str = r#"
use std::sync::atomic::{AtomicU32, Ordering};
static COUNT: AtomicU32 = AtomicU32::new(0);
extern "C" fn note(_: i32) { COUNT.fetch_add(1, Ordering::SeqCst); }
extern "C" { fn signal(number: i32, handler: usize) -> usize; }

#[test]
fn is_sent_one() {
    unsafe { signal(10, note as usize) };
    std::fs::write("ready", "").unwrap();
    while COUNT.load(Ordering::SeqCst) == 0 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(COUNT.load(Ordering::SeqCst), 1);
}

#[test]
fn starts_others() {
    let mut child = std::process::Command::new("sh").args(["-c", "sleep 1000 & echo $! > left; sleep 1000"]).spawn().unwrap();
    std::fs::write("test", format!("{} {}", std::process::id(), child.id())).unwrap();
    child.wait().unwrap();
}
"#;

/// A workspace with both, built.
fn workspace() -> &'static Path {
    static WORKSPACE: OnceLock<TempDir> = OnceLock::new();
    let folder = WORKSPACE.get_or_init(|| {
        let folder = fixture::folder(&[
            ("Cargo.toml", &manifest("signalled", "")),
            ("src/main.rs", SERVER),
            ("tests/tests.rs", TESTS),
        ]);
        let built =
            Command::new(cargo()).arg("build").env_remove("CARGO_TARGET_DIR").current_dir(folder.path()).status();
        assert!(built.expect("cargo runs").success());
        folder
    });
    folder.path()
}

fn server() -> PathBuf {
    workspace().join("target/debug/signalled")
}

fn send(pid: i32, signal: i32) {
    // SAFETY: two numbers; the process, or its group, is one that this test has started and not waited for.
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0, "{pid} is gone");
}

fn start(arguments: &[&str], flags: &[&str]) -> Running {
    let run = Run::of_workspace(workspace()).flags(flags).arguments(arguments).start_alone();
    run.listening(1);
    // The server listens a moment before the tool knows.
    let known = poll(LONG, || run.stderr().contains("Listening ").then_some(()));
    assert!(known.is_some(), "{}", run.stderr());
    run
}

/// How often each signal has come.
fn counts(stdout: &str) -> BTreeMap<i32, usize> {
    let mut counts = BTreeMap::new();
    for number in stdout.lines().filter_map(|line| line.strip_prefix("got ")) {
        *counts.entry(number.parse().expect("a number")).or_default() += 1;
    }
    counts
}

const PASSED_ON: [i32; 8] = [
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGALRM,
    libc::SIGHUP,
    libc::SIGWINCH,
    libc::SIGCONT,
    libc::SIGPIPE,
    // The C library keeps the first two real-time signals for itself.
    36,
];

/// Waits until a signal has come so often: one of a kind that still waits to be taken would be no second one.
fn until_it_came(stdout: impl Fn() -> String, signal: i32, times: usize) {
    let came = poll(LONG, || (counts(&stdout()).get(&signal).copied().unwrap_or_default() >= times).then_some(()));
    assert!(came.is_some(), "signal {signal} has not come {times} times: {}", stdout());
}

#[test]
fn signals_reach_the_server_once_be_they_sent_to_the_tool_or_to_its_group() {
    let run = start(&[], &[]);
    let tool = run.tool_pid() as i32;
    for signal in PASSED_ON {
        for (target, times) in [(tool, 1), (-tool, 2), (tool, 3)] {
            send(target, signal);
            until_it_came(|| run.stdout(), signal, times);
        }
    }
    send(tool, libc::SIGTERM);
    let finished = run.wait();
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    let mut expected: BTreeMap<i32, usize> = PASSED_ON.map(|signal| (signal, 3)).into();
    expected.insert(libc::SIGTERM, 1);
    assert_eq!(counts(&finished.stdout), expected, "{}", finished.stderr);
    assert!(finished.stderr.contains("No requests"), "no report:\n{}", finished.stderr);
}

#[test]
fn a_server_that_reloads_at_a_hangup_goes_on_with_the_command() {
    let run = start(&[], &["--exec", "sleep 3; echo over >&2"]);
    for times in 1..=3 {
        send(run.tool_pid() as i32, libc::SIGHUP);
        until_it_came(|| run.stdout(), libc::SIGHUP, times);
    }
    let server = descendants(run.tool_pid()).into_iter().find(|pid| command_line(*pid).contains("debug/signalled"));
    assert!(server.is_some_and(is_running), "{}", run.stderr());
    // The command ends by itself, and then the server is told to.
    let finished = run.wait();
    assert!(finished.stderr.contains("over\n"), "{}", finished.stderr);
    assert_eq!(counts(&finished.stdout), [(libc::SIGHUP, 3)].into(), "{}", finished.stderr);
}

#[test]
fn a_server_that_does_not_handle_one_ends_by_it_and_is_reported() {
    for signal in [libc::SIGUSR1, libc::SIGHUP, libc::SIGALRM, 36] {
        let run = start(&["bare"], &[]);
        send(run.tool_pid() as i32, signal);
        let Finished { status, stderr, json, .. } = run.wait();
        assert_eq!(status.signal(), Some(signal), "{stderr}");
        assert!(stderr.contains("No requests") && json.is_some(), "{stderr}");
    }
}

#[test]
fn a_server_that_signals_its_group_has_its_time_to_end() {
    for group in [false, true] {
        let run = start(&["prefork"], &["--exec", "trap : TERM; sleep 1004"]);
        let tool = run.tool_pid() as i32;
        send(if group { -tool } else { tool }, libc::SIGTERM);
        let finished = run.wait();
        assert_eq!(finished.code(), 5, "{}", finished.stderr);
    }
    // Nobody has asked for its end: the run goes on until it has ended.
    let run = start(&["prefork"], &[]);
    let server = server_of(&run);
    send(server as i32, libc::SIGTERM);
    let finished = run.wait();
    assert_eq!(finished.code(), 5, "{}", finished.stderr);
}

#[test]
fn one_wish_that_comes_twice_is_one() {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        for gap in [0, 1, 3, 100] {
            let run = start(&["graceful"], &[]);
            let tool = run.tool_pid() as i32;
            send(tool, signal);
            sleep(Duration::from_millis(gap));
            send(-tool, signal);
            let finished = run.wait();
            assert_eq!(finished.code(), 5, "{gap} ms:\n{}", finished.stderr);
        }
    }
}

#[test]
fn a_later_interrupt_kills_the_server_and_a_later_sigterm_is_its_own_business() {
    let run = start(&["deaf"], &[]);
    send(run.tool_pid() as i32, libc::SIGINT);
    sleep(Duration::from_millis(600));
    send(run.tool_pid() as i32, libc::SIGINT);
    let finished = run.wait();
    assert_eq!(finished.status.signal(), Some(libc::SIGKILL), "{}", finished.stderr);

    let run = start(&["graceful"], &[]);
    send(run.tool_pid() as i32, libc::SIGTERM);
    sleep(Duration::from_millis(550));
    send(run.tool_pid() as i32, libc::SIGTERM);
    let finished = run.wait();
    assert_eq!(finished.code(), 5, "{}", finished.stderr);
}

#[test]
fn what_the_server_sends_to_its_parent_does_not_come_back() {
    let run = start(&["asks"], &[]);
    for times in 1..=3 {
        send(run.tool_pid() as i32, libc::SIGUSR2);
        until_it_came(|| run.stdout(), libc::SIGUSR2, times);
    }
    sleep(Duration::from_millis(100));
    send(run.tool_pid() as i32, libc::SIGTERM);
    let finished = run.wait();
    assert_eq!(counts(&finished.stdout), [(libc::SIGUSR2, 3), (libc::SIGTERM, 1)].into(), "{}", finished.stderr);
}

#[test]
fn a_server_that_ends_before_the_command_does_is_a_failure() {
    let run = start(&["leaves"], &["--exec", "sleep 1005"]);
    let finished = run.wait();
    finished.failed_with(97, &["the server ended before the command of --exec did: it ended with exit code 0"]);
    assert!(!finished.stderr.contains("nothing connected to the server;"), "{}", finished.stderr);
    // A command whose last deed is to end the server ends soon after it.
    let run = start(&[], &["--exec", "kill -TERM $BEYLA_PID; sleep 0.1"]);
    assert_eq!(run.wait().code(), 0);

    let folder = fixture::folder(&[]);
    let worker = folder.path().join("worker");
    let run = Run::of_workspace(workspace()).arguments(["daemon"]).environment("WORKER", &worker);
    let finished = run.flags(["--exec", "sleep 1006"]).to_end();
    let daemon = number(&worker);
    assert!(is_running(daemon), "it is not ours to end");
    send(daemon as i32, libc::SIGKILL);
    let listens = format!("process {daemon} (signalled) listens on 127.0.0.1:");
    finished.failed_with(97, &["the server ended before the command of --exec did", &listens]);
}

#[test]
fn what_the_server_has_closed_is_open_nowhere() {
    let folder = fixture::folder(&[]);
    let fifo = folder.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().expect("mkfifo").success());
    let script = format!("exec \"$@\" 9>{}", fifo.display());
    let run = Run::of_workspace(workspace()).under(["sh", "-c", &script, "sh"]).environment("CLOSED", "9");
    let run = run.flags(["--exec", "exec 9>&-; sleep 1007"]).start_alone();
    let (sender, ended) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || sender.send(fs::read(fifo)));
    let read = ended.recv_timeout(LONG).expect("its end comes");
    assert_eq!(read.expect("a pipe"), b"");
    reader.join().expect("it has ended").expect("somebody waits");
    assert!(is_running(server_of(&run)), "{}", run.stderr());
    run.interrupt();
    run.wait();
}

fn server_of(run: &Running) -> u32 {
    let is_server = |pid: &u32| command_line(*pid).contains("debug/signalled");
    poll(LONG, || descendants(run.tool_pid()).into_iter().find(is_server)).expect("a server")
}

fn gone_soon(pids: &[u32]) {
    let left = || pids.iter().filter(|pid| is_running(**pid)).map(|pid| format!("{pid} {}", command_line(*pid)));
    let gone = poll(SOON * 5, || (left().count() == 0).then_some(()));
    assert!(gone.is_some(), "left behind: {:?}", left().collect::<Vec<_>>());
}

fn number(path: &Path) -> u32 {
    poll(LONG, || fs::read_to_string(path).ok()?.trim().parse().ok()).unwrap_or_else(|| panic!("no {}", path.display()))
}

#[test]
fn no_death_of_the_tool_leaves_anything_of_a_server_behind() {
    // With the group dies all that is in it.
    for (signal, group) in [(libc::SIGKILL, false), (libc::SIGILL, false), (libc::SIGKILL, true)] {
        let folder = fixture::folder(&[]);
        let worker = folder.path().join("worker");
        let run = Run::of_workspace(workspace()).arguments(["works"]).environment("WORKER", &worker);
        let mut run = run.flags(["--exec", "sleep 1001 & sleep 1002"]).start_alone();
        let worker = number(&worker);
        let load = poll(LONG, || {
            let all = descendants(run.tool_pid());
            all.iter().any(|pid| command_line(*pid).starts_with("sleep 1001")).then_some(all)
        });
        let all = load.expect("the command runs");
        assert!(all.contains(&worker) && all.len() >= 6, "{all:?}");
        let tool = run.tool_pid() as i32;
        send(if group { -tool } else { tool }, signal);
        run.kill();
        gone_soon(&all);
    }
}

fn test(folder: &Path, filter: &str) -> Child {
    let mut command = Command::new(tool());
    command.args(["beyla", "test", "--offline", "--test", "tests", filter]).current_dir(folder);
    command.env_remove("CARGO_TARGET_DIR").process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the tool starts")
}

fn tests() -> TempDir {
    fixture::folder(&[("Cargo.toml", &manifest("signalled", "")), ("src/lib.rs", ""), ("tests/tests.rs", TESTS)])
}

#[test]
fn a_test_gets_what_is_sent_to_the_tool_and_goes_on() {
    let folder = tests();
    let child = test(folder.path(), "is_sent_one");
    assert!(poll(LONG, || folder.path().join("ready").exists().then_some(())).is_some());
    send(child.id() as i32, libc::SIGUSR1);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn no_death_of_the_tool_leaves_anything_of_a_test_behind() {
    for (signal, group) in [(libc::SIGKILL, false), (libc::SIGILL, false), (libc::SIGKILL, true)] {
        let folder = tests();
        let mut child = test(folder.path(), "starts_others");
        let left = number(&folder.path().join("left"));
        let text = poll(LONG, || fs::read_to_string(folder.path().join("test")).ok().filter(|text| text.contains(' ')));
        let text = text.expect("the test begins");
        let mut pids: Vec<u32> = text.split(' ').map(|pid| pid.parse().expect("a process id")).collect();
        pids.push(left);
        pids.extend(descendants(child.id()));
        assert!(pids.iter().all(|pid| is_running(*pid)));
        let tool = child.id() as i32;
        send(if group { -tool } else { tool }, signal);
        assert_eq!(child.wait().expect("a child").signal(), Some(signal));
        gone_soon(&pids);
    }
}

#[test]
fn signals_reach_a_binary_under_the_runner_once() {
    let mut command = Command::new(tool());
    let folder = fixture::folder(&[("stdout", "")]);
    let path = folder.path().join("stdout");
    command.arg("__runner").arg(server()).process_group(0).stdin(Stdio::null()).stderr(Stdio::null());
    let mut child = command.stdout(fs::File::create(&path).unwrap()).spawn().expect("the tool starts");
    let stdout = || fs::read_to_string(&path).expect("a file");
    assert!(poll(LONG, || stdout().starts_with("listening ").then_some(())).is_some(), "{}", stdout());
    let pid = child.id() as i32;
    for signal in PASSED_ON {
        for (target, times) in [(pid, 1), (-pid, 2)] {
            send(target, signal);
            until_it_came(stdout, signal, times);
        }
    }
    send(pid, libc::SIGTERM);
    assert_eq!(child.wait().expect("a child").code(), Some(0));
    let said = stdout();
    let mut expected: BTreeMap<i32, usize> = PASSED_ON.map(|signal| (signal, 2)).into();
    expected.insert(libc::SIGTERM, 1);
    assert_eq!(counts(&said), expected);
}

#[test]
fn one_that_watches_is_not_ended_by_what_is_not_for_it() {
    let mut server = Command::new(server());
    let mut server = server.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("a server");
    let mut stdout = BufReader::new(server.stdout.take().expect("a pipe"));
    let mut said = String::new();
    stdout.read_line(&mut said).expect("text");
    let run = Run::attach(Capture::Auto).flags(["--pid", &server.id().to_string()]).start_watching();
    for signal in PASSED_ON {
        send(run.tool_pid() as i32, signal);
    }
    send(run.tool_pid() as i32, libc::SIGTERM);
    let finished = run.wait();
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    assert!(finished.stderr.contains("No requests"), "no report:\n{}", finished.stderr);
    send(server.id() as i32, libc::SIGTERM);
    said.clear();
    stdout.read_to_string(&mut said).expect("text");
    assert_eq!(said, "got 15\n", "it was not to be touched");
    server.wait().expect("a child");
}
