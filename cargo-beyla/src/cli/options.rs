//! The flags that several subcommands share.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use cargo_beyla_core::model::duration;
use clap::Args;

use crate::config::export::Protocol;
use crate::config::percent::Percent;
use crate::config::secret::Secret;

/// What to build, in cargo's own words.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Target options")]
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
    /// How to build it.
    #[command(flatten)]
    pub build: BuildOptions,
    /// Number of parallel jobs, defaults to # of CPUs
    #[arg(short, long, value_name = "N", allow_negative_numbers = true)]
    pub jobs: Option<String>,
}

/// How to build, in cargo's own words.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Target options")]
// They are flags; each stands by itself.
#[allow(clippy::struct_excessive_bools)]
pub struct BuildOptions {
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
    /// Equivalent to specifying both --locked and --offline
    #[arg(long)]
    pub frozen: bool,
    /// Ignore `rust-version` specification in packages
    #[arg(long)]
    pub ignore_rust_version: bool,
    /// Give cargo a setting of its configuration, as its own --config does; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_cargo_config)]
    pub cargo_config: Vec<String>,
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
    #[arg(long, value_name = "TIME", value_parser = parse_positive_duration, allow_negative_numbers = true)]
    pub duration: Option<Duration>,
    /// Give up if the server does not listen within this time of its start [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = parse_positive_duration, allow_negative_numbers = true)]
    pub listen_timeout: Option<Duration>,
}

/// What the reports show, and where they go.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Report options")]
pub struct ReportOptions {
    /// Show the N slowest requests [default: 10]
    #[arg(long, value_name = "N", value_parser = parse_count, allow_negative_numbers = true)]
    pub slowest: Option<usize>,
    /// Write the JSON report to FILE; `-` is stdout
    #[arg(long, value_name = "FILE|-")]
    pub json: Option<PathBuf>,
    /// Write the report to FILE as a page for a browser
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Open that page in a browser
    #[arg(long, requires = "html")]
    pub open: bool,
    /// Put the paths that match PATTERN in one route, as in /users/{id}; may be repeated
    #[arg(long = "route", value_name = "PATTERN")]
    pub routes: Vec<String>,
    /// Keep at most N requests one by one, the slowest first; counts and percentiles stay exact
    /// [default: 100000]
    #[arg(long, value_name = "N", value_parser = parse_count, allow_negative_numbers = true)]
    pub max_requests: Option<usize>,
    /// With --explain: name what holds a thread up for so long [default: 10ms]
    #[arg(long, value_name = "TIME", value_parser = parse_duration, allow_negative_numbers = true)]
    pub block_threshold: Option<Duration>,
    /// With --explain=auto: how much of the server's CPU time the probes on its functions may cost, in percent [default: 3]
    #[arg(long, value_name = "PERCENT", value_parser = parse_percent, allow_negative_numbers = true)]
    pub overhead_budget: Option<Percent>,
}

/// Where to send what was seen.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Export options")]
pub struct ExportOptions {
    /// Send traces to the Jaeger at HOST:PORT, over OTLP/HTTP, as in localhost:4318
    #[arg(long, value_name = "HOST:PORT")]
    pub jaeger: Option<String>,
    /// Send traces and metrics to URL over OTLP; by gRPC if its port is 4317 or its scheme grpc
    #[arg(long, value_name = "URL")]
    pub otlp: Option<String>,
    /// How OTLP is spoken, where the URL does not tell
    #[arg(long, value_name = "PROTOCOL", value_parser = parse_protocol)]
    pub otlp_protocol: Option<Protocol>,
    /// Send a header with each call of OTLP; may be repeated
    #[arg(long = "otlp-header", value_name = "NAME=VALUE", value_parser = secret)]
    pub otlp_headers: Vec<Secret>,
    /// Offer metrics to Prometheus at ADDR, as in :9400; without a host, on 127.0.0.1
    #[arg(long, value_name = "ADDR")]
    pub prometheus: Option<String>,
    /// Read settings from FILE, in Grafana Beyla's YAML; `cargo beyla init` writes one
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print all settings and where each comes from; build and run nothing
    #[arg(long)]
    pub show_config: bool,
    /// What the server is called in traces and metrics [default: the binary's name]
    #[arg(long, value_name = "NAME")]
    pub service_name: Option<String>,
}

pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    duration::parse_duration(text).ok_or_else(|| format!("'{text}' is not a time such as 500ms, 30s, 5m or 1h"))
}

/// A time in which something is to happen.
pub(super) fn parse_positive_duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).and_then(|time| if time.is_zero() { Err("it must be more than 0".into()) } else { Ok(time) })
}

/// A part, in percent.
fn parse_percent(text: &str) -> Result<Percent, String> {
    text.parse().map_err(|()| "it must be a percentage from 0 to 100".into())
}

/// A number of things.
fn parse_count(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "it must be a number of 0 or more".into())
}

/// A count of at least one.
pub(super) fn parse_positive(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| "it must be a number of 1 or more".into())
}

/// Cargo checks the rest; its `--config` takes the path of a file as well, which stands for too much.
fn parse_cargo_config(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((key, _)) if !key.trim().is_empty() => Ok(text.to_owned()),
        _ => Err(format!("'{text}' is not KEY=VALUE, as in build.target-dir='/tmp/target'")),
    }
}

fn parse_protocol(text: &str) -> Result<Protocol, String> {
    let found = Protocol::WORDS.iter().find(|(word, _)| *word == text);
    found.map(|(_, protocol)| *protocol).ok_or_else(|| "expected grpc or http/protobuf".to_owned())
}

/// It is checked later, where the message does not repeat the secret.
#[allow(clippy::unnecessary_wraps)]
fn secret(text: &str) -> Result<Secret, String> {
    Ok(Secret::new(text))
}
