//! Messages -> requests and calls: boundaries, phases, routes.

mod answers;
pub(crate) mod call_in_flight;
mod call_texts;
mod calls;
mod carried;
mod client;
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
pub(crate) mod sqlite;
mod sqlite_codes;
mod stall;
pub(crate) mod tls;
pub mod trace_context;
