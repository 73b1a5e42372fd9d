//! The spans of requests, calls and tests, from where they wait to the receiver.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use opentelemetry_proto::tonic::resource::v1::Resource;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::batch::{Batch, ExcludedAttributes, FULL};
use crate::export::item::{Counts, Item};
use crate::export::otlp::delivery::{Delivery, NotDelivered, Trouble};
use crate::export::otlp::signal::Rejected;
use crate::export::outcome::TracesOutcome;
use crate::export::queue::{BoundedQueue, Bounds};
use crate::report::run_info::RunInfo;

/// How long something waits for more to be sent with.
const DELAY: Duration = Duration::from_secs(1);

/// Why something is lost where nothing is wrong with the receiver.
const TOO_MANY: &str = "they came faster than they were taken";

/// What waits to be sent.
#[derive(Debug)]
pub(in crate::export) struct Waiting {
    queue: RefCell<BoundedQueue>,
    changed: Notify,
    /// Whether no more will come.
    closed: Cell<bool>,
    outcome: RefCell<TracesOutcome>,
    trouble: Trouble,
}

impl Waiting {
    /// Adds something that has spans.
    pub(in crate::export) fn push(&self, item: Item) {
        let count = item.count();
        self.outcome.borrow_mut().all += count;
        let mut queue = self.queue.borrow_mut();
        if !queue.push(item) {
            let trouble = self.trouble.borrow();
            self.outcome.borrow_mut().lose(count, trouble.as_deref().unwrap_or(TOO_MANY));
        } else if queue.len() == 1 || queue.len() == FULL {
            self.changed.notify_one();
        }
    }

    /// Counts what the sampler leaves out.
    pub(in crate::export) fn leave_unsampled(&self, item: &Item) {
        let mut outcome = self.outcome.borrow_mut();
        outcome.all += item.count();
        outcome.unsampled += item.count();
    }

    /// Counts a request that the settings leave out, or one of its calls.
    pub(in crate::export) fn leave_unwanted(&self, item: &Item) {
        let mut outcome = self.outcome.borrow_mut();
        outcome.all += item.count();
        outcome.unwanted += item.count();
    }

    /// Notes that no more will come, and how many were lost on the way here.
    pub(in crate::export) fn close(&self, lost: Counts) {
        let mut outcome = self.outcome.borrow_mut();
        outcome.all += lost;
        outcome.lose(lost, TOO_MANY);
        self.closed.set(true);
        self.changed.notify_one();
    }

    /// Waits until a message is full or has waited long enough; `false` if there is nothing to come.
    async fn ready(&self) -> bool {
        loop {
            let waiting = self.queue.borrow().len();
            if waiting >= FULL || self.closed.get() {
                return waiting > 0;
            }
            if waiting == 0 {
                self.changed.notified().await;
            } else if timeout(DELAY, self.changed.notified()).await.is_err() {
                return true;
            }
        }
    }

    /// Notes what became of a message, and how many were in it.
    fn account(&self, items: Counts, delivered: &Result<Rejected, NotDelivered>) {
        let mut outcome = self.outcome.borrow_mut();
        match delivered {
            Ok(Rejected { count, message, is_foreign, is_cut_off }) => {
                outcome.sent += items;
                outcome.rejected_spans += count;
                outcome.foreign_answer |= is_foreign;
                outcome.answer_cut_off |= is_cut_off;
                if !message.is_empty() {
                    outcome.remark = Some(message.clone());
                }
            }
            Err(NotDelivered::Refused(reason) | NotDelivered::GivenUp(reason)) => outcome.lose(items, reason),
        }
    }

    /// Loses all that is left.
    fn give_up(&self, reason: &str) {
        let left = self.queue.borrow_mut().clear();
        self.outcome.borrow_mut().lose(left, reason);
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
    without: ExcludedAttributes,
}

impl Pipeline {
    pub(in crate::export) fn new(
        delivery: Delivery,
        run: RunInfo,
        resource: Resource,
        without: ExcludedAttributes,
    ) -> Self {
        Self { delivery, run, resource, without }
    }

    /// Where things are to wait for it.
    pub(in crate::export) fn waiting(&self, bounds: Bounds) -> Rc<Waiting> {
        let endpoint = self.delivery.receiver().endpoint.clone();
        Rc::new(Waiting {
            queue: RefCell::new(BoundedQueue::new(bounds)),
            changed: Notify::new(),
            closed: Cell::new(false),
            outcome: RefCell::new(TracesOutcome { endpoint, ..TracesOutcome::default() }),
            trouble: self.delivery.trouble(),
        })
    }

    /// Sends until no more will come, and reports each request that is done to `progress`.
    pub(in crate::export) async fn run(mut self, waiting: Rc<Waiting>, progress: impl Fn(u64)) -> TracesOutcome {
        while waiting.ready().await {
            let batch = Batch::fill(&mut waiting.queue.borrow_mut(), &self.run, &self.resource, &self.without);
            let delivered = self.delivery.deliver(&batch.message).await;
            progress(batch.items.requests);
            waiting.account(batch.items, &delivered);
            if let Err(NotDelivered::GivenUp(reason)) = delivered {
                waiting.closed().await;
                waiting.give_up(&reason);
            }
        }
        waiting.outcome.take()
    }
}
