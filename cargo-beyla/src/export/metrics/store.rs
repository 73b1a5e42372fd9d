//! What is counted of requests and of the server.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Histogram as HistogramMessage, Metric, NumberDataPoint, Sum,
};

use super::histogram::{DURATION, Exemplar, Histogram, PHASE, SIZE};
use super::process::{Usage, usage};
use crate::export::resource::{flag, number, text};
use crate::export::traces::spans::{error_type, method, version};
use crate::report::run_info::RunInfo;
use crate::request::model::{Outcome, Request};

/// The sets of attributes that are told apart; by the OpenTelemetry specification, what is beyond them
/// counts in one more set, whose only attribute is [`OVERFLOW`].
const SETS_MAX: usize = 2000;

/// Marks the set for all that are not told apart.
const OVERFLOW: &str = "otel.metric.overflow";

/// What requests are told apart by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Attributes {
    method: &'static str,
    route: Arc<str>,
    status: Option<u16>,
    error: Option<Cow<'static, str>>,
    version: &'static str,
}

/// What is counted of the requests of one set.
#[derive(Debug)]
struct Series {
    duration: Histogram,
    request_size: Histogram,
    response_size: Histogram,
    phases: [Histogram; 4],
}

/// All that is counted.
#[derive(Debug)]
pub(in crate::export) struct Store {
    run: RunInfo,
    series: HashMap<Attributes, Series>,
    overflow: Option<Series>,
    usage: Option<Usage>,
}

impl Store {
    pub(in crate::export) fn new(run: RunInfo) -> Self {
        Self { run, series: HashMap::new(), overflow: None, usage: None }
    }

    /// Counts a request whose end was seen; `sampled` is whether its spans can be looked up.
    pub(in crate::export) fn record(&mut self, request: &Request, sampled: bool) {
        if matches!(request.outcome, Outcome::StillOpen | Outcome::NotSeen) {
            return;
        }
        let exemplar = request.trace.as_ref().filter(|_| sampled).map(|trace| Exemplar {
            trace_id: trace.trace_id,
            span_id: trace.span_id,
            unix_ns: self.run.unix_ns(request.boundaries.ended),
        });
        let series = self.series(request);
        series.duration.record(request.boundaries.total(), exemplar);
        if let Some(body) = request.request_bytes.body {
            series.request_size.record(body, None);
        }
        if let Some(body) = request.response_bytes.and_then(|bytes| bytes.body) {
            series.response_size.record(body, None);
        }
        for ((_, length), phase) in request.boundaries.phases().named().into_iter().zip(&mut series.phases) {
            if let Some(length) = length {
                phase.record(length, None);
            }
        }
    }

    fn series(&mut self, request: &Request) -> &mut Series {
        let attributes = Attributes {
            method: method(&request.method),
            route: Arc::clone(&request.route),
            status: request.status,
            error: error_type(request),
            version: version(request.protocol),
        };
        if self.series.len() >= SETS_MAX && !self.series.contains_key(&attributes) {
            return self.overflow.get_or_insert_with(Series::new);
        }
        self.series.entry(attributes).or_insert_with(Series::new)
    }

    /// Everything so far, the server's process looked at once more. Counts go on from the start of the
    /// run.
    pub(in crate::export) fn metrics(&mut self, now: u64) -> Vec<Metric> {
        self.usage = usage(self.run.pid).or(self.usage);
        let mut metrics = vec![
            self.histogram("http.server.request.duration", "s", "Duration of HTTP server requests.", now, |series| {
                &series.duration
            }),
            self.histogram(
                "http.server.request.body.size",
                "By",
                "Size of HTTP server request bodies.",
                now,
                |series| &series.request_size,
            ),
            self.histogram(
                "http.server.response.body.size",
                "By",
                "Size of HTTP server response bodies.",
                now,
                |series| &series.response_size,
            ),
            self.phases(now),
        ];
        metrics.retain(|metric| !matches!(&metric.data, Some(Data::Histogram(data)) if data.data_points.is_empty()));
        metrics.extend(self.usage.iter().flat_map(|usage| of_process(usage, self.run.started_unix_ns, now)));
        metrics
    }

