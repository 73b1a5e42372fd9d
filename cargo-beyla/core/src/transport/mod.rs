//! Events -> byte streams with times.

mod arrivals;
pub mod connection;
pub mod segment;
pub mod tls;
