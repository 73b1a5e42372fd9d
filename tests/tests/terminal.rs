//! At a terminal, and at the standard streams: keys, modes, readers that are slow or gone, escape codes.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use beyla_tests::fixture::{self, manifest};
use beyla_tests::system::{descendants, stat};
use beyla_tests::terminal::Terminal;
use beyla_tests::tool::{cargo, tool};
use beyla_tests::wait::{LONG, poll};
use tempfile::TempDir;

/// Listens, and does at the start what its argument says.
const SERVER: &str = r#"
use std::io::{Read, Write};

extern "C" {
    fn fcntl(fd: i32, command: i32, value: i32) -> i32;
}

fn main() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    match std::env::args().nth(1).as_deref() {
        Some("modes") => {
            let set = std::process::Command::new("sh").args(["-c", "stty -echo </dev/tty && stty echo </dev/tty"]).status();
            println!("modes set: {}", set.unwrap().success());
        }
        Some("nonblocking") => for fd in [1, 2] { unsafe { fcntl(fd, 4, 0o4000) }; },
        _ => {}
    }
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello");
    }
}
"#;

const TESTS: &str = r#"
use std::process::Command;
use std::time::Duration;

fn shell(script: &str) {
    assert!(Command::new("sh").args(["-c", script]).status().unwrap().success(), "{script}");
}

#[test] fn sets_the_mode() { shell("stty -echo </dev/tty && stty echo </dev/tty"); }
#[test] fn leaves() { shell("sleep 1000 & echo $! >left"); }
#[test] fn hangs() { shell("echo $$ >hangs; exec sleep 1000"); }
#[test] fn stops_itself() { shell("echo $$ >stops; kill -STOP $$"); }
#[test] fn counts_for_two_seconds() {
    for _ in 0..20 {
        std::fs::write("counted", "").unwrap();
        std::thread::sleep(Duration::from_millis(100));
    }
}
"#;

fn workspace() -> &'static Path {
    static WORKSPACE: OnceLock<TempDir> = OnceLock::new();
    let folder = WORKSPACE.get_or_init(|| {
        let folder = fixture::folder(&[
            ("Cargo.toml", &manifest("shown", "")),
            ("src/main.rs", SERVER),
            ("tests/tests.rs", TESTS),
        ]);
        for arguments in [&["build"][..], &["test", "--no-run"]] {
            let mut command = Command::new(cargo());
            let built = command.args(arguments).env_remove("CARGO_TARGET_DIR").current_dir(folder.path()).status();
            assert!(built.expect("cargo runs").success());
        }
        folder
    });
    folder.path()
}

/// A command line of the tool in the workspace.
fn line(arguments: &str) -> String {
    format!("cd {} && unset CARGO_TARGET_DIR\n{} beyla {arguments}", workspace().display(), tool().display())
}

fn is_stopped(pid: u32) -> bool {
    stat(pid).is_some_and(|stat| stat.state == 'T')
}

/// The tool, below the shell of a terminal.
fn tool_of(terminal: &Terminal) -> u32 {
    let is_tool = |pid: &u32| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|path| path == tool());
    let tool = poll(LONG, || descendants(terminal.pid()).into_iter().find(is_tool));
    tool.unwrap_or_else(|| panic!("no tool:\n{}", terminal.shown()))
}

