//! What is counted of requests, calls and the server.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;

use super::calls::CallStore;
use super::histogram::{DURATION, Exemplar, Histogram, PHASE, SIZE};
use super::metric::{OVERFLOW, SETS_MAX, histogram};
use super::process::{Usage, usage};
use crate::config::attributes::{AttributeSelection, selects};
use crate::export::attribute::{Attribute, Value, error_type, method, route, rpc_method, rpc_status_name, version};
use crate::export::key_value::{flag, number, text};
use crate::report::run_info::RunInfo;
use cargo_beyla_core::model::call::Call;
use cargo_beyla_core::model::request::{Outcome, Request};

/// The metrics of requests, in the order of [`Store::of`], and which requests they count.
const METRICS: [(&str, Counted); 5] = [
    ("http.server.request.duration", Counted::Requests),
    ("http.server.request.body.size", Counted::Requests),
    ("http.server.response.body.size", Counted::Requests),
    ("cargo_beyla.request.phase.duration", Counted::Requests),
    ("rpc.server.call.duration", Counted::RpcCalls),
];

/// Where those stand that are not written like the others.
const PHASES: usize = 3;
const RPC: usize = 4;

/// The requests that a metric counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counted {
    /// All of them.
    Requests,
    /// Those that are gRPC calls.
    RpcCalls,
}

impl Counted {
    fn counts(self, request: &Request) -> bool {
        self == Self::Requests || request.grpc.is_some()
    }

    /// The attributes of its metrics by default.
    fn defaults(self) -> &'static [Attribute] {
        match self {
            Self::Requests => &[
                Attribute::Method,
                Attribute::Route,
                Attribute::Scheme,
                Attribute::ProtocolVersion,
                Attribute::Status,
                Attribute::Error,
            ],
            Self::RpcCalls => &[Attribute::RpcSystem, Attribute::RpcMethod, Attribute::RpcStatus, Attribute::Error],
        }
    }

    /// The attributes that its metrics have where it is asked for: they may take many values.
    fn hidden(self) -> &'static [Attribute] {
        match self {
            Self::Requests => &HIDDEN,
            // The path is the method's name.
            Self::RpcCalls => HIDDEN.split_at(1).1,
        }
    }
}

/// The attributes that are [hidden](Counted::hidden) by default, of any metric.
const HIDDEN: [Attribute; 4] =
    [Attribute::Path, Attribute::ServerAddress, Attribute::ServerPort, Attribute::ClientAddress];

/// The attributes of a metric.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Selected(u32);

impl Selected {
    fn of(selections: &[AttributeSelection], metric: &str, counted: Counted) -> Self {
        let defaults = counted.defaults().iter().map(|attribute| (attribute, true));
        let all = defaults.chain(counted.hidden().iter().map(|attribute| (attribute, false)));
        let selected = all.filter(|(attribute, default)| selects(selections, metric, attribute.name(), *default));
        Self(selected.fold(0, |bits, (attribute, _)| bits | 1 << *attribute as u32))
    }

    fn has(self, attribute: Attribute) -> bool {
        self.0 & 1 << attribute as u32 != 0
    }
}

/// What requests are told apart by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Attributes {
    method: Option<&'static str>,
    route: Option<Arc<str>>,
    status: Option<u16>,
    error: Option<Cow<'static, str>>,
    scheme: Option<&'static str>,
    version: Option<&'static str>,
    /// The path of a gRPC call.
    rpc_path: Option<Arc<str>>,
    rpc_status: Option<u32>,
    /// The attributes that are [`HIDDEN`] by default.
    hidden: Vec<(Attribute, Value<'static>)>,
}

/// What is counted of the requests of one set.
#[derive(Debug)]
struct Series {
    duration: Histogram,
    request_size: Histogram,
    response_size: Histogram,
    phases: [Histogram; 4],
}

/// The requests, told apart by the same attributes.
#[derive(Debug)]
struct Table {
    counted: Counted,
    selected: Selected,
    series: HashMap<Attributes, Series>,
    overflow: Option<Series>,
}

