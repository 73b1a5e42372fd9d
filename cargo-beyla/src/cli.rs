//! The command line: flags, and nothing but flags.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ColorChoice, Parser, Subcommand, ValueEnum};

use crate::probe::task_probe::TaskProbe;

/// What cargo runs for `cargo beyla`: `cargo-beyla beyla ...`.
#[derive(Debug, Parser)]
#[command(name = "cargo", bin_name = "cargo", version)]
struct Cargo {
    #[command(subcommand)]
    command: CargoCommand,
}

#[derive(Debug, Subcommand)]
enum CargoCommand {
    Beyla(Arguments),
}

/// Where did this request's time go? Traces a Rust server with eBPF, with no change to its code.
#[derive(Debug, Args)]
#[command(version, disable_help_subcommand = true)]
pub struct Arguments {
    /// When to use colour [default: auto, or what `CARGO_TERM_COLOR` and `NO_COLOR` say]
    #[arg(long, global = true, value_name = "WHEN", env = "CARGO_TERM_COLOR", hide_env = true)]
    pub color: Option<ColorChoice>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
// One is made in the life of the process.
#[allow(clippy::large_enum_variant)]
pub enum Command {
    /// Build a server, start it, trace its requests, and summarise them
    Run(RunArguments),
    /// Render again what `run --record FILE` has written
    Report(ReportArguments),
    /// Say whether this machine can trace, and the line that cures what is missing
    Doctor,
    /// The privileged side; started by `run`
    #[command(name = "__probe", hide = true)]
    Probe(ProbeArguments),
}

/// `cargo beyla run`
#[derive(Debug, Args)]
pub struct RunArguments {
    /// What to build.
    #[command(flatten)]
    pub target: TargetArguments,
    /// How long, and under what load.
    #[command(flatten)]
    pub run: RunControl,
    /// What to show.
    #[command(flatten)]
    pub report: ReportOptions,
    /// Open the handler: was a slow request computing, waiting for a CPU, blocking, waiting for the runtime
    /// or for something else, and where
    #[arg(long, help_heading = "Report options")]
    pub explain: bool,
    /// Write the records of the run to FILE, for `cargo beyla report`; they hold what was sent,
    /// credentials included
    #[arg(long, value_name = "FILE", help_heading = "Report options")]
    pub record: Option<PathBuf>,
    /// Where telemetry goes.
    #[command(flatten)]
    pub export: ExportOptions,
    /// How bytes are captured; the default is the lightest way that the kernel has
    #[arg(long, value_enum, default_value_t = Capture::Auto, hide = true)]
    pub capture: Capture,
    /// Arguments of the server
    #[arg(last = true, value_name = "SERVER ARGS")]
    pub server_arguments: Vec<OsString>,
}

/// What to build, in cargo's own words.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Target options")]
// They are flags, each of which stands by itself.
#[allow(clippy::struct_excessive_bools)]
pub struct TargetArguments {
    /// Package with the server
    #[arg(short, long, value_name = "SPEC")]
    pub package: Option<String>,
    /// Binary to run
    #[arg(long, value_name = "NAME", conflicts_with = "example")]
    pub bin: Option<String>,
    /// Example to run
    #[arg(long, value_name = "NAME")]
    pub example: Option<String>,
    /// Build in release mode, with optimizations
    #[arg(short, long, conflicts_with = "profile")]
    pub release: bool,
    /// Build with the given profile
    #[arg(long, value_name = "PROFILE-NAME")]
    pub profile: Option<String>,
    /// Space or comma separated list of features to activate
    #[arg(short = 'F', long, value_name = "FEATURES")]
    pub features: Vec<String>,
    /// Activate all available features
    #[arg(long)]
    pub all_features: bool,
    /// Do not activate the `default` feature
    #[arg(long)]
    pub no_default_features: bool,
    /// Path to Cargo.toml
    #[arg(long, value_name = "PATH")]
    pub manifest_path: Option<PathBuf>,
    /// Directory for all generated artifacts
    #[arg(long, value_name = "DIRECTORY")]
    pub target_dir: Option<PathBuf>,
    /// Assert that `Cargo.lock` will remain unchanged
    #[arg(long)]
    pub locked: bool,
    /// Run without accessing the network
    #[arg(long)]
    pub offline: bool,
    /// Number of parallel jobs, defaults to # of CPUs
    #[arg(short, long, value_name = "N")]
    pub jobs: Option<String>,
}

/// How long a run lasts, and under what load.
#[derive(Debug, Args)]
#[command(next_help_heading = "Run options")]
pub struct RunControl {
    /// Run CMD through `sh -c` once the server listens, then stop the server; `BEYLA_URL`,
    /// `BEYLA_PORT`, `BEYLA_SOCKET` and `BEYLA_PID` are set for it where they are known
    #[arg(long, value_name = "CMD")]
    pub exec: Option<OsString>,
    /// Stop the server so long after it began to listen, as in 30s or 5m
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub duration: Option<Duration>,
    /// Give up if the server does not listen within this time of its start
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_duration)]
    pub listen_timeout: Duration,
}

