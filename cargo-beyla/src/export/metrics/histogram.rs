//! Distributions with fixed buckets.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::exemplar::Value;
use opentelemetry_proto::tonic::metrics::v1::{Exemplar as ExemplarMessage, HistogramDataPoint};

use cargo_beyla_core::model::trace_context::{SpanId, TraceId};

/// Where the buckets of a distribution end, in the unit that is counted.
#[derive(Debug)]
pub(super) struct Buckets {
    /// Upper ends, which belong to their bucket; what is above the last has a bucket of its own.
    pub(super) bounds: &'static [u64],
    /// How many of what is counted make one of the metric's unit.
    pub(super) scale: f64,
}

const MS: u64 = 1_000_000;
const US: u64 = 1_000;

/// Durations of requests: those that the semantic conventions advise, and 0.
pub(super) const DURATION: Buckets = Buckets {
    bounds: &[
        0,
        5 * MS,
        10 * MS,
        25 * MS,
        50 * MS,
        75 * MS,
        100 * MS,
        250 * MS,
        500 * MS,
        750 * MS,
        1_000 * MS,
        2_500 * MS,
        5_000 * MS,
        7_500 * MS,
        10_000 * MS,
    ],
    scale: 1e9,
};

/// Durations of what is asked of databases: those that the conventions advise, and 0.
pub(super) const DATABASE: Buckets = Buckets {
    bounds: &[0, MS, 5 * MS, 10 * MS, 50 * MS, 100 * MS, 500 * MS, 1_000 * MS, 5_000 * MS, 10_000 * MS],
    scale: 1e9,
};

/// Durations of phases, which are short on one machine.
pub(super) const PHASE: Buckets = Buckets {
    bounds: &[
        0,
        10 * US,
        25 * US,
        50 * US,
        100 * US,
        250 * US,
        500 * US,
        MS,
        5 * MS / 2,
        5 * MS,
        10 * MS,
        25 * MS,
        50 * MS,
        100 * MS,
        250 * MS,
        500 * MS,
        1_000 * MS,
        2_500 * MS,
        5_000 * MS,
        10_000 * MS,
    ],
    scale: 1e9,
};

/// Sizes of bodies, in bytes.
pub(super) const SIZE: Buckets =
    Buckets { bounds: &[0, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 65_536, 1_048_576], scale: 1.0 };

/// A request that is an example of its bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exemplar {
    pub(super) trace_id: TraceId,
    pub(super) span_id: SpanId,
    pub(super) unix_ns: u64,
}

/// A distribution.
#[derive(Clone, Debug)]
pub(super) struct Histogram {
    buckets: &'static Buckets,
    counts: Vec<u64>,
    /// The last exemplar of each bucket, with its value.
    exemplars: Vec<Option<(u64, Exemplar)>>,
    sum: u128,
    /// The least and the greatest value.
    range: Option<(u64, u64)>,
}

impl Histogram {
    pub(super) fn new(buckets: &'static Buckets) -> Self {
        let counts = vec![0; buckets.bounds.len() + 1];
        Self { buckets, counts, exemplars: Vec::new(), sum: 0, range: None }
    }

    pub(super) fn record(&mut self, value: u64, exemplar: Option<Exemplar>) {
        let bucket = self.buckets.bounds.partition_point(|&bound| bound < value);
        self.counts[bucket] += 1;
        self.sum += u128::from(value);
        self.range = self.range.map_or(Some((value, value)), |(min, max)| Some((min.min(value), max.max(value))));
        if let Some(exemplar) = exemplar {
            self.exemplars.resize(self.counts.len(), None);
            self.exemplars[bucket] = Some((value, exemplar));
        }
    }

    /// As OTLP has it; `None` if nothing was recorded.
    pub(super) fn data_point(&self, attributes: Vec<KeyValue>, start: u64, now: u64) -> Option<HistogramDataPoint> {
        let scale = self.buckets.scale;
        let (min, max) = self.range?;
        let exemplars = self.exemplars.iter().flatten().map(|(value, exemplar)| ExemplarMessage {
            time_unix_nano: exemplar.unix_ns,
            span_id: exemplar.span_id.bytes().to_vec(),
            trace_id: exemplar.trace_id.bytes().to_vec(),
            value: Some(Value::AsDouble(*value as f64 / scale)),
            ..ExemplarMessage::default()
        });
        Some(HistogramDataPoint {
            attributes,
            start_time_unix_nano: start,
            time_unix_nano: now,
            count: self.counts.iter().sum(),
            sum: Some(self.sum as f64 / scale),
            bucket_counts: self.counts.clone(),
            explicit_bounds: self.buckets.bounds.iter().map(|&bound| bound as f64 / scale).collect(),
            exemplars: exemplars.collect(),
            min: Some(min as f64 / scale),
            max: Some(max as f64 / scale),
            ..HistogramDataPoint::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_are_those_of_the_conventions() {
        let seconds = [0., 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1., 2.5, 5., 7.5, 10.];
        let mut histogram = Histogram::new(&DURATION);
        histogram.record(5 * MS, None);
        let point = histogram.data_point(vec![], 1, 2).expect("it has a value");
        assert_eq!(point.explicit_bounds, seconds);
        assert!(
            DURATION.bounds.is_sorted()
                && PHASE.bounds.is_sorted()
                && DATABASE.bounds.is_sorted()
                && SIZE.bounds.is_sorted()
        );
    }

    #[test]
    fn a_value_belongs_to_the_bucket_that_it_bounds() {
        let mut histogram = Histogram::new(&SIZE);
        let exemplar = |id| Exemplar { trace_id: TraceId::of(id), span_id: SpanId::of(1), unix_ns: 9 };
        for (value, id) in [(0, 1), (1, 2), (32, 3), (33, 4), (u64::MAX, 5)] {
            histogram.record(value, Some(exemplar(id)));
        }
        let point = histogram.data_point(vec![], 1, 2).expect("it has values");
        assert_eq!(point.bucket_counts, [1, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!((point.count, point.min, point.max), (5, Some(0.0), Some(u64::MAX as f64)));
        let examples: Vec<u8> = point.exemplars.iter().map(|exemplar| exemplar.trace_id[15]).collect();
        assert_eq!(examples, [1, 3, 4, 5]);
        assert_eq!(Histogram::new(&SIZE).data_point(vec![], 1, 2), None);
    }
}