fn number(name: &str) -> u32 {
    let path = workspace().join(name);
    let number = poll(LONG, || fs::read_to_string(&path).ok()?.trim().parse().ok());
    number.unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn the_mode_of_the_terminal_can_be_set() {
    let script = line("test sets_the_mode --timeout 20s; echo \"ended $?\"");
    let (_, shown) = Terminal::script(&script, &[]).end();
    assert!(shown.contains("1 passed") && shown.contains("ended 0"), "{shown}");
    // The server's standard output goes by as it comes.
    let exec = "stty -echo </dev/tty && stty echo </dev/tty && echo the command too; curl -s $BEYLA_URL >/dev/null";
    let script = line(&format!("run --exec '{exec}' -- modes; echo \"ended $?\""));
    let (_, shown) = Terminal::script(&script, &[]).end();
    for part in ["modes set: true", "the command too", "1 request in", "ended 0"] {
        assert!(shown.contains(part), "{part} is not in:\n{shown}");
    }
}

#[test]
fn the_first_interrupt_ends_tests() {
    for (test, file) in [("hangs", "hangs"), ("stops_itself", "stops")] {
        let _ = fs::remove_file(workspace().join(file));
        let mut terminal = Terminal::script(&line(&format!("test {test}; echo \"ended $?\"")), &[]);
        let pid = number(file);
        terminal.press("\x03");
        let (_, shown) = terminal.end();
        assert!(shown.contains("SIGINT") && shown.contains("ended 130"), "{shown}");
        assert!(poll(LONG, || stat(pid).is_none_or(|stat| stat.state == 'Z').then_some(())).is_some(), "{pid} lives");
    }
}

#[test]
fn what_tests_leave_behind_is_found_at_a_terminal_too() {
    let _ = fs::remove_file(workspace().join("left"));
    let (_, shown) = Terminal::script(&line("test leaves; echo \"ended $?\""), &[]).end();
    assert!(shown.contains("left processes behind, which were killed") && shown.contains("ended 0"), "{shown}");
    let left = number("left");
    assert!(poll(LONG, || stat(left).is_none_or(|stat| stat.state == 'Z').then_some(())).is_some(), "{left} lives");
}

#[test]
fn stopped_and_continued_tests_have_no_longer_taken_the_time_between() {
    let _ = fs::remove_file(workspace().join("counted"));
    let command = "test counts_for_two_seconds --timeout 4s --json stopped.json";
    let script = line(&format!("{command}; echo \"stopped $?\"; sleep 6; fg; echo \"ended $?\""));
    let mut terminal = Terminal::script(&script, &[]);
    assert!(poll(LONG, || workspace().join("counted").exists().then_some(())).is_some(), "{}", terminal.shown());
    terminal.press("\x1a");
    terminal.until("stopped 148");
    let tool = tool_of(&terminal);
    let others = descendants(tool);
    let stopped = || [tool].iter().chain(&others).filter(|pid| is_stopped(**pid)).count();
    // The tool and the test; the helper and the guard have to outlive whatever happens.
    assert!(poll(LONG, || (stopped() == 2).then_some(())).is_some(), "{} of {others:?}", stopped());
    let (_, shown) = terminal.end();
    assert!(shown.contains("1 passed") && shown.contains("ended 0"), "{shown}");
    let report = fs::read_to_string(workspace().join("stopped.json")).expect("a report");
    let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
    for ns in [&report["tests"][0]["duration_ns"], &report["duration_ns"]] {
        let seconds = ns.as_u64().expect("nanoseconds") as f64 / 1e9;
        // What `sleep` slept while it was stopped it has slept.
        assert!((1.0..6.0).contains(&seconds), "{seconds} s of {ns}");
    }
}

#[test]
fn a_server_is_stopped_and_continued_with_the_tool() {
    let script =
        line("run --duration 3s --json stopped-server.json; echo \"stopped $?\"; sleep 5; fg; echo \"ended $?\"");
    let mut terminal = Terminal::script(&script, &[]);
    terminal.until("Listening");
    terminal.press("\x1a");
    terminal.until("stopped 148");
    let tool = tool_of(&terminal);
    let server = descendants(tool).into_iter().find(|pid| is_stopped(*pid));
    assert!(server.is_some() && is_stopped(tool), "{}", terminal.shown());
    let (_, shown) = terminal.end();
    assert!(shown.contains("ended 0"), "{shown}");
    let report = fs::read_to_string(workspace().join("stopped-server.json")).expect("a report");
    let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
    let seconds = report["duration_ns"].as_u64().expect("nanoseconds") as f64 / 1e9;
    assert!((2.5..5.0).contains(&seconds), "{seconds} s");
}

/// A run of a server that has made both streams non-blocking, with many rows in the report.
fn nonblocking() -> Command {
    let mut command = Command::new(tool());
    let exec = "for i in $(seq 60); do curl -s $BEYLA_URL/$i-$(printf %0200d $i) >/dev/null; done";
    command.args(["beyla", "run", "--slowest", "500", "--json", "-", "--exec", exec, "--", "nonblocking"]);
    command.current_dir(workspace()).env_remove("CARGO_TARGET_DIR").stdin(Stdio::null());
    command
}

#[test]
fn a_slow_reader_gets_all_though_the_server_made_the_streams_nonblocking() {
    let mut child = nonblocking().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the tool starts");
    let slow = |mut pipe: Box<dyn std::io::Read + Send>| {
        std::thread::spawn(move || {
            let (mut all, mut piece) = (Vec::new(), [0; 512]);
            while let Ok(count @ 1..) = pipe.read(&mut piece) {
                all.extend_from_slice(&piece[..count]);
                std::thread::sleep(Duration::from_millis(2));
            }
            String::from_utf8(all).expect("text")
        })
    };
    let pipes = (child.stdout.take().expect("a pipe"), child.stderr.take().expect("a pipe"));
    // So that there is as little room as may be.
    for fd in [pipes.0.as_raw_fd(), pipes.1.as_raw_fd()] {
        // SAFETY: numbers; the descriptor is open.
        assert!(unsafe { libc::fcntl(fd, libc::F_SETPIPE_SZ, 4096) } >= 4096);
    }
    let (stdout, stderr) = (slow(Box::new(pipes.0)), slow(Box::new(pipes.1)));
    let status = child.wait().expect("a child");
    let (stdout, stderr) = (stdout.join().expect("text"), stderr.join().expect("text"));
    assert!(status.success(), "{status}:\n{stderr}");
    let report: serde_json::Value = serde_json::from_str(&stdout).expect("a whole report");
    assert_eq!(report["totals"]["requests"], 60);
    assert!((1..=60).all(|number| stderr.contains(&format!("GET /{number}-"))), "{stderr}");
}

#[test]
fn a_reader_that_is_gone_is_an_error_that_is_said() {
    let mut child = nonblocking().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the tool starts");
    drop(child.stdout.take());
    let mut stderr = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut stderr).expect("text");
    assert_eq!(child.wait().expect("a child").code(), Some(98), "{stderr}");
    assert!(stderr.contains("60 requests in") && stderr.contains("could not write stdout: Broken pipe"), "{stderr}");

    let mut child = nonblocking().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the tool starts");
    // Not before the server listens: cargo, which writes there as well, fails when it cannot.
    let mut stderr = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    assert!(stderr.any(|line| line.expect("text").contains("Listening")));
    drop(stderr);
    let mut stdout = String::new();
    child.stdout.take().expect("a pipe").read_to_string(&mut stdout).expect("text");
    // The one report is whole; that the other is lost, nobody but the exit code can say.
    assert_eq!(child.wait().expect("a child").code(), Some(98));
    let report: serde_json::Value = serde_json::from_str(&stdout).expect("a whole report");
    assert_eq!(report["totals"]["requests"], 60);
}

