//! One [`Settings`] out of flags, environment, configuration file and Cargo metadata.

use std::ffi::OsString;
use std::time::Duration;

use regex::Regex;

use super::attributes::{AttributeFilter, AttributeSelection, filters, selections};
use super::budgets::budgets;
use super::environment::Environment;
use super::explain::Explain;
use super::export::{MetricsExport, PrometheusExport, TracesExport};
use super::flags::{ExportFlags, Flags};
use super::grafana::GrafanaCloud;
use super::keys::{self, Key};
use super::layers::{Layers, Manifests};
use super::node::{Node, Wrong};
use super::open_telemetry::OpenTelemetry;
use super::percent::Percent;
use super::resolve::Resolver;
use super::routes::Routes;
use super::source::Setting;
use super::test_groups::{TestGroup, test_groups};
use super::values::{
    LOG_LEVELS, Ports, TracePrinter, boolean, choice, count, duration, interval, percent, ports, regex, text,
};
use crate::console::status::LogLevel;
use crate::error::Error;
use cargo_beyla_core::analysis::budget::definition::Budget;
use cargo_beyla_core::model::system_call::Architecture;
use cargo_beyla_core::trace::{BLOCK_THRESHOLD, TraceSettings};

/// The usual `--slowest`.
pub const SLOWEST: usize = 10;
/// The usual `--max-requests`.
pub const MAX_REQUESTS: usize = 100_000;
/// The usual `--explain`.
const EXPLAIN: Explain = Explain::Never;
/// The usual `--overhead-budget`.
const OVERHEAD_BUDGET: Percent = Percent::new(3);
/// The usual `--listen-timeout`.
pub const LISTEN_TIMEOUT: Duration = Duration::from_mins(1);

/// All that can be set, each with where it comes from.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many of the slowest requests are shown.
    pub slowest: Setting<usize>,
    /// How many requests are kept one by one.
    pub max_requests: Setting<usize>,
    /// How much of the handler is opened.
    pub explain: Setting<Explain>,
    /// How much of the server's CPU time probes on its functions may cost with [`Explain::Auto`].
    pub overhead_budget: Setting<Percent>,
    /// Whether TLS is read, by keys that are taken from the server.
    pub tls: Setting<bool>,
    /// What holds a thread up for this time is named.
    pub block_threshold: Setting<Duration>,
    /// How long the server has until it listens.
    pub listen_timeout: Setting<Duration>,
    /// How long the run lasts.
    pub duration: Option<Setting<Duration>>,
    /// The command that runs once the server listens.
    pub exec: Option<Setting<OsString>>,
    /// Which paths belong together, and which are not exported.
    pub routes: Routes,
    /// What fails the run if it does not hold.
    pub budgets: Vec<Setting<Budget>>,
    /// Which tests do not run all at the same time.
    pub test_groups: Vec<Setting<TestGroup>>,
    /// The ports of the process to attach to.
    pub open_port: Option<Setting<Ports>>,
    /// What the path of the executable to attach to matches.
    pub executable_name: Option<Setting<Regex>>,
    /// `service.name`; without it, the name of the binary.
    pub service_name: Option<Setting<String>>,
    /// `service.namespace`.
    pub service_namespace: Option<Setting<String>>,
    /// Further attributes of the resource, by name; `service.name` and `service.namespace` are not among them.
    pub resource_attributes: Option<Setting<Vec<(String, String)>>>,
    /// Whether the headers of requests are searched for a `traceparent`.
    pub track_request_headers: Setting<bool>,
    /// How each request is printed.
    pub trace_printer: Setting<TracePrinter>,
    /// How much is said.
    pub log_level: Setting<LogLevel>,
    /// Which requests are exported: those that all of these accept.
    pub filters: Option<Setting<Vec<AttributeFilter>>>,
    /// Which attributes the metrics have.
    pub attributes: Option<Setting<Vec<AttributeSelection>>>,
    /// Traces over OTLP, if they are wanted.
    pub traces: Option<TracesExport>,
    /// Metrics over OTLP, if they are wanted.
    pub metrics: Option<MetricsExport>,
    /// Metrics for Prometheus to fetch, if they are wanted.
    pub prometheus: Option<PrometheusExport>,
    /// What the user should know of the settings: each a line.
    pub warnings: Vec<String>,
}

