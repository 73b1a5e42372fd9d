//! What is counted of outbound calls.

use std::collections::HashMap;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::Metric;

use super::histogram::{Buckets, DATABASE, DURATION, Exemplar, Histogram};
use super::metric::{OVERFLOW, SETS_MAX, histogram};
use crate::config::attributes::{AttributeSelection, selects};
use crate::export::attribute::Value;
use crate::export::call_attribute::CallAttribute;
use crate::export::key_value::flag;
use cargo_beyla_core::model::call::{Call, CallKind};
use cargo_beyla_core::model::request::Outcome;

/// A metric of calls.
#[derive(Debug)]
struct CallMetric {
    name: &'static str,
    description: &'static str,
    kinds: &'static [CallKind],
    buckets: &'static Buckets,
    /// The attributes that it has by default.
    defaults: &'static [CallAttribute],
    /// The attributes that it has where they are asked for: they may take many values.
    hidden: &'static [CallAttribute],
}

static METRICS: [CallMetric; 3] = [
    CallMetric {
        name: "http.client.request.duration",
        description: "Duration of HTTP client requests.",
        kinds: &[CallKind::Http],
        buckets: &DURATION,
        defaults: &[
            CallAttribute::HttpMethod,
            CallAttribute::ServerAddress,
            CallAttribute::ServerPort,
            CallAttribute::HttpStatus,
            CallAttribute::Error,
        ],
        hidden: &[CallAttribute::UrlTemplate, CallAttribute::Certainty],
    },
    CallMetric {
        name: "rpc.client.call.duration",
        description: "Duration of outbound remote procedure calls.",
        kinds: &[CallKind::Grpc],
        buckets: &DURATION,
        defaults: &[
            CallAttribute::RpcSystem,
            CallAttribute::RpcMethod,
            CallAttribute::ServerAddress,
            CallAttribute::ServerPort,
            CallAttribute::RpcStatus,
            CallAttribute::Error,
        ],
        hidden: &[CallAttribute::Certainty],
    },
    CallMetric {
        name: "db.client.operation.duration",
        description: "Duration of database client operations.",
        kinds: &[CallKind::Postgresql, CallKind::Mysql, CallKind::Redis, CallKind::Mongodb, CallKind::Sqlite],
        buckets: &DATABASE,
        defaults: &[
            CallAttribute::DbSystem,
            CallAttribute::DbOperation,
            CallAttribute::DbSummary,
            CallAttribute::ServerAddress,
            CallAttribute::ServerPort,
            CallAttribute::DbStatus,
            CallAttribute::Error,
        ],
        hidden: &[CallAttribute::DbText, CallAttribute::Certainty],
    },
];

/// What calls are told apart by.
type Attributes = Vec<(CallAttribute, Value<'static>)>;

/// The calls of one metric.
#[derive(Debug)]
struct Table {
    metric: &'static CallMetric,
    selected: Vec<CallAttribute>,
    series: HashMap<Attributes, Histogram>,
    overflow: Option<Histogram>,
}

/// All calls.
#[derive(Debug)]
pub(super) struct CallStore {
    tables: Vec<Table>,
}

impl CallStore {
    pub(super) fn new(selections: &[AttributeSelection]) -> Self {
        let table = |metric: &'static CallMetric| {
            let defaults = metric.defaults.iter().map(|attribute| (*attribute, true));
            let all = defaults.chain(metric.hidden.iter().map(|attribute| (*attribute, false)));
            let selected =
                all.filter(|(attribute, default)| selects(selections, metric.name, attribute.name(), *default));
            let selected = selected.map(|(attribute, _)| attribute).collect();
            Table { metric, selected, series: HashMap::new(), overflow: None }
        };
        Self { tables: METRICS.iter().map(table).collect() }
    }

    /// Counts a call whose end was seen; whether it counts without its attributes, since there are too many sets of them.
    pub(super) fn record(&mut self, call: &Call, exemplar: Option<Exemplar>) -> bool {
        if matches!(call.outcome, Outcome::StillOpen | Outcome::NotSeen) {
            return false;
        }
        let Some(table) = self.tables.iter_mut().find(|table| table.metric.kinds.contains(&call.kind)) else {
            return false;
        };
        let (series, is_overflow) = table.series(call);
        series.record(call.boundaries.total(), exemplar);
        is_overflow
    }

    /// The metrics that have counted something, between these moments.
    pub(super) fn metrics(&self, start: u64, now: u64) -> impl Iterator<Item = Metric> {
        self.tables.iter().filter(|table| !table.series.is_empty()).map(move |table| {
            let data_points = table.sets().filter_map(|(attributes, series)| series.data_point(attributes, start, now));
            histogram(table.metric.name, "s", table.metric.description, data_points.collect())
        })
    }
}

impl Table {
    /// Where a call counts, and whether that is the set for all that are not told apart.
    fn series(&mut self, call: &Call) -> (&mut Histogram, bool) {
        let value = |attribute: &CallAttribute| Some((*attribute, attribute.of(call)?.into_owned()));
        let attributes: Attributes = self.selected.iter().filter_map(value).collect();
        let new = || Histogram::new(self.metric.buckets);
        if self.series.len() >= SETS_MAX && !self.series.contains_key(&attributes) {
            return (self.overflow.get_or_insert_with(new), true);
        }
        (self.series.entry(attributes).or_insert_with(new), false)
    }

    fn sets(&self) -> impl Iterator<Item = (Vec<KeyValue>, &Histogram)> {
        let key_values = |attributes: &Attributes| -> Vec<KeyValue> {
            attributes.iter().map(|(attribute, value)| value.to_key_value(attribute.name())).collect()
        };
        let sets = self.series.iter().map(move |(attributes, series)| (key_values(attributes), series));
        sets.chain(self.overflow.iter().map(|series| (vec![flag(OVERFLOW, true)], series)))
    }
}
