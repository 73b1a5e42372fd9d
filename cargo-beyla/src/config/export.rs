//! What is exported, and where to: what the exporters read.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::proxy::Proxy;
use super::secret::Secret;
use super::source::Setting;

/// How OTLP is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// gRPC.
    Grpc,
    /// Protobuf over HTTP/1.1.
    HttpProtobuf,
}

impl Protocol {
    pub(crate) const WORDS: &[(&str, Self)] = &[("grpc", Self::Grpc), ("http/protobuf", Self::HttpProtobuf)];
}

impl fmt::Display for Protocol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(super::values::word(Self::WORDS, self))
    }
}

/// How messages of OTLP are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// As gzip.
    Gzip,
}

impl Compression {
    pub(super) const WORDS: &[(&str, Self)] = &[("gzip", Self::Gzip), ("none", Self::None)];
}

impl fmt::Display for Compression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(super::values::word(Self::WORDS, self))
    }
}

/// The files that TLS needs, in PEM: the authorities that it trusts, and our own certificate and key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificates to trust; without it, those that the system trusts.
    pub certificate: Option<Setting<PathBuf>>,
    /// Our own certificate, for a receiver that asks for one; those between it and its authority may follow it.
    pub client_certificate: Option<Setting<PathBuf>>,
    /// The private key of that. There is either both or neither.
    pub client_key: Option<Setting<PathBuf>>,
}

/// A place that OTLP is sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpEndpoint {
    /// The whole URL that is called; with gRPC it has no path. It holds no credentials.
    pub endpoint: Setting<String>,
    /// How it is spoken to.
    pub protocol: Setting<Protocol>,
    /// Headers or gRPC metadata of each call, the names in small letters, each name once.
    pub headers: Vec<(String, Setting<Secret>)>,
    /// How long a call may take.
    pub timeout: Setting<Duration>,
    /// How messages are compressed.
    pub compression: Setting<Compression>,
    /// What TLS needs; none of it where the URL does not begin with `https`.
    pub tls: TlsFiles,
    /// The proxy on the way there.
    pub proxy: Option<Setting<Proxy>>,
}

/// Traces over OTLP.
#[derive(Clone, Debug, PartialEq)]
pub struct TracesExport {
    /// Where to.
    pub otlp: OtlpEndpoint,
    /// Which of them.
    pub sampler: Setting<Sampler>,
}

/// Metrics over OTLP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsExport {
    /// Where to.
    pub otlp: OtlpEndpoint,
    /// How often.
    pub interval: Setting<Duration>,
}

/// Metrics for Prometheus to fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrometheusExport {
    /// The address to listen on.
    pub address: Setting<SocketAddr>,
    /// The path that has the metrics.
    pub path: Setting<String>,
}

/// Which traces are exported.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    /// Whether a request that brings a `traceparent` keeps to the decision that it brings.
    pub parent_based: bool,
    /// The share of the others, by trace id: 0 is none, 1 is all.
    pub ratio: f64,
}

impl Default for Sampler {
    fn default() -> Self {
        Self { parent_based: true, ratio: 1.0 }
    }
}

impl fmt::Display for Sampler {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { parent_based, ratio } = self;
        if *parent_based {
            formatter.write_str("parentbased_")?;
        }
        match *ratio {
            1.0 => formatter.write_str("always_on"),
            0.0 => formatter.write_str("always_off"),
            ratio => write!(formatter, "traceidratio ({ratio})"),
        }
    }
}

/// The kinds of sampler; those by ratio take an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SamplerKind {
    pub(super) parent_based: bool,
    /// `None`: by ratio.
    pub(super) all: Option<bool>,
}

impl SamplerKind {
    pub(super) const DEFAULT: Self = Self { parent_based: true, all: Some(true) };
    pub(super) const WORDS: &[(&str, Self)] = &[
        ("always_on", Self { parent_based: false, all: Some(true) }),
        ("always_off", Self { parent_based: false, all: Some(false) }),
        ("traceidratio", Self { parent_based: false, all: None }),
        ("parentbased_always_on", Self::DEFAULT),
        ("parentbased_always_off", Self { parent_based: true, all: Some(false) }),
        ("parentbased_traceidratio", Self { parent_based: true, all: None }),
    ];

    /// The sampler, with the share that is to be taken where it goes by that.
    pub(super) fn with_ratio(self, ratio: f64) -> Sampler {
        let ratio = match self.all {
            Some(true) => 1.0,
            Some(false) => 0.0,
            None => ratio,
        };
        Sampler { parent_based: self.parent_based, ratio }
    }
}
