//! Flags, variables and files -> what is exported, and where to.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::endpoint::{self, Endpoint, Path, Signal};
use super::export::{
    Compression, MetricsExport, OtlpEndpoint, PrometheusExport, Protocol, Sampler, SamplerKind, TlsFiles, TracesExport,
};
use super::flags::ExportFlags;
use super::grafana::GrafanaCloud;
use super::keys;
use super::layers::{Layers, in_document};
use super::node::{Node, Wrong};
use super::open_telemetry::OpenTelemetry;
use super::proxy::proxy;
use super::secret::Secret;
use super::source::{Setting, Source};
use super::values::{choice, interval, port, scalar};
use crate::error::Error;

/// How long a call of OTLP may take, by OpenTelemetry's specification.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How often metrics are sent, by OpenTelemetry's specification.
const INTERVAL: Duration = Duration::from_mins(1);
/// The path that Prometheus fetches by default.
const METRICS_PATH: &str = "/metrics";

/// Resolves what is exported.
pub(super) struct Resolver<'a, 'b> {
    pub(super) flags: &'b ExportFlags,
    pub(super) layers: &'b Layers<'a>,
    pub(super) variables: &'b mut OpenTelemetry<'a>,
    pub(super) grafana: Option<GrafanaCloud>,
}

/// An endpoint, and the layer that names it. Protocols that a lower layer names are not about it.
struct Found {
    endpoint: Setting<Endpoint>,
    layer: usize,
    jaeger: bool,
}

const FLAGS: usize = 0;
const VARIABLES: usize = 1;
const DOCUMENTS: usize = 2;

impl Resolver<'_, '_> {
    /// Traces over OTLP.
    pub(super) fn traces(&mut self) -> Result<Option<TracesExport>, Error> {
        let sampler = self.sampler()?;
        Ok(self.otlp(Signal::Traces)?.map(|otlp| TracesExport { otlp, sampler }))
    }

    /// Metrics over OTLP.
    pub(super) fn metrics(&mut self) -> Result<Option<MetricsExport>, Error> {
        let standard = self.variables.milliseconds(&["OTEL_METRIC_EXPORT_INTERVAL"]);
        let key = &keys::METRICS_INTERVAL;
        let file = self.layers.get(key, interval)?;
        // Beyla's own variable counts before the standard one, and both before the file.
        let every = self.layers.variable(key, interval)?.or(standard).or(file);
        let every = every.unwrap_or(Setting::default_of(INTERVAL));
        Ok(self.otlp(Signal::Metrics)?.map(|otlp| MetricsExport { otlp, interval: every }))
    }

    /// Metrics for Prometheus to fetch.
    pub(super) fn prometheus(&self) -> Result<Option<PrometheusExport>, Error> {
        let invalid = |message: String| Error::Config { place: "flag --prometheus".into(), message, hint: None };
        let given = self.flags.prometheus.as_deref().map(|text| {
            let value = parse_address(text).ok_or_else(|| invalid(format!("expected {ADDRESS}, found '{text}'")))?;
            Ok(Setting { value: Some(value), source: Source::Flag("--prometheus") })
        });
        let mut found = given.transpose()?.or(self.layers.variable(&keys::PROMETHEUS_PORT, beyla_port)?);
        for document in &self.layers.documents {
            found = found.or(in_document(document, &keys::PROMETHEUS, |node| address(node).map(Some))?);
            found = found.or(in_document(document, &keys::PROMETHEUS_PORT, beyla_port)?);
        }
        let path = self.layers.get(&keys::PROMETHEUS_PATH, path)?;
        let path = path.unwrap_or(Setting::default_of(METRICS_PATH.to_owned()));
        let address = found.and_then(|Setting { value, source }| Some(Setting { value: value?, source }));
        Ok(address.map(|address| PrometheusExport { address, path }))
    }

