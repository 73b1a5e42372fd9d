//! The command line: flags, and nothing but flags.

mod flags;
pub mod options;
pub mod runner;
pub mod test;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, ColorChoice, Parser, Subcommand};

use self::options::{ExportOptions, ReportOptions, RunControl, TargetArguments, parse_positive_duration};
use self::runner::{RunnerArguments, StartArguments};
use self::test::{TestArguments, VerdictOptions};
use crate::config::capture::Capture;
use crate::config::explain::Explain;
use crate::console::color;
use crate::console::stream::Stream;

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
    /// Trace the requests of a workspace's tests
    Test(TestArguments),
    /// Trace the requests of a server that already runs, and summarise them; it goes on untouched
    Attach(AttachArguments),
    /// Render again what `run --record FILE` has written
    Report(ReportArguments),
    /// Write a commented configuration file, and a compose file that starts Jaeger
    Init(InitArguments),
    /// Say whether this machine can trace, and the line that cures what is missing
    Doctor(DoctorArguments),
    /// Runs a binary for cargo or cargo-nextest, and traces its requests
    #[command(name = "__runner", hide = true, disable_help_flag = true)]
    Runner(RunnerArguments),
    /// Started by cargo in the place of a program, writes down how
    #[command(name = runner::START, hide = true, disable_help_flag = true)]
    Start(StartArguments),
    /// Looks after what was started, should the tool be killed
    #[command(name = "__guard", hide = true)]
    Guard,
    /// The privileged side; started by `run`, which says the rest on its stdin
    #[command(name = "__probe", hide = true)]
    Probe,
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
    /// What fails the run.
    #[command(flatten)]
    pub verdict: VerdictOptions,
    /// What to show.
    #[command(flatten)]
    pub report: ReportOptions,
    /// Where to send what was seen.
    #[command(flatten)]
    pub export: ExportOptions,
    /// Open the handler: was a slow request computing, waiting for a CPU, blocking, waiting for the runtime
    /// or for something else, and where
    #[arg(
        long,
        value_enum,
        value_name = "WHEN",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "always",
        help_heading = "Report options"
    )]
    pub explain: Option<Explain>,
    /// Do not read TLS: take no keys from the server, and tell of HTTPS what can be seen from outside
    #[arg(long, help_heading = "Report options")]
    pub no_tls: bool,
    /// Write the records of the run to FILE, for `cargo beyla report`; they hold what was sent,
    /// credentials included, and the keys of its TLS connections
    #[arg(long, value_name = "FILE", help_heading = "Report options")]
    pub record: Option<PathBuf>,
    /// How bytes are captured; the default is the lightest way that the kernel has
    #[arg(long, value_enum, default_value_t = Capture::Auto, hide = true)]
    pub capture: Capture,
    /// Arguments of the server
    #[arg(last = true, value_name = "SERVER ARGS")]
    pub server_arguments: Vec<OsString>,
}

/// `cargo beyla attach`
#[derive(Debug, Args)]
pub struct AttachArguments {
    /// Which server.
    #[command(flatten)]
    pub server: ServerArguments,
    /// Run CMD through `sh -c`, and end when it has ended; `BEYLA_URL`, `BEYLA_PORT` and `BEYLA_PID` are set for it
    #[arg(long, value_name = "CMD", help_heading = "Run options")]
    pub exec: Option<OsString>,
    /// End after this time, as in 30s or 5m; without it, ^C ends
    #[arg(
        long,
        value_name = "TIME",
        value_parser = parse_positive_duration,
        allow_negative_numbers = true,
        help_heading = "Run options"
    )]
    pub duration: Option<Duration>,
    /// What to show.
    #[command(flatten)]
    pub report: ReportOptions,
    /// Where to send what was seen.
    #[command(flatten)]
    pub export: ExportOptions,
    /// Open the handler, as `run --explain` does
    #[arg(
        long,
        value_enum,
        value_name = "WHEN",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "always",
        help_heading = "Report options"
    )]
    pub explain: Option<Explain>,
    /// Do not read TLS: take no keys from the server, and tell of HTTPS what can be seen from outside
    #[arg(long, help_heading = "Report options")]
    pub no_tls: bool,
    /// Write the records to FILE, for `cargo beyla report`; they hold what was sent, credentials included, and the keys of
    /// its TLS connections
    #[arg(long, value_name = "FILE", help_heading = "Report options")]
    pub record: Option<PathBuf>,
    /// How bytes are captured; the default is the lightest way that the kernel has
    #[arg(long, value_enum, default_value_t = Capture::Auto, hide = true)]
    pub capture: Capture,
}

