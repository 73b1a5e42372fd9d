//! The run's side of the exports.
//!
//! [`Checked`] is made before the run and finds what can be found wrong then; [`Exporter::start`] makes
//! the one thread that does the work, after the server was forked; [`Exporter::offer`] never waits, and
//! what is held in memory is bounded wherever it waits; [`Exporter::finish`] gives the thread until a
//! deadline, and returns what became of everything.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::sync::watch;

use super::checked::Checked;
use super::item::{Counts, Item};
use super::otlp::delivery::End;
use super::outcome::ExportOutcome;
use super::queue::{BOUNDS, ExportQueue};
use super::resource;
use super::settings::Resource;
use super::worker::{Progress, Shared, work};
use crate::console::color::moves_cursor;
use crate::console::stream::Stream;
use crate::error::Error;
use crate::report::run_info::RunInfo;
use cargo_beyla_core::model::call::{Call, Dropped};
use cargo_beyla_core::model::request::Request;
use cargo_beyla_core::model::test::EndedTest;

/// How long after the deadline the thread is given up.
const GRACE: Duration = Duration::from_secs(1);

/// What takes longer is shown to go on.
const SHOW_AFTER: Duration = Duration::from_secs(1);

/// How much the thread gives way: where CPUs are short, the server and the reader of its events come first, or
/// events would be lost to the report for the sake of spans.
const NICENESS: i32 = 10;

/// How often we look whether the user wants to end it.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Exports under way.
#[derive(Debug)]
pub struct Exporter {
    queue: Arc<ExportQueue>,
    progress: Arc<Progress>,
    /// Requests, calls and tests.
    offered: [AtomicU64; 3],
    ending: watch::Sender<Option<End>>,
    outcome: mpsc::Receiver<ExportOutcome>,
    /// The outcome if the thread does not answer.
    silent: ExportOutcome,
}

impl Exporter {
    /// Starts the thread, for a run that is known by now.
    pub fn start(checked: Checked, resource: &Resource, run: &RunInfo) -> Result<Self, Error> {
        let queue = Arc::new(ExportQueue::new(BOUNDS));
        let progress = Arc::new(Progress::default());
        let (ending, deadline) = watch::channel(None);
        let (answer, outcome) = mpsc::channel();
        let silent = checked.not_started("the exporter does not answer");
        let shared = Shared { queue: Arc::clone(&queue), progress: Arc::clone(&progress), ending: deadline };
        let (resource, run) = (resource::resource(resource, run), run.clone());
        let thread = std::thread::Builder::new().name("export".to_owned()).spawn(move || {
            // On Linux it is of this thread alone. If it may not be had, all is as without it.
            let _ = rustix::process::nice(NICENESS);
            // Nobody hears it if the run was given up.
            let _ = answer.send(work(checked, &resource, &run, &shared));
        });
        thread.map_err(|source| Error::System { what: "starting the thread that exports", source })?;
        Ok(Self { queue, progress, offered: Default::default(), ending, outcome, silent })
    }

    /// Takes a request that has ended, with those of its calls that are over. Never waits: what there is no room for is
    /// counted.
    pub fn offer(&self, request: &Arc<Request>, calls: Vec<Arc<Call>>) {
        self.offer_item(Item::Request(Arc::clone(request), calls));
    }

    /// Takes a call that is over and comes without its request, in the same way.
    pub fn offer_call(&self, call: Arc<Call>) {
        self.offer_item(Item::Call(call));
    }

    /// Takes a test that is over, in the same way.
    pub fn offer_test(&self, test: EndedTest) {
        self.offer_item(Item::Test(Arc::new(test)));
    }

    fn offer_item(&self, item: Item) {
        let Counts { requests, calls, tests } = item.count();
        for (offered, count) in self.offered.iter().zip([requests, calls, tests]) {
            offered.fetch_add(count, Ordering::Relaxed);
        }
        self.queue.offer(item);
    }

    /// Takes note of requests and calls that were lost before they could be offered.
    pub fn lose(&self, dropped: Dropped) {
        let Dropped { requests, calls } = dropped;
        self.offered[0].fetch_add(requests, Ordering::Relaxed);
        self.offered[1].fetch_add(calls, Ordering::Relaxed);
        self.queue.refuse(Counts { requests, calls, ..Counts::default() });
    }

    /// Sends what is left, for `patience` at most, and returns what became of everything.
    pub fn finish(self, patience: Duration) -> ExportOutcome {
        self.finish_unless(patience, || false)
    }

    /// The same, until `interrupted` says that the user does not want to wait.
    pub fn finish_unless(self, patience: Duration, mut interrupted: impl FnMut() -> bool) -> ExportOutcome {
        let begun = Instant::now();
        let mut end = End { deadline: (begun + patience).into(), is_interrupt: false };
        // The other side sees it, or has gone by itself.
        let _ = self.ending.send(Some(end));
        let mut bar: Option<ProgressBar> = None;
        let outcome = loop {
            match self.outcome.recv_timeout(LOOK_EVERY) {
                Ok(outcome) => break Some(outcome),
                Err(RecvTimeoutError::Disconnected) => break None,
                Err(RecvTimeoutError::Timeout) => {}
            }
            if !end.is_interrupt && interrupted() {
                end = End { deadline: tokio::time::Instant::now(), is_interrupt: true };
                let _ = self.ending.send(Some(end));
            }
            if end.deadline.elapsed() >= GRACE {
                break None;
            }
            if begun.elapsed() >= SHOW_AFTER {
                let bar = bar.get_or_insert_with(|| self.bar());
                bar.set_position(self.progress.done.load(Ordering::Relaxed));
            }
        };
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
        outcome.unwrap_or_else(|| self.unanswered())
    }

    /// On a terminal; nothing elsewhere.
    fn bar(&self) -> ProgressBar {
        let drawn = moves_cursor(Stream::Stderr);
        let target = if drawn { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(self.offered[0].load(Ordering::Relaxed)), target);
        // A template that cannot be read leaves the usual one.
        if let Ok(style) =
            ProgressStyle::with_template("{prefix:>12} {bar:30} {human_pos}/{human_len} requests; ^C ends it")
        {
            bar.set_style(style);
        }
        bar.set_prefix("Exporting");
        bar
    }

    fn unanswered(self) -> ExportOutcome {
        let Self { mut silent, offered, .. } = self;
        let [requests, calls, tests] = offered.map(AtomicU64::into_inner);
        if let Some(traces) = &mut silent.traces {
            traces.all = Counts { requests, calls, tests };
            traces.lost.values_mut().for_each(|lost| *lost = traces.all);
        }
        silent
    }
}