    fn otlp(&mut self, signal: Signal) -> Result<Option<OtlpEndpoint>, Error> {
        let headers = self.headers(signal)?;
        let timeout = self.variables.milliseconds(match signal {
            Signal::Traces => &["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"],
            Signal::Metrics => &["OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"],
        });
        let timeout = timeout.unwrap_or(Setting::default_of(TIMEOUT));
        let named = self.endpoint(signal)?;
        let protocols = self.protocols(signal)?;
        let (endpoint, protocol, authorization) = if let Some(Found { endpoint, layer, jaeger }) = named {
            let source = endpoint.source.clone();
            let mut protocols = protocols.into_iter().filter(|(of, _)| *of <= layer && !jaeger).peekable();
            let flag = protocols.next_if(|(of, _)| *of == FLAGS);
            let scheme = endpoint.value.scheme_protocol();
            let scheme = scheme.map(|value| Setting { value, source: source.clone() });
            let protocol = flag.map(|(_, protocol)| protocol).or(scheme);
            let protocol = protocol.or_else(|| protocols.next().map(|(_, protocol)| protocol));
            let protocol = protocol.unwrap_or_else(|| Setting::default_of(endpoint.value.usual_protocol()));
            let authorization = endpoint.value.authorization().cloned();
            let authorization = authorization.map(|value| Setting { value, source });
            (endpoint, protocol, authorization)
        } else {
            let Some(grafana) = self.grafana.as_ref().filter(|grafana| grafana.submits(signal)) else {
                return Ok(None);
            };
            let protocol = Setting::default_of(Protocol::HttpProtobuf);
            (grafana.endpoint.clone(), protocol, Some(grafana.authorization.clone()))
        };
        let mut all: Vec<(String, Setting<Secret>)> = Vec::new();
        let authorization = authorization.map(|value| ("authorization".to_owned(), value));
        let (given, variables): (Vec<_>, Vec<_>) =
            headers.into_iter().partition(|(_, value)| matches!(value.source, Source::Flag(_)));
        for (name, value) in variables.into_iter().chain(authorization).chain(given) {
            all.retain(|(other, _)| *other != name);
            all.push((name, value));
        }
        let endpoint = endpoint.map(|endpoint| endpoint.resolve(signal, protocol.value));
        Ok(Some(OtlpEndpoint {
            compression: self.compression(signal)?,
            tls: self.tls(signal, &endpoint.value)?,
            proxy: proxy(self.layers.environment, &endpoint.value)?,
            endpoint,
            protocol,
            headers: all,
            timeout,
        }))
    }

    fn compression(&self, signal: Signal) -> Result<Setting<Compression>, Error> {
        let names = match signal {
            Signal::Traces => ["OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION"],
            Signal::Metrics => ["OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION"],
        };
        let compression = self.variables.required_choice(&names, Compression::WORDS)?;
        Ok(compression.unwrap_or(Setting::default_of(Compression::None)))
    }

    /// The files for TLS; a warning, if there are some and no TLS.
    fn tls(&mut self, signal: Signal, url: &str) -> Result<TlsFiles, Error> {
        let (of, [certificate, client_certificate, client_key]) = match signal {
            Signal::Traces => (
                "traces",
                [
                    ["OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE"],
                    ["OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE", "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"],
                    ["OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", "OTEL_EXPORTER_OTLP_CLIENT_KEY"],
                ],
            ),
            Signal::Metrics => (
                "metrics",
                [
                    ["OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE"],
                    ["OTEL_EXPORTER_OTLP_METRICS_CLIENT_CERTIFICATE", "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"],
                    ["OTEL_EXPORTER_OTLP_METRICS_CLIENT_KEY", "OTEL_EXPORTER_OTLP_CLIENT_KEY"],
                ],
            ),
        };
        let files = TlsFiles {
            certificate: self.variables.file(&certificate),
            client_certificate: self.variables.file(&client_certificate),
            client_key: self.variables.file(&client_key),
        };
        let TlsFiles { certificate, client_certificate, client_key } = &files;
        if !url.starts_with("https:") {
            for file in [certificate, client_certificate, client_key].into_iter().flatten() {
                self.variables
                    .warnings
                    .push(format!("the {} has no effect on {of}: they are not sent to an https:// URL", file.source));
            }
            return Ok(TlsFiles::default());
        }
        let (alone, missing, variable) = match (client_certificate, client_key) {
            (Some(alone), None) => (alone, "key", "OTEL_EXPORTER_OTLP_CLIENT_KEY"),
            (None, Some(alone)) => (alone, "certificate", "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"),
            (Some(_), Some(_)) | (None, None) => return Ok(files),
        };
        Err(Error::Config {
            place: alone.source.to_string(),
            message: format!("no {missing} goes with {}", alone.value.display()),
            hint: Some(format!("name the file that has it in {variable}")),
        })
    }

