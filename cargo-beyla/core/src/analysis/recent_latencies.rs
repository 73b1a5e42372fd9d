//! How long the requests of the last seconds took, for the status line.

use std::collections::VecDeque;

/// The latencies of the last five seconds count. In nanoseconds.
const WINDOW_NS: u64 = 5_000_000_000;

/// The requests that are remembered; at high rates they reach back less far.
const REQUESTS_MAX: usize = 16 * 1024;

/// When the last requests ended and how long they took, in nanoseconds.
#[derive(Debug, Default)]
pub(crate) struct RecentLatencies {
    ended: VecDeque<(u64, u64)>,
}

impl RecentLatencies {
    pub(crate) fn add(&mut self, ended_ns: u64, total_ns: u64) {
        if self.ended.len() >= REQUESTS_MAX {
            self.ended.pop_front();
        }
        self.ended.push_back((ended_ns, total_ns));
    }

    /// The 99th percentile of the total times of requests that ended in the last seconds before `now_ns`.
    pub(crate) fn p99(&mut self, now_ns: u64) -> Option<u64> {
        let since = now_ns.saturating_sub(WINDOW_NS);
        while self.ended.front().is_some_and(|&(ended, _)| ended < since) {
            self.ended.pop_front();
        }
        let mut totals: Vec<u64> = self.ended.iter().map(|&(_, total)| total).collect();
        let rank = (totals.len() * 99).div_ceil(100).checked_sub(1)?;
        Some(*totals.select_nth_unstable(rank).1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_seconds_count() {
        let mut recent = RecentLatencies::default();
        assert_eq!(recent.p99(0), None);
        recent.add(1, 1_000_000);
        for total in 1..=100 {
            recent.add(WINDOW_NS, total);
        }
        assert_eq!(recent.p99(WINDOW_NS + 1), Some(100));
        assert_eq!(recent.p99(WINDOW_NS + 2), Some(99));
        assert_eq!(recent.p99(3 * WINDOW_NS), None);
    }
}
