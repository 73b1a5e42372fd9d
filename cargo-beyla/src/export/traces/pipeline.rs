//! The spans of requests, from where they wait to the receiver.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::resource::v1::Resource;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::batch::{Batch, REQUESTS_FULL, Without};
use crate::export::inbox::{Bounds, Queue};
use crate::export::otlp::delivery::{Delivery, NotDelivered, Trouble};
use crate::export::otlp::signal::Rejected;
use crate::export::outcome::TracesOutcome;
use crate::report::run_info::RunInfo;
use crate::request::model::Request;

/// How long a request waits for others to be sent with.
const DELAY: Duration = Duration::from_secs(1);

/// Why requests are lost where nothing is wrong with the receiver.
const TOO_MANY: &str = "they came faster than they were taken";

/// The requests that wait to be sent.
#[derive(Debug)]
pub(in crate::export) struct Waiting {
    queue: RefCell<Queue>,
    changed: Notify,
    /// Whether no more will come.
    closed: Cell<bool>,
    outcome: RefCell<TracesOutcome>,
    trouble: Trouble,
}

impl Waiting {
    /// Adds a request.
    pub(in crate::export) fn push(&self, request: Arc<Request>) {
        self.outcome.borrow_mut().requests += 1;
        let mut queue = self.queue.borrow_mut();
        if !queue.push(request) {
            let trouble = self.trouble.borrow();
            self.outcome.borrow_mut().lose(1, trouble.as_deref().unwrap_or(TOO_MANY));
        } else if queue.len() == 1 || queue.len() == REQUESTS_FULL {
            self.changed.notify_one();
        }
    }

    /// Counts a request that has no spans: the sampler's doing if it was `wanted`.
    pub(in crate::export) fn leave_out(&self, wanted: bool) {
        let mut outcome = self.outcome.borrow_mut();
        outcome.requests += 1;
        if wanted {
            outcome.unsampled += 1;
        } else {
            outcome.unwanted += 1;
        }
    }

    /// Takes note that no more will come, and that so many were lost on the way here.
    pub(in crate::export) fn close(&self, lost: u64) {
        let mut outcome = self.outcome.borrow_mut();
        outcome.requests += lost;
        outcome.lose(lost, TOO_MANY);
        self.closed.set(true);
        self.changed.notify_one();
    }

    /// Waits until a message is full or has waited long enough; `false` if there is nothing to come.
    async fn ready(&self) -> bool {
        loop {
            let waiting = self.queue.borrow().len();
            if waiting >= REQUESTS_FULL || self.closed.get() {
                return waiting > 0;
            }
            if waiting == 0 {
                self.changed.notified().await;
            } else if timeout(DELAY, self.changed.notified()).await.is_err() {
                return true;
            }
        }
    }

    /// Takes down what became of a message about so many requests.
    fn account(&self, requests: u64, delivered: &Result<Rejected, NotDelivered>) {
        let mut outcome = self.outcome.borrow_mut();
        match delivered {
            Ok(Rejected { count, message }) => {
                outcome.sent += requests;
                outcome.rejected_spans += count;
                if !message.is_empty() {
                    outcome.remark = Some(message.clone());
                }
            }
            Err(NotDelivered::Refused(reason) | NotDelivered::GivenUp(reason)) => outcome.lose(requests, reason),
        }
    }

    /// Loses all that is left.
    fn give_up(&self, reason: &str) {
        let mut queue = self.queue.borrow_mut();
        self.outcome.borrow_mut().lose(queue.len() as u64, reason);
        queue.clear();
    }

    /// Waits until no more will come.
    async fn closed(&self) {
        while !self.closed.get() {
            self.changed.notified().await;
        }
    }
}

/// Sends what waits.
#[derive(Debug)]
pub(in crate::export) struct Pipeline {
    delivery: Delivery,
    run: RunInfo,
    resource: Resource,
    without: Without,
}

impl Pipeline {
    pub(in crate::export) fn new(delivery: Delivery, run: RunInfo, resource: Resource, without: Without) -> Self {
        Self { delivery, run, resource, without }
    }

    /// Where requests are to wait for it.
    pub(in crate::export) fn waiting(&self, bounds: Bounds) -> Rc<Waiting> {
        let endpoint = self.delivery.receiver().endpoint.clone();
        Rc::new(Waiting {
            queue: RefCell::new(Queue::new(bounds)),
            changed: Notify::new(),
            closed: Cell::new(false),
            outcome: RefCell::new(TracesOutcome { endpoint, ..TracesOutcome::default() }),
            trouble: self.delivery.trouble(),
        })
    }

    /// Sends until no more will come, and tells `progress` of each request that is done with.
    pub(in crate::export) async fn run(mut self, waiting: Rc<Waiting>, progress: impl Fn(u64)) -> TracesOutcome {
        while waiting.ready().await {
            let batch = Batch::fill(&mut waiting.queue.borrow_mut(), &self.run, &self.resource, &self.without);
            let delivered = self.delivery.deliver(&batch.message).await;
            progress(batch.requests);
            waiting.account(batch.requests, &delivered);
            if let Err(NotDelivered::GivenUp(reason)) = delivered {
                waiting.closed().await;
                waiting.give_up(&reason);
            }
        }
        waiting.outcome.take()
    }
}
