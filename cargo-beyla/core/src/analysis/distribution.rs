//! Distributions of times, in bounded memory: exact while there are few times, then a histogram.

use hdrhistogram::Histogram;

use crate::model::duration::Distribution;

/// The number of times that are kept one by one, before a histogram takes less room.
const EXACT_MAX: usize = 512;

/// Significant decimal digits of percentiles.
const DIGITS: u8 = 3;

/// The times that a [`Distribution`] is made of, in nanoseconds.
#[derive(Debug, Default)]
pub(super) struct Durations {
    /// All of them, while there are few.
    exact: Vec<u64>,
    /// All of them, once there are many.
    histogram: Option<Histogram<u32>>,
    pub(super) sum: u128,
    count: u64,
    max: u64,
}

impl Durations {
    pub(super) fn add(&mut self, time: u64) {
        self.sum += u128::from(time);
        self.count += 1;
        self.max = self.max.max(time);
        if self.histogram.is_none() && self.exact.len() >= EXACT_MAX {
            self.histogram = histogram(&self.exact);
            self.exact = Vec::new();
        }
        match &mut self.histogram {
            // It resizes itself, so every value has its place.
            Some(histogram) => drop(histogram.record(time)),
            None => self.exact.push(time),
        }
    }

    /// Adds all times of `others`.
    pub(super) fn merge(&mut self, others: &Self) {
        if self.histogram.is_none() && (others.histogram.is_some() || self.exact.len() + others.exact.len() > EXACT_MAX)
        {
            self.histogram = histogram(&self.exact);
            self.exact = Vec::new();
        }
        match (&mut self.histogram, &others.histogram) {
            // It resizes itself.
            (Some(all), Some(histogram)) => drop(all.add(histogram)),
            (Some(all), None) => {
                for &time in &others.exact {
                    let _ = all.record(time);
                }
            }
            (None, _) => self.exact.extend(&others.exact),
        }
        self.sum += others.sum;
        self.count += others.count;
        self.max = self.max.max(others.max);
    }

    /// `None` if there are no times.
    pub(super) fn into_distribution(mut self) -> Option<Distribution> {
        if self.count == 0 {
            return None;
        }
        self.exact.sort_unstable();
        let percentile = |percent: usize| {
            if let Some(histogram) = &self.histogram {
                return histogram.value_at_quantile(percent as f64 / 100.0).min(self.max);
            }
            let rank = (self.exact.len() * percent).div_ceil(100).max(1);
            self.exact.get(rank - 1).copied().unwrap_or(self.max)
        };
        Some(Distribution {
            p50: percentile(50),
            p90: percentile(90),
            p99: percentile(99),
            max: self.max,
            mean: self.sum as f64 / self.count as f64,
        })
    }
}

fn histogram(times: &[u64]) -> Option<Histogram<u32>> {
    let mut histogram = Histogram::new(DIGITS).ok()?;
    histogram.auto(true);
    for &time in times {
        histogram.record(time).ok()?;
    }
    Some(histogram)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extreme_times() {
        let mut durations = Durations::default();
        for n in 0..2 * EXACT_MAX {
            durations.add(if n % 2 == 0 { u64::MAX - 10 } else { 0 });
        }
        let distribution = durations.into_distribution().expect("times");
        assert_eq!((distribution.p50, distribution.max), (0, u64::MAX - 10));
    }
}
