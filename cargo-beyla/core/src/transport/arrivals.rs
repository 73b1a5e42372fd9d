//! When bytes reached a receive queue.

use std::collections::VecDeque;

/// The arrivals that one connection keeps at most: what a full receive queue of small packets holds.
const KEPT: usize = 1024;

/// The arrivals of bytes that have not been read yet, by offset, and of the last that have.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    /// Offset of the first byte, which grows from one to the next, and time in nanoseconds, if known.
    kept: VecDeque<(u64, Option<u64>)>,
    /// From this offset on arrivals were dropped, because there was no room for them.
    unknown_from: Option<u64>,
}

impl Arrivals {
    /// Bytes from `offset` on arrived at `time_ns`. Arrivals come in order, except that the first one of those that are
    /// unread comes with the receive call that takes it.
    pub(super) fn add(&mut self, offset: u64, time_ns: u64) {
        self.insert(offset, Some(time_ns));
    }

    /// Among the bytes from `offset` on are some whose arrival went unseen.
    pub(super) fn unknown(&mut self, offset: u64) {
        self.insert(offset, None);
    }

    fn insert(&mut self, offset: u64, time_ns: Option<u64>) {
        if self.unknown_from.is_some_and(|unknown| unknown <= offset) {
            return;
        }
        let place = self.kept.partition_point(|&(start, _)| start < offset);
        if self.kept.get(place).is_some_and(|&(start, _)| start == offset) {
            return;
        }
        self.kept.insert(place, (offset, time_ns));
        if self.kept.len() > KEPT {
            self.unknown_from = self.kept.pop_back().map(|(start, _)| start);
        }
    }

    /// When the byte at `offset` arrived: with the latest arrival that begins at or before it.
    pub(super) fn at(&self, offset: u64) -> Option<u64> {
        if self.unknown_from.is_some_and(|unknown| unknown <= offset) {
            return None;
        }
        let after = self.kept.partition_point(|&(start, _)| start <= offset);
        self.kept.get(after.checked_sub(1)?).and_then(|&(_, time)| time)
    }

    /// Everything before `offset` has been read. The last arrival before it stays: the bytes from
    /// `offset` on may have come with it.
    pub(super) fn consumed(&mut self, offset: u64) {
        while self.kept.get(1).is_some_and(|&(start, _)| start <= offset) {
            self.kept.pop_front();
        }
        if self.unknown_from.is_some_and(|unknown| unknown < offset) {
            // What is kept lies before the arrivals that were dropped, and says nothing of later bytes.
            self.kept.clear();
            self.unknown_from = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_came_with_the_latest_arrival_that_begins_before_it() {
        let mut arrivals = Arrivals::default();
        assert_eq!(arrivals.at(0), None);
        arrivals.add(10, 100);
        arrivals.add(20, 200);
        assert_eq!([9, 10, 19, 20, 99].map(|at| arrivals.at(at)), [None, Some(100), Some(100), Some(200), Some(200)]);
        arrivals.consumed(15);
        assert_eq!(arrivals.at(16), Some(100));
        arrivals.consumed(20);
        assert_eq!((arrivals.at(16), arrivals.at(20)), (None, Some(200)));
    }

    #[test]
    fn what_had_no_room_is_unknown_until_it_is_read() {
        let mut arrivals = Arrivals::default();
        for offset in 0..2 * KEPT as u64 {
            arrivals.add(offset, offset);
        }
        assert_eq!(arrivals.kept.len(), KEPT);
        assert_eq!((arrivals.at(KEPT as u64 - 1), arrivals.at(KEPT as u64)), (Some(KEPT as u64 - 1), None));
        arrivals.consumed(2 * KEPT as u64);
        assert_eq!(arrivals.at(2 * KEPT as u64), None);
        arrivals.add(2 * KEPT as u64, 5);
        assert_eq!(arrivals.at(2 * KEPT as u64), Some(5));
    }
}
