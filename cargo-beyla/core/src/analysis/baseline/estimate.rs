//! Estimates what changed between two runs, and how sure that is.
//!
//! Times count as `ln(time + 1 ms)`. Times are skewed to the right; on this scale a factor is a step of the same size
//! for all slow routes. Far below a millisecond, where scheduling alone may double a time, differences hardly count. A
//! change is relevant if it exceeds [`MARGIN`]: a fifth of the time plus a fifth of a millisecond.
//!
//! Each round counts by its trimmed mean: on a busy machine, one request in ten takes ten times as long.
//!
//! The requests of one run are not independent: a busy machine slows all of them. So rounds are compared, not requests.
//! The variance between rounds is estimated from both runs together. A few rounds say little about it, so the estimate
//! is moderated by what a quiet machine would show (Smyth 2004). No number of rounds can show how the machine changed
//! between the two runs, so that variance is assumed. With one round in each run, all variance between rounds is
//! assumed.
//!
//! The interval is Student's t, at a level that holds for all rows at once (Bonferroni). A change counts if the whole
//! interval lies beyond the margin and the lower quartile moved as far. Load from elsewhere delays some requests by
//! much; a change of the code delays most of them.

use statrs::distribution::{ContinuousCDF, StudentsT};

/// Added to each time before its logarithm is taken, in nanoseconds.
const OFFSET_NS: f64 = 1e6;

/// The relevant change: large enough that people act on it, and usually larger than what a machine causes by itself.
pub const MARGIN: f64 = 0.2;

/// The probability that at least one row shows a change where there is none.
const ALPHA: f64 = 0.05;

/// The standard deviation between rounds that is expected on a quiet machine, on the scale of logarithms. With one
/// round on each side, nothing else is known about it.
const ROUNDS: f64 = 0.1;

/// The degrees of freedom that this expectation counts for beside measured rounds.
const ROUNDS_FREEDOM: f64 = 4.0;

/// The standard deviation of the machine's change between two runs, with rounds on both sides.
const DRIFT: f64 = 0.05;

/// The part of a round's values that is cut off at each end: they waited for another program's turn on the CPU.
const TRIMMED: f64 = 0.2;

/// With fewer values and fewer rounds than these on one side, the two sides are not compared.
const VALUES_MIN: usize = 5;
const ROUNDS_MIN: usize = 3;

/// With more degrees of freedom, Student's t is the normal distribution.
const FREEDOM_MAX: f64 = 1e6;

/// The difference between two runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// The typical time of the baseline, in nanoseconds. For times of some milliseconds and more, this is the geometric
    /// mean without the fifths at both ends.
    pub baseline_ns: f64,
    /// The typical time now, in nanoseconds.
    pub now_ns: f64,
    /// The interval in which the difference lies, in nanoseconds: with 95 % confidence for all rows at once.
    pub interval_ns: (f64, f64),
    /// The direction, if there is one.
    pub direction: Direction,
}

/// The direction in which times changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// They are shorter: surely, and by a relevant amount.
    Faster,
    /// They are longer: surely, and by a relevant amount.
    Slower,
    /// Neither is sure.
    NoChange,
}

/// Compares the values of a row, by round and in nanoseconds. `rows` is the number of rows that are compared. `None` if
/// there are too few values.
pub fn compare(baseline: &[Vec<u64>], now: &[Vec<u64>], rows: usize) -> Option<Change> {
    let (baseline, now) = (Side::new(baseline)?, Side::new(now)?);
    let difference = now.mean - baseline.mean;
    let (variance, freedom) = uncertainty(&baseline, &now);
    let quantile = 1.0 - ALPHA / (2.0 * rows.max(1) as f64);
    let t = StudentsT::new(0.0, 1.0, freedom.clamp(1.0, FREEDOM_MAX)).ok()?.inverse_cdf(quantile);
    let reach = t * variance.sqrt();
    if !reach.is_finite() {
        return None;
    }
    let (low, high) = (difference - reach, difference + reach);
    let margin = MARGIN.ln_1p();
    let most = now.quartile - baseline.quartile;
    let direction = if low > margin && most > margin {
        Direction::Slower
    } else if high < -margin && most < -margin {
        Direction::Faster
    } else {
        Direction::NoChange
    };
    let before = time(baseline.mean);
    Some(Change {
        baseline_ns: before,
        now_ns: time(now.mean),
        interval_ns: (time(baseline.mean + low) - before, time(baseline.mean + high) - before),
        direction,
    })
}

