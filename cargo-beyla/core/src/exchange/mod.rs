//! Messages -> requests: boundaries, phases, routes.

mod closing;
mod connection;
mod finished;
pub(crate) mod in_flight;
mod intern;
mod ledger;
mod lines;
pub mod pattern;
pub mod route;
pub mod trace;
pub mod trace_context;
