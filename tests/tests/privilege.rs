//! Who runs what: the probes alone have privilege, all else is the user's.
//!
//! These make a user of the system for the time of a test; they need root.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use beyla_tests::client::get;
use beyla_tests::fixture::{self, HELLO_SERVER, manifest};
use beyla_tests::rows::complete;
use beyla_tests::run::{Capture, Run, SOON};
use beyla_tests::system::{descendants, is_running, loaded_programs, programs_held_by};
use beyla_tests::tool::tool;
use beyla_tests::wait::poll;

/// So that a run which should not have come about comes to its end.
const TRUE: [&str; 2] = ["--exec", "true"];
const BOTH: [Capture; 2] = [Capture::Socket, Capture::Syscalls];

/// A user with a project, a toolchain and the tool in the home folder; gone when dropped.
struct User {
    name: String,
    uid: u32,
    home: PathBuf,
}

impl User {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        // SAFETY: it has no conditions.
        assert_eq!(unsafe { libc::geteuid() }, 0, "these tests make users, and so must run as root");
        let name = format!("beyla{}x{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        run(Command::new("useradd").args(["--create-home", "--shell", "/bin/sh", &name]));
        let home = PathBuf::from("/home").join(&name);
        let uid = fs::metadata(&home).expect("a home").uid();
        let user = Self { name, uid, home };
        fixture::write(
            &user.home,
            &[("hello/Cargo.toml", &manifest("hello", "")), ("hello/src/main.rs", HELLO_SERVER)],
        );
        fs::create_dir_all(user.home.join("toolchain")).expect("a folder");
        fs::create_dir_all(user.home.join(".cargo/bin")).expect("a folder");
        for program in ["cargo", "rustc"] {
            let link = user.home.join(".cargo/bin").join(program);
            symlink(user.home.join("toolchain/bin").join(program), link).expect("a link");
        }
        fixture::copy_executable(tool(), &user.tool());
        run(Command::new("chown").arg("-R").arg(format!("{0}:{0}", user.name)).arg(&user.home));
        user
    }

    fn may_use_sudo(self) -> Self {
        let rule = format!("{} ALL=(ALL) NOPASSWD: ALL\n", self.name);
        fs::write(self.sudo_rule(), rule).expect("a rule");
        fs::set_permissions(self.sudo_rule(), Permissions::from_mode(0o440)).expect("permissions");
        self
    }

    fn sudo_rule(&self) -> PathBuf {
        Path::new("/etc/sudoers.d").join(&self.name)
    }

    fn tool(&self) -> PathBuf {
        self.home.join("cargo-beyla")
    }

    fn project(&self) -> PathBuf {
        self.home.join("hello")
    }

    /// Puts a command into the user's hands, in the mount namespace where our toolchain lies in the
    /// user's home as well: root's own is closed to others.
    fn runs(&self, path: &str, command: &[&str]) -> Vec<String> {
        let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output().expect("rustc runs").stdout;
        let sysroot = String::from_utf8(sysroot).expect("a path");
        let home = self.home.display().to_string();
        let script = r#"mount --bind "$1" "$2"; shift 2; exec "$@""#;
        let toolchain = format!("{home}/toolchain");
        let (home_set, path_set) = (format!("HOME={home}"), format!("PATH={path}"));
        ["unshare", "--mount", "sh", "-ec", script, "sh", sysroot.trim(), &toolchain]
            .into_iter()
            .chain(["runuser", "-u", &self.name, "--", "/usr/bin/env", "-i", &home_set, &path_set])
            .chain(command.iter().copied())
            .map(str::to_owned)
            .collect()
    }

    fn usual_path(&self) -> String {
        format!("{}/.cargo/bin:/usr/local/bin:/usr/bin:/bin", self.home.display())
    }

    fn run(&self, capture: Capture, wrapper: Vec<String>) -> Run {
        Run::of_workspace(&self.project()).flags(["--capture", capture.flag()]).with_tool(self.tool()).under(wrapper)
    }

    /// One request; then everything below the project must belong to the user.
    fn traces_hello(&self, run: Run) {
        let run = run.start();
        assert_eq!(run.connect().get("/").body, b"hello");
        assert_eq!(fs::metadata(format!("/proc/{}", run.server_pid)).expect("a server").uid(), self.uid);
        let report = run.stop();
        report.check();
        let header = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\n".len();
        assert_eq!(report.rows(), [complete("GET /", (get("/").len(), 0), 200, (header, 5))]);
        assert!(self.project().join("target/debug/hello").exists());
        assert_eq!(foreign(&self.project(), self.uid), Vec::<PathBuf>::new());
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.sudo_rule());
        let _ = Command::new("userdel").args(["--remove", "--force", &self.name]).output();
    }
}

fn run(command: &mut Command) {
    let output = command.output().expect("the program is there");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// What below `folder` belongs to somebody else.
fn foreign(folder: &Path, uid: u32) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let metadata = fs::symlink_metadata(&path).expect("metadata");
        if metadata.uid() != uid {
            found.push(path.clone());
        }
        if metadata.is_dir() {
            found.extend(foreign(&path, uid));
        }
    }
    found
}

