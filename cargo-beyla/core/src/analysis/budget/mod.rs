//! Budgets: what must hold of a run's requests, so that it fails if it does not.
//!
//! [`parse`] reads them, and [`judge`] holds them against a run.

pub mod judge;
pub mod metric;
pub mod model;
pub mod parse;
