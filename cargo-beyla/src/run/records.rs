//! The records of a run, from where they come from to what is known from them.
//!
//! To read records is cheap; to analyse them takes about as long as the kernel takes to make them. On a busy machine that
//! time would be the server's, so it is spent where nobody else wants it: while the run loop waits, a thread of low priority
//! analyses what was read. Only if too much waits, the loop itself does so.

use std::time::{Duration, Instant};

use nix::poll::PollFd;

use super::analysis::Analysis;
use super::backlog::Backlog;
use super::low_priority::LowPriority;
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
/// How often the loop drains the ring buffer while it waits for the thread to break off.
const BREAKING_OFF: Duration = Duration::from_millis(1);

/// Records on their way.
pub(crate) struct Records {
    source: RecordSource,
    /// Those that have come since the others are analysed.
    incoming: Backlog,
    /// Absent while the thread has it, which is only while the loop waits.
    work: Option<Box<Work>>,
    thread: LowPriority<Box<Work>>,
}

/// What the thread is given.
struct Work {
    /// The records that are to be analysed next.
    backlog: Backlog,
    analysis: Analysis,
}

impl Work {
    /// Analyses records until `is_enough`, or none is left.
    fn analyse(&mut self, is_enough: impl Fn() -> bool) {
        self.analysis.take(&mut self.backlog, is_enough);
    }
}

impl Records {
    pub(crate) fn new(source: RecordSource, analysis: Analysis) -> Self {
        let work = Some(Box::new(Work { backlog: Backlog::default(), analysis }));
        let thread = LowPriority::new(|work: &mut Box<Work>, is_enough| work.analyse(is_enough));
        Self { source, incoming: Backlog::default(), work, thread }
    }

    /// What is known from the records that were analysed.
    pub(crate) fn trace(&mut self) -> &mut Trace {
        let work = self.take_work();
        self.work.insert(work).analysis.trace()
    }

    /// Adds an event of this process to those of the kernel.
    pub(crate) fn emit(&mut self, event: &Event<'_>) {
        self.incoming.push_event(event);
    }

    /// Waits until there is something to do, `most` at most, or until one of `waited_for` is ready, and reads records;
    /// returns whether the helper has something to say.
    pub(crate) fn wait(&mut self, waited_for: Vec<PollFd<'_>>, most: Duration) -> Result<bool, Error> {
        let mut work = self.take_work();
        work.backlog.append(&mut self.incoming);
        let is_busy = !work.backlog.is_empty();
        // If there can be no thread, the backlog grows until the loop analyses it.
        self.work = if is_busy { self.thread.start(work).err() } else { Some(work) };
        let helper_speaks = self.source.wait(waited_for, most, is_busy)?;
        self.read();
        Ok(helper_speaks)
    }

    /// Takes what the kernel has recorded up to now. Analyses it at once if it is little, if it is urgent, or if too much
    /// waits.
    pub(crate) fn read(&mut self) {
        let mut work = self.take_work();
        work.backlog.append(&mut self.incoming);
        self.source.drain(&mut work.backlog);
        if work.backlog.bytes() <= AT_ONCE || work.analysis.is_urgent() {
            work.analyse(|| false);
        } else if work.backlog.bytes() > BACKLOG_MAX {
            let began = Instant::now();
            work.analyse(|| began.elapsed() >= CATCHING_UP);
        }
        self.work = Some(work);
    }

    /// Analyses all that was read or emitted.
    pub(crate) fn catch_up(&mut self) {
        let mut work = self.take_work();
        work.backlog.append(&mut self.incoming);
        work.analyse(|| false);
        self.work = Some(work);
    }

    /// Takes the work, from the thread if it has it.
    fn take_work(&mut self) -> Box<Work> {
        loop {
            if let Some(work) = self.work.take() {
                return work;
            }
            self.work = self.thread.break_off(BREAKING_OFF);
            if self.work.is_none() {
                self.source.drain(&mut self.incoming);
            }
        }
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
        let mut work = self.take_work();
        work.analysis.name();
        self.work = Some(work);
        well
    }

    /// Ends the recording. Returns the trace, and what went wrong with the recording, if anything did.
    pub(crate) fn finish(mut self, ended_monotonic_ns: u64, exit: Option<Exit>) -> (Trace, Option<Error>) {
        self.take_work().analysis.finish(ended_monotonic_ns, exit)
    }
}
