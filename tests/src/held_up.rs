//! A request that holds up the only worker of `latency_lab`, and how long others wait for it.

use std::ops::RangeInclusive;
use std::thread;
use std::time::{Duration, Instant};

use crate::client::{Client, get};

/// What `/block?ms=200` takes at least.
const BLOCKED: Duration = Duration::from_millis(200);

/// A wait that is not over yet.
pub struct Wait {
    least: Duration,
    asked: Instant,
}

/// Asks for `/block?ms=200`, and while its handler blocks the worker has `ask` send other requests. Returns when the
/// blocking one is answered.
pub fn ask_behind_block(blocking: &mut Client, ask: impl FnOnce()) -> Wait {
    let begun = Instant::now();
    blocking.send(get("/block?ms=200"));
    // The handler has begun by then, and has long to go.
    thread::sleep(Duration::from_millis(50));
    let asked = Instant::now();
    ask();
    let least = BLOCKED.saturating_sub(begun.elapsed());
    blocking.response();
    Wait { least, asked }
}

impl Wait {
    /// How long the others have waited for the worker, at least and at most. They are answered by now.
    pub fn over(self) -> RangeInclusive<Duration> {
        self.least..=self.asked.elapsed()
    }
}
