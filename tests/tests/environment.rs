//! `cargo beyla run` starts a server as `cargo run` does: the two are held side by side, by what the server itself finds.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use beyla_tests::fixture::{self, manifest};
use beyla_tests::run::{Capture, Run};
use beyla_tests::tool::{cargo, tool};
use beyla_tests::wait::{LONG, poll};
use tempfile::TempDir;

/// Writes all that it was given to the file that STATE names, and then answers `hello` to everything.
const STATE_SERVER: &str = r#"
use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};

fn main() -> std::io::Result<()> {
    let mut state = String::new();
    let pid = std::process::id().to_string();
    for (name, value) in std::env::vars_os() {
        let own = if value.to_str() == Some(&pid) { "its own process id".into() } else { value };
        writeln!(state, "variable {name:?}={own:?}").unwrap();
    }
    writeln!(state, "arguments={:?}", std::env::args_os().collect::<Vec<_>>()).unwrap();
    writeln!(state, "folder={:?}", std::env::current_dir()?).unwrap();
    // Group, session, terminal.
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    writeln!(state, "group={}\nsession={}\nterminal={}\nnice={}", fields[2], fields[3], fields[4], fields[16]).unwrap();
    for line in fs::read_to_string("/proc/self/status")?.lines() {
        if ["Umask", "SigBlk", "SigIgn", "SigCgt", "ShdPnd", "SigPnd", "Uid", "Gid", "Groups", "NoNewPrivs", "CapEff"]
            .iter()
            .any(|name| line.starts_with(name))
        {
            writeln!(state, "{}", line.replacen(':', "=", 1)).unwrap();
        }
    }
    for line in fs::read_to_string("/proc/self/limits")?.lines().skip(1) {
        writeln!(state, "limit {}={}", line[..26].trim(), line[26..].split_whitespace().collect::<Vec<_>>().join(" ")).unwrap();
    }
    // That of the folder is closed again, and has no link.
    let open = fs::read_dir("/proc/self/fd")?.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap());
    let open: Vec<i32> = open.collect();
    let link = |fd: &i32| Some((*fd, fs::read_link(format!("/proc/self/fd/{fd}")).ok()?));
    let open: std::collections::BTreeMap<_, _> = open.iter().filter_map(link).collect();
    writeln!(state, "open={open:?}").unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let path = std::env::var("STATE").unwrap();
    fs::write(format!("{path}.new"), state)?;
    fs::rename(format!("{path}.new"), path)?;
    for stream in listener.incoming() {
        let mut stream = stream?;
        let _ = stream.read(&mut [0; 4096])?;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello")?;
    }
    Ok(())
}
"#;

type State = BTreeMap<String, String>;

fn state_workspace(more: &[(&str, &str)]) -> TempDir {
    let root = fixture::folder(&[
        ("Cargo.toml", &manifest("state", "description = \"writes its state\"\nbuild = \"build.rs\"")),
        ("build.rs", "fn main() { println!(\"cargo:rustc-env=FROM_SCRIPT=yes\"); }"),
        ("src/main.rs", STATE_SERVER),
    ]);
    fixture::write(root.path(), more);
    root
}

/// What a shell or a service manager may have set, and cargo hands on: a mask, limits, signals that are ignored or
/// blocked, the process that sockets are meant for.
fn given(root: &Path, state: &Path) -> Vec<String> {
    let path = format!("{}:{}", tool().parent().expect("a folder").display(), std::env::var("PATH").expect("text"));
    let script = "umask 027; ulimit -n 700; ulimit -c 0; export LISTEN_PID=$$ WATCHDOG_PID=$$; exec \"$@\"";
    let words = ["sh", "-c", script, "sh", "env", "-C"].map(str::to_owned);
    let more = [
        root.display().to_string(),
        "--ignore-signal=USR2".to_owned(),
        "--block-signal=WINCH".to_owned(),
        format!("PATH={path}"),
        format!("STATE={}", state.display()),
        "OWN=a b".to_owned(),
        // The first and the last cargo sets itself, and the others it does not.
        "CARGO_PKG_NAME=outer".to_owned(),
        "CARGO_PKG_OWN=kept".to_owned(),
        "CARGO_MANIFEST_LINKS=kept".to_owned(),
        "CARGO_MANIFEST_DIR=/outer".to_owned(),
        "nice".to_owned(),
    ];
    words.into_iter().chain(more).collect()
}

