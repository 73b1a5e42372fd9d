//! Compares a run with an earlier one, its baseline.
//!
//! [`samples`] collects request times as requests end, [`compare`] sets the samples of two runs side by side, and
//! [`estimate`] says for each row what changed, and how sure that is.

pub mod compare;
pub mod estimate;
pub mod samples;
