//! The flags of `cargo beyla test`: those of `cargo test`, and ours.

// What stands here is printed as help, which is no markdown.
#![allow(clippy::doc_markdown, rustdoc::broken_intra_doc_links)]

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::options::{BuildOptions, ExportOptions, ReportOptions, parse_positive, parse_positive_duration};
use crate::config::capture::Capture;
use crate::config::explain::Explain;

/// `cargo beyla test`
#[derive(Debug, Args)]
pub struct TestArguments {
    /// What to build.
    #[command(flatten)]
    pub target: TestTargetArguments,
    /// Run only tests whose name contains this
    #[arg(value_name = "TESTNAME")]
    pub filter: Option<String>,
    /// How the tests run.
    #[command(flatten)]
    pub run: TestControl,
    /// What fails the run beside the tests.
    #[command(flatten)]
    pub verdict: VerdictOptions,
    /// What to show.
    #[command(flatten)]
    pub report: ReportOptions,
    /// Open the handlers: were slow requests computing, waiting for a CPU, blocking, waiting for the runtime or for
    /// something else, and where
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
    /// Write the records of the run to FILE, for `cargo beyla report`; they hold what was sent, credentials
    /// included, and the keys of its TLS connections
    #[arg(long, value_name = "FILE", help_heading = "Report options")]
    pub record: Option<PathBuf>,
    /// Write a JUnit report to FILE, the requests of each test as properties; `-` is stdout
    #[arg(long, value_name = "FILE", help_heading = "Report options")]
    pub junit: Option<PathBuf>,
    /// Where to send what was seen.
    #[command(flatten)]
    pub export: ExportOptions,
    /// How bytes are captured; the default is the lightest way that the kernel has
    #[arg(long, value_enum, default_value_t = Capture::Auto, hide = true)]
    pub capture: Capture,
    /// Arguments for the test binaries: TESTNAMEs, --ignored, --include-ignored, --skip, --exact, --nocapture,
    /// --test-threads
    #[arg(last = true, value_name = "TEST ARGS")]
    pub harness_arguments: Vec<OsString>,
}

/// What to build, in cargo's own words.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Target options")]
// They are flags; each stands by itself.
#[allow(clippy::struct_excessive_bools)]
pub struct TestTargetArguments {
    /// Package to run tests for; may be repeated
    #[arg(short, long, value_name = "SPEC")]
    pub package: Vec<String>,
    /// Test all packages in the workspace
    #[arg(long, visible_alias = "all")]
    pub workspace: bool,
    /// Exclude packages from the test; may be repeated
    #[arg(long, value_name = "SPEC", requires = "workspace")]
    pub exclude: Vec<String>,
    /// Test only this package's library unit tests
    #[arg(long)]
    pub lib: bool,
    /// Test all binaries
    #[arg(long)]
    pub bins: bool,
    /// Test only the specified binary; may be repeated
    #[arg(long, value_name = "NAME")]
    pub bin: Vec<String>,
    /// Test all examples
    #[arg(long)]
    pub examples: bool,
    /// Test only the specified example; may be repeated
    #[arg(long, value_name = "NAME")]
    pub example: Vec<String>,
    /// Test all targets that have `test = true` set
    #[arg(long)]
    pub tests: bool,
    /// Test only the specified test target; may be repeated
    #[arg(long, value_name = "NAME")]
    pub test: Vec<String>,
    /// Test all targets that have `bench = true` set
    #[arg(long)]
    pub benches: bool,
    /// Test only the specified bench target; may be repeated
    #[arg(long, value_name = "NAME")]
    pub bench: Vec<String>,
    /// Test all targets (does not include doctests)
    #[arg(long)]
    pub all_targets: bool,
    /// How to build it.
    #[command(flatten)]
    pub build: BuildOptions,
}

/// How the tests run.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Run options")]
pub struct TestControl {
    /// Run and build so much at a time [default: # of CPUs]; `-- --test-threads` says it for the tests alone
    #[arg(short, long, value_name = "N", value_parser = parse_positive, allow_negative_numbers = true)]
    pub jobs: Option<NonZeroUsize>,
    /// Run all tests regardless of failure
    #[arg(long)]
    pub no_fail_fast: bool,
    /// Compile, but don't run tests
    #[arg(long)]
    pub no_run: bool,
    /// Stop a test that takes longer, as in 30s or 5m; it counts as failed
    #[arg(long, value_name = "TIME", value_parser = parse_positive_duration, allow_negative_numbers = true)]
    pub timeout: Option<Duration>,
    /// Run everything N times
    #[arg(long, value_name = "N", value_parser = parse_positive, allow_negative_numbers = true)]
    pub repeat: Option<NonZeroUsize>,
}

/// What a run must keep to, and what it is compared with.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Verdict options")]
pub struct VerdictOptions {
    /// Fail the run if this does not hold, as in 'GET /users/{id} p99 < 20ms', 'test api::* requests <= 10' or
    /// 'errors == 0'; may be repeated
    #[arg(long = "budget", value_name = "BUDGET")]
    pub budgets: Vec<String>,
    /// Keep what was measured under NAME, in target/beyla/
    #[arg(long, value_name = "NAME")]
    pub save_baseline: Option<String>,
    /// Compare with what was kept under NAME: faster, slower, or no change seen
    #[arg(long, value_name = "NAME")]
    pub baseline: Option<String>,
}