#[test]
fn a_user_with_sudo() {
    let user = User::new().may_use_sudo();
    for capture in BOTH {
        user.traces_hello(user.run(capture, user.runs(&user.usual_path(), &[])));
    }
}

#[test]
fn the_whole_under_sudo_is_still_the_users() {
    let user = User::new().may_use_sudo();
    // As cargo sets it for its subcommands.
    let cargo = format!("CARGO={}/toolchain/bin/cargo", user.home.display());
    for capture in BOTH {
        let wrapper = user.runs(&user.usual_path(), &["sudo", "-n", "env", &cargo]);
        user.traces_hello(user.run(capture, wrapper));
    }
}

/// Says whose it is, and what it cannot do.
const USERS_TEST: &str = r#"
use std::os::unix::fs::MetadataExt;

#[test]
fn is_the_users() {
    let uid = std::fs::metadata("/proc/self").unwrap().uid().to_string();
    assert_eq!(Some(uid), std::env::var("EXPECTED_UID").ok());
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    assert!(status.contains("SigBlk:\t0000000000000000"), "{status}");
    assert!(std::fs::write("written-by-test", "").is_ok());
}
"#;

#[test]
fn tests_under_sudo_are_still_the_users() {
    let user = User::new().may_use_sudo();
    fixture::write(&user.project(), &[("tests/user.rs", USERS_TEST)]);
    run(Command::new("chown").arg("-R").arg(format!("{0}:{0}", user.name)).arg(user.project()));
    let cargo = format!("CARGO={}/toolchain/bin/cargo", user.home.display());
    let uid = format!("EXPECTED_UID={}", user.uid);
    let words = user.runs(&user.usual_path(), &["sudo", "-n", "env", &cargo, &uid]);
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).arg(user.tool()).args(["beyla", "test", "--offline", "--manifest-path"]);
    run(command.arg(user.project().join("Cargo.toml")));
    assert!(user.project().join("written-by-test").exists());
    assert_eq!(foreign(&user.project(), user.uid), Vec::<PathBuf>::new());
}

#[test]
fn a_user_without_sudo_is_told() {
    let user = User::new();
    let finished = user.run(Capture::Socket, user.runs(&user.usual_path(), &[])).flags(TRUE).to_end();
    finished.failed_with(96, &["error: tracing needs CAP_BPF and CAP_PERFMON", "hint: "]);
    assert!(finished.json.is_none());
}

#[test]
fn what_cannot_be_traced_for_cargo_runs_nevertheless() {
    let user = User::new();
    for (arguments, stderr) in [
        (&["-c", "echo ran; exit 3"][..], Some("warning: sh is not traced: tracing needs CAP_BPF and CAP_PERFMON")),
        (&["-c", "echo ran; exit 3", "--list"], None),
    ] {
        let words = user.runs(&user.usual_path(), &[]);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg(user.tool()).args(["__runner", "/bin/sh"]).args(arguments);
        let output = command.output().expect("it runs");
        assert_eq!((output.status.code(), &output.stdout[..]), (Some(3), &b"ran\n"[..]), "{output:?}");
        let said = String::from_utf8(output.stderr).expect("text");
        assert_eq!(said.lines().count(), usize::from(stderr.is_some()), "{said}");
        assert!(stderr.is_none_or(|stderr| said.starts_with(stderr)), "{said}");
    }
}

#[test]
fn a_machine_without_sudo_is_told() {
    let user = User::new();
    // All that a build needs, and no more.
    let programs = user.home.join("programs");
    fs::create_dir(&programs).unwrap();
    for program in ["cc", "ld", "sh"] {
        symlink(Path::new("/usr/bin").join(program), programs.join(program)).unwrap();
    }
    let path = format!("{0}/.cargo/bin:{0}/programs", user.home.display());
    let finished = user.run(Capture::Socket, user.runs(&path, &[])).flags(TRUE).to_end();
    finished.failed_with(96, &["error: tracing needs CAP_BPF and CAP_PERFMON", "sudo", "hint: "]);
}

#[test]
fn a_helper_behind_sudo_ends_with_the_tool() {
    let user = User::new().may_use_sudo();
    for capture in BOTH {
        let run = user.run(capture, user.runs(&user.usual_path(), &[])).start();
        // The wrapper's programs become one another, and some of them wait for their child; helper and
        // tool are one program, and the tool is the one that comes first.
        let processes = [vec![run.tool_pid()], descendants(run.tool_pid())].concat();
        let is_tool = |pid: &u32| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == user.tool());
        let tool = processes.into_iter().find(is_tool).expect("the tool");
        let held = descendants(tool);
        let programs: Vec<u32> = held.iter().copied().flat_map(programs_held_by).collect();
        assert!(!programs.is_empty() && held.contains(&run.server_pid));
        // SAFETY: a number and a number; the process is one that this test has started.
        assert_eq!(unsafe { libc::kill(tool as i32, libc::SIGKILL) }, 0);
        let left = || -> Vec<String> {
            let processes = held.iter().filter(|pid| is_running(**pid)).map(ToString::to_string);
            let programs = loaded_programs().into_iter().filter(|program| programs.contains(&program.id));
            processes.chain(programs.map(|program| program.name)).collect()
        };
        assert!(poll(SOON, || left().is_empty().then_some(())).is_some(), "left behind: {:?}", left());
    }
}