impl Settings {
    /// Reads the environment and the files that `flags` and `manifests` name, and puts all together.
    ///
    /// # Errors
    /// If a file cannot be read, or a value is not one of its kind.
    pub fn load(flags: &Flags, environment: &Environment, manifests: Option<&Manifests>) -> Result<Self, Error> {
        let layers = Layers::read(flags.config.as_deref(), environment, manifests)?;
        Self::resolve(flags, &layers)
    }

    /// What the core must know.
    pub fn trace(&self) -> Result<TraceSettings, Error> {
        Ok(TraceSettings {
            routes: self.routes.table()?,
            max_requests: self.max_requests.value,
            block_threshold: self.block_threshold.value,
            export: false,
            seed: None,
            track_request_headers: self.track_request_headers.value,
            within: None,
            architecture: Architecture::HERE,
        })
    }

    fn resolve(flags: &Flags, layers: &Layers<'_>) -> Result<Self, Error> {
        let mut variables = OpenTelemetry::new(layers.environment);
        let mut warnings: Vec<String> = Vec::new();
        for document in &layers.documents {
            let without_meaning = document.check()?;
            if !without_meaning.is_empty() {
                let path = document.path.display();
                warnings.push(format!("{path}: these keys have no effect here: {}", without_meaning.join(", ")));
            }
        }
        for document in &layers.several {
            document.check()?;
            if document.has_other_than(&[&keys::BUDGETS, &keys::TEST_GROUPS]) {
                let path = document.path.display();
                warnings.push(format!(
                    "{path}: several packages are tested, so of its settings only budgets and test groups count; put the \
                     others into [workspace.metadata.beyla]"
                ));
            }
        }
        let (service, attributes) = resource(layers, &mut variables, &flags.export)?;
        let grafana = GrafanaCloud::load(layers, &mut warnings)?;
        let mut resolver = Resolver { flags: &flags.export, layers, variables: &mut variables, grafana };
        let traces = resolver.traces()?;
        let metrics = resolver.metrics()?;
        let prometheus = resolver.prometheus()?;
        if traces.is_none() && metrics.is_none() && !flags.export.otlp_headers.is_empty() {
            warnings.push("--otlp-header has no effect: nothing is sent by OTLP; say where to with --otlp".to_owned());
        }
        for warning in variables.warnings {
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
        let [service_name, service_namespace] = service;
        Ok(Self {
            slowest: setting(layers, "--slowest", flags.slowest, &keys::SLOWEST, count, SLOWEST)?,
            max_requests: setting(
                layers,
                "--max-requests",
                flags.max_requests,
                &keys::MAX_REQUESTS,
                count,
                MAX_REQUESTS,
            )?,
            explain: setting(layers, "--explain", flags.explain, &keys::EXPLAIN, Explain::parse, EXPLAIN)?,
            overhead_budget: setting(
                layers,
                "--overhead-budget",
                flags.overhead_budget,
                &keys::OVERHEAD_BUDGET,
                percent,
                OVERHEAD_BUDGET,
            )?,
            tls: setting(layers, "--no-tls", flags.no_tls.then_some(false), &keys::TLS, boolean, true)?,
            block_threshold: setting(
                layers,
                "--block-threshold",
                flags.block_threshold,
                &keys::BLOCK_THRESHOLD,
                duration,
                BLOCK_THRESHOLD,
            )?,
            listen_timeout: setting(
                layers,
                "--listen-timeout",
                flags.listen_timeout,
                &keys::LISTEN_TIMEOUT,
                interval,
                LISTEN_TIMEOUT,
            )?,
            duration: optional(layers, "--duration", flags.duration, &keys::DURATION, interval)?,
            exec: optional(layers, "--exec", flags.exec.clone(), &keys::EXEC, |node| text(node).map(OsString::from))?,
            routes: Routes::load(&flags.routes, layers)?,
            budgets: budgets(&flags.budgets, layers)?,
            test_groups: test_groups(layers)?,
            open_port: layers.get(&keys::OPEN_PORT, ports)?,
            executable_name: layers.first_of(&[&keys::EXECUTABLE_NAME, &keys::EXECUTABLE_PATH], regex)?,
            service_name,
            service_namespace,
            resource_attributes: attributes,
            track_request_headers: layers
                .get(&keys::TRACK_REQUEST_HEADERS, boolean)?
                .unwrap_or(Setting::default_of(true)),
            trace_printer: layers
                .get(&keys::TRACE_PRINTER, |node| choice(node, TracePrinter::WORDS))?
                .unwrap_or(Setting::default_of(TracePrinter::default())),
            log_level: layers
                .get(&keys::LOG_LEVEL, |node| choice(node, LOG_LEVELS))?
                .unwrap_or(Setting::default_of(LogLevel::default())),
            filters: layers.get(&keys::FILTER_APPLICATION, filters)?,
            attributes: layers.get(&keys::ATTRIBUTES_SELECT, selections)?,
            traces,
            metrics,
            prometheus,
            warnings,
        })
    }
}

type Service = [Option<Setting<String>>; 2];
type Attributes = Option<Setting<Vec<(String, String)>>>;

/// The name of the service, its namespace, and the other attributes of the resource.
fn resource(
    layers: &Layers<'_>,
    variables: &mut OpenTelemetry<'_>,
    flags: &ExportFlags,
) -> Result<(Service, Attributes), Error> {
    let mut attributes = variables.pairs("OTEL_RESOURCE_ATTRIBUTES");
    let mut take = |name: &str| {
        let Setting { value, source } = attributes.as_mut()?;
        let mut found = None;
        value.retain(|(key, value)| {
            let wanted = key == name;
            if wanted && !value.is_empty() {
                found = Some(value.clone());
            }
            !wanted
        });
        found.map(|value| Setting { value, source: source.clone() })
    };
    let (name, namespace) = (take("service.name"), take("service.namespace"));
    let flag = Setting::of_flag("--service-name", flags.service_name.clone());
    // Every source is validated, used or not. The name's own variable counts before the attributes of the resource.
    let in_files = layers.get(&keys::SERVICE_NAME, text)?;
    let name = flag.or(layers.variable(&keys::SERVICE_NAME, text)?).or(name).or(in_files);
    let in_files = layers.get(&keys::SERVICE_NAMESPACE, text)?;
    let namespace = layers.variable(&keys::SERVICE_NAMESPACE, text)?.or(namespace).or(in_files);
    Ok(([name, namespace], attributes.filter(|attributes| !attributes.value.is_empty())))
}

fn setting<T>(
    layers: &Layers<'_>,
    flag: &'static str,
    given: Option<T>,
    key: &Key,
    parse: impl Fn(&Node) -> Result<T, Wrong>,
    default: T,
) -> Result<Setting<T>, Error> {
    Ok(optional(layers, flag, given, key, parse)?.unwrap_or(Setting::default_of(default)))
}

fn optional<T>(
    layers: &Layers<'_>,
    flag: &'static str,
    given: Option<T>,
    key: &Key,
    parse: impl Fn(&Node) -> Result<T, Wrong>,
) -> Result<Option<Setting<T>>, Error> {
    // What the flag overrides must be valid as well.
    let below = layers.get(key, parse)?;
    Ok(Setting::of_flag(flag, given).or(below))
}

#[cfg(test)]
#[path = "settings_tests.rs"]
pub(super) mod tests;