/// Whether each subcommand writes escape codes to a terminal with these variables, and to a pipe.
fn escapes(environment: &[(&str, &str)], flag: &str) -> Vec<(bool, bool)> {
    let base = ["TERM", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "CARGO_TERM_COLOR"];
    let commands = ["doctor", "run --help", "run --nonsense", "report nothing.beyla", "attach --pid 999999999"];
    let commands = commands.iter().map(|command| {
        let mut words: Vec<&str> = command.split(' ').collect();
        words.extend(flag.split(' ').filter(|word| !word.is_empty()));
        let make = || {
            let mut command = Command::new(tool());
            command.arg("beyla").args(&words).current_dir(workspace()).stdin(Stdio::null());
            for name in base {
                command.env_remove(name);
            }
            command.envs(environment.iter().copied());
            command
        };
        let (_, shown) = Terminal::start(make()).end();
        let piped = make().output().expect("it runs");
        let piped = [piped.stdout, piped.stderr].concat();
        assert!(!shown.is_empty() && !piped.is_empty(), "{words:?}");
        (shown.contains('\x1b'), piped.contains(&b'\x1b'))
    });
    commands.collect()
}

#[test]
fn escape_codes_are_written_where_the_conventions_want_them() {
    const XTERM: (&str, &str) = ("TERM", "xterm");
    for (environment, flag, expected) in [
        (&[XTERM][..], "", (true, false)),
        (&[("TERM", "dumb")], "", (false, false)),
        (&[], "", (false, false)),
        (&[XTERM, ("NO_COLOR", "1")], "", (false, false)),
        (&[XTERM, ("CLICOLOR", "0")], "", (false, false)),
        (&[XTERM, ("CLICOLOR_FORCE", "1")], "", (true, true)),
        (&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], "", (false, false)),
        (&[XTERM, ("CARGO_TERM_COLOR", "never")], "", (false, false)),
        (&[("TERM", "dumb"), ("CARGO_TERM_COLOR", "always")], "", (true, true)),
        (&[XTERM, ("CLICOLOR_FORCE", "1")], "--color never", (false, false)),
        (&[("NO_COLOR", "1")], "--color=always", (true, true)),
    ] {
        let escapes = escapes(environment, flag);
        assert!(escapes.iter().all(|found| *found == expected), "{environment:?} {flag}: {escapes:?}");
    }
}

#[test]
fn a_dumb_terminal_gets_a_whole_run_without_escape_codes() {
    for (term, color, has_escapes) in
        [("dumb", "", false), ("xterm", "", true), ("xterm", "--color=never", false), ("dumb", "--color=always", true)]
    {
        for command in ["run --exec 'curl -s $BEYLA_URL/; sleep 0.5'", "test sets_the_mode"] {
            let (_, shown) = Terminal::script(&line(&format!("{command} {color}")), &[("TERM", term)]).end();
            // Cargo's lines are as ours are.
            for word in ["Finished", "Attached"] {
                let line = shown.lines().find(|line| line.contains(word)).unwrap_or_else(|| panic!("{shown:?}"));
                assert_eq!(line.contains('\x1b'), has_escapes, "{term} {command} {color}:\n{shown:?}");
            }
            // The status line of a better terminal moves the cursor.
            assert!(has_escapes || term != "dumb" || !shown.contains('\x1b'), "{term} {command} {color}:\n{shown:?}");
        }
    }
}
