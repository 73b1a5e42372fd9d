//! A run of `cargo beyla run`, `cargo beyla attach` or `cargo beyla test`, with the test as the client of the first two.

use std::ffi::{OsStr, OsString};
use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::client::Client;
use crate::report::Report;
use crate::tool;
use crate::wait::{self, LONG};

/// The ways of capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capture {
    /// As the tool chooses.
    Auto,
    /// By socket tracepoints.
    Socket,
    /// By system calls.
    Syscalls,
}

/// The first kernel with the socket tracepoints.
const KERNEL_WITH_SOCKET_TRACEPOINTS: (u32, u32) = (6, 15);

impl Capture {
    /// The ways that the kernel at hand has.
    pub fn ways() -> &'static [Self] {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("the kernel tells");
        let mut numbers =
            release.split(|character: char| !character.is_ascii_digit()).map_while(|number| number.parse::<u32>().ok());
        let version = numbers.next().zip(numbers.next()).expect("a major and a minor number");
        if version < KERNEL_WITH_SOCKET_TRACEPOINTS { &[Self::Syscalls] } else { &[Self::Socket, Self::Syscalls] }
    }

    /// As `--capture` takes it.
    pub fn flag(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Socket => "socket",
            Self::Syscalls => "syscalls",
        }
    }
}

/// A server of this repository.
#[derive(Clone, Copy, Debug)]
pub struct Server {
    /// Its package.
    pub package: &'static str,
    /// Its binary.
    pub bin: &'static str,
}

/// `examples/basic`
pub const BASIC: Server = Server { package: "basic", bin: "server" };
/// `examples/latency_lab`
pub const LATENCY_LAB: Server = Server { package: "latency_lab", bin: "latency_lab" };
/// `examples/actix_lab`
pub const ACTIX_LAB: Server = Server { package: "actix_lab", bin: "actix_lab" };
/// `examples/total_request_times`
pub const TOTAL_REQUEST_TIMES: Server = Server { package: "total_request_times", bin: "total_request_times" };
/// `examples/orders`
pub const ORDERS: Server = Server { package: "orders", bin: "orders" };
/// The package's own server that sends secrets to all that it calls.
pub const TELLING: Server = Server { package: "beyla-tests", bin: "telling_server" };
/// `examples/grpc`
pub const GRPC_SERVER: Server = Server { package: "grpc", bin: "grpc_server" };
/// `examples/tls`
pub const HTTPS_SERVER: Server = Server { package: "tls", bin: "https_server" };
/// The package's own server of HTTP/2 on hyper, with a runtime of one thread.
pub const HTTP2_SERVER: Server = Server { package: "beyla-tests", bin: "http2_server" };
/// The package's own server on hyper, with a runtime of one thread.
pub const HYPER_SERVER: Server = Server { package: "beyla-tests", bin: "hyper_server" };
/// The package's own server that calls others.
pub const CALLING_SERVER: Server = Server { package: "beyla-tests", bin: "calling_server" };
/// The package's own server of which each request makes the calls that are planned for it.
pub const MANY_CALLS_SERVER: Server = Server { package: "beyla-tests", bin: "many_calls_server" };
/// The package's own server that asks SQLite in its own process.
pub const SQLITE_SERVER: Server = Server { package: "beyla-tests", bin: "sqlite_server" };
/// The package's own server that asks MariaDB.
pub const MYSQL_SERVER: Server = Server { package: "beyla-tests", bin: "mysql_server" };
/// The package's own server without async: a thread a connection, or those of `--pool N`.
pub const THREADS_SERVER: Server = Server { package: "beyla-tests", bin: "threads_server" };
/// The package's own server of several processes.
pub const PROCESS_SERVER: Server = Server { package: "beyla-tests", bin: "process_server" };

/// Cargo's two profiles for what is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Build {
    /// `dev`
    Debug,
    /// `release`
    Release,
}