const ARGUMENTS: [&str; 3] = ["--port", "1 2", ""];

/// The state of the server under `cargo run`.
fn under_cargo(root: &Path, flags: &[&str]) -> State {
    let folder = fixture::folder(&[]);
    let state = folder.path().join("state");
    let given = given(root, &state);
    let create = |name: &str| fs::File::create(folder.path().join(name)).expect("a file");
    let mut command = Command::new(&given[0]);
    command.args(&given[1..]).arg(cargo()).args(["run", "--quiet"]).args(flags).arg("--").args(ARGUMENTS);
    command.process_group(0).stdin(Stdio::null()).stdout(create("stdout")).stderr(create("stderr"));
    let mut child = command.spawn().expect("cargo starts");
    let text = poll(LONG * 5, || fs::read_to_string(&state).ok());
    child.kill().expect("a child");
    child.wait().expect("a child");
    let said = fs::read_to_string(folder.path().join("stderr")).expect("a file");
    parse(&text.unwrap_or_else(|| panic!("no state under cargo:\n{said}")), child.id())
}

/// The state of the server under `cargo beyla run`, which must have traced its one request.
fn under_beyla(root: &Path, flags: &[&str]) -> (State, String) {
    let folder = fixture::folder(&[]);
    let state = folder.path().join("state");
    let run = Run::of_workspace(root).under(given(root, &state)).with_tool(cargo()).arguments(ARGUMENTS);
    let running = run.flags(flags).flags(["--exec", "curl -s $BEYLA_URL/"]).start_alone();
    let tool = running.tool_pid();
    let finished = running.wait();
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    assert_eq!(finished.report().totals.requests, 1, "{}", finished.stderr);
    (parse(&fs::read_to_string(&state).expect("its state"), tool), finished.stderr)
}

fn parse(text: &str, leader: u32) -> State {
    let lines = text.lines().map(|line| line.split_once('=').expect(line));
    let mut state: State = lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    // Both have another leader, and other files; the rest must be the same.
    let group = state.insert("group".to_owned(), "its leader's".to_owned());
    assert_eq!(group, Some(leader.to_string()));
    let open = &state["open"];
    let folders = open.split('"').filter(|part| part.contains("beyla-test-"));
    let folders: Vec<String> =
        folders.map(|path| path.rsplit_once('/').expect("an absolute path").0.to_owned()).collect();
    let open = folders.iter().fold(open.clone(), |open, folder| open.replace(folder, "FOLDER"));
    state.insert("open".to_owned(), open);
    // Signals 32 and 33 are the C library's own, and no program can set them: `posix_spawn` leaves them ignored, and the
    // first thread that a process makes ends that for 33. Cargo makes threads, whoever starts it.
    let ignored = u64::from_str_radix(state["SigIgn"].trim(), 16).expect("a set of signals");
    state.insert("SigIgn".to_owned(), format!("{:x}", ignored & !(3 << 31)));
    state.remove("variable \"STATE\"");
    state
}

fn assert_same(ours: &State, cargos: &State) {
    let of_ours: Vec<_> = ours.iter().filter(|(name, value)| cargos.get(*name) != Some(value)).collect();
    let of_cargos: Vec<_> = cargos.iter().filter(|(name, value)| ours.get(*name) != Some(value)).collect();
    assert!(of_ours.is_empty() && of_cargos.is_empty(), "ours: {of_ours:#?}\ncargo's: {of_cargos:#?}");
}

fn variable<'a>(state: &'a State, name: &str) -> Option<&'a str> {
    Some(state.get(&format!("variable {name:?}"))?.trim_matches('"'))
}

