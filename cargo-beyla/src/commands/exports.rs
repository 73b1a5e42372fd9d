//! `--jaeger`, `--otlp` and `--prometheus`: where a run's telemetry goes, and what became of it.

use std::time::Duration;

use super::status::Status;
use crate::cli::ExportOptions;
use crate::error::Error;
use crate::export::exporter::{Checked, Exporter};
use crate::export::outcome::Outcome;
use crate::export::settings::{
    ExportSettings, MetricsExport, PrometheusExport, Protocol, Resource, Sampler, TracesExport,
};
use crate::launch::signals;
use crate::report::run_info::{RunInfo, Seed};
use crate::request::trace::{Trace, TraceSettings};

/// The port of OTLP/gRPC; receivers on any other are taken to speak OTLP/HTTP.
const GRPC_PORT: &str = ":4317";

/// How long an attempt to send may take, as `OTEL_EXPORTER_OTLP_TIMEOUT` has it by default.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How often metrics are sent, as `OTEL_METRIC_EXPORT_INTERVAL` has it by default.
const INTERVAL: Duration = Duration::from_mins(1);

/// How long the end of a run may take because of exports.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the flags ask for.
pub(super) fn settings(options: &ExportOptions) -> ExportSettings {
    let ExportOptions { jaeger, otlp, prometheus } = options;
    let jaeger = jaeger.as_ref().map(|address| format!("http://{address}"));
    let traces = jaeger.as_ref().or(otlp.as_ref()).map(|url| {
        let (protocol, endpoint) = endpoint(url, "/v1/traces");
        TracesExport { endpoint, protocol, headers: Vec::new(), timeout: TIMEOUT }
    });
    let metrics = otlp.as_ref().map(|url| {
        let (protocol, endpoint) = endpoint(url, "/v1/metrics");
        MetricsExport { endpoint, protocol, headers: Vec::new(), timeout: TIMEOUT, interval: INTERVAL }
    });
    let prometheus = prometheus.map(|address| PrometheusExport { address, path: "/metrics".to_owned() });
    ExportSettings { traces, sampler: Sampler::default(), metrics, prometheus }
}

fn endpoint(url: &str, path: &str) -> (Protocol, String) {
    let url = url.trim_end_matches('/');
    if url.ends_with(GRPC_PORT) {
        (Protocol::Grpc, url.to_owned())
    } else {
        (Protocol::HttpProtobuf, format!("{url}{path}"))
    }
}

/// The trace of a run that exports this, and what its ids come from.
pub(super) fn trace(settings: TraceSettings, exports: Option<&Checked>) -> Result<(Trace, Option<Seed>), Error> {
    let seed = exports.filter(|exports| exports.has_traces()).map(|_| seed()).transpose()?;
    let settings = TraceSettings { export: exports.is_some(), seed: seed.map(|Seed(seed)| seed), ..settings };
    Ok((Trace::new(settings), seed))
}

/// Something that no other run has.
fn seed() -> Result<Seed, Error> {
    let mut seed = [0; 16];
    let flags = rustix::rand::GetRandomFlags::empty();
    rustix::rand::getrandom(&mut seed, flags)
        .map_err(|errno| Error::System { what: "drawing a random number", source: errno.into() })?;
    Ok(Seed(u128::from_ne_bytes(seed)))
}

/// Starts what was checked. To be called once the server was forked, which wants a process of one
/// thread, and once signals are blocked, as they are for a descriptor then in the new thread too.
pub(super) fn start(checked: Checked, run: &RunInfo, status: Status) -> Result<Exporter, Error> {
    if let Some(url) = checked.prometheus_url() {
        status.say("Serving", format_args!("metrics at {url}"));
    }
    let name = run.executable.file_name().unwrap_or(run.executable.as_os_str());
    let resource = Resource { service_name: name.to_string_lossy().into_owned(), attributes: Vec::new() };
    Exporter::start(checked, &resource, run)
}

/// Hands on the requests that have ended.
pub(super) fn offer(trace: &mut Trace, exporter: &Exporter) {
    trace.take_finished(|request| exporter.offer(&request));
}

/// Hands on the last requests, those included that are under way at the end.
pub(super) fn close(trace: &mut Trace, ended_monotonic_ns: u64, exporter: Option<&Exporter>) {
    trace.close(ended_monotonic_ns);
    if let Some(exporter) = exporter {
        offer(trace, exporter);
        exporter.lose(trace.finished_dropped());
    }
}

/// Sends what is left, and tells what became of everything.
pub(super) fn finish(exporter: Option<Exporter>, status: Status) {
    let Some(exporter) = exporter else { return };
    // Whoever presses ^C now does not want to wait for it. Where it cannot be had, the wait is bounded.
    let _ = signals::deliver();
    let Outcome { traces, metrics, prometheus } = exporter.finish(PATIENCE);
    for (well, sentence) in [
        traces.map(|traces| (traces.is_complete(), traces.sentence())),
        metrics.map(|metrics| (metrics.failure.is_none(), metrics.sentence())),
    ]
    .into_iter()
    .flatten()
    {
        match sentence.strip_prefix("sent ").filter(|_| well) {
            Some(what) => status.say("Sent", what),
            None => status.warn(sentence),
        }
    }
    if let Some(prometheus) = prometheus {
        status.say("Served", prometheus.sentence());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_say_where_to() {
        let options = |jaeger: Option<&str>, otlp: Option<&str>| ExportOptions {
            jaeger: jaeger.map(String::from),
            otlp: otlp.map(String::from),
            prometheus: None,
        };
        for (jaeger, otlp, traces, metrics) in [
            (None, None, None, None),
            (Some("localhost:4318"), None, Some("http://localhost:4318/v1/traces"), None),
            (Some("[::1]:4317"), None, Some("http://[::1]:4317"), None),
            (None, Some("https://a/b/"), Some("https://a/b/v1/traces"), Some("https://a/b/v1/metrics")),
            (Some("j:1"), Some("http://o:4317/"), Some("http://j:1/v1/traces"), Some("http://o:4317")),
        ] {
            let settings = settings(&options(jaeger, otlp));
            assert_eq!(settings.traces.as_ref().map(|traces| traces.endpoint.as_str()), traces);
            assert_eq!(settings.metrics.as_ref().map(|metrics| metrics.endpoint.as_str()), metrics);
            for (endpoint, protocol) in [
                settings.traces.map(|traces| (traces.endpoint, traces.protocol)),
                settings.metrics.map(|metrics| (metrics.endpoint, metrics.protocol)),
            ]
            .into_iter()
            .flatten()
            {
                assert_eq!(protocol == Protocol::Grpc, endpoint.ends_with(GRPC_PORT), "{endpoint}");
            }
        }
    }

    #[test]
    fn no_two_seeds_are_alike() {
        assert_ne!(seed().expect("random"), seed().expect("random"));
    }
}