/// The variables that name proxies.
const PROXIES: [&str; 4] = ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"];

/// A run to be started.
pub struct Run {
    command: &'static str,
    wrapper: Vec<OsString>,
    flags: Vec<OsString>,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    tool: PathBuf,
}

impl Run {
    /// Of a server of this repository, on any free port.
    pub fn of(server: Server, capture: Capture) -> Self {
        let manifest = tool::root().join("Cargo.toml");
        Self::bare()
            .flags(["--capture", capture.flag(), "-p", server.package, "--bin", server.bin, "--manifest-path"])
            .flags([manifest])
            .environment("PORT", "0")
    }

    /// Of the server in another workspace.
    pub fn of_workspace(root: &Path) -> Self {
        Self::bare().flags(["--manifest-path".as_ref(), root.join("Cargo.toml").as_os_str()])
    }

    /// Of `cargo beyla attach`, for a server that the flags name.
    pub fn attach(capture: Capture) -> Self {
        Self { command: "attach", ..Self::bare() }.flags(["--capture", capture.flag()])
    }

    /// Of `cargo beyla test`, for the tests of a package of this repository.
    pub fn test(package: &str, capture: Capture) -> Self {
        Self::tests_of_workspace(tool::root(), capture).flags(["-p", package])
    }

    /// Of `cargo beyla test`, for the tests of another workspace.
    pub fn tests_of_workspace(root: &Path, capture: Capture) -> Self {
        let manifest = root.join("Cargo.toml");
        Self { command: "test", ..Self::bare() }
            .flags(["--capture", capture.flag(), "--manifest-path"])
            .flags([manifest])
    }

    fn bare() -> Self {
        Self {
            command: "run",
            wrapper: Vec::new(),
            flags: Vec::new(),
            arguments: Vec::new(),
            environment: Vec::new(),
            tool: tool::tool().to_owned(),
        }
    }

    /// Adds flags of `cargo beyla run`.
    #[must_use]
    pub fn flags(mut self, flags: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.flags.extend(flags.into_iter().map(|flag| flag.as_ref().to_owned()));
        self
    }

    /// Opens the handlers.
    #[must_use]
    pub fn explain(self) -> Self {
        self.flags(["--explain"])
    }

    /// Builds the server in a profile.
    #[must_use]
    pub fn build(self, build: Build) -> Self {
        match build {
            Build::Debug => self,
            Build::Release => self.flags(["--release"]),
        }
    }

    /// Builds the server in release with another setting of that profile, as in `strip`, `symbols`; in a folder of
    /// its own, so that nothing else is built again.
    #[must_use]
    pub fn release_with(self, setting: &str, value: &str) -> Self {
        let folder = tool::target_dir().join("variants").join(format!("{setting}-{value}"));
        self.build(Build::Release)
            .environment(format!("CARGO_PROFILE_RELEASE_{}", setting.to_uppercase()), value)
            .flags([OsStr::new("--target-dir"), folder.as_os_str()])
    }