#[test]
fn all_that_a_server_is_given_is_what_cargo_run_gives() {
    let root = state_workspace(&[
        (".cargo/config.toml", "include = [\"extra.toml\"]\n[build]\nbuild-dir = \"intermediate\""),
        (".cargo/extra.toml", "[env]\nNEEDED = \"x\""),
    ]);
    let cargos = under_cargo(root.path(), &[]);
    let (ours, _) = under_beyla(root.path(), &[]);
    for (name, value) in [
        ("NEEDED", "x"),
        ("OWN", "a b"),
        ("FROM_SCRIPT", "yes"),
        ("LISTEN_PID", "its own process id"),
        ("WATCHDOG_PID", "its own process id"),
    ] {
        assert_eq!(variable(&cargos, name), Some(value), "{name}");
    }
    assert!(variable(&cargos, "LD_LIBRARY_PATH").is_some_and(|path| path.contains("/intermediate/debug")));
    assert_eq!(cargos["arguments"], "[\"target/debug/state\", \"--port\", \"1 2\", \"\"]");
    assert_eq!(cargos["limit Max open files"], "700 700 files");
    assert_same(&ours, &cargos);
}

#[test]
fn a_runner_of_cargos_configuration_runs_the_server() {
    let root = state_workspace(&[(".cargo/config.toml", "[target.'cfg(unix)']\nrunner = [\"env\", \"NEEDED=hi\"]")]);
    let cargos = under_cargo(root.path(), &[]);
    let (ours, said) = under_beyla(root.path(), &[]);
    assert_eq!(variable(&cargos, "NEEDED"), Some("hi"));
    assert_same(&ours, &cargos);
    assert!(said.contains("     Running `env NEEDED=hi target/debug/state --port"), "{said}");
}

#[test]
fn a_runner_of_the_environment_runs_the_server() {
    let root = state_workspace(&[(".cargo/config.toml", "[target.'cfg(unix)']\nrunner = [\"env\", \"NEEDED=no\"]")]);
    let host = Command::new("rustc").arg("-vV").output().unwrap().stdout;
    let host = String::from_utf8(host).unwrap();
    let host = host.lines().find_map(|line| line.strip_prefix("host: ")).unwrap().to_uppercase().replace('-', "_");
    let name = format!("CARGO_TARGET_{host}_RUNNER");
    let state = root.path().join("state");
    let run = Run::of_workspace(root.path()).environment("STATE", &state).environment(&name, "env NEEDED=variable");
    let finished = run.flags(["--exec", "curl -s $BEYLA_URL/"]).to_end();
    assert_eq!((finished.code(), finished.report().totals.requests), (0, 1), "{}", finished.stderr);
    let text = fs::read_to_string(state).unwrap();
    assert!(text.contains("variable \"NEEDED\"=\"variable\""), "{text}");
    assert!(text.contains(&format!("variable {name:?}=\"env NEEDED=variable\"")), "{text}");
}

#[test]
fn settings_for_cargo_are_given_by_a_flag_of_their_own() {
    let root = state_workspace(&[]);
    let elsewhere = root.path().join("elsewhere");
    let setting = format!("build.target-dir='{}'", elsewhere.display());
    let flags = ["--cargo-config", &setting, "--cargo-config", "env.NEEDED='x'"];
    let (ours, _) = under_beyla(root.path(), &flags);
    let cargos = under_cargo(root.path(), &["--config", &setting, "--config", "env.NEEDED='x'"]);
    assert_same(&ours, &cargos);
    assert_eq!(variable(&ours, "NEEDED"), Some("x"));
    assert!(elsewhere.join("debug/state").is_file() && !root.path().join("target").exists());

    let finished = Run::of_workspace(root.path()).flags(["--config", "build.jobs=1"]).to_end();
    let sentence = "error: --config: `build.jobs=1` is no file: --config names a file of settings for cargo-beyla";
    finished.failed_with(98, &[sentence, "hint: settings for cargo are given by --cargo-config build.jobs=1"]);
    let finished = Run::of_workspace(root.path()).flags(["--cargo-config", "build.jobs"]).to_end();
    finished.failed_with(98, &["'build.jobs' is not KEY=VALUE"]);
    let finished = Run::of_workspace(root.path()).flags(["--cargo-config", "build.jobs=["]).to_end();
    finished.failed_with(98, &["build.jobs"]);
}