/// A server that already runs.
#[derive(Clone, Copy, Debug, Args)]
#[group(multiple = false)]
pub struct ServerArguments {
    /// The server's process id
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub pid: Option<u32>,
    /// The TCP port that it listens on [default: `open_port` and `executable_name` of the file of --config]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub port: Option<u16>,
}

/// `cargo beyla report`
#[derive(Debug, Args)]
pub struct ReportArguments {
    /// What `run --record FILE` has written
    pub file: PathBuf,
    /// Read settings from FILE, in Grafana Beyla's YAML
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What to show.
    #[command(flatten)]
    pub report: ReportOptions,
}

/// `cargo beyla init`
#[derive(Debug, Args)]
pub struct InitArguments {
    /// Overwrite files that are there already
    #[arg(long)]
    pub force: bool,
}

/// `cargo beyla doctor`
#[derive(Debug, Args)]
pub struct DoctorArguments {
    /// Install a small helper that alone has `CAP_BPF` and `CAP_PERFMON`, so that tracing needs no sudo
    #[arg(long)]
    pub setup: bool,
    /// Who may use that helper [default: your primary group]
    #[arg(long, value_name = "GROUP", requires = "setup")]
    pub group: Option<String>,
    /// Take away what `--setup` has installed
    #[arg(long, conflicts_with = "setup")]
    pub undo: bool,
}

/// Parses the process's arguments; prints help or the mistake and exits where they ask for it.
pub fn parse() -> Arguments {
    // Cargo passes the subcommand's name as the first argument; typed by itself it is left out.
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    if arguments.get(1).is_none_or(|first| first != "beyla") {
        arguments.insert(1.min(arguments.len()), "beyla".into());
    }
    match Cargo::try_parse_from(&arguments) {
        Ok(Cargo { command: CargoCommand::Beyla(arguments) }) => with_color_for_cargo(arguments),
        Err(error) => {
            if let Some(word) = color::misspelt(&arguments).filter(|_| error.kind() == ErrorKind::InvalidValue) {
                // Nobody has typed --color. These are cargo's own words.
                let word = word.to_string_lossy();
                Stream::Stderr.say(format!(
                    "error: CARGO_TERM_COLOR must be auto, always, or never, but found `{}`\n",
                    word.escape_debug()
                ));
                std::process::exit(crate::error::USAGE.into());
            }
            let stream = if error.use_stderr() { Stream::Stderr } else { Stream::Stdout };
            let text = error.render();
            let colored = color::color(color::typed(&arguments), stream);
            stream.say(if colored { text.ansi().to_string() } else { text.to_string() });
            let code = if error.use_stderr() { crate::error::USAGE } else { 0 };
            std::process::exit(code.into());
        }
    }
}

/// What was chosen for our own lines holds for cargo's, between which they stand.
fn with_color_for_cargo(mut arguments: Arguments) -> Arguments {
    let build = match &mut arguments.command {
        Command::Run(run) => &mut run.target.build,
        Command::Test(test) => &mut test.target.build,
        _ => return arguments,
    };
    if let Some(choice) = arguments.color {
        build.cargo_config.insert(0, format!("term.color='{choice}'"));
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::{LISTEN_TIMEOUT, MAX_REQUESTS, SLOWEST};
    use cargo_beyla_core::trace::BLOCK_THRESHOLD;

    #[test]
    fn the_help_tells_the_defaults() {
        use clap::CommandFactory;
        let mut cargo = Cargo::command();
        let beyla = cargo.find_subcommand_mut("beyla").expect("it is there");
        let run = beyla.find_subcommand_mut("run").expect("it is there");
        let help = run.render_help().to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        for default in [
            SLOWEST.to_string(),
            MAX_REQUESTS.to_string(),
            format!("{LISTEN_TIMEOUT:?}"),
            format!("{BLOCK_THRESHOLD:?}"),
        ] {
            assert!(help.contains(&format!("[default: {default}]")), "{default}");
        }
    }

    #[test]
    fn the_definition_is_consistent() {
        use clap::CommandFactory;
        Cargo::command().debug_assert();
    }
}