    /// The endpoint that is named for a signal. For each signal its own name counts before the common one.
    fn endpoint(&mut self, signal: Signal) -> Result<Option<Found>, Error> {
        let of_traces = signal == Signal::Traces;
        let mut found = None;
        let mut note = |endpoint: Option<Setting<Endpoint>>, layer, jaeger| {
            if let (None, Some(endpoint)) = (&found, endpoint) {
                found = Some(Found { endpoint, layer, jaeger });
            }
        };
        if let Some(text) = self.flags.jaeger.as_deref().filter(|_| of_traces) {
            let value = Endpoint::jaeger(text).map_err(|message| Error::Config {
                place: "flag --jaeger".into(),
                message: message.into(),
                hint: None,
            })?;
            note(Some(Setting { value, source: Source::Flag("--jaeger") }), FLAGS, true);
        }
        if let Some(text) = self.flags.otlp.as_deref() {
            let value = Endpoint::parse(text, Path::Base).ok_or_else(|| Error::Config {
                place: "flag --otlp".into(),
                message: format!("expected {}", endpoint::KIND),
                hint: None,
            })?;
            note(Some(Setting { value, source: Source::Flag("--otlp") }), FLAGS, false);
        }
        let (own, key, path) = match signal {
            Signal::Traces => ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &keys::TRACES_ENDPOINT, Path::Base),
            Signal::Metrics => ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", &keys::METRICS_ENDPOINT, Path::GivenOrSignal),
        };
        let own = self.variables.first(&[own], endpoint::KIND, |text| Endpoint::parse(text, Path::Given));
        note(own, VARIABLES, false);
        let common = |text: &str| Endpoint::parse(text, Path::Appended);
        note(self.variables.first(&["OTEL_EXPORTER_OTLP_ENDPOINT"], endpoint::KIND, common), VARIABLES, false);
        for (at, document) in self.layers.documents.iter().enumerate() {
            let layer = DOCUMENTS + at;
            if of_traces {
                note(in_document(document, &keys::JAEGER, jaeger)?, layer, true);
            }
            // The section of the signal says more than the common key beside it.
            note(in_document(document, key, |node| endpoint(node, path))?, layer, false);
            note(in_document(document, &keys::OTLP, |node| endpoint(node, Path::Base))?, layer, false);
        }
        Ok(found)
    }

    /// The protocols that are named, and in which layer.
    fn protocols(&mut self, signal: Signal) -> Result<Vec<(usize, Setting<Protocol>)>, Error> {
        let (own, key) = match signal {
            Signal::Traces => ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", &keys::TRACES_PROTOCOL),
            Signal::Metrics => ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", &keys::METRICS_PROTOCOL),
        };
        let flag = Setting::of_flag("--otlp-protocol", self.flags.otlp_protocol);
        let mut protocols: Vec<_> = flag.map(|protocol| (FLAGS, protocol)).into_iter().collect();
        let names = [own, "OTEL_EXPORTER_OTLP_PROTOCOL"];
        let variable = self.variables.first(&names, "grpc or http/protobuf", |text| {
            Protocol::WORDS.iter().find(|(word, _)| *word == text).map(|(_, protocol)| *protocol)
        });
        protocols.extend(variable.map(|protocol| (VARIABLES, protocol)));
        for (at, document) in self.layers.documents.iter().enumerate() {
            let protocol = in_document(document, key, |node| choice(node, Protocol::WORDS))?;
            protocols.extend(protocol.map(|protocol| (DOCUMENTS + at, protocol)));
        }
        Ok(protocols)
    }

    /// The headers that are named: first the common ones, then those of the signal, then those of the flags.
    fn headers(&mut self, signal: Signal) -> Result<Vec<(String, Setting<Secret>)>, Error> {
        let own = match signal {
            Signal::Traces => "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
            Signal::Metrics => "OTEL_EXPORTER_OTLP_METRICS_HEADERS",
        };
        let mut headers = Vec::new();
        for name in ["OTEL_EXPORTER_OTLP_HEADERS", own] {
            let valid = |text: &str| {
                let pairs = super::open_telemetry::pairs(text)?;
                pairs.into_iter().map(|(name, value)| header(&name, &value)).collect::<Option<Vec<_>>>()
            };
            let Some(Setting { value, source }) = self.variables.first(&[name], "a list of headers", valid) else {
                continue;
            };
            for (name, value) in value {
                if is_ours(&name) {
                    self.variables.warnings.push(format!("the header {name} of {source} is ignored: {OURS}"));
                } else {
                    headers.push((name, Setting { value, source: source.clone() }));
                }
            }
        }
        for given in &self.flags.otlp_headers {
            let parsed = given.reveal().split_once('=').and_then(|(name, value)| header(name.trim(), value.trim()));
            // The message does not repeat it, as it may be a secret in the wrong place.
            let (name, value) = parsed.ok_or_else(|| Error::Config {
                place: "flag --otlp-header".into(),
                message: "expected NAME=VALUE, as of an HTTP header".into(),
                hint: Some("write it as in --otlp-header 'authorization=Bearer ...'".into()),
            })?;
            if is_ours(&name) {
                let message = format!("the header {name} cannot be set: {OURS}");
                return Err(Error::Config { place: "flag --otlp-header".into(), message, hint: None });
            }
            headers.push((name, Setting { value, source: Source::Flag("--otlp-header") }));
        }
        Ok(headers)
    }

    fn sampler(&mut self) -> Result<Setting<Sampler>, Error> {
        let names: Vec<_> = SamplerKind::WORDS.iter().map(|(word, _)| *word).collect();
        let kind = self.variables.first(&["OTEL_TRACES_SAMPLER"], &format!("one of {}", names.join(", ")), |text| {
            SamplerKind::WORDS.iter().find(|(word, _)| *word == text).map(|(_, kind)| *kind)
        });
        let in_file = self.layers.get(&keys::SAMPLER, |node| choice(node, SamplerKind::WORDS))?;
        let ratio_in_file = self.layers.get(&keys::SAMPLER_ARGUMENT, |node| {
            const KIND: &str = "a number from 0 to 1";
            parse_ratio(scalar(node, KIND)?).ok_or_else(|| node.expected(KIND))
        })?;
        let kind = kind.or(in_file).unwrap_or(Setting::default_of(SamplerKind::DEFAULT));
        if kind.value.all.is_some() {
            return Ok(kind.map(|kind| kind.with_ratio(1.0)));
        }
        let ratio = self.variables.first(&["OTEL_TRACES_SAMPLER_ARG"], "a number from 0 to 1", parse_ratio);
        let ratio = ratio.or(ratio_in_file).map_or(1.0, |ratio| ratio.value);
        Ok(kind.map(|kind| kind.with_ratio(ratio)))
    }
}

