//! Whom we trace, and what is known of each process.

pub mod current;
pub mod named;
pub mod target;
pub mod task_variables;
pub mod tree;
