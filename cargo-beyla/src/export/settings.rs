//! What is exported, and where to: plain values, made of the settings.

use std::net::SocketAddr;
use std::time::Duration;

use super::filter::{ExportFilter, RequestFilter, Signals};
use crate::config::attributes::AttributeSelection;
use crate::config::export as config;
pub use crate::config::export::{Compression, Protocol, Sampler, TlsFiles};
pub use crate::config::proxy::{Credentials, Proxy};
use crate::config::routes::IgnoreMode;
use crate::config::settings::Settings;
pub use crate::config::source::{Setting, Source};
use crate::error::Error;
use crate::report::run_info::RunInfo;

/// Everything that a run exports.
#[derive(Clone, Debug, Default)]
pub struct ExportSettings {
    /// Spans, by OTLP.
    pub traces: Option<OtlpExport>,
    /// Which requests have spans.
    pub sampler: Sampler,
    /// Metrics, by OTLP.
    pub metrics: Option<MetricsExport>,
    /// Metrics, to be scraped.
    pub prometheus: Option<PrometheusExport>,
    /// The requests that are exported; `None`: all.
    pub filter: Option<ExportFilter>,
    /// Which attributes the metrics have, and which ones are left out of the spans.
    pub attributes: Vec<AttributeSelection>,
}

/// A receiver of OTLP.
#[derive(Clone, Debug, PartialEq)]
pub struct OtlpExport {
    /// As it is used: for HTTP with the path, as in `http://localhost:4318/v1/traces`; for gRPC without,
    /// as in `http://localhost:4317`.
    pub endpoint: String,
    /// How OTLP is spoken there.
    pub protocol: Protocol,
    /// Sent with every request, such as credentials.
    pub headers: Vec<(String, String)>,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// How messages are compressed.
    pub compression: Compression,
    /// What TLS needs.
    pub tls: TlsFiles,
    /// The proxy on the way there, and what names it.
    pub proxy: Option<Setting<Proxy>>,
}

/// Metrics, by OTLP.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricsExport {
    /// Where to.
    pub otlp: OtlpExport,
    /// How often they are sent; and once more at the end.
    pub interval: Duration,
}

/// Metrics, to be scraped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrometheusExport {
    /// Where to listen; port 0 takes a free one.
    pub address: SocketAddr,
    /// As in `/metrics`.
    pub path: String,
}

/// What the telemetry is of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resource {
    /// `service.name`.
    pub service_name: String,
    /// Others, which win over what is found out about the run.
    pub attributes: Vec<(String, String)>,
}

impl ExportSettings {
    /// What the settings ask for.
    ///
    /// # Errors
    /// If a pattern of paths is none.
    pub fn of(settings: &Settings) -> Result<Self, Error> {
        let traces = settings.traces.as_ref();
        let metrics = settings.metrics.as_ref();
        let prometheus = settings.prometheus.as_ref();
        Ok(Self {
            traces: traces.map(|config::TracesExport { otlp, sampler: _ }| OtlpExport::of(otlp)),
            sampler: traces.map_or_else(Sampler::default, |traces| traces.sampler.value),
            metrics: metrics.map(|config::MetricsExport { otlp, interval }| MetricsExport {
                otlp: OtlpExport::of(otlp),
                interval: interval.value,
            }),
            prometheus: prometheus.map(|config::PrometheusExport { address, path }| PrometheusExport {
                address: address.value,
                path: path.value.clone(),
            }),
            filter: filter(settings)?,
            attributes: settings.attributes.as_ref().map(|attributes| attributes.value.clone()).unwrap_or_default(),
        })
    }
}

/// The requests that are exported; `None`: all.
fn filter(settings: &Settings) -> Result<Option<ExportFilter>, Error> {
    let accepted = RequestFilter::of(settings);
    if accepted.accepts_all() && settings.routes.ignored_patterns.is_none() {
        return Ok(None);
    }
    let ignored_as = match settings.routes.ignore_mode.value {
        IgnoreMode::All => Signals::NONE,
        IgnoreMode::Traces => Signals { traces: false, metrics: true },
        IgnoreMode::Metrics => Signals { traces: true, metrics: false },
    };
    Ok(Some(ExportFilter::new(accepted, settings.routes.ignored()?, ignored_as)))
}

impl OtlpExport {
    fn of(endpoint: &config::OtlpEndpoint) -> Self {
        let config::OtlpEndpoint { endpoint, protocol, headers, timeout, compression, tls, proxy } = endpoint.clone();
        let headers = headers.into_iter().map(|(name, value)| (name, value.value.reveal().to_owned()));
        Self {
            endpoint: endpoint.value,
            protocol: protocol.value,
            headers: headers.collect(),
            timeout: timeout.value,
            compression: compression.value,
            tls,
            proxy,
        }
    }
}

impl Resource {
    /// What the settings say of a run. `package` is the only one whose tests are traced, if there is one alone.
    pub fn of(settings: &Settings, package: Option<String>, run: &RunInfo) -> Self {
        let service_name = settings.service_name.as_ref().map(|name| name.value.clone());
        let namespace = settings.service_namespace.as_ref();
        let namespace = namespace.map(|namespace| ("service.namespace".to_owned(), namespace.value.clone()));
        let others = settings.resource_attributes.iter().flat_map(|attributes| attributes.value.clone());
        Self {
            service_name: service_name.or(package).unwrap_or_else(|| run.name()),
            attributes: namespace.into_iter().chain(others).collect(),
        }
    }
}
