//! What is to be exported, and where to. Plain values: who fills them in has read flags, environment and
//! configuration.

use std::net::SocketAddr;
use std::time::Duration;

use super::kept::Kept;
use crate::config::attributes::AttributeSelection;
pub use crate::config::export::{Compression, Protocol, Sampler, TlsFiles};
pub use crate::config::proxy::{Credentials, Proxy};
pub use crate::config::source::{Setting, Source};

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
    pub kept: Option<Kept>,
    /// Which attributes the metrics have, and which the spans have not.
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
