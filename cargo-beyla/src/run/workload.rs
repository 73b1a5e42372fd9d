//! What runs while it is traced.

use std::ops::ControlFlow;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use super::state::RunState;
use crate::error::Error;
use crate::launch::received::Received;
use crate::report::run_info::Exit;

/// What runs while it is traced: a server to follow, tests to run, or a binary that somebody else runs through us.
///
/// The run loop calls it; all that it does not need has a default.
pub(crate) trait Workload {
    /// What messages call it, as in "the probe helper has ended before the server".
    const NAME: &'static str;

    /// The first record is about to be taken.
    fn begin(&mut self, _run: &mut RunState) {}

    /// For how long the loop may wait if nothing happens.
    fn patience(&self, _now: Instant) -> Duration {
        Duration::MAX
    }

    /// A descriptor that is ready to be read once it is over, if no signal says so.
    fn end(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Records were taken.
    fn recorded(&mut self, _run: &mut RunState) {}

    /// Reacts to a signal that this process has received, SIGCHLD included.
    fn receive(&mut self, received: &Received, run: &mut RunState);

    /// Whether it has ended. The probe helper may notice that before its time has come in [`Self::step`].
    fn has_ended(&mut self) -> bool;

    /// Does what is due, and says whether it is over.
    fn step(&mut self, run: &mut RunState) -> Result<ControlFlow<()>, Error>;

    /// It is over, and the probes are about to be taken away.
    fn ended(&mut self, _run: &mut RunState) {}

    /// The last record was taken at `ended_monotonic_ns`.
    fn finish(&mut self, _run: &mut RunState, _ended_monotonic_ns: u64) {}

    /// How its process ended, where that is known and there is one alone.
    fn exit(&self) -> Option<Exit> {
        None
    }
}
