//! The exporter's thread: what it does from the first request to the last.

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry_proto::tonic::resource::v1::Resource;
use tokio::sync::{Notify, watch};
use tokio::task::LocalSet;

use super::checked::Checked;
use super::filter::{ExportFilter, Signals};
use super::item::Item;
use super::metrics::pipeline::MetricsPipeline;
use super::metrics::store::Store;
use super::otlp::delivery::{Delivery, End, Ending};
use super::outcome::{ExportOutcome, PrometheusOutcome};
use super::queue::{BOUNDS, ExportQueue};
use super::sampling::Sampling;
use super::traces::batch::ExcludedAttributes;
use super::traces::pipeline::{Pipeline, Waiting};
use crate::report::run_info::RunInfo;
use cargo_beyla_core::model::call::Call;
use cargo_beyla_core::model::request::Request;
use cargo_beyla_core::model::test::EndedTest;

/// The first pause between two looks at the server's process; they grow, so that a short run is seen as well.
const LOOK_AGAIN_MIN: Duration = Duration::from_millis(20);

/// The longest.
const LOOK_AGAIN_MAX: Duration = Duration::from_millis(500);

/// How many requests the thread is done with.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) done: AtomicU64,
}

impl Progress {
    /// So many more requests are done with.
    pub(super) fn add(&self, requests: u64) {
        self.done.fetch_add(requests, Ordering::Relaxed);
    }
}

/// What the thread shares with the run.
pub(super) struct Shared {
    pub(super) queue: Arc<ExportQueue>,
    pub(super) progress: Arc<Progress>,
    /// How the time ends for what is left, once the run is over.
    pub(super) ending: watch::Receiver<Option<End>>,
}

/// Works until the run is over and everything is sent, or the deadline has come.
pub(super) fn work(checked: Checked, resource: &Resource, run: &RunInfo, shared: &Shared) -> ExportOutcome {
    // Host names are looked up on a thread beside.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return checked.not_started(&error.to_string()),
    };
    let local = LocalSet::new();
    let outcome = local.block_on(&runtime, export(checked, resource, run, shared));
    drop(local);
    // A look-up that hangs is not waited for.
    runtime.shutdown_background();
    outcome
}

async fn export(checked: Checked, resource: &Resource, run: &RunInfo, shared: &Shared) -> ExportOutcome {
    let Checked { traces, sampler, metrics, prometheus, filter, attributes } = checked;
    let delivery = |receiver| Delivery::new(receiver, shared.ending.clone());
    let counts = metrics.is_some() || prometheus.is_some();
    let store = counts.then(|| Rc::new(RefCell::new(Store::new(run.clone(), &attributes))));

    let without = ExcludedAttributes::new(attributes);
    let traces = traces.map(|receiver| Pipeline::new(delivery(receiver), run.clone(), resource.clone(), without));
    let waiting = traces.as_ref().map(|traces| traces.waiting(BOUNDS));
    let metrics = metrics.zip(store.clone()).map(|((receiver, interval), store)| {
        MetricsPipeline::new(delivery(receiver), interval, store, resource.clone())
    });
    let scraped = prometheus.zip(store.clone()).map(|(endpoint, store)| {
        let scrapes = endpoint.scrapes(store, resource.clone());
        (endpoint.url(), endpoint, scrapes)
    });

    let counted = Notify::new();
    let intake =
        Intake { shared, filter, sampling: Sampling::new(sampler), store: store.clone(), waiting: waiting.clone() };
    let serve = scraped.map(|(url, endpoint, scrapes)| {
        let task = tokio::task::spawn_local(endpoint.serve(Rc::clone(&scrapes)));
        (url, task, scrapes)
    });
    let looks = store.clone().map(|store| tokio::task::spawn_local(look_at_process(store)));
    let done = |requests| shared.progress.add(requests);
    let ((), traces, metrics) = tokio::join!(
        async {
            intake.run().await;
            counted.notify_one();
        },
        optional(traces.zip(waiting).map(|(traces, waiting)| traces.run(waiting, done))),
        optional(metrics.map(|metrics| metrics.run(counted.notified()))),
    );
    let prometheus = serve.map(|(url, task, scrapes)| {
        task.abort();
        PrometheusOutcome { url, scrapes: scrapes.count() }
    });
    if let Some(looks) = looks {
        looks.abort();
    }
    let overflowed = store.map_or(0, |store| store.borrow().overflowed());
    ExportOutcome { traces, metrics, prometheus, overflowed }
}

