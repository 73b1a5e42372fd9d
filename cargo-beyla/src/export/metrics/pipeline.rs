//! Metrics by OTLP: every so often, and once more at the end.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::{ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::resource::v1::Resource;
use tokio::time::sleep;

use super::store::Store;
use crate::export::otlp::delivery::{Delivery, NotDelivered};
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
        let message = message(self.store.borrow_mut().metrics(unix_ns()), self.resource.clone());
        match self.delivery.deliver(&message).await {
            Ok(rejected) => {
                self.outcome.sent += 1;
                self.outcome.failure = None;
                self.outcome.rejected_points += rejected.count;
                self.outcome.foreign_answer |= rejected.is_foreign;
                if !rejected.message.is_empty() {
                    self.outcome.remark = Some(rejected.message);
                }
            }
            Err(NotDelivered::Refused(reason) | NotDelivered::GivenUp(reason)) => self.outcome.failure = Some(reason),
        }
    }
}

fn message(
    metrics: Vec<opentelemetry_proto::tonic::metrics::v1::Metric>,
    resource: Resource,
) -> ExportMetricsServiceRequest {
    let scope = ScopeMetrics { scope: Some(scope()), metrics, ..ScopeMetrics::default() };
    let resource =
        ResourceMetrics { resource: Some(resource), scope_metrics: vec![scope], ..ResourceMetrics::default() };
    ExportMetricsServiceRequest { resource_metrics: vec![resource] }
}

/// Now, in nanoseconds since the Unix epoch.
pub(in crate::export) fn unix_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64
}