/// A test that needs a dynamic library of its workspace, a variable of an included file, and the runner.
#[test]
fn tests_start_as_under_cargo_test() {
    let member = |name: &str, rest: &str| {
        format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n{rest}\n")
    };
    let root = fixture::folder(&[
        ("Cargo.toml", "[workspace]\nresolver = \"2\"\nmembers = [\"shared\", \"user\"]\n"),
        ("shared/Cargo.toml", &member("shared", "[lib]\ncrate-type = [\"dylib\"]")),
        ("shared/src/lib.rs", "pub fn answer() -> u32 { 42 }"),
        ("user/Cargo.toml", &member("user", "[dependencies]\nshared = { path = \"../shared\" }")),
        ("user/src/lib.rs", "/// ```\n/// panic!(\"doc tests are left to cargo\");\n/// ```\npub fn f() {}"),
        (
            "user/tests/start.rs",
            "#[test]\nfn as_under_cargo() {\n\
                 assert_eq!(shared::answer(), 42);\n\
                 assert_eq!(std::env::var(\"NEEDED\").as_deref(), Ok(\"x\"));\n\
                 assert_eq!(std::env::var(\"THROUGH\").as_deref(), Ok(\"a runner\"));\n\
                 assert!(std::env::current_dir().unwrap().ends_with(\"user\"));\n\
             }",
        ),
        (
            ".cargo/config.toml",
            "include = [\"extra.toml\"]\n[build]\nbuild-dir = \"intermediate\"\nrustflags = [\"-Cprefer-dynamic\"]\n\
             [target.'cfg(unix)']\nrunner = [\"env\", \"THROUGH=a runner\"]",
        ),
        (".cargo/extra.toml", "[env]\nNEEDED = \"x\""),
    ]);
    let cargos = Command::new(cargo()).args(["test", "--tests"]).current_dir(root.path()).output().unwrap();
    assert!(cargos.status.success(), "{}", String::from_utf8_lossy(&cargos.stderr));
    let tests = Run::tests_of_workspace(root.path(), Capture::Auto);
    let finished = tests.under([Path::new("env"), Path::new("-C"), root.path()]).to_end();
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    assert!(finished.stderr.contains("1 test in ") && finished.stderr.contains("1 passed"), "{}", finished.stderr);
    assert!(finished.stderr.contains("Running tests through `env THROUGH=a runner`"), "{}", finished.stderr);
}

#[test]
fn what_the_tool_needs_for_itself_is_not_asked_of_the_user() {
    let root = state_workspace(&[]);
    let state_of = |given: &[&str]| {
        let state = root.path().join("state");
        let run = Run::of_workspace(root.path()).environment("STATE", &state).under(given);
        let running = run.flags(["--exec", "curl -s $BEYLA_URL/"]).start_alone();
        let tool = running.tool_pid();
        let finished = running.wait();
        assert_eq!((finished.code(), finished.report().totals.requests), (0, 1), "{}", finished.stderr);
        parse(&fs::read_to_string(&state).unwrap(), tool)
    };
    // SIGPIPE is ignored by the server's own runtime.
    let ignored = 1 << (libc::SIGCHLD - 1) | 1 << (libc::SIGPIPE - 1);
    assert_eq!(state_of(&["env", "--ignore-signal=CHLD"])["SigIgn"], format!("{ignored:x}"));
    // Now cargo has nothing left to build, for which this would not suffice.
    let limit = &state_of(&["sh", "-c", "ulimit -S -n 24; exec \"$@\"", "sh"])["limit Max open files"];
    assert!(limit.starts_with("24 "), "{limit}");
}

/// The fewest files with which cargo works do not suffice for the probes where nobody may raise the hard limit: that is
/// said, and the end comes at once.
#[test]
fn too_low_a_limit_on_files_is_said() {
    let root = state_workspace(&[]);
    let built = Command::new(cargo()).arg("build").current_dir(root.path()).env_remove("CARGO_TARGET_DIR").status();
    assert!(built.unwrap().success());
    let limited = ["setpriv", "--bounding-set", "-sys_resource", "sh", "-c", "ulimit -n 32; exec \"$@\"", "sh"];
    let run = Run::of_workspace(root.path()).under(limited).environment("STATE", root.path().join("state"));
    run.to_end().failed_with(96, &["Too many open files", "hint: the limit on open files is too low"]);
}