    /// Adds arguments of the server.
    #[must_use]
    pub fn arguments(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Sets a variable of the environment.
    #[must_use]
    pub fn environment(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Runs all under another command, as in `unshare --pid --fork`.
    #[must_use]
    pub fn under(mut self, wrapper: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.wrapper = wrapper.into_iter().map(|word| word.as_ref().to_owned()).collect();
        self
    }

    /// Runs a copy of the tool, where the original may not be reached.
    #[must_use]
    pub fn with_tool(mut self, tool: impl Into<PathBuf>) -> Self {
        self.tool = tool.into();
        self
    }

    /// Starts, and waits until the server listens; then the test is the client, until it stops the
    /// run.
    pub fn start(self) -> Running {
        let folder = crate::fixture::folder(&[]);
        let path = |name: &str| folder.path().join(name).display().to_string();
        let exec = format!(
            "mkfifo {2} && echo $BEYLA_PORT $BEYLA_PID > {0} && mv {0} {1} && read go < {2}",
            path("starting"),
            path("started"),
            path("stop")
        );
        let mut running = self.flags(["--exec", &exec]).spawn(folder);
        let started = running.folder.path().join("started");
        let text = wait::poll(LONG * 5, || {
            if let Some(status) = running.has_ended() {
                panic!("the tool ended with {status} before the server listened:\n{}", running.stderr());
            }
            fs::read_to_string(&started).ok()
        });
        let text = text.unwrap_or_else(|| panic!("the server does not listen:\n{}", running.stderr()));
        let mut numbers = text.split_whitespace().map(|number| number.parse::<u32>().expect("a number"));
        running.port = numbers.next().and_then(|port| port.try_into().ok()).expect("a port");
        running.server_pid = numbers.next().expect("a process id");
        running
    }

    /// Starts, and waits until a server is watched that runs already.
    pub fn start_watching(self) -> Running {
        let mut running = self.start_alone();
        let watching = wait::poll(LONG, || {
            if let Some(status) = running.has_ended() {
                panic!("the tool ended with {status} before it watched anything:\n{}", running.stderr());
            }
            running.stderr().contains("Watching ").then_some(())
        });
        assert!(watching.is_some(), "no server is watched:\n{}", running.stderr());
        running
    }

    /// Starts and waits for the end, which is to come by itself.
    pub fn to_end(self) -> Finished {
        self.start_alone().wait()
    }

    /// Starts, and waits for nothing.
    pub fn start_alone(self) -> Running {
        self.spawn(crate::fixture::folder(&[]))
    }

    fn spawn(self, folder: TempDir) -> Running {
        let Self { command: subcommand, mut wrapper, flags, arguments, environment, tool } = self;
        // Another user may be told to run all this.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).expect("permissions");
        let report = folder.path().join("report.json");
        wrapper.push(tool.into());
        let create = |name: &str| fs::File::create(folder.path().join(name)).expect("a file");
        let mut command = Command::new(&wrapper[0]);
        command.args(&wrapper[1..]).args(["beyla", subcommand, "--json"]).arg(&report).args(flags);
        if subcommand == "run" {
            command.arg("--").args(arguments);
        } else {
            // Of a server that runs already, the sources are looked for there too.
            command.current_dir(tool::root());
        }
        // Those of the machine would stand between the tests and their own receivers.
        for name in PROXIES {
            command.env_remove(name).env_remove(name.to_lowercase());
        }
        command.envs(environment);
        // A group of its own, as a shell gives to each command.
        command.process_group(0);
        command.stdin(Stdio::null()).stdout(create("stdout")).stderr(create("stderr"));
        let child = command.spawn().expect("the tool starts");
        Running { child, folder, port: 0, server_pid: 0 }
    }
}

/// A run that goes on; dropped, it is killed.
pub struct Running {
    child: Child,
    folder: TempDir,
    /// Where the server listens first; 0 if nobody has waited for it.
    pub port: u16,
    /// The server, in the process id namespace of the tool.
    pub server_pid: u32,
}

impl Running {
    /// A connection to the server.
    pub fn connect(&self) -> Client {
        Client::connect(self.port)
    }

    /// The tool's process id.
    pub fn tool_pid(&self) -> u32 {
        self.child.id()
    }

    /// Where `odd_server` says that it listens, once it has said so of `count` places.
    pub fn listening(&self, count: usize) -> Vec<String> {
        let places = wait::poll(LONG, || {
            let stdout = self.stdout();
            let places: Vec<String> =
                stdout.lines().filter_map(|line| line.strip_prefix("listening ")).map(str::to_owned).collect();
            (places.len() >= count).then_some(places)
        });
        places.unwrap_or_else(|| panic!("the server does not listen:\n{}", self.stderr()))
    }

    /// What the server, and nobody else, has printed so far.
    pub fn stdout(&self) -> String {
        self.read("stdout")
    }

    /// What tool and server have said so far.
    pub fn stderr(&self) -> String {
        self.read("stderr")
    }

    fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.folder.path().join(name)).expect("a file")).into_owned()
    }

    fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child")
    }

    /// Ends the `--exec` command, and waits for the run's end.
    pub fn let_go(self) -> Finished {
        // Open for both, so that it waits for no reader; and open until the end, so that the reader may
        // come later.
        let mut stop =
            fs::File::options().read(true).write(true).open(self.folder.path().join("stop")).expect("a FIFO");
        stop.write_all(b"\n").expect("room for a line");
        self.wait()
    }

    /// Ends the run as the end of its `--exec` command does; it must go well.
    pub fn stop(self) -> Report {
        let finished = self.let_go();
        assert_eq!(finished.code(), 0, "{}", finished.stderr);
        finished.report()
    }

    /// Kills the tool, and nothing else, as the kernel does when memory is short.
    pub fn kill(&mut self) {
        self.child.kill().expect("a child");
        self.child.wait().expect("a child");
    }

    /// Waits until the server catches SIGINT. actix-web answers requests a moment before that, when the signal still kills it.
    pub fn wait_until_interruptible(&self) {
        let catches = || {
            let stderr = self.stderr();
            let (_, server) = stderr.split_once("(pid ")?;
            let (pid, _) = server.split_once(')')?;
            let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
            let caught = u64::from_str_radix(caught.trim(), 16).ok()?;
            (caught & 1 << (libc::SIGINT - 1) != 0).then_some(())
        };
        assert_eq!(wait::poll(LONG, catches), Some(()), "{}", self.stderr());
    }

    /// What the terminal does on ^C: a signal to all that run in the foreground.
    pub fn interrupt(&self) {
        // SAFETY: a number and a number; the group is that of our own child, who was not waited for.
        assert_eq!(unsafe { libc::kill(-(self.child.id() as i32), libc::SIGINT) }, 0);
    }

    /// Waits for the end, which is to come by itself.
    pub fn wait(mut self) -> Finished {
        let Some(status) = wait::poll(LONG * 5, || self.has_ended()) else {
            panic!("the tool does not end:\n{}", self.stderr());
        };
        let json = fs::read_to_string(self.folder.path().join("report.json")).ok();
        Finished { status, stdout: self.stdout(), stderr: self.stderr(), json }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A failed test must leave nothing behind; after `wait` there is nothing left to do.
        if let Ok(None) = self.child.try_wait() {
            // SAFETY: as in `interrupt`.
            unsafe { libc::kill(-(self.child.id() as i32), libc::SIGKILL) };
            let _ = self.child.wait();
        }
    }
}

/// A run that has ended.
#[derive(Debug)]
pub struct Finished {
    /// How the tool ended.
    pub status: ExitStatus,
    /// What the server printed.
    pub stdout: String,
    /// What tool and server said.
    pub stderr: String,
    /// The JSON report, if there is one.
    pub json: Option<String>,
}

impl Finished {
    /// The exit code, which there must be.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| panic!("ended by signal {:?}:\n{}", self.status.signal(), self.stderr))
    }

    /// The report, which there must be.
    pub fn report(&self) -> Report {
        let json = self.json.as_deref().unwrap_or_else(|| panic!("no report:\n{}", self.stderr));
        let report: Report =
            serde_json::from_str(json).unwrap_or_else(|error| panic!("{error} in the report:\n{json}"));
        report.check_explanations();
        report
    }

    /// Asserts an exit code of ours and the parts of its message.
    pub fn failed_with(&self, code: i32, parts: &[&str]) -> &Self {
        assert_eq!(self.code(), code, "{}", self.stderr);
        for part in parts {
            assert!(self.stderr.contains(part), "'{part}' is not in:\n{}", self.stderr);
        }
        self
    }
}

/// How long a process that has been told to end may take.
pub const SOON: Duration = Duration::from_secs(1);