/// The variance of the difference of the means, and its degrees of freedom (Satterthwaite).
fn uncertainty(baseline: &Side, now: &Side) -> (f64, f64) {
    let sides = [baseline, now];
    let rounds = |of: &Side| of.rounds.len() as f64;
    let between_freedom: f64 = sides.map(rounds).into_iter().sum::<f64>() - 2.0;
    if between_freedom < 1.0 {
        let within: Vec<&Round> = sides.into_iter().flat_map(|side| &side.rounds).collect();
        let variance = within.iter().map(|round| round.variance).sum::<f64>() + 2.0 * ROUNDS.powi(2);
        let weight: f64 = within.iter().map(|round| round.variance.powi(2) / round.freedom.max(1.0)).sum();
        return (variance, if weight > 0.0 { variance.powi(2) / weight } else { FREEDOM_MAX });
    }
    let between = sides.iter().map(|side| side.between()).sum::<f64>() / between_freedom;
    // The centre of a round varies as its requests do.
    let inner = sides.iter().map(|side| side.within()).sum::<f64>() / 2.0;
    let expected = ROUNDS.powi(2) + inner;
    let freedom = ROUNDS_FREEDOM + between_freedom;
    let moderated = (ROUNDS_FREEDOM * expected + between_freedom * between) / freedom;
    let estimated = moderated * (1.0 / rounds(baseline) + 1.0 / rounds(now));
    let variance = estimated + 2.0 * DRIFT.powi(2);
    (variance, variance.powi(2) * freedom / estimated.powi(2))
}

/// One of the two runs, on the scale of logarithms.
struct Side {
    rounds: Vec<Round>,
    /// The mean of the centres of the rounds.
    mean: f64,
    /// The lower quartile of all values.
    quartile: f64,
}

/// The trimmed mean of a round, and how sure it is.
struct Round {
    centre: f64,
    variance: f64,
    freedom: f64,
}

impl Round {
    /// Makes a round of sorted values (Yuen 1974). If only one value is left, the variance is 0.
    fn new(sorted: &[f64]) -> Self {
        let cut = match sorted.len() {
            0..3 => 0,
            size => ((size as f64 * TRIMMED) as usize).max(1),
        };
        let kept = &sorted[cut..sorted.len() - cut];
        let centre = kept.iter().sum::<f64>() / kept.len() as f64;
        // A value that was cut off counts as the nearest one that was not.
        let bounds = (kept[0], kept[kept.len() - 1]);
        let winsorized = || sorted.iter().map(|value| value.clamp(bounds.0, bounds.1));
        let mean = winsorized().sum::<f64>() / sorted.len() as f64;
        let squares: f64 = winsorized().map(|value| (value - mean).powi(2)).sum();
        let (size, freedom) = (kept.len() as f64, kept.len() as f64 - 1.0);
        Self { centre, variance: if freedom > 0.0 { squares / (size * freedom) } else { 0.0 }, freedom }
    }
}

impl Side {
    fn new(rounds: &[Vec<u64>]) -> Option<Self> {
        let mut all: Vec<f64> = Vec::new();
        let mut known = Vec::new();
        for round in rounds.iter().filter(|round| !round.is_empty()) {
            let mut logarithms: Vec<f64> = round.iter().map(|&ns| (ns as f64 + OFFSET_NS).ln()).collect();
            logarithms.sort_unstable_by(f64::total_cmp);
            known.push(Round::new(&logarithms));
            all.extend(logarithms);
        }
        if all.len() < VALUES_MIN && known.len() < ROUNDS_MIN {
            return None;
        }
        all.sort_unstable_by(f64::total_cmp);
        let mean = known.iter().map(|round| round.centre).sum::<f64>() / known.len() as f64;
        Some(Self { quartile: all[(all.len() - 1) / 4], rounds: known, mean })
    }

    /// The mean of the variances of its rounds' centres.
    fn within(&self) -> f64 {
        self.rounds.iter().map(|round| round.variance).sum::<f64>() / self.rounds.len() as f64
    }

    /// The sum of the squared differences of the rounds' centres.
    fn between(&self) -> f64 {
        self.rounds.iter().map(|round| (round.centre - self.mean).powi(2)).sum()
    }
}

fn time(logarithm: f64) -> f64 {
    logarithm.exp() - OFFSET_NS
}

#[cfg(test)]
#[path = "estimate_tests.rs"]
mod tests;
