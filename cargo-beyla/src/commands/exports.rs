//! Where a run's telemetry goes, and what became of it.

use std::time::Duration;

use super::status::{self, Status};
use crate::config::attributes::AttributeFilter;
use crate::config::export as config;
use crate::config::routes::{IgnoreMode, Routes};
use crate::config::settings::Settings;
use crate::config::source::Setting;
use crate::config::values::TracePrinter;
use crate::error::Error;
use crate::export::exporter::{Checked, Exporter};
use crate::export::kept::{Accepted, Kept, Signals, unknown};
use crate::export::outcome::Outcome;
use crate::export::routes::ExportedRoutes;
use crate::export::settings::{ExportSettings, MetricsExport, OtlpExport, PrometheusExport, Resource, Sampler};
use crate::launch::signals::{self, Signals as ReceivedSignals};
use crate::report::printer::Printer;
use crate::report::run_info::{RunInfo, Seed};
use cargo_beyla_core::analysis::baseline::samples::Collector;
use cargo_beyla_core::trace::{Trace, TraceSettings};

/// How long the end of a run may take because of exports.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the settings ask for.
pub(super) fn settings(settings: &Settings) -> Result<ExportSettings, Error> {
    let traces = settings.traces.as_ref().map(|config::TracesExport { otlp: to, sampler: _ }| otlp(to));
    let sampler = settings.traces.as_ref().map_or_else(Sampler::default, |traces| traces.sampler.value);
    let metrics = settings.metrics.as_ref();
    let metrics = metrics
        .map(|config::MetricsExport { otlp: to, interval }| MetricsExport { otlp: otlp(to), interval: interval.value });
    let prometheus = settings.prometheus.as_ref().map(|config::PrometheusExport { address, path }| PrometheusExport {
        address: address.value,
        path: path.value.clone(),
    });
    let attributes = settings.attributes.as_ref().map(|attributes| attributes.value.clone()).unwrap_or_default();
    Ok(ExportSettings { traces, sampler, metrics, prometheus, kept: kept(settings)?, attributes })
}

/// The requests that are exported; `None`: all.
fn kept(settings: &Settings) -> Result<Option<Kept>, Error> {
    let accepted = accepted(settings);
    if accepted.is_everything() && settings.routes.ignored_patterns.is_none() {
        return Ok(None);
    }
    let of_ignored = match settings.routes.ignore_mode.value {
        IgnoreMode::All => Signals::NONE,
        IgnoreMode::Traces => Signals { traces: false, metrics: true },
        IgnoreMode::Metrics => Signals { traces: true, metrics: false },
    };
    Ok(Some(Kept::new(accepted, settings.routes.ignored()?, of_ignored)))
}

fn accepted(settings: &Settings) -> Accepted {
    settings.filters.as_ref().map_or_else(Accepted::default, |filters| Accepted::new(&filters.value))
}

fn otlp(to: &config::OtlpEndpoint) -> OtlpExport {
    let config::OtlpEndpoint { endpoint, protocol, headers, timeout, compression, tls, proxy } = to.clone();
    let headers = headers.into_iter().map(|(name, value)| (name, value.value.reveal().to_owned()));
    OtlpExport {
        endpoint: endpoint.value,
        protocol: protocol.value,
        headers: headers.collect(),
        timeout: timeout.value,
        compression: compression.value,
        tls,
        proxy,
    }
}

/// Says which settings there is nothing to follow for.
pub(super) fn warn(settings: &Settings, status: Status) {
    if let Some(Setting { value, source }) = &settings.filters {
        for AttributeFilter { attribute, .. } in unknown(value) {
            let attribute = attribute.escape_debug();
            status.warn(format_args!("{source}: requests have no attribute `{attribute}` to filter by"));
        }
    }
}

