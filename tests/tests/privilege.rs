//! Who runs what: the probes alone have privilege, all else is the user's.
//!
//! These make a user of the system for the time of a test; they need root.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use beyla_tests::client::get;
use beyla_tests::fixture::{self, HELLO_SERVER, manifest};
use beyla_tests::rows::complete;
use beyla_tests::run::{Capture, Run, SOON};
use beyla_tests::system::{descendants, is_running, loaded_programs, programs_held_by};
use beyla_tests::tool::{build, tool};
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
        // Debug information makes each copy many times as large, and nobody debugs them.
        for (built, copy) in [(tool(), user.tool()), (helper(), user.home.join("beyla-probe"))] {
            run(Command::new("objcopy").arg("--strip-debug").arg(built).arg(copy));
        }
        run(Command::new("chown").arg("-R").arg(format!("{0}:{0}", user.name)).arg(&user.home));
        user
    }

    fn may_use_sudo(self) -> Self {
        self.with_sudo_rule("ALL=(ALL) NOPASSWD: ALL")
    }

    /// What sudo allows this user, and lines beside that begin with `Defaults`.
    fn with_sudo_rule(self, rule: &str) -> Self {
        let name = &self.name;
        let lines: Vec<String> = rule
            .lines()
            .map(|line| match line.strip_prefix("Defaults") {
                Some(settings) => format!("Defaults:{name}{settings}\n"),
                None => format!("{name} {line}\n"),
            })
            .collect();
        // Under its name sudo would read it while it is half written.
        let new = self.home.join("rule");
        fs::write(&new, lines.concat()).expect("a rule");
        fs::set_permissions(&new, Permissions::from_mode(0o440)).expect("permissions");
        run(Command::new("visudo").arg("-cqf").arg(&new));
        fs::copy(&new, self.sudo_rule().with_extension("new")).expect("a copy");
        fs::rename(self.sudo_rule().with_extension("new"), self.sudo_rule()).expect("one file system");
        self
    }

    fn with_password(self, password: &str) -> Self {
        let mut chpasswd = Command::new("chpasswd").stdin(Stdio::piped()).spawn().expect("chpasswd is there");
        let line = format!("{}:{password}\n", self.name);
        chpasswd.stdin.take().expect("a pipe").write_all(line.as_bytes()).expect("it reads");
        assert!(chpasswd.wait().expect("a child").success());
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
        self.runs_after("", path, command)
    }

    /// As [`Self::runs`], after root has run a script there: `$TOOL` is the user's, `$GROUP` the user's group, and
    /// nobody else has what lies in `/usr/local`.
    fn runs_after(&self, script: &str, path: &str, command: &[&str]) -> Vec<String> {
        let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output().expect("rustc runs").stdout;
        let sysroot = String::from_utf8(sysroot).expect("a path");
        let home = self.home.display().to_string();
        let (tool, name) = (self.tool(), &self.name);
        let script = format!(
            "mount --bind \"$1\" \"$2\"; shift 2; mount -t tmpfs none /usr/local\nTOOL={} GROUP={name}\n{script}\nexec \"$@\"",
            tool.display()
        );
        let toolchain = format!("{home}/toolchain");
        let (home_set, path_set) = (format!("HOME={home}"), format!("PATH={path}"));
        ["unshare", "--mount", "sh", "-ec", &script, "sh", sysroot.trim(), &toolchain]
            .into_iter()
            .chain(["runuser", "-u", &self.name, "--", "/usr/bin/env", "-i", &home_set, &path_set])
            .chain(command.iter().copied())
            .map(str::to_owned)
            .collect()
    }

    fn usual_path(&self) -> String {
        format!("{}/.cargo/bin:/usr/local/bin:/usr/bin:/bin", self.home.display())
    }

    /// Types a command on a terminal of the user's, and the password as often as it is asked for; returns the exit
    /// code, and all that was to be seen.
    fn types(&self, command: &str, password: &str) -> (i32, String) {
        let words =
            self.runs(&self.usual_path(), &["script", "--quiet", "--return", "--command", command, "/dev/null"]);
        let mut script = Command::new(&words[0]);
        script.args(&words[1..]).current_dir(&self.home).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut script = script.spawn().expect("script is there");
        let (mut keys, mut screen) = (script.stdin.take().expect("a pipe"), script.stdout.take().expect("a pipe"));
        let (mut seen, mut asked, mut buffer) = (String::new(), 0, [0; 4096]);
        loop {
            let count = screen.read(&mut buffer).expect("a pipe");
            if count == 0 {
                break;
            }
            seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
            // What is typed before the question is thrown away.
            while asked < seen.matches("[sudo] password for").count() {
                asked += 1;
                keys.write_all(format!("{password}\n").as_bytes()).expect("it reads");
            }
        }
        (script.wait().expect("a child").code().expect("an exit code"), seen)
    }

    /// A run on a terminal that sends one request.
    fn types_a_run(&self, password: &str) -> (i32, String) {
        let (tool, project) = (self.tool(), self.project());
        let manifest = project.join("Cargo.toml");
        let command = format!(
            "{} beyla run --manifest-path {} --exec 'curl -sS $BEYLA_URL/'",
            tool.display(),
            manifest.display()
        );
        self.types(&command, password)
    }

    fn run(&self, capture: Capture, wrapper: Vec<String>) -> Run {
        Run::of_workspace(&self.project()).flags(["--capture", capture.flag()]).with_tool(self.tool()).under(wrapper)
    }

    fn has_built(&self) -> bool {
        self.project().join("target").exists()
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

/// The helper as a program of its own, built once in a process.
fn helper() -> &'static Path {
    static HELPER: OnceLock<PathBuf> = OnceLock::new();
    HELPER.get_or_init(|| build("cargo-beyla", "beyla-probe"))
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
    finished.failed_with(96, &["error: tracing needs CAP_BPF and CAP_PERFMON", "a password is required", "hint: "]);
    assert!(finished.json.is_none());
    assert!(!user.has_built());
}

