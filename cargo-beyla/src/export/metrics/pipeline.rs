//! Metrics by OTLP: at an interval, and once more at the end.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{Histogram, Metric, ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use tokio::time::sleep;

use super::store::Store;
use crate::export::otlp::delivery::{Delivery, NotDelivered};
use crate::export::otlp::signal::BYTES_MAX;
use crate::export::outcome::MetricsOutcome;
use crate::export::resource::scope;

/// Sends what is counted.
#[derive(Debug)]
pub(in crate::export) struct MetricsPipeline {
    delivery: Delivery,
    interval: Duration,
    store: Rc<RefCell<Store>>,
    resource: Resource,
    outcome: MetricsOutcome,
}

impl MetricsPipeline {
    pub(in crate::export) fn new(
        delivery: Delivery,
        interval: Duration,
        store: Rc<RefCell<Store>>,
        resource: Resource,
    ) -> Self {
        let endpoint = delivery.receiver().endpoint.clone();
        let outcome = MetricsOutcome { endpoint, ..MetricsOutcome::default() };
        // An interval of 0 would be no pause at all.
        let interval = interval.max(Duration::from_millis(1));
        Self { delivery, interval, store, resource, outcome }
    }

    /// Sends until `counted` says that everything is counted, and once more.
    pub(in crate::export) async fn run(mut self, counted: impl Future<Output = ()>) -> MetricsOutcome {
        tokio::pin!(counted);
        loop {
            let last = tokio::select! {
                biased;
                () = &mut counted => true,
                () = sleep(self.interval) => false,
            };
            self.send().await;
            if last {
                return self.outcome;
            }
        }
    }

    async fn send(&mut self) {
        let metrics = self.store.borrow_mut().metrics(unix_ns());
        let mut failure = None;
        for part in split(metrics, BYTES_MAX) {
            match self.send_part(part).await {
                Ok(()) => {}
                Err(NotDelivered::Refused(reason)) => failure = Some(reason),
                Err(NotDelivered::GivenUp(reason)) => {
                    failure = Some(reason);
                    break;
                }
            }
        }
        self.outcome.sent += u64::from(failure.is_none());
        self.outcome.failure = failure;
    }

    async fn send_part(&mut self, metrics: Vec<Metric>) -> Result<(), NotDelivered> {
        let rejected = self.delivery.deliver(&message(metrics, self.resource.clone())).await?;
        self.outcome.rejected_points += rejected.count;
        self.outcome.foreign_answer |= rejected.is_foreign;
        self.outcome.answer_cut_off |= rejected.is_cut_off;
        if !rejected.message.is_empty() {
            self.outcome.remark = Some(rejected.message);
        }
        Ok(())
    }
}

/// Divides metrics among as few messages of so many bytes as it takes in their order; one at least. A metric may be
/// in several, with some of its data points in each.
fn split(metrics: Vec<Metric>, bytes_max: usize) -> Vec<Vec<Metric>> {
    let pieces = metrics.into_iter().flat_map(|metric| {
        let (data, metric) = (metric.data, Metric { data: None, ..metric });
        match data {
            Some(Data::Histogram(Histogram { data_points, aggregation_temporality })) => chunks(data_points, bytes_max)
                .into_iter()
                .map(|data_points| Some(Data::Histogram(Histogram { data_points, aggregation_temporality })))
                .collect(),
            data => vec![data],
        }
        .into_iter()
        .map(|data| Metric { data, ..metric.clone() })
        .collect::<Vec<_>>()
    });
    chunks(pieces, bytes_max)
}

/// Divides messages into groups of so many bytes; one at least, and what is larger has one of its own.
fn chunks<T: Message>(messages: impl IntoIterator<Item = T>, bytes_max: usize) -> Vec<Vec<T>> {
    let (mut chunks, mut chunk, mut bytes) = (Vec::new(), Vec::new(), 0);
    for message in messages {
        let size = message.encoded_len();
        if bytes + size > bytes_max && !chunk.is_empty() {
            chunks.push(std::mem::take(&mut chunk));
            bytes = 0;
        }
        bytes += size;
        chunk.push(message);
    }
    chunks.push(chunk);
    chunks
}

fn message(metrics: Vec<Metric>, resource: Resource) -> ExportMetricsServiceRequest {
    let scope = ScopeMetrics { scope: Some(scope()), metrics, ..ScopeMetrics::default() };
    let resource =
        ResourceMetrics { resource: Some(resource), scope_metrics: vec![scope], ..ResourceMetrics::default() };
    ExportMetricsServiceRequest { resource_metrics: vec![resource] }
}

/// Now, in nanoseconds since the Unix epoch.
pub(in crate::export) fn unix_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::metrics::v1::HistogramDataPoint;

    use super::*;

    #[test]
    fn no_message_is_too_large_and_no_data_point_is_missing() {
        let point = |count| HistogramDataPoint { count, bucket_counts: vec![1; 20], ..HistogramDataPoint::default() };
        let histogram = |name: &str, from: u64| Metric {
            name: name.to_owned(),
            data: Some(Data::Histogram(Histogram {
                data_points: (from..from + 100).map(point).collect(),
                aggregation_temporality: 2,
            })),
            ..Metric::default()
        };
        let sum = Metric { name: "sum".to_owned(), ..Metric::default() };
        let parts = split(vec![histogram("a", 0), histogram("b", 100), sum], 2000);
        assert!(parts.len() > 10);
        let mut counts = Vec::new();
        for part in &parts {
            let message = message(part.clone(), Resource::default());
            // The envelope, and that of each piece.
            assert!(message.encoded_len() <= 2000 + 600, "{}", message.encoded_len());
            for metric in part {
                if let Some(Data::Histogram(Histogram { data_points, aggregation_temporality: 2 })) = &metric.data {
                    counts.extend(data_points.iter().map(|point| point.count));
                    assert_eq!(metric.name == "a", data_points[0].count < 100);
                }
            }
        }
        assert_eq!(counts, (0..200).collect::<Vec<_>>());
        assert_eq!(parts.last().and_then(|part| part.last()).map(|metric| metric.name.as_str()), Some("sum"));
        assert_eq!(split(vec![], 2000).len(), 1);
    }
}
