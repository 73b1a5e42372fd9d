//! Every expected failure: its message, its hint, its exit code.
//!
//! Messages are lower-case fragments that follow `error: `; hints are whole lines that follow
//! `hint: ` and say what cures it. A server's own exit code is passed on and is none of these.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use cargo_beyla_core::exchange::pattern::PatternError;

/// Exit code: not enough privilege, or a kernel that cannot do what is needed.
pub const UNSUPPORTED: u8 = 96;
/// Exit code: the server never listened, or ended before the command of `--exec` did.
pub const NEVER_LISTENED: u8 = 97;
/// Exit code: usage, configuration, or a file that cannot be read or written.
pub const USAGE: u8 = 98;
/// Exit code: a budget is broken.
pub const BUDGET_BROKEN: u8 = 100;
/// Exit code: the build failed, as cargo's own.
pub const BUILD_FAILED: u8 = 101;
/// Exit code: tests failed, as cargo's own.
pub const TESTS_FAILED: u8 = 101;

/// What a shell adds to the number of the signal that ended a command: its exit code is then 128 and more.
pub const SIGNALLED: u8 = 128;

/// What can be expected to go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Cargo could not be started at all.
    #[error("could not run cargo ({program}): {source}")]
    CargoNotFound {
        /// What was tried.
        program: String,
        /// Why it could not be started.
        source: std::io::Error,
    },
    /// `cargo metadata` failed; its own message says why.
    #[error("could not read the workspace: {0}")]
    Metadata(String),
    /// Cargo has printed its diagnostics.
    #[error("the build failed: cargo ended with {status}")]
    BuildFailed {
        /// As `ExitStatus` prints it.
        status: String,
    },
    /// No such target, none at all, or a choice to make.
    #[error("{message}")]
    Target {
        /// What was found.
        message: String,
        /// What to type instead.
        hint: String,
    },
    /// The process to attach to is not there, not one, or not ours.
    #[error("{message}")]
    Attach {
        /// What was found.
        message: String,
        /// What to type instead.
        hint: String,
    },
    /// The build succeeded and named no executable.
    #[error("cargo built {target} and named no executable for it")]
    NoExecutable {
        /// The target's name.
        target: String,
    },
    /// Cargo has built a program, and could not start it.
    #[error("cargo has built the program, and failed when asked how it starts it: {reason}")]
    Start {
        /// Cargo's own words.
        reason: String,
    },
    /// The executable could not be started.
    #[error("could not start {executable}: {source}")]
    Launch {
        /// What was to be executed.
        executable: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The server has not listened in time.
    #[error("the server has not listened on any port within {timeout:?}")]
    NeverListened {
        /// The time it had.
        timeout: Duration,
    },
    /// The server ended and had not listened.
    #[error("the server ended before it listened on any port: {status}")]
    EndedBeforeListening {
        /// How it ended.
        status: String,
        /// Whether it said that all was well.
        cleanly: bool,
        /// Where we serve metrics ourselves.
        prometheus: Option<SocketAddr>,
    },
    /// The server ended by itself, and the command of `--exec` had not.
    #[error("the server ended before the command of --exec did: {status}")]
    EndedBeforeExec {
        /// How it ended.
        status: String,
        /// What listens where the server did, as in `process 7 (server) listens on 127.0.0.1:8080`.
        successor: Option<String>,
    },
    /// The probe helper ended before the run, by itself or because somebody killed it.
    #[error("the probe helper ended before what it traced")]
    HelperEnded,
    /// The machine, or what this process may do on it, is not enough to trace.
    #[error("{message}")]
    Lacking {
        /// What is missing.
        message: String,
        /// The line that mends it.
        hint: Option<String>,
    },
    /// The installed helper could not be made, or taken away.
    #[error("could not {verb} the probe helper: {reason}")]
    Setup {
        /// `install` or `remove`.
        verb: &'static str,
        /// Why.
        reason: String,
        /// What to do instead.
        hint: Option<String>,
    },
    /// The probe helper ended with a message.
    #[error("could not attach the probes: {message}")]
    Probe {
        /// What failed.
        message: String,
        /// What may cure it.
        hint: Option<String>,
    },
    /// An argument of the test harness that has no meaning here, or is none.
    #[error("the test argument {argument} {problem}")]
    TestArgument {
        /// Its name.
        argument: String,
        /// What is wrong with it.
        problem: String,
        /// What to do instead.
        hint: Option<String>,
    },
    /// Two outputs that are one file, one pipe or stdout.
    #[error("{} and {} both lead to {}", flags[0], flags[1], path.display())]
    SameOutput {
        /// What names them.
        flags: [&'static str; 2],
        /// Where both lead.
        path: PathBuf,
    },
    /// A file of ours could not be read or written.
    #[error("could not {verb} {path}: {source}")]
    File {
        /// `read` or `write`.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A record file that is not one, or is damaged from the start.
    #[error("{path} is not a recording of cargo beyla: {reason}")]
    NotARecording {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A recording with `--explain` of a version that did not write down the machine's architecture.
    #[error(
        "{path} does not say on which architecture it was made, so its system calls cannot be named: an older version \
         of cargo beyla wrote it"
    )]
    NoArchitecture {
        /// The file.
        path: PathBuf,
    },
    /// A route pattern that does not parse.
    #[error("the route {0}")]
    RoutePattern(PatternError),
    /// A setting that is not valid, or a file of settings that is none.
    #[error("{place}: {message}")]
    Config {
        /// The file with line and column, the variable or the flag.
        place: String,
        /// What is wrong.
        message: String,
        /// What to write instead.
        hint: Option<String>,
    },
    /// A baseline that is not there, or is none.
    #[error("{message}")]
    Baseline {
        /// What was found.
        message: String,
        /// What makes one.
        hint: String,
    },
    /// A file that `init` writes is there already.
    #[error("{path} is there already")]
    FileExists {
        /// The file.
        path: PathBuf,
    },
    /// An endpoint to which telemetry was to be sent.
    #[error("cannot export to '{endpoint}': {reason}")]
    Export {
        /// As it may be shown.
        endpoint: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The address at which metrics were to be scraped.
    #[error("could not listen on {address} for Prometheus: {source}")]
    Listen {
        /// As it was given.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// A system call that has no reason to fail.
    #[error("{what} failed: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Error {
    /// The exit code for this failure.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::BuildFailed { .. } | Self::NoExecutable { .. } | Self::Start { .. } => BUILD_FAILED,
            Self::NeverListened { .. } | Self::EndedBeforeListening { .. } | Self::EndedBeforeExec { .. } => {
                NEVER_LISTENED
            }
            Self::Lacking { .. } | Self::Setup { .. } | Self::Probe { .. } | Self::HelperEnded => UNSUPPORTED,
            Self::CargoNotFound { .. }
            | Self::Metadata(_)
            | Self::Target { .. }
            | Self::Attach { .. }
            | Self::Launch { .. }
            | Self::TestArgument { .. }
            | Self::SameOutput { .. }
            | Self::File { .. }
            | Self::NotARecording { .. }
            | Self::NoArchitecture { .. }
            | Self::RoutePattern(_)
            | Self::Config { .. }
            | Self::Baseline { .. }
            | Self::FileExists { .. }
            | Self::Export { .. }
            | Self::Listen { .. }
            | Self::System { .. } => USAGE,
        }
    }

    /// The line that cures it, where there is one.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::CargoNotFound { .. } => Some("install Rust with rustup, or set CARGO to cargo's path".into()),
            Self::Target { hint, .. } | Self::Attach { hint, .. } | Self::Baseline { hint, .. } => Some(hint.clone()),
            Self::NeverListened { .. } => Some(
                "give it more with --listen-timeout 5m; of the processes that it starts, its forks and the programs \
                     of this workspace are followed"
                    .into(),
            ),
            Self::EndedBeforeListening { cleanly: true, .. } => Some(
                "if it puts itself in the background, have it stay: the run ends with the process that was started"
                    .into(),
            ),
            Self::EndedBeforeExec { successor: Some(successor), .. } => Some(format!(
                "{successor}; if the server puts itself in the background, have it stay: the run ends with the process \
                 that was started"
            )),
            Self::EndedBeforeExec { successor: None, .. } => Some("its own output above may say why".into()),
            Self::EndedBeforeListening { cleanly: false, prometheus: Some(address), .. } => Some(format!(
                "its own output above says why; it may be that its port is in use: metrics are served on {address}, by \
                 --prometheus or its setting"
            )),
            Self::EndedBeforeListening { cleanly: false, .. } => {
                Some("its own output above says why; it may be that its port is in use".into())
            }
            Self::HelperEnded => Some("the report holds what was seen until then".into()),
            Self::Lacking { hint, .. }
            | Self::Setup { hint, .. }
            | Self::Probe { hint, .. }
            | Self::Config { hint, .. }
            | Self::TestArgument { hint, .. } => hint.clone(),
            Self::RoutePattern(_) => Some("write it as in --route '/users/{id}/orders/{order}'".into()),
            Self::FileExists { .. } => Some("nothing was written; overwrite it with `cargo beyla init --force`".into()),
            Self::Export { .. } => Some("write it as in --otlp http://localhost:4318".into()),
            Self::Listen { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse => {
                Some("something listens there already: choose another port".into())
            }
            Self::NotARecording { .. } => Some("make one with `cargo beyla run --record FILE`".into()),
            Self::SameOutput { .. } => Some("give each a file of its own".into()),
            Self::NoArchitecture { .. } => Some("record the run again, with this version".into()),
            Self::Metadata(_)
            | Self::BuildFailed { .. }
            | Self::NoExecutable { .. }
            | Self::Start { .. }
            | Self::Launch { .. }
            | Self::File { .. }
            | Self::Listen { .. }
            | Self::System { .. } => None,
        }
    }
}
