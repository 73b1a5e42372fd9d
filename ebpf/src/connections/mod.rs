//! The process's connections, from the beginning of each to its end.

pub mod announcements;
pub mod arrivals;
pub mod clients;
pub mod connection;
pub mod deliveries;
pub mod ends;
pub mod lifecycle;
pub mod listeners;
pub mod ports;
pub mod state_changes;
pub mod table;
