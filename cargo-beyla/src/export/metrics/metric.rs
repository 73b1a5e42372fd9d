//! What all metrics have in common.

use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Histogram as HistogramMessage, HistogramDataPoint, Metric,
};

/// The sets of attributes that are told apart; by the OpenTelemetry specification, what is beyond them
/// counts in one more set, whose only attribute is [`OVERFLOW`].
pub(in crate::export) const SETS_MAX: usize = 2000;

/// Marks the set for all that are not told apart.
pub(super) const OVERFLOW: &str = "otel.metric.overflow";

/// A metric of distributions.
pub(super) fn histogram(name: &str, unit: &str, description: &str, data_points: Vec<HistogramDataPoint>) -> Metric {
    let data = HistogramMessage { data_points, aggregation_temporality: AggregationTemporality::Cumulative.into() };
    metric(name, unit, description, Data::Histogram(data))
}

/// A metric of any kind.
pub(super) fn metric(name: &str, unit: &str, description: &str, data: Data) -> Metric {
    Metric {
        name: name.to_owned(),
        description: description.to_owned(),
        unit: unit.to_owned(),
        data: Some(data),
        ..Metric::default()
    }
}
