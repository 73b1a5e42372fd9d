//! What the requests of a run come to: routes, distributions, findings, tests, budgets, baselines.

pub mod baseline;
pub mod budget;
pub(crate) mod call_findings;
pub(crate) mod call_waits;
pub mod calls;
pub mod code_sites;
mod distribution;
pub(crate) mod findings;
pub(crate) mod recent_latencies;
pub mod routes;
pub(crate) mod slowest_requests;
pub mod suite;