/// Looks at it time and again.
async fn look_at_process(store: Rc<RefCell<Store>>) {
    let mut pause = LOOK_AGAIN_MIN;
    loop {
        tokio::time::sleep(pause).await;
        store.borrow_mut().look_at_process();
        pause = (pause * 2).min(LOOK_AGAIN_MAX);
    }
}

async fn optional<T>(future: Option<impl Future<Output = T>>) -> Option<T> {
    Some(future?.await)
}

/// Takes requests, calls and tests from the run to all who want them.
struct Intake<'a> {
    shared: &'a Shared,
    filter: Option<ExportFilter>,
    sampling: Sampling,
    store: Option<Rc<RefCell<Store>>>,
    waiting: Option<Rc<Waiting>>,
}

impl Intake<'_> {
    async fn run(&self) {
        let queue = &self.shared.queue;
        let mut ending: Ending = self.shared.ending.clone();
        loop {
            let over = tokio::select! {
                biased;
                // An error is as good: the run has gone away.
                _ = ending.wait_for(Option::is_some) => true,
                () = queue.filled() => false,
            };
            self.take();
            if over {
                break;
            }
        }
        if let Some(waiting) = &self.waiting {
            waiting.close(queue.refused());
        }
    }

    fn take(&self) {
        for item in self.shared.queue.take() {
            match item {
                Item::Request(request, calls) => self.take_request(request, calls),
                Item::Call(call) if call.delivers_telemetry() => {}
                Item::Call(call) => self.take_call(call, Signals::ALL),
                Item::Test(test) => self.take_test(test),
            }
        }
    }

    fn take_request(&self, request: Arc<Request>, calls: Vec<Arc<Call>>) {
        let signals = self.filter.as_ref().map_or(Signals::ALL, |filter| filter.signals(&request));
        let spans = signals.traces && self.waiting.is_some();
        let sampled = spans && request.trace.as_deref().is_some_and(|context| self.sampling.samples(context));
        if let Some(store) = self.store.as_ref().filter(|_| signals.metrics) {
            store.borrow_mut().record(&request, sampled);
        }
        self.hand_on(Item::Request(request, Vec::new()), signals, sampled);
        if !sampled {
            self.shared.progress.add(1);
        }
        for call in calls {
            self.take_call(call, signals);
        }
    }

    /// Takes a call that is exported as its request is. No filter applies to one that comes alone: filters are about
    /// attributes of requests.
    fn take_call(&self, call: Arc<Call>, signals: Signals) {
        let sampled = call.span.as_deref().is_some_and(|span| self.sampling.samples_call(span));
        let sampled = sampled && signals.traces && self.waiting.is_some();
        if let Some(store) = self.store.as_ref().filter(|_| signals.metrics) {
            store.borrow_mut().record_call(&call, sampled);
        }
        self.hand_on(Item::Call(call), signals, sampled);
    }

    fn hand_on(&self, item: Item, signals: Signals, sampled: bool) {
        match &self.waiting {
            Some(waiting) if sampled => waiting.push(item),
            Some(waiting) if signals.traces => waiting.leave_unsampled(&item),
            Some(waiting) => waiting.leave_unwanted(&item),
            None => {}
        }
    }

    /// Takes a test. No filter applies: filters are about attributes that only requests have.
    fn take_test(&self, test: Arc<EndedTest>) {
        let Some(waiting) = &self.waiting else { return };
        let sampled = self.sampling.samples_test(test.span);
        let item = Item::Test(test);
        if sampled {
            waiting.push(item);
        } else {
            waiting.leave_unsampled(&item);
        }
    }
}