fn parse_ratio(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio))
}

/// Why some headers cannot be set.
const OURS: &str = "it says how a message is sent";

/// Whether only the protocol sets a header: a second one would break the message.
fn is_ours(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "content-encoding"
            | "content-length"
            | "content-type"
            | "host"
            | "keep-alive"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// A header that can be sent, its name in small letters.
fn header(name: &str, value: &str) -> Option<(String, Secret)> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let is_value = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    let valid = !name.is_empty() && name.bytes().all(is_name) && value.bytes().all(is_value);
    valid.then(|| (name.to_ascii_lowercase(), Secret::new(value)))
}

/// A URL may hold credentials, so it is not quoted.
fn endpoint(node: &Node, path: Path) -> Result<Endpoint, Wrong> {
    let wrong = || node.wrong(format!("expected {}", endpoint::KIND));
    Endpoint::parse(scalar(node, endpoint::KIND)?, path).ok_or_else(wrong)
}

fn jaeger(node: &Node) -> Result<Endpoint, Wrong> {
    Endpoint::jaeger(scalar(node, "HOST:PORT")?).map_err(|message| node.wrong(message))
}

/// A path that Prometheus can fetch.
fn path(node: &Node) -> Result<String, Wrong> {
    const KIND: &str = "a path such as /metrics";
    let path = scalar(node, KIND)?;
    let valid = path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'?');
    if valid { Ok(path.to_owned()) } else { Err(node.expected(KIND)) }
}

/// Beyla's 0 turns it off. Beyla listens on every address; a developer's machine has no need to.
fn beyla_port(node: &Node) -> Result<Option<SocketAddr>, Wrong> {
    let port = port(node)?;
    Ok((port != 0).then(|| on_loopback(port)))
}

/// What is expected of an address to listen on.
const ADDRESS: &str = "an address such as :9400, 9400 or 127.0.0.1:9400";

fn address(node: &Node) -> Result<SocketAddr, Wrong> {
    parse_address(scalar(node, ADDRESS)?).ok_or_else(|| node.expected(ADDRESS))
}

/// `9400`, `:9400`, `localhost:9400`, `127.0.0.1:9400`, `[::1]:9400`.
fn parse_address(text: &str) -> Option<SocketAddr> {
    let text = text.trim();
    let local = text.strip_prefix("localhost:").or_else(|| text.strip_prefix(':')).unwrap_or(text);
    local.parse().map(on_loopback).or_else(|_| text.parse()).ok()
}

fn on_loopback(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

#[cfg(test)]
#[path = "resolve_tests.rs"]
mod tests;
