//! The process's threads and async tasks.

pub mod blocking_tasks;
pub mod calibration;
pub mod scheduler;
pub mod stacks;
pub mod task_at_hand;
pub mod tasks;
pub mod threads;
