//! Messages -> requests: boundaries, phases, routes.

mod closing;
mod connection;
pub(crate) mod connections;
mod exchanges;
pub(crate) mod in_flight;
mod interner;
pub mod pattern;
mod request_lines;
pub mod route;
pub(crate) mod route_names;
pub(crate) mod run_state;
mod stall;
pub mod trace_context;
