//! The records of a run, from where they come from to what is known from them.
//!
//! To read records is cheap; to analyse them takes about as long as the kernel takes to make them. On a busy machine that
//! time would be the server's, so it is spent where nobody else wants it: while the run loop waits, a thread of low priority
//! analyses what was read. Only if too much waits, the loop itself does so.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::PollFd;

use super::analysis::Analysis;
use super::backlog::Backlog;
use super::record_source::RecordSource;
use crate::console::status::Status;
use crate::error::Error;
use crate::report::run_info::Exit;
use cargo_beyla_core::event::Event;
use cargo_beyla_core::trace::Trace;

/// Up to this many bytes of records are analysed as soon as they were read: what comes in a moment without load.
const AT_ONCE: usize = 16 * 1024;
/// The most bytes of records that may wait. They hold some thirty thousand short requests.
const BACKLOG_MAX: usize = 16 * 1024 * 1024;
/// For how long records are analysed at a time once too many wait. Meanwhile the kernel's ring buffer fills.
const CATCHING_UP: Duration = Duration::from_millis(10);
/// The nice value (`nice(2)`) of the thread of low priority. On a processor that both want, a normal thread gets about
/// ten times its share.
const NICENESS: i32 = 10;
/// How often the loop drains the ring buffer while it waits for that thread to stop. The thread has to run once more to
/// stop, and a busy machine may let it wait.
const BREAKING_OFF: Duration = Duration::from_millis(1);

/// Records on their way.
pub(crate) struct Records {
    source: RecordSource,
    /// Those that are to be analysed next.
    backlog: Backlog,
    /// Those that have come since.
    incoming: Backlog,
    analysis: Analysis,
}

impl Records {
    pub(crate) fn new(source: RecordSource, analysis: Analysis) -> Self {
        Self { source, backlog: Backlog::default(), incoming: Backlog::default(), analysis }
    }

    /// What is known from the records that were analysed.
    pub(crate) fn trace(&mut self) -> &mut Trace {
        self.analysis.trace()
    }

    /// Adds an event of this process to those of the kernel.
    pub(crate) fn emit(&mut self, event: &Event<'_>) {
        self.incoming.push_event(event);
    }

    /// Waits until there is something to do, `most` at most, or until one of `waited_for` is ready, and reads records;
    /// returns whether the helper has something to say.
    pub(crate) fn wait<'a>(&'a mut self, waited_for: Vec<PollFd<'a>>, most: Duration) -> Result<bool, Error> {
        let Self { source, backlog, incoming, analysis } = self;
        backlog.append(incoming);
        let is_busy = !backlog.is_empty();
        let is_enough = AtomicBool::new(false);
        let helper_speaks = thread::scope(|scope| {
            let analyse = || {
                // If the kernel refuses, the thread competes with the server, as the loop itself would.
                let _ = rustix::process::nice(NICENESS);
                analysis.take(backlog, || is_enough.load(Ordering::Relaxed));
            };
            let low = thread::Builder::new().name("analysis".to_owned());
            // If there can be no thread, the backlog grows until the loop analyses it.
            let low = is_busy.then(|| low.spawn_scoped(scope, analyse).ok()).flatten();
            let ready = source.wait(waited_for, most, is_busy);
            is_enough.store(true, Ordering::Relaxed);
            while low.as_ref().is_some_and(|thread| !thread.is_finished()) {
                source.drain(incoming);
                thread::sleep(BREAKING_OFF);
            }
            ready
        })?;
        self.read();
        Ok(helper_speaks)
    }

    /// Takes what the kernel has recorded up to now. Analyses it at once if it is little, if it is urgent, or if too much
    /// waits.
    pub(crate) fn read(&mut self) {
        self.backlog.append(&mut self.incoming);
        self.source.drain(&mut self.backlog);
        if self.backlog.bytes() <= AT_ONCE || self.analysis.is_urgent() {
            self.catch_up();
        } else if self.backlog.bytes() > BACKLOG_MAX {
            let began = Instant::now();
            self.analysis.take(&mut self.backlog, || began.elapsed() >= CATCHING_UP);
        }
    }

    /// Analyses all that was read or emitted.
    pub(crate) fn catch_up(&mut self) {
        self.backlog.append(&mut self.incoming);
        self.analysis.take(&mut self.backlog, || false);
    }

    /// Has those libraries probed that the traced processes have mapped since.
    pub(crate) fn follow_libraries(&mut self) -> Result<(), Error> {
        self.source.follow_libraries()
    }

    /// Takes what the helper has to say.
    pub(crate) fn hear(&mut self, status: Status) -> Result<(), Error> {
        self.source.hear(&mut self.incoming, status)?;
        self.read();
        Ok(())
    }

    /// Whether the helper has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.source.has_ended()
    }

    /// Ends the helper, and takes the last records; returns whether it ended as it should.
    pub(crate) fn stop(&mut self, status: Status) -> Result<bool, Error> {
        let well = self.source.stop(&mut self.incoming, status);
        self.catch_up();
        self.analysis.name();
        well
    }

    /// Ends the recording. Returns the trace, and what went wrong with the recording, if anything did.
    pub(crate) fn finish(self, ended_monotonic_ns: u64, exit: Option<Exit>) -> (Trace, Option<Error>) {
        self.analysis.finish(ended_monotonic_ns, exit)
    }
}
