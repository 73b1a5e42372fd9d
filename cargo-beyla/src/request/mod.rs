//! Messages -> requests: phases, routes, statistics. Pure.

pub mod boundaries;
mod closing;
mod connection;
mod exchange;
mod explain;
pub mod explanation;
pub mod finding;
mod findings;
mod finished;
mod intern;
mod keeper;
mod ledger;
mod lines;
pub mod model;
pub mod pattern;
mod recent;
pub mod route;
pub mod statistics;
pub mod suite;
pub mod summary;
pub mod system_call;
#[cfg(test)]
mod tape;
pub mod trace;
pub mod trace_context;
