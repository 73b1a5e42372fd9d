//! Events -> connections and byte streams. Pure.

mod arrivals;
pub mod connection;
pub mod event;
pub mod segment;
