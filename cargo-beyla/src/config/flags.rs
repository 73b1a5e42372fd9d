//! The flags that set what the environment and files can set as well.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::explain::Explain;
use super::export::Protocol;
use super::percent::Percent;
use super::secret::Secret;

/// The flags of a subcommand; what it does not have, and what was not typed, is as in the default.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `--config`: the file of settings.
    pub config: Option<PathBuf>,
    /// `--slowest`
    pub slowest: Option<usize>,
    /// `--route`, each
    pub routes: Vec<String>,
    /// `--budget`, each
    pub budgets: Vec<String>,
    /// `--max-requests`
    pub max_requests: Option<usize>,
    /// `--block-threshold`
    pub block_threshold: Option<Duration>,
    /// `--explain`
    pub explain: Option<Explain>,
    /// `--overhead-budget`
    pub overhead_budget: Option<Percent>,
    /// `--no-tls`
    pub no_tls: bool,
    /// `--exec`
    pub exec: Option<OsString>,
    /// `--duration`
    pub duration: Option<Duration>,
    /// `--listen-timeout`
    pub listen_timeout: Option<Duration>,
    /// What is exported, and where to.
    pub export: ExportFlags,
}

/// The flags that say what is exported, and where to.
#[derive(Clone, Debug, Default)]
pub struct ExportFlags {
    /// `--jaeger`
    pub jaeger: Option<String>,
    /// `--otlp`
    pub otlp: Option<String>,
    /// `--otlp-protocol`
    pub otlp_protocol: Option<Protocol>,
    /// `--otlp-header`, each
    pub otlp_headers: Vec<Secret>,
    /// `--prometheus`
    pub prometheus: Option<String>,
    /// `--service-name`
    pub service_name: Option<String>,
}