#[test]
fn sudo_may_allow_the_helper_alone() {
    let user = User::new();
    let rule = format!("ALL=(root) NOPASSWD: {} __probe", user.tool().display());
    let user = user.with_sudo_rule(&rule);
    for capture in BOTH {
        user.traces_hello(user.run(capture, user.runs(&user.usual_path(), &[])));
    }
    let user = user.with_sudo_rule("ALL=(root) NOPASSWD: /bin/true");
    let finished = user.run(Capture::Socket, user.runs(&user.usual_path(), &[])).flags(TRUE).to_end();
    finished.failed_with(96, &["sudo does not start the probe helper, and says: a password is required", "__probe"]);
}

#[test]
fn sudo_may_ask_each_time() {
    let user = User::new().with_password("right").with_sudo_rule("Defaults timestamp_timeout=0\nALL=(root) ALL");
    let (code, seen) = user.types_a_run("right");
    assert_eq!((code, seen.matches("[sudo] password for").count()), (0, 1), "{seen}");
    assert!(seen.contains("1 request"), "{seen}");
}

#[test]
fn sudo_says_itself_why_it_refuses() {
    let user = User::new().with_password("right").with_sudo_rule("Defaults passwd_tries=1\nALL=(root) /bin/true");
    let (code, seen) = user.types_a_run("right");
    assert_eq!(code, 96, "{seen}");
    assert!(seen.contains("is not allowed to execute"), "{seen}");
    assert!(seen.contains("tracing needs CAP_BPF and CAP_PERFMON, and sudo does not start"), "{seen}");
    assert!(user.types_a_run("wrong").1.contains("incorrect password"));
    assert!(!user.has_built());
}

#[test]
fn what_no_privilege_can_cure_is_said_before_the_build() {
    let user = User::new().may_use_sudo();
    for (wrapper, reason) in [
        (&["setpriv", "--no-new-privs"][..], "and the no-new-privileges flag is set"),
        (&["unshare", "--user", "--map-root-user"], "and this is a user namespace, whose capabilities do not count"),
    ] {
        let finished = user.run(Capture::Auto, user.runs(&user.usual_path(), wrapper)).flags(TRUE).to_end();
        finished.failed_with(96, &["error: tracing needs CAP_BPF and CAP_PERFMON", reason, "hint: "]);
        let words = user.runs(&user.usual_path(), wrapper);
        let mut doctor = Command::new(&words[0]);
        doctor.args(&words[1..]).arg(user.tool()).arg("doctor");
        let doctor = String::from_utf8(doctor.output().expect("it runs").stdout).expect("text");
        let reason = reason.strip_prefix("and ").expect("a clause");
        assert!(doctor.contains(&format!("missing  privilege     {reason}")), "{doctor}");
    }
    assert!(!user.has_built());
}

/// What an administrator types.
const SET_UP: &str = "$TOOL doctor --setup --group $GROUP";

#[test]
fn an_installed_helper_needs_no_sudo() {
    let user = User::new();
    for capture in BOTH {
        user.traces_hello(user.run(capture, user.runs_after(SET_UP, &user.usual_path(), &[])));
    }
    // The server's own environment: the loader hides some of it from programs that have capabilities.
    let run = user.run(Capture::Auto, user.runs_after(SET_UP, &user.usual_path(), &["env", "TMPDIR=/var/tmp"]));
    let run = run.flags(["--explain"]).start();
    let environment = fs::read(format!("/proc/{}/environ", run.server_pid)).expect("it runs");
    assert!(environment.split(|byte| *byte == 0).any(|variable| variable == b"TMPDIR=/var/tmp"));
    assert_eq!(run.connect().get("/").body, b"hello");
    assert_eq!(run.stop().rows().len(), 1);
}

