//! What sees each request as it ends: the exporter, the printer and the samples for baselines; and the status line.

use std::time::Duration;

use super::clocks::monotonic_ns;
use crate::config::routes::Routes;
use crate::config::settings::Settings;
use crate::config::values::TracePrinter;
use crate::console::status::{self, Status};
use crate::error::Error;
use crate::export::exporter::Exporter;
use crate::export::filter::RequestFilter;
use crate::export::outcome::ExportOutcome;
use crate::export::routes::ExportedRoutes;
use crate::launch::signals::{self, Signals};
use crate::report::live::{Live, LiveCounters};
use crate::report::printer::Printer;
use crate::report::run_info::RunInfo;
use cargo_beyla_core::analysis::baseline::samples::Collector;
use cargo_beyla_core::model::call::Finished;
use cargo_beyla_core::trace::Trace;

/// How long the end of a run may take because of exports.
const EXPORT_PATIENCE: Duration = Duration::from_secs(10);

/// Prints the requests that the filter accepts.
#[derive(Debug)]
struct Printing {
    printer: Printer,
    filter: RequestFilter,
}

/// All observers of a run. (Its recording sees records, not requests: see [`super::records`].)
#[derive(Debug, Default)]
pub(crate) struct Observers {
    exporter: Option<Exporter>,
    printing: Option<Printing>,
    /// The routes with which requests are exported and filtered, if they differ from the report's.
    routes: Option<ExportedRoutes>,
    samples: Option<Collector>,
    status_line: Option<Live>,
}

impl Observers {
    /// The observers that the settings ask for.
    pub(crate) fn new(
        settings: &Settings,
        run: &RunInfo,
        exporter: Option<Exporter>,
        samples: Option<Collector>,
    ) -> Result<Self, Error> {
        let printer = Printer::new(settings.trace_printer.value, run);
        let printing = printer.map(|printer| Printing { printer, filter: RequestFilter::of(settings) });
        let Routes { patterns, unmatched, .. } = &settings.routes;
        let routes = ExportedRoutes::new(&patterns.value, unmatched.value)?;
        Ok(Self { exporter, printing, routes, samples, status_line: None })
    }

    /// Whether a run with these settings hands requests out one by one.
    pub(crate) fn want_requests(settings: &Settings, exports: bool, samples: bool) -> bool {
        exports || samples || settings.trace_printer.value != TracePrinter::Disabled
    }

    /// Starts the status line, if the terminal can have one.
    pub(crate) fn start_status_line(&mut self) {
        self.status_line.get_or_insert_with(|| Live::start(true));
    }

    /// Gives the terminal to others until the next [`Self::update`].
    pub(crate) fn suspend(&mut self) {
        if let Some(status_line) = &mut self.status_line {
            status_line.suspend();
        }
    }

    /// Everything was stopped for this time.
    pub(crate) fn resume(&mut self, paused: Duration) {
        if let Some(status_line) = &mut self.status_line {
            status_line.resume(paused);
        }
    }

    /// Shows the observers what has ended since the last time, and draws the status line. To be called often.
    pub(crate) fn update(&mut self, trace: &mut Trace) {
        if let Some(status_line) = &mut self.status_line {
            status_line.update(|| {
                let now = trace.live(monotonic_ns());
                LiveCounters { requests: now.requests, errors: now.errors, p99_ns: now.p99_ns }
            });
        }
        self.observe(trace);
    }

    fn observe(&mut self, trace: &mut Trace) {
        let Self { exporter, printing, routes, samples, status_line: _ } = self;
        let mut printed = String::new();
        trace.take_finished(|finished| {
            let (request, calls) = match finished {
                Finished::Request(request, calls) => (request, calls),
                Finished::Call(call) => {
                    if let Some(exporter) = exporter {
                        exporter.offer_call(call);
                    }
                    return;
                }
            };
            let exported = routes.as_ref().map(|routes| routes.of(&request));
            let exported = exported.as_ref().unwrap_or(&request);
            if let Some(Printing { printer, filter }) = printing
                && filter.accepts(exported)
            {
                printer.print(&request, &mut printed);
            }
            if let Some(exporter) = exporter {
                exporter.offer(exported, calls);
            }
            if let Some(samples) = samples {
                samples.observe(&request);
            }
        });
        if !printed.is_empty() {
            status::write(&printed);
        }
        if let Some(exporter) = exporter {
            trace.take_ended_tests(|test| exporter.offer_test(test));
        }
    }

    /// Shows the observers the last requests, those under way at the end included.
    pub(crate) fn close(&mut self, trace: &mut Trace, ended_monotonic_ns: u64) {
        if let Some(status_line) = self.status_line.take() {
            status_line.finish();
        }
        trace.close(ended_monotonic_ns);
        self.observe(trace);
        let dropped = trace.finished_dropped();
        if let Some(exporter) = &self.exporter {
            exporter.lose(dropped);
        }
        if let Some(samples) = &mut self.samples {
            samples.lose(dropped.requests);
        }
    }

    /// The samples that were collected, if they were to be.
    pub(crate) fn take_samples(&mut self) -> Option<Collector> {
        self.samples.take()
    }

    /// Sends what is left, and says what became of everything that was to be exported.
    pub(crate) fn finish(self, status: Status) {
        if let Some(exporter) = self.exporter {
            finish_export(exporter, status);
        }
    }
}

fn finish_export(exporter: Exporter, status: Status) {
    // The first ^C ends the wait, and a second one this process. Without a descriptor for signals, the wait is bounded.
    let signals = Signals::open();
    let interrupted = || {
        let interrupted = signals.as_ref().is_ok_and(Signals::ask_for_end);
        if interrupted {
            let _ = signals::deliver();
        }
        interrupted
    };
    let outcome = exporter.finish_unless(EXPORT_PATIENCE, interrupted);
    let overflow = outcome.overflow();
    let ExportOutcome { traces, metrics, prometheus, overflowed: _ } = outcome;
    for (complete, sentence) in [
        traces.map(|traces| (traces.is_complete(), traces.sentence())),
        metrics.map(|metrics| (metrics.is_complete(), metrics.sentence())),
    ]
    .into_iter()
    .flatten()
    {
        match sentence.strip_prefix("sent ").filter(|_| complete) {
            Some(what) => status.say("Sent", what),
            None => status.warn(sentence),
        }
    }
    if let Some(overflow) = overflow {
        status.warn(overflow);
    }
    if let Some(prometheus) = prometheus {
        status.say("Served", prometheus.sentence());
    }
}