    /// The sets and what was counted in them.
    fn sets(&self) -> impl Iterator<Item = (Vec<KeyValue>, &Series)> {
        let sets = self.series.iter().map(|(attributes, series)| (attributes.to_key_values(), series));
        sets.chain(self.overflow.iter().map(|series| (vec![flag(OVERFLOW, true)], series)))
    }

    fn histogram(
        &self,
        name: &str,
        unit: &str,
        description: &str,
        now: u64,
        of: impl Fn(&Series) -> &Histogram,
    ) -> Metric {
        let start = self.run.started_unix_ns;
        let data_points = self.sets().filter_map(|(attributes, series)| of(series).data_point(attributes, start, now));
        let data = HistogramMessage {
            data_points: data_points.collect(),
            aggregation_temporality: AggregationTemporality::Cumulative.into(),
        };
        metric(name, unit, description, Data::Histogram(data))
    }

    fn phases(&self, now: u64) -> Metric {
        let start = self.run.started_unix_ns;
        let data_points = self.sets().flat_map(|(attributes, series)| {
            let named = crate::request::boundaries::Phases::default().named();
            named.into_iter().zip(&series.phases).filter_map(move |((name, _), phase)| {
                let mut attributes = attributes.clone();
                attributes.push(text("cargo_beyla.phase", name));
                phase.data_point(attributes, start, now)
            })
        });
        let data = HistogramMessage {
            data_points: data_points.collect(),
            aggregation_temporality: AggregationTemporality::Cumulative.into(),
        };
        let description = "Duration of the phases of HTTP server requests.";
        metric("cargo_beyla.request.phase.duration", "s", description, Data::Histogram(data))
    }
}

impl Attributes {
    fn to_key_values(&self) -> Vec<KeyValue> {
        let Self { method, route, status, error, version } = self;
        let mut attributes = vec![
            text("http.request.method", *method),
            text("http.route", &**route),
            text("url.scheme", "http"),
            text("network.protocol.version", *version),
        ];
        attributes.extend(status.map(|status| number("http.response.status_code", status.into())));
        attributes.extend(error.as_deref().map(|error| text("error.type", error)));
        attributes
    }
}

impl Series {
    fn new() -> Self {
        Self {
            duration: Histogram::new(&DURATION),
            request_size: Histogram::new(&SIZE),
            response_size: Histogram::new(&SIZE),
            phases: std::array::from_fn(|_| Histogram::new(&PHASE)),
        }
    }
}

fn of_process(usage: &Usage, start: u64, now: u64) -> [Metric; 2] {
    let Usage { user, system, memory } = *usage;
    let point = |attributes: Vec<KeyValue>, value: Value| NumberDataPoint {
        attributes,
        start_time_unix_nano: start,
        time_unix_nano: now,
        value: Some(value),
        ..NumberDataPoint::default()
    };
    let of_mode = |mode: &str, seconds: f64| point(vec![text("cpu.mode", mode)], Value::AsDouble(seconds));
    let cpu = Sum {
        data_points: vec![of_mode("user", user), of_mode("system", system)],
        aggregation_temporality: AggregationTemporality::Cumulative.into(),
        is_monotonic: true,
    };
    let memory = Sum {
        data_points: vec![point(vec![], Value::AsInt(memory as i64))],
        aggregation_temporality: AggregationTemporality::Cumulative.into(),
        is_monotonic: false,
    };
    [
        metric("process.cpu.time", "s", "CPU time of the server.", Data::Sum(cpu)),
        metric("process.memory.usage", "By", "Physical memory of the server.", Data::Sum(memory)),
    ]
}

fn metric(name: &str, unit: &str, description: &str, data: Data) -> Metric {
    Metric {
        name: name.to_owned(),
        description: description.to_owned(),
        unit: unit.to_owned(),
        data: Some(data),
        ..Metric::default()
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
