//! Budgets: limits for the requests of a run. If one is broken, the run fails.
//!
//! [`parse`] reads budgets, and [`judge`] judges a run by them.

pub mod judge;
pub mod metric;
pub mod model;
pub mod parse;
