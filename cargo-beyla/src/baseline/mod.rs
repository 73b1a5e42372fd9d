//! What was measured is kept under a name, for later runs to be compared with.

pub mod name;
pub mod store;