/// All that is counted.
#[derive(Debug)]
pub(in crate::export) struct Store {
    run: RunInfo,
    /// One set, unless metrics have different attributes.
    tables: Vec<Table>,
    /// The table of each of [`METRICS`].
    of: [usize; METRICS.len()],
    calls: CallStore,
    /// What the server's process had when it was looked at last.
    usage: Option<Usage>,
    /// The requests and calls whose attributes are missing from one metric at least.
    overflowed: u64,
}

impl Store {
    pub(in crate::export) fn new(run: RunInfo, selections: &[AttributeSelection]) -> Self {
        let mut tables: Vec<Table> = Vec::new();
        let of = METRICS.map(|(metric, counted)| {
            let selected = Selected::of(selections, metric, counted);
            let same = |table: &Table| (table.counted, table.selected) == (counted, selected);
            tables.iter().position(same).unwrap_or_else(|| {
                tables.push(Table { counted, selected, series: HashMap::new(), overflow: None });
                tables.len() - 1
            })
        });
        Self { run, tables, of, calls: CallStore::new(selections), usage: None, overflowed: 0 }
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
        let mut overflows = false;
        for table in self.tables.iter_mut().filter(|table| table.counted.counts(request)) {
            let (series, is_overflow) = table.series(request);
            series.record(request, exemplar);
            overflows |= is_overflow;
        }
        self.overflowed += u64::from(overflows);
    }

    /// Counts a call whose end was seen; `sampled` as of a request.
    pub(in crate::export) fn record_call(&mut self, call: &Call, sampled: bool) {
        let exemplar = call.span.as_ref().filter(|_| sampled).map(|span| Exemplar {
            trace_id: span.trace_id,
            span_id: span.span_id,
            unix_ns: self.run.unix_ns(call.boundaries.ended),
        });
        self.overflowed += u64::from(self.calls.record(call, exemplar));
    }

    /// The requests and calls whose attributes are missing from some metrics, since there are too many sets of them.
    pub(in crate::export) fn overflowed(&self) -> u64 {
        self.overflowed
    }

    /// Looks at the server's process; to be done now and then, since nothing is left to be seen once it has ended.
    pub(in crate::export) fn look_at_process(&mut self) {
        let Some(mut usage) = self.run.pid().and_then(usage) else { return };
        if usage.memory == 0 {
            // It has just ended: what it had until then says more.
            usage.memory = self.usage.map_or(0, |before| before.memory);
        }
        self.usage = Some(usage);
    }

    /// Everything so far, the server's process looked at once more. Counts go on from the start of the
    /// run.
    pub(in crate::export) fn metrics(&mut self, now: u64) -> Vec<Metric> {
        self.look_at_process();
        let mut metrics = vec![
            self.histogram(0, "s", "Duration of HTTP server requests.", now, |series| &series.duration),
            self.histogram(1, "By", "Size of HTTP server request bodies.", now, |series| &series.request_size),
            self.histogram(2, "By", "Size of HTTP server response bodies.", now, |series| &series.response_size),
            self.phases(now),
            self.histogram(RPC, "s", "Duration of gRPC server calls.", now, |series| &series.duration),
        ];
        metrics.retain(|metric| !matches!(&metric.data, Some(Data::Histogram(data)) if data.data_points.is_empty()));
        metrics.extend(self.calls.metrics(self.run.started_unix_ns, now));
        metrics.extend(self.usage.iter().flat_map(|usage| usage.metrics(self.run.started_unix_ns, now)));
        metrics
    }

    /// The sets of a metric and what was counted in them.
    fn sets(&self, at: usize) -> impl Iterator<Item = (Vec<KeyValue>, &Series)> {
        self.tables[self.of[at]].sets()
    }

    fn histogram(
        &self,
        at: usize,
        unit: &str,
        description: &str,
        now: u64,
        of: impl Fn(&Series) -> &Histogram,
    ) -> Metric {
        let start = self.run.started_unix_ns;
        let data_points =
            self.sets(at).filter_map(|(attributes, series)| of(series).data_point(attributes, start, now));
        histogram(METRICS[at].0, unit, description, data_points.collect())
    }

