//! Exports that were checked before the run and may begin.

use std::net::SocketAddr;
use std::time::Duration;

use super::filter::ExportFilter;
use super::item::Counts;
use super::otlp::receiver::Receiver;
use super::outcome::{ExportOutcome, MetricsOutcome, PrometheusOutcome, TracesOutcome};
use super::prometheus::server::Endpoint;
use super::settings::{ExportSettings, MetricsExport, Sampler};
use crate::config::attributes::AttributeSelection;
use crate::error::Error;

/// Exports that may begin: endpoints make sense, the files for TLS fit, and the port for Prometheus is ours.
#[derive(Debug)]
pub struct Checked {
    pub(super) traces: Option<Receiver>,
    pub(super) sampler: Sampler,
    pub(super) metrics: Option<(Receiver, Duration)>,
    pub(super) prometheus: Option<Endpoint>,
    pub(super) filter: Option<ExportFilter>,
    pub(super) attributes: Vec<AttributeSelection>,
}

impl Checked {
    /// Checks the settings; `None` if nothing is to be exported.
    pub fn new(settings: &ExportSettings) -> Result<Option<Self>, Error> {
        let ExportSettings { traces, sampler, metrics, prometheus, filter, attributes } = settings;
        let metrics = metrics
            .as_ref()
            .map(|MetricsExport { otlp, interval }| Receiver::new(otlp).map(|receiver| (receiver, *interval)));
        let checked = Self {
            traces: traces.as_ref().map(Receiver::new).transpose()?,
            sampler: *sampler,
            metrics: metrics.transpose()?,
            prometheus: prometheus.as_ref().map(Endpoint::open).transpose()?,
            filter: filter.clone(),
            attributes: attributes.clone(),
        };
        let any = checked.traces.is_some() || checked.metrics.is_some() || checked.prometheus.is_some();
        Ok(any.then_some(checked))
    }

    /// Whether spans are exported.
    pub fn has_traces(&self) -> bool {
        self.traces.is_some()
    }

    /// The URL at which metrics can be scraped.
    pub fn prometheus_url(&self) -> Option<String> {
        self.prometheus.as_ref().map(Endpoint::url)
    }

    /// The address at which metrics can be scraped.
    pub fn prometheus_address(&self) -> Option<SocketAddr> {
        self.prometheus.as_ref().map(Endpoint::address)
    }

    /// The outcome of exports that were never started.
    pub(super) fn not_started(&self, reason: &str) -> ExportOutcome {
        let lost = [(reason.to_owned(), Counts::default())].into();
        ExportOutcome {
            traces: self.traces.as_ref().map(|receiver| TracesOutcome {
                endpoint: receiver.endpoint.clone(),
                lost,
                ..TracesOutcome::default()
            }),
            metrics: self.metrics.as_ref().map(|(receiver, _)| MetricsOutcome {
                endpoint: receiver.endpoint.clone(),
                failure: Some(reason.to_owned()),
                ..MetricsOutcome::default()
            }),
            prometheus: self
                .prometheus
                .as_ref()
                .map(|endpoint| PrometheusOutcome { url: endpoint.url(), ..PrometheusOutcome::default() }),
            overflowed: 0,
        }
    }
}
