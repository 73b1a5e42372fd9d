//! The kernel's records, and those that this tool adds, as events.

pub mod captured;
pub mod decode;
