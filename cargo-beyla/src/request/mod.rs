//! Messages -> requests: phases, routes, statistics. Pure.

pub mod boundaries;
pub mod model;
pub mod route;
pub mod statistics;
pub mod summary;
pub mod trace;