    fn phases(&self, now: u64) -> Metric {
        let start = self.run.started_unix_ns;
        let data_points = self.sets(PHASES).flat_map(|(attributes, series)| {
            let named = cargo_beyla_core::model::boundaries::Phases::default().named();
            named.into_iter().zip(&series.phases).filter_map(move |((name, _), phase)| {
                let mut attributes = attributes.clone();
                attributes.push(text("cargo_beyla.phase", name));
                phase.data_point(attributes, start, now)
            })
        });
        let description = "Duration of the phases of HTTP server requests.";
        histogram(METRICS[PHASES].0, "s", description, data_points.collect())
    }
}

impl Table {
    /// Where a request counts, and whether that is the set for all that are not told apart.
    fn series(&mut self, request: &Request) -> (&mut Series, bool) {
        let attributes = Attributes::of(request, self.selected);
        if self.series.len() >= SETS_MAX && !self.series.contains_key(&attributes) {
            return (self.overflow.get_or_insert_with(Series::new), true);
        }
        (self.series.entry(attributes).or_insert_with(Series::new), false)
    }

    fn sets(&self) -> impl Iterator<Item = (Vec<KeyValue>, &Series)> {
        let sets = self.series.iter();
        let sets = sets.map(|(attributes, series)| (attributes.to_key_values(self.selected), series));
        sets.chain(self.overflow.iter().map(|series| (vec![flag(OVERFLOW, true)], series)))
    }
}

impl Attributes {
    fn of(request: &Request, selected: Selected) -> Self {
        let hidden = HIDDEN.into_iter().filter(|attribute| selected.has(*attribute));
        Self {
            method: selected.has(Attribute::Method).then(|| method(&request.method)),
            route: route(request).filter(|_| selected.has(Attribute::Route)).cloned(),
            status: request.status.filter(|_| selected.has(Attribute::Status)),
            error: error_type(request).filter(|_| selected.has(Attribute::Error)),
            scheme: selected.has(Attribute::Scheme).then(|| request.scheme()),
            version: selected.has(Attribute::ProtocolVersion).then(|| version(request.protocol)),
            rpc_path: selected.has(Attribute::RpcMethod).then(|| Arc::clone(&request.path)),
            rpc_status: request
                .grpc
                .as_ref()
                .and_then(|grpc| grpc.status)
                .filter(|_| selected.has(Attribute::RpcStatus)),
            hidden: hidden.filter_map(|attribute| Some((attribute, attribute.of(request)?.into_owned()))).collect(),
        }
    }

    fn to_key_values(&self, selected: Selected) -> Vec<KeyValue> {
        let Self { method, route, status, error, scheme, version, rpc_path, rpc_status, hidden } = self;
        let known = [
            method.map(|method| text("http.request.method", method)),
            route.as_deref().map(|route| text("http.route", route)),
            scheme.map(|scheme| text("url.scheme", scheme)),
            version.map(|version| text("network.protocol.version", version)),
            status.map(|status| number("http.response.status_code", status.into())),
            selected.has(Attribute::RpcSystem).then(|| text("rpc.system.name", "grpc")),
            rpc_path.as_deref().map(|path| text("rpc.method", rpc_method(path))),
            rpc_status.map(|status| text("rpc.response.status_code", rpc_status_name(status))),
            error.as_deref().map(|error| text("error.type", error)),
        ];
        let hidden = hidden.iter().map(|(attribute, value)| value.to_key_value(attribute.name()));
        known.into_iter().flatten().chain(hidden).collect()
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

    fn record(&mut self, request: &Request, exemplar: Option<Exemplar>) {
        self.duration.record(request.boundaries.total(), exemplar);
        if let Some(body) = request.request_bytes.body {
            self.request_size.record(body, None);
        }
        if let Some(body) = request.response_bytes.and_then(|bytes| bytes.body) {
            self.response_size.record(body, None);
        }
        for ((_, length), phase) in request.boundaries.phases().named().into_iter().zip(&mut self.phases) {
            if let Some(length) = length {
                phase.record(length, None);
            }
        }
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