#[test]
fn an_installed_helper_is_for_its_group_and_its_users_own() {
    let (user, other) = (User::new(), User::new());
    let words = user.runs_after(
        SET_UP,
        &user.usual_path(),
        &["sh", "-c", "ls -lnd /usr/local/libexec/cargo-beyla /usr/local/libexec/cargo-beyla/*"],
    );
    let listed = Command::new(&words[0]).args(&words[1..]).output().expect("it runs");
    let listed = String::from_utf8(listed.stdout).expect("text");
    let group = fs::metadata(&user.home).expect("a home").gid().to_string();
    let rights: Vec<Vec<&str>> = listed.lines().map(|line| line.split_whitespace().collect()).collect();
    assert!(rights[0].starts_with(&["drwxr-xr-x", "2", "0"]), "{listed}");
    assert_eq!((rights[1][0], rights[1][2], rights[1][3]), ("-rwxr-x---", "0", &*group), "{listed}");

    // Not of the group.
    let script = SET_UP.replace("$GROUP", &other.name);
    let finished = user.run(Capture::Auto, user.runs_after(&script, &user.usual_path(), &[])).flags(TRUE).to_end();
    finished.failed_with(96, &["warning: ", &format!("it is for the group {}", other.name)]);

    // Of the group, and the process is another's, or has rights that are.
    let script = format!(
        "{SET_UP}; cd /usr/local; cp /bin/sleep group; cp /bin/sleep capable; chgrp daemon group; \
        chmod g+s group; setcap cap_net_raw+ep capable"
    );
    for (start, refusal) in [
        (format!("pid={}", std::process::id()), "belongs to another user (uid 0), and only your own may be traced"),
        ("/usr/local/group 5 >/dev/null 2>&1 & pid=$!".to_owned(), "has rights of another group"),
        ("/usr/local/capable 5 >/dev/null 2>&1 & pid=$!".to_owned(), "has rights that its file's capabilities give it"),
    ] {
        let explain = r#""explain":"Never","long_poll_ns":0,"overhead_budget":{"hundredths":0}"#;
        let request = format!(r#""children":false,"attach":true,"members":[],"capture":"Auto",{explain},"tls":true"#);
        let executables = r#""executables":{"paths":[],"task_probes":[]}"#;
        let asks = format!(
            r#"{start}; sleep 0.3; echo '{{"Trace":{{"pid":'$pid',{request},{executables}}}}}' |
                /usr/local/libexec/cargo-beyla/beyla-probe-*"#
        );
        let words = user.runs_after(&script, &user.usual_path(), &["env", "SUDO_UID=0", "sh", "-c", &asks]);
        let answer = Command::new(&words[0]).args(&words[1..]).output().expect("it runs");
        let answer = String::from_utf8_lossy(&answer.stdout).into_owned();
        assert!(answer.contains(refusal), "{answer}");
    }
}

#[test]
fn a_helper_that_is_of_no_use_is_named_and_sudo_goes_on() {
    let user = User::new().may_use_sudo();
    for (spoils, reason) in [
        ("cp $HELPER $HELPER.copy; mv $HELPER.copy $HELPER", "does not have its capabilities"),
        ("mv $HELPER /usr/local/libexec/cargo-beyla/beyla-probe-0.0.0", "is of another version"),
        ("mount -o remount,nosuid /usr/local", "nosuid"),
        ("chmod g+w $HELPER", "no file that root alone can write"),
    ] {
        let script = format!("{SET_UP}; HELPER=$(echo /usr/local/libexec/cargo-beyla/*); {spoils}");
        let run = user.run(Capture::Auto, user.runs_after(&script, &user.usual_path(), &[])).start();
        assert_eq!(run.connect().get("/").body, b"hello");
        let said = run.stderr();
        run.stop();
        let warnings: Vec<&str> = said.lines().filter(|line| line.starts_with("warning: ")).collect();
        assert!(matches!(&warnings[..], [only] if only.contains(reason)), "{reason}: {said}");
    }
}

#[test]
fn the_helper_comes_and_goes_by_a_command_of_the_user() {
    let user = User::new().may_use_sudo();
    let script =
        "$TOOL doctor --setup && $TOOL doctor | grep privilege && $TOOL doctor --undo && ls /usr/local/libexec";
    let script = script.replace("$TOOL", &user.tool().display().to_string());
    let words = user.runs(&user.usual_path(), &["sh", "-c", &script]);
    let output = Command::new(&words[0]).args(&words[1..]).output().expect("it runs");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    assert!(said.contains("of the installed helper /usr/local/libexec/cargo-beyla/beyla-probe-"), "{said}");
    assert!(said.contains("Removed /usr/local/libexec/cargo-beyla/beyla-probe-"), "{said}");
}

#[test]
fn a_tool_that_has_capabilities_itself_warns() {
    let user = User::new();
    let script = "mkdir /usr/local/bin; objcopy --strip-debug $TOOL /usr/local/bin/cargo-beyla; setcap cap_bpf,cap_perfmon+ep /usr/local/bin/cargo-beyla";
    let words = user.runs_after(script, &user.usual_path(), &[]);
    let run = user.run(Capture::Auto, words).with_tool("/usr/local/bin/cargo-beyla").start();
    assert_eq!(run.connect().get("/").body, b"hello");
    let said = run.stderr();
    run.stop();
    assert!(said.contains("warning: /usr/local/bin/cargo-beyla itself has file capabilities"), "{said}");
    assert!(said.contains("setcap -r /usr/local/bin/cargo-beyla"), "{said}");
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