/// Where telemetry goes.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Export options")]
pub struct ExportOptions {
    /// Send traces to Jaeger at HOST:PORT: by OTLP/gRPC to port 4317, by OTLP/HTTP to any other
    #[arg(long, value_name = "HOST:PORT")]
    pub jaeger: Option<String>,
    /// Send traces and metrics by OTLP to URL, as in `http://localhost:4318`: by gRPC to port 4317, by HTTP
    /// to any other; with --jaeger metrics alone
    #[arg(long, value_name = "URL")]
    pub otlp: Option<String>,
    /// Let Prometheus scrape metrics at ADDR, as in 127.0.0.1:9464, under /metrics; a port alone is one of
    /// this machine's
    #[arg(long, value_name = "ADDR", value_parser = parse_address)]
    pub prometheus: Option<SocketAddr>,
}

/// What the reports show.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Report options")]
pub struct ReportOptions {
    /// Show the N slowest requests
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub slowest: usize,
    /// Write the JSON report to FILE; `-` is stdout
    #[arg(long, value_name = "FILE|-")]
    pub json: Option<PathBuf>,
    /// Put the paths that match PATTERN in one route, as in /users/{id}; may be repeated
    #[arg(long = "route", value_name = "PATTERN")]
    pub routes: Vec<String>,
    /// Keep at most N requests one by one, the slowest first; counts and percentiles stay exact
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    pub max_requests: usize,
    /// With --explain: name what holds a thread up for so long, as in 10ms
    #[arg(long, value_name = "TIME", default_value = "10ms", value_parser = parse_duration)]
    pub block_threshold: Duration,
}

/// `cargo beyla report`
#[derive(Debug, Args)]
pub struct ReportArguments {
    /// What `run --record FILE` has written
    pub file: PathBuf,
    /// What to show.
    #[command(flatten)]
    pub report: ReportOptions,
}

/// `cargo-beyla __probe`: between our own two processes, so terse.
#[derive(Clone, Debug, Args)]
pub struct ProbeArguments {
    /// The process to trace; it must not have executed its program yet.
    #[arg(long)]
    pub pid: u32,
    /// How bytes are captured.
    #[arg(long, value_enum, default_value_t = Capture::Auto)]
    pub capture: Capture,
    /// Record what `--explain` needs; polls that have lasted less than so many nanoseconds are not sampled.
    #[arg(long, value_name = "NS")]
    pub explain: Option<u64>,
    /// The executable that the functions of `--task-probe` are in.
    #[arg(long)]
    pub executable: Option<PathBuf>,
    /// A function of the async runtime, and where in the file it begins.
    #[arg(long = "task-probe")]
    pub task_probes: Vec<TaskProbe>,
}

/// How bytes are captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Capture {
    /// By socket tracepoints where the kernel has them, else by system calls.
    Auto,
    /// By the kernel's socket tracepoints (Linux 6.15 and later).
    Socket,
    /// By entry and exit of system calls.
    Syscalls,
}

/// Parses the process's arguments; prints help or the mistake and exits where they ask for it.
pub fn parse() -> Arguments {
    // Cargo passes the subcommand's name as the first argument; typed by itself it is left out.
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    if arguments.get(1).is_none_or(|first| first != "beyla") {
        arguments.insert(1.min(arguments.len()), "beyla".into());
    }
    match Cargo::try_parse_from(arguments) {
        Ok(Cargo { command: CargoCommand::Beyla(arguments) }) => arguments,
        Err(error) => {
            // Nothing is left to do for a reader who has gone away.
            let _ = error.print();
            let code = if error.use_stderr() { crate::error::USAGE } else { 0 };
            std::process::exit(code.into());
        }
    }
}

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let port = text.strip_prefix(':').unwrap_or(text);
    let of_this_machine = || port.parse().map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    text.parse()
        .or_else(|_| of_this_machine())
        .map_err(|_| format!("'{text}' is not an address such as 127.0.0.1:9464"))
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("'{text}' is not a time such as 500ms, 30s, 5m or 1h");
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "ms" => number / 1e3,
        "" | "s" => number,
        "m" => number * 60.0,
        "h" => number * 3600.0,
        _ => return Err(wrong()),
    };
    Duration::try_from_secs_f64(seconds).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        use clap::CommandFactory;
        Cargo::command().debug_assert();
    }

    #[test]
    fn addresses() {
        for (text, address) in
            [("127.0.0.1:1", "127.0.0.1:1"), ("[::1]:1", "[::1]:1"), ("9464", "127.0.0.1:9464"), (":1", "127.0.0.1:1")]
        {
            assert_eq!(parse_address(text), Ok(address.parse().expect("an address")), "{text}");
        }
        for wrong in ["", ":", "localhost", "1.2.3.4", "70000"] {
            assert!(parse_address(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("1.5"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_mins(2)));
        for wrong in ["", "s", "1d", "-1s", "1e400h", "1..2s"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }
}