/// The trace of a run that exports this, and what its ids come from. Requests are handed out one by one as well where
/// they are printed, or their `samples` are kept.
pub(super) fn trace(
    settings: TraceSettings,
    exports: Option<&Checked>,
    printer: TracePrinter,
    samples: bool,
) -> Result<(Trace, Option<Seed>), Error> {
    let seed = exports.filter(|exports| exports.has_traces()).map(|_| seed()).transpose()?;
    let export = exports.is_some() || printer != TracePrinter::Disabled || samples;
    let settings = TraceSettings { export, seed: seed.map(|Seed(seed)| seed), ..settings };
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
///
/// `package` is the only one that is traced, if there is one and it is known.
pub(super) fn start(
    checked: Checked,
    package: Option<String>,
    settings: &Settings,
    run: &RunInfo,
    status: Status,
) -> Result<Exporter, Error> {
    if let Some(url) = checked.prometheus_url() {
        status.say("Serving", format_args!("metrics at {url}"));
    }
    let service_name = settings.service_name.as_ref().map(|name| name.value.clone());
    let service_name = service_name.or(package).unwrap_or_else(|| run.name());
    let namespace = settings.service_namespace.as_ref();
    let namespace = namespace.map(|namespace| ("service.namespace".to_owned(), namespace.value.clone()));
    let others = settings.resource_attributes.iter().flat_map(|attributes| attributes.value.clone());
    let resource = Resource { service_name, attributes: namespace.into_iter().chain(others).collect() };
    Exporter::start(checked, &resource, run)
}

/// Prints requests as they end: those that are accepted.
#[derive(Debug)]
struct Printing {
    printer: Printer,
    accepted: Accepted,
}

/// Who wants the requests that have ended.
#[derive(Debug)]
pub(super) struct Takers {
    exporter: Option<Exporter>,
    printing: Option<Printing>,
    /// Other routes than those of the report, with which they are exported and filtered.
    routes: Option<ExportedRoutes>,
    samples: Option<Collector>,
}

impl Takers {
    /// Requests go to the exporter, if there is one, to the printer of the settings, and into `samples`.
    pub(super) fn new(
        exporter: Option<Exporter>,
        samples: Option<Collector>,
        settings: &Settings,
        run: &RunInfo,
    ) -> Result<Self, Error> {
        let printer = Printer::new(settings.trace_printer.value, run);
        let printing = printer.map(|printer| Printing { printer, accepted: accepted(settings) });
        let Routes { patterns, unmatched, .. } = &settings.routes;
        let routes = ExportedRoutes::new(&patterns.value, unmatched.value)?;
        Ok(Self { exporter, printing, routes, samples })
    }

    /// Hands on the requests and the tests that have ended.
    pub(super) fn offer(&mut self, trace: &mut Trace) {
        let Self { exporter, printing, routes, samples } = self;
        let mut printed = String::new();
        trace.take_finished(|request| {
            let exported = routes.as_ref().map(|routes| routes.of(&request));
            let exported = exported.as_ref().unwrap_or(&request);
            if let Some(Printing { printer, accepted }) = printing
                && accepted.has(exported)
            {
                printer.print(&request, &mut printed);
            }
            if let Some(exporter) = exporter {
                exporter.offer(exported);
            }
            if let Some(samples) = samples {
                samples.observe(&request);
            }
        });
        if !printed.is_empty() {
            status::write(&printed);
        }
        if let Some(exporter) = exporter {
            trace.take_ended_tests(|test| exporter.offer_test(test));
        }
    }

    /// Hands on the last requests, those included that are under way at the end.
    pub(super) fn close(&mut self, trace: &mut Trace, ended_monotonic_ns: u64) {
        trace.close(ended_monotonic_ns);
        self.offer(trace);
        let dropped = trace.finished_dropped();
        if let Some(exporter) = &self.exporter {
            exporter.lose(dropped);
        }
        if let Some(samples) = &mut self.samples {
            samples.lose(dropped);
        }
    }

    /// The samples that were collected, if they were to be.
    pub(super) fn take_samples(&mut self) -> Option<Collector> {
        self.samples.take()
    }

    /// Sends what is left, and tells what became of everything.
    pub(super) fn finish(self, status: Status) {
        finish(self.exporter, status);
    }
}

/// Sends what is left, and tells what became of everything.
fn finish(exporter: Option<Exporter>, status: Status) {
    let Some(exporter) = exporter else { return };
    // Whoever presses ^C now does not want to wait for it; who presses it again, for nothing. Where signals cannot be
    // had, the wait is bounded.
    let asked = ReceivedSignals::open();
    let interrupted = || {
        let interrupted = asked.as_ref().is_ok_and(ReceivedSignals::ask_for_end);
        if interrupted {
            let _ = signals::deliver();
        }
        interrupted
    };
    let outcome = exporter.finish_unless(PATIENCE, interrupted);
    let overflow = outcome.overflow();
    let Outcome { traces, metrics, prometheus, overflowed: _ } = outcome;
    for (well, sentence) in [
        traces.map(|traces| (traces.is_complete(), traces.sentence())),
        metrics.map(|metrics| (metrics.is_complete(), metrics.sentence())),
    ]
    .into_iter()
    .flatten()
    {
        match sentence.strip_prefix("sent ").filter(|_| well) {
            Some(what) => status.say("Sent", what),
            None => status.warn(sentence),
        }
    }
    if let Some(overflow) = overflow {
        status.warn(overflow);
    }
    if let Some(prometheus) = prometheus {
        status.say("Served", prometheus.sentence());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_seeds_are_alike() {
        assert_ne!(seed().expect("random"), seed().expect("random"));
    }
}
