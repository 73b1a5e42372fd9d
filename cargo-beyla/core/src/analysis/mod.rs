//! What the requests of a run come to: routes, distributions, findings, tests, budgets, baselines.

pub mod baseline;
pub mod budget;
pub mod code_sites;
pub(crate) mod findings;
pub(crate) mod keeper;
pub(crate) mod recent;
pub mod statistics;
pub mod suite;
