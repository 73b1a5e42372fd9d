//! However the tool ends, nothing of it stays behind.

use std::collections::BTreeSet;

use beyla_tests::client::get;
use beyla_tests::fixture::{self, manifest};
use beyla_tests::odd::{ODD_SERVER, playing};
use beyla_tests::run::{Capture, Run, Running, SOON};
use beyla_tests::system::{command_line, descendants, is_running, loaded_programs, programs_held_by};
use beyla_tests::wait::{LONG, poll};

/// What the run holds: its processes, and the programs that they have loaded.
struct Held {
    processes: Vec<u32>,
    programs: BTreeSet<u32>,
}

impl Held {
    /// Waits until the probes are there.
    fn by(run: &Running) -> Self {
        poll(LONG, || {
            let processes = descendants(run.tool_pid());
            let holders = processes.iter().chain([&run.tool_pid()]).copied().collect::<Vec<_>>();
            let programs: BTreeSet<u32> = holders.into_iter().flat_map(programs_held_by).collect();
            (!programs.is_empty()).then_some(Self { processes, programs })
        })
        .expect("programs are loaded")
    }

    fn left(&self) -> Vec<String> {
        let processes = self.processes.iter().filter(|pid| is_running(**pid));
        let processes = processes.map(|pid| format!("{pid} {}", command_line(*pid)));
        let programs = loaded_programs().into_iter().filter(|program| self.programs.contains(&program.id));
        processes.chain(programs.map(|program| format!("{program:?}"))).collect()
    }

    fn is_gone_soon(&self) {
        let gone = poll(SOON, || self.left().is_empty().then_some(())).is_some();
        assert!(gone, "left behind: {:#?}", self.left());
    }
}

fn server_of(run: &Running) -> u32 {
    let is_server = |pid: &u32| command_line(*pid).split(' ').next().is_some_and(|name| name.ends_with("/odd_server"));
    poll(LONG, || descendants(run.tool_pid()).into_iter().find(is_server)).expect("a server")
}

#[test]
fn killed_while_the_server_listens() {
    for capture in [Capture::Socket, Capture::Syscalls] {
        let mut run = playing(capture, &["head", "send:HTTP/1.1 100 Continue\r\n\r\n", "hang"]);
        let mut client = run.connect();
        client.send(get("/open")).until("\r\n\r\n");
        let held = Held::by(&run);
        assert!(held.processes.contains(&run.server_pid) && is_running(run.server_pid));
        run.kill();
        held.is_gone_soon();
        assert!(client.rest().is_empty());
    }
}

#[test]
fn killed_before_the_server_listens() {
    for capture in [Capture::Socket, Capture::Syscalls] {
        let mut run = Run::of(ODD_SERVER, capture).start_alone();
        let server = server_of(&run);
        let held = Held::by(&run);
        run.kill();
        held.is_gone_soon();
        assert!(!is_running(server));
    }
}

fn is_build(command_line: &str) -> bool {
    let program = command_line.split(' ').next().and_then(|path| path.rsplit('/').next());
    program.is_some_and(|name| ["cargo", "rustc", "cc", "ld"].contains(&name))
}

#[test]
fn killed_at_any_time_of_the_start() {
    // From the first look at the workspace to well after the server listens.
    for delay in (0..40).map(|step| std::time::Duration::from_millis(step * 20)) {
        let mut run = Run::of(ODD_SERVER, Capture::Socket).arguments(["--listen", "tcp4", "--"]).start_alone();
        std::thread::sleep(delay);
        let processes = descendants(run.tool_pid());
        let programs = processes.iter().copied().flat_map(programs_held_by).collect();
        // Cargo may bring its build to an end, as it does when a terminal goes away.
        let ours = |pid: &u32| !is_build(&command_line(*pid));
        let held = Held { processes: processes.into_iter().filter(ours).collect(), programs };
        run.kill();
        held.is_gone_soon();
    }
}

/// A build script that runs until the folder has a file `over`, and not for ever.
const SLOW_BUILD: &str = r#"
fn main() {
    std::fs::write("begun", "").unwrap();
    for _ in 0..600 {
        if std::path::Path::new("over").exists() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}
"#;

#[test]
fn no_death_during_the_build_leaves_cargo_behind() {
    for signal in [libc::SIGTERM, libc::SIGHUP, libc::SIGKILL] {
        let folder = fixture::folder(&[
            ("Cargo.toml", &manifest("slow", "build = \"build.rs\"")),
            ("build.rs", SLOW_BUILD),
            ("src/main.rs", "fn main() {}"),
        ]);
        let mut run = Run::of_workspace(folder.path()).start_alone();
        let begun = poll(LONG * 2, || folder.path().join("begun").exists().then_some(()));
        assert!(begun.is_some(), "{}", run.stderr());
        let mut processes = descendants(run.tool_pid());
        // The script itself is left, as it is under cargo.
        processes.retain(|pid| !command_line(*pid).contains("build-script"));
        assert!(processes.iter().any(|pid| is_build(&command_line(*pid))), "{processes:?}");
        // SAFETY: two numbers; the process is a child of this test that was not waited for.
        assert_eq!(unsafe { libc::kill(run.tool_pid() as i32, signal) }, 0);
        run.kill();
        let held = Held { processes, programs: BTreeSet::new() };
        held.is_gone_soon();
        std::fs::write(folder.path().join("over"), "").expect("a file");
    }
}

#[test]
fn after_a_run_nothing_is_left() {
    for capture in [Capture::Socket, Capture::Syscalls] {
        let run = playing(capture, &["head", "send:HTTP/1.1 204 No Content\r\n\r\n"]);
        let held = Held::by(&run);
        run.stop();
        held.is_gone_soon();
    }
}

#[test]
fn a_helper_that_dies_does_not_take_the_server_with_it_unheard() {
    let run = playing(Capture::Socket, &["head", "send:HTTP/1.1 204 No Content\r\n\r\n"]);
    let helper = descendants(run.tool_pid()).into_iter().find(|pid| command_line(*pid).contains("__probe"));
    let helper = helper.expect("a helper");
    // SAFETY: a number and a number; the process is a child of the tool that this test has started.
    assert_eq!(unsafe { libc::kill(helper as i32, libc::SIGKILL) }, 0);
    let finished = run.let_go();
    assert_ne!(finished.code(), 0, "a run without its probes is no success:\n{}", finished.stderr);
}
