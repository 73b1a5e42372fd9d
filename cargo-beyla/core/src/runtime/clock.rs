//! The clock of a task or a thread: how much time it has spent on each part.

use crate::model::explanation::Parts;

/// One of [`Parts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Running,
    Runnable,
    Blocked,
    Scheduled,
    Waiting,
}

/// How many of the parts that counted before are remembered: so far can a clock be read back.
const BEFORE_MAX: usize = 4;

/// Counts the time of each part. It never goes back, so the difference between its readings at two moments divides the
/// time between them into parts.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    parts: Parts,
    /// The part that counts since `since`.
    part: Part,
    since: u64,
    /// The parts that counted before `since`, the latest first, and for how long.
    before: [(Part, u64); BEFORE_MAX],
}

/// The reading of a clock at a moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reading {
    /// The moment, in nanoseconds.
    pub(super) at: u64,
    parts: Parts,
}

impl Clock {
    pub(super) fn new(part: Part, at: u64) -> Self {
        Self { parts: Parts::default(), part, since: at, before: [(part, 0); BEFORE_MAX] }
    }

    pub(super) fn part(&self) -> Part {
        self.part
    }

    pub(super) fn since(&self) -> u64 {
        self.since
    }

    /// From `at` on, `part` counts.
    pub(super) fn switch(&mut self, at: u64, part: Part) {
        self.spend(at, self.part);
        self.part = part;
    }

    /// What has counted until `at` stands, whatever becomes known of it later: a reading there stays true.
    pub(super) fn settle(&mut self, at: u64) {
        self.spend(at, self.part);
    }

    /// Counts a time off the CPU: from `begin` on `asleep`, from `woken` on runnable, and from `end` on the CPU again.
    pub(super) fn off_cpu(&mut self, begin: u64, woken: u64, end: u64, asleep: Part) {
        self.spend(begin, self.part);
        self.spend(woken, asleep);
        self.spend(end, Part::Runnable);
        self.part = Part::Running;
    }

    /// Its reading at `at`. A moment that lies too far back reads as the earliest one that is known.
    pub(super) fn read(&self, at: u64) -> Reading {
        let mut parts = self.parts;
        if at >= self.since {
            *of(&mut parts, self.part) += at - self.since;
            return Reading { at, parts };
        }
        // The records of other threads may be a little ahead, and those of a call come at its end.
        let mut back = self.since - at;
        for (part, length) in self.before {
            let spent = back.min(length);
            *of(&mut parts, part) -= spent;
            back -= spent;
        }
        if back > 0 { Reading { at: self.since, parts: self.parts } } else { Reading { at, parts } }
    }

    fn spend(&mut self, until: u64, part: Part) {
        let Some(length) = until.checked_sub(self.since).filter(|length| *length > 0) else {
            return;
        };
        *of(&mut self.parts, part) += length;
        self.since = until;
        if self.before[0].0 == part {
            self.before[0].1 += length;
        } else {
            self.before.rotate_right(1);
            self.before[0] = (part, length);
        }
    }
}

impl Reading {
    /// The time that each part took since `earlier`; `None` if that reading is a later one.
    pub(super) fn since(&self, earlier: &Self) -> Option<Parts> {
        Some(Parts {
            running: self.parts.running.checked_sub(earlier.parts.running)?,
            runnable: self.parts.runnable.checked_sub(earlier.parts.runnable)?,
            blocked: self.parts.blocked.checked_sub(earlier.parts.blocked)?,
            scheduled: self.parts.scheduled.checked_sub(earlier.parts.scheduled)?,
            waiting: self.parts.waiting.checked_sub(earlier.parts.waiting)?,
        })
    }
}

fn of(parts: &mut Parts, part: Part) -> &mut u64 {
    match part {
        Part::Running => &mut parts.running,
        Part::Runnable => &mut parts.runnable,
        Part::Blocked => &mut parts.blocked,
        Part::Scheduled => &mut parts.scheduled,
        Part::Waiting => &mut parts.waiting,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(clock: &Clock, from: &Reading, to: u64) -> [u64; 5] {
        clock.read(to).since(from).expect("a later reading").named().map(|(_, length)| length)
    }

    #[test]
    fn the_parts_sum_to_the_time_between_two_readings() {
        let mut clock = Clock::new(Part::Scheduled, 100);
        let born = clock.read(100);
        clock.switch(130, Part::Running);
        let polled = clock.read(140);
        clock.off_cpu(150, 170, 175, Part::Blocked);
        clock.off_cpu(180, 180, 190, Part::Blocked);
        clock.switch(200, Part::Waiting);
        assert_eq!(between(&clock, &born, 210), [35, 15, 20, 30, 10]);
        assert_eq!(between(&clock, &polled, 195), [20, 15, 20, 0, 0]);
    }

    #[test]
    fn it_never_goes_back_and_reads_a_moment_ago() {
        let mut clock = Clock::new(Part::Running, 100);
        let start = clock.read(100);
        clock.switch(150, Part::Waiting);
        clock.switch(140, Part::Running);
        assert_eq!(between(&clock, &start, 160), [60, 0, 0, 0, 0]);
        assert_eq!(between(&clock, &start, 130), [30, 0, 0, 0, 0]);
        assert_eq!(clock.read(90).at, 150);
        clock.off_cpu(170, 180, 190, Part::Blocked);
        clock.switch(200, Part::Waiting);
        assert_eq!(between(&clock, &start, 175), [70, 0, 5, 0, 0]);
        assert_eq!(between(&clock, &start, 195), [75, 10, 10, 0, 0]);
        clock.switch(210, Part::Running);
        assert_eq!(clock.read(165).at, 210, "so far it cannot be read back");
        clock.off_cpu(0, 10, 20, Part::Blocked);
        assert_eq!(between(&clock, &start, u64::MAX)[0], u64::MAX - 130);
    }

    #[test]
    fn a_sleep_that_has_begun_counts_until_its_end_is_known() {
        let mut clock = Clock::new(Part::Running, 100);
        let start = clock.read(100);
        clock.switch(110, Part::Blocked);
        assert_eq!(between(&clock, &start, 130), [10, 0, 20, 0, 0]);
        clock.off_cpu(110, 140, 145, Part::Waiting);
        assert_eq!(between(&clock, &start, 150), [15, 5, 0, 0, 30]);
    }
}
