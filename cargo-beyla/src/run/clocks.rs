//! The two clocks of a run: records have the time by `CLOCK_MONOTONIC`, reports and spans have it since the Unix epoch.
//!
//! Both clocks go at the same pace, also while NTP slows or hastens them, so one reading of both at the start of the
//! run serves for all of it, as long as nobody sets the time and the machine does not sleep.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

use cargo_beyla_core::event::Paused;

/// How often both are read. One good reading is enough, and nine of ten are good even on a busy machine.
const READINGS: usize = 10;

/// One reading of the wall clock, between two of `CLOCK_MONOTONIC`; all in nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Reading {
    before: u64,
    unix: u64,
    after: u64,
}

impl Reading {
    fn take() -> Self {
        let before = monotonic_ns();
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
        Self { before, unix, after: monotonic_ns() }
    }

    fn width(&self) -> u64 {
        self.after.saturating_sub(self.before)
    }
}

/// Now, as wall-clock time since the Unix epoch and by `CLOCK_MONOTONIC`, in nanoseconds.
///
/// No call reads both clocks. Where another process has the CPU between two calls, which can be for milliseconds, the
/// pair is wrong by as much, and with it each time of the run: an application's own span could then lie outside ours.
/// So both are read several times, and the closest reading counts.
pub(crate) fn now() -> (u64, u64) {
    closest(std::array::from_fn::<_, READINGS, _>(|_| Reading::take()))
}

/// The pair of the reading that took the least time. It is wrong by half of that at most.
fn closest(readings: [Reading; READINGS]) -> (u64, u64) {
    let [first, others @ ..] = readings;
    let best = others.into_iter().fold(first, |best, next| if next.width() < best.width() { next } else { best });
    (best.unix, best.before + best.width() / 2)
}

/// Now, by `CLOCK_MONOTONIC`.
pub(crate) fn monotonic_ns() -> u64 {
    // The clock is always there; 0 would only make the run seem to have no length.
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |time| Duration::from(time).as_nanos() as u64)
}

/// A time for which all that is traced stands still, and we with it.
#[derive(Debug)]
pub(crate) struct Pause {
    since: Instant,
    from_ns: u64,
}

impl Pause {
    pub(crate) fn begin() -> Self {
        Self { since: Instant::now(), from_ns: monotonic_ns() }
    }

    /// How long it was, and from when until when.
    pub(crate) fn end(self) -> (Duration, Paused) {
        (self.since.elapsed(), Paused { from_ns: self.from_ns, to_ns: monotonic_ns() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFSET: u64 = 1_700_000_000_000_000_000;

    #[test]
    fn an_interrupted_reading_does_not_count() {
        // Interrupted before the wall clock was read, and after; only one was not.
        let readings = std::array::from_fn(|number| {
            let before = 1000 * number as u64;
            let (first, second) = match number {
                6 => (20, 20),
                _ if number % 2 == 0 => (900, 20),
                _ => (20, 900),
            };
            Reading { before, unix: OFFSET + before + first, after: before + first + second }
        });
        assert_eq!(closest(readings), (OFFSET + 6020, 6020));
    }

    #[test]
    fn both_clocks_go_on_together() {
        let offset = || {
            let (unix, monotonic) = now();
            i128::from(unix) - i128::from(monotonic)
        };
        let first = offset();
        std::thread::sleep(Duration::from_millis(20));
        let second = offset();
        // Each is wrong by half its width, which is tens of nanoseconds, or a few microseconds without a vDSO.
        assert!((second - first).abs() < 20_000, "{first} {second}");
    }
}
