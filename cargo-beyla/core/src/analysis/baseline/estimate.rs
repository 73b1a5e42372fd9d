//! What changed between two runs, and how sure that is.
//!
//! Times count as `ln(time + 1 ms)`. On that scale a factor is the same step for slow routes, as it should be for times,
//! which are skewed to the right; and what happens far below a millisecond, where a scheduler's whim doubles a time,
//! counts for little. A relevant change is [`MARGIN`] of it: a fifth of the time and a fifth of a millisecond.
//!
//! Of each round the trimmed mean counts: on a busy machine one request in ten waits ten times its time.
//!
//! Requests of one run are not independent: a busy machine slows all of them. So the unit is the round. The variance
//! between rounds is estimated from both runs together and, as a few rounds tell little of it, moderated by what would
//! be expected of a quiet machine (Smyth 2004). What no number of rounds can show is how the machine changed between
//! the two runs: that much is assumed. With one round in each run, all of the variance between rounds is assumed.
//!
//! The interval is Student's t, at a level that holds for all rows at once (Bonferroni). A change is told if the whole of
//! it lies beyond the margin, and the lower quartile moved as far: load from elsewhere delays some requests by much,
//! a change of the code most of them.

use statrs::distribution::{ContinuousCDF, StudentsT};

/// What is added to each time before its logarithm is taken, in nanoseconds.
const OFFSET_NS: f64 = 1e6;

/// The relevant change: what people act upon, and more than a machine's own mood makes out as a rule.
pub const MARGIN: f64 = 0.2;

/// The probability that one or more of the rows tells a change where there is none.
const ALPHA: f64 = 0.05;

/// The standard deviation between rounds that is expected of a quiet machine, on the scale of logarithms: where there is
/// one round on each side, nothing else is known of it.
const ROUNDS: f64 = 0.1;

/// So many degrees of freedom that expectation is worth where rounds tell as well.
const ROUNDS_FREEDOM: f64 = 4.0;

/// The standard deviation of a machine's change between two runs, with rounds on both sides.
const DRIFT: f64 = 0.05;

/// The part of a round's values that is cut off at each end: what waited for another program to have its turn.
const TRIMMED: f64 = 0.2;

/// With fewer values and fewer rounds than these on one side, nothing is said.
const VALUES_MIN: usize = 5;
const ROUNDS_MIN: usize = 3;

/// Beyond this Student's t is the normal distribution.
const FREEDOM_MAX: f64 = 1e6;

/// A difference of two runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// The typical time of the baseline, in nanoseconds: of values that are no less than some milliseconds, their
    /// geometric mean, without the fifths at both ends.
    pub baseline_ns: f64,
    /// That of now.
    pub now_ns: f64,
    /// The interval that holds their difference, in nanoseconds, for all rows at once with 95 %.
    pub interval_ns: (f64, f64),
    /// What there is to say of it.
    pub direction: Direction,
}

/// Where times went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// They are surely and relevantly shorter.
    Faster,
    /// They are surely and relevantly longer.
    Slower,
    /// Neither is sure.
    NoChange,
}

/// Compares the values of a row, by round and in nanoseconds; `rows` is how many are compared beside one another.
/// `None` if there are too few to tell.
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
    // The centre of a round's requests varies by itself.
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
    /// The mean of their centres.
    mean: f64,
    /// Of all values.
    quartile: f64,
}

/// The trimmed mean of a round, and how sure it is.
struct Round {
    centre: f64,
    variance: f64,
    freedom: f64,
}

impl Round {
    /// Of values in their order (Yuen 1974). Where one is left, its variance is 0.
    fn new(sorted: &[f64]) -> Self {
        let cut = match sorted.len() {
            0..3 => 0,
            size => ((size as f64 * TRIMMED) as usize).max(1),
        };
        let kept = &sorted[cut..sorted.len() - cut];
        let centre = kept.iter().sum::<f64>() / kept.len() as f64;
        // What was cut off counts as what is next to it.
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
