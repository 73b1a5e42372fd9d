//! What was measured is compared with what is measured later.
//!
//! [`samples`] collects request times as requests end, [`compare`] sets two of them side by side, and [`estimate`]
//! says of each row what changed, and how sure that is.

pub mod compare;
pub mod estimate;
pub mod samples;
